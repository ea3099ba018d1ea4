//! Recordings in SQLite. They share the tasks' file, so that a run's fence is checked in the
//! transaction that writes, and what ends them is in the one that does it.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row};
use taskhost_model::ids::{RunId, TaskKey};
use taskhost_model::time::Timestamp;

use super::Sqlite;
use super::read_task::{Stored, by_key, by_number};
use crate::checkpoints::RunOfTask;
use crate::crash::Step;
use crate::documents::may_write;
use crate::error::StoreError;
use crate::limits::within;
use crate::recordings::{PIECE_BYTES_MAX, Recorded, RecordingStore, ended_at};

pub(super) const OF_TASK: &str =
    "SELECT number, attempt, lease, pieces, bytes FROM recordings WHERE task = ?1 ORDER BY attempt";
const INSERT: &str =
    "INSERT INTO recordings (task, attempt, lease, pieces, bytes) VALUES (?1, ?2, ?3, 0, 0)";
const GROW: &str = "UPDATE recordings SET pieces = pieces + 1, bytes = bytes + ?2 \
                    WHERE number = ?1 RETURNING pieces - 1";
const ADD: &str = "INSERT INTO recording_pieces (recording, piece, bytes) VALUES (?1, ?2, ?3)";
pub(super) const PIECE: &str =
    "SELECT bytes FROM recording_pieces WHERE recording = ?1 AND piece = ?2";
/// There are few of them, a day's at most.
const TASKS: &str = "SELECT DISTINCT task FROM recordings";
pub(super) const END_PIECES: &str = "DELETE FROM recording_pieces WHERE recording = ?1";
const END: &str = "DELETE FROM recordings WHERE number = ?1";

#[async_trait]
impl RecordingStore for Sqlite {
    async fn append(
        &self,
        run: &RunOfTask,
        attempt: u32,
        piece: Vec<u8>,
    ) -> Result<(), StoreError> {
        within("piece of a recording", piece.len(), PIECE_BYTES_MAX)?;
        let (run, reserve, bytes) = (run.clone(), self.reserve.clone(), piece.len() as u64);
        let work = move |connection: &Connection| {
            let stored = by_key(connection, &run.task)?.ok_or(StoreError::Fenced)?;
            if !may_write(Some(&stored.task), run.fence) {
                return Err(StoreError::Fenced);
            }
            reserve.spare()?;
            let lease = run.fence.lease_number;
            let recording = recording(connection, stored.number, attempt, lease)?;
            let at: i64 = connection
                .prepare_cached(GROW)?
                .query_row((recording, bytes.cast_signed()), |row| row.get(0))?;
            connection
                .prepare_cached(ADD)?
                .execute((recording, at, &piece))?;
            Ok(())
        };
        let writer = &self.tasks.writer;
        writer.write_bulk(Step::Other, bytes, work).await
    }

    async fn recorded(&self, task: &TaskKey, run: RunId) -> Result<Vec<Recorded>, StoreError> {
        let task = task.clone();
        let read = move |connection: &Connection| {
            let snapshot = connection.unchecked_transaction()?;
            match by_key(&snapshot, &task)?.filter(|stored| stored.task.run.id == run) {
                Some(stored) => of_task(&snapshot, stored.number),
                None => Ok(Vec::new()),
            }
        };
        self.tasks.readers.read(read).await
    }

    async fn piece(&self, recorded: Recorded, piece: u32) -> Result<Option<Vec<u8>>, StoreError> {
        let read = move |connection: &Connection| {
            let mut statement = connection.prepare_cached(PIECE)?;
            let found = statement.query_row((recorded.id, piece), |row| row.get(0));
            Ok(found.optional()?)
        };
        self.tasks.readers.read(read).await
    }

    async fn forget_ended(&self, before: Timestamp) -> Result<u64, StoreError> {
        let read = move |connection: &Connection| {
            let snapshot = connection.unchecked_transaction()?;
            let mut statement = snapshot.prepare_cached(TASKS)?;
            let tasks = statement.query_map([], |row| row.get(0))?;
            let mut over = Vec::new();
            for task in tasks {
                let task = task?;
                match is_over(&snapshot, task, before) {
                    Ok(true) => over.push(task),
                    // One that cannot be read keeps no other.
                    Ok(false) | Err(StoreError::Corrupt { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(over)
        };
        let mut gone = 0;
        // Mostly there are none: nobody waits for the writer, nor it for this.
        for task in self.tasks.readers.read(read).await? {
            let work = move |connection: &Connection| {
                // It may have been scheduled anew since.
                if is_over(connection, task, before)? {
                    end_all(connection, task)
                } else {
                    Ok(0)
                }
            };
            gone += self.tasks.writer.write(Step::Other, work).await?;
        }
        Ok(gone)
    }
}

/// Whether a task's run has ended before; one that is not there has.
fn is_over(connection: &Connection, task: i64, before: Timestamp) -> Result<bool, StoreError> {
    let stored = by_number(connection, task)?;
    let is_kept = |stored: Stored| ended_at(&stored.task).is_none_or(|at| at >= before);
    Ok(!stored.is_some_and(is_kept))
}

/// The recording of an attempt under a lease; that of another lease goes.
fn recording(
    connection: &Connection,
    task: i64,
    attempt: u32,
    lease_number: u64,
) -> Result<i64, StoreError> {
    let of_attempt = of_task(connection, task)?;
    let of_attempt = of_attempt.into_iter().find(|one| one.attempt == attempt);
    match of_attempt {
        Some(found) if found.lease_number == lease_number => return Ok(found.id),
        Some(former) => end(connection, former.id)?,
        None => {}
    }
    let values = (task, attempt, lease_number.cast_signed());
    connection.prepare_cached(INSERT)?.execute(values)?;
    Ok(connection.last_insert_rowid())
}

fn of_task(connection: &Connection, task: i64) -> Result<Vec<Recorded>, StoreError> {
    let mut statement = connection.prepare_cached(OF_TASK)?;
    let recorded = statement.query_map([task], |row: &Row<'_>| {
        Ok(Recorded {
            id: row.get(0)?,
            attempt: row.get(1)?,
            lease_number: row.get::<_, i64>(2)?.cast_unsigned(),
            pieces: row.get(3)?,
            bytes: row.get::<_, i64>(4)?.cast_unsigned(),
        })
    })?;
    Ok(recorded.collect::<Result<_, _>>()?)
}

/// Ends the recordings of a task; how many.
pub(super) fn end_all(connection: &Connection, task: i64) -> Result<u64, StoreError> {
    let all = of_task(connection, task)?;
    for one in &all {
        end(connection, one.id)?;
    }
    Ok(all.len() as u64)
}

fn end(connection: &Connection, recording: i64) -> Result<(), StoreError> {
    connection
        .prepare_cached(END_PIECES)?
        .execute([recording])?;
    connection.prepare_cached(END)?.execute([recording])?;
    Ok(())
}

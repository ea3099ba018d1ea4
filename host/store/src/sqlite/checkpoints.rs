//! Checkpoints in SQLite. They share the tasks' file, so that a run's fence is checked in the
//! transaction that writes, and an end is in the one that ends them.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension};

use super::Sqlite;
use super::read_task::by_key;
use crate::checkpoints::{Checkpoint, CheckpointStore, RunOfTask, VALUE_BYTES_MAX, counted_bytes};
use crate::crash::Step;
use crate::documents::may_write;
use crate::error::StoreError;
use crate::limits::within;

pub(super) const SELECT: &str =
    "SELECT value, schema_version FROM checkpoints WHERE task = ?1 AND key = ?2";
/// What all others of the task count together.
pub(super) const COUNT_OTHERS: &str =
    "SELECT coalesce(sum(counted_bytes), 0) FROM checkpoints WHERE task = ?1 AND key <> ?2";
const SET: &str = "INSERT OR REPLACE INTO checkpoints (task, key, counted_bytes, schema_version, \
                   value) VALUES (?1, ?2, ?3, ?4, ?5)";
pub(super) const FORGET: &str = "DELETE FROM checkpoints WHERE task = ?1 AND key = ?2";
pub(super) const END: &str = "DELETE FROM checkpoints WHERE task = ?1";

#[async_trait]
impl CheckpointStore for Sqlite {
    async fn save(
        &self,
        run: &RunOfTask,
        key: &str,
        checkpoint: Checkpoint,
    ) -> Result<(), StoreError> {
        within("checkpoint", checkpoint.value.len(), VALUE_BYTES_MAX)?;
        let counted = counted_bytes(key, checkpoint.value.len() as u64);
        let (run, key, reserve) = (run.clone(), key.to_owned(), self.reserve.clone());
        let bytes_max = self.limits.checkpoints_bytes_max;
        let work = move |connection: &Connection| {
            let task = number_of(connection, &run)?;
            reserve.spare()?;
            let others: i64 = connection
                .prepare_cached(COUNT_OTHERS)?
                .query_row((task, &key), |row| row.get(0))?;
            let all = others.cast_unsigned() + counted;
            let all = usize::try_from(all).unwrap_or(usize::MAX);
            within("checkpoints of the task", all, bytes_max)?;
            let Checkpoint {
                value,
                schema_version,
            } = &checkpoint;
            let mut statement = connection.prepare_cached(SET)?;
            statement.execute((task, &key, counted.cast_signed(), schema_version, &**value))?;
            Ok(())
        };
        self.tasks
            .writer
            .write_bulk(Step::Checkpoint, counted, work)
            .await
    }

    async fn load(&self, run: &RunOfTask, key: &str) -> Result<Option<Checkpoint>, StoreError> {
        let (run, key) = (run.clone(), key.to_owned());
        let read = move |connection: &Connection| {
            let task = number_of(connection, &run)?;
            let mut statement = connection.prepare_cached(SELECT)?;
            let found = statement.query_row((task, &key), |row| {
                let value: Vec<u8> = row.get(0)?;
                Ok(Checkpoint {
                    value: value.into(),
                    schema_version: row.get(1)?,
                })
            });
            Ok(found.optional()?)
        };
        self.tasks.readers.read(read).await
    }

    async fn forget(&self, run: &RunOfTask, key: &str) -> Result<(), StoreError> {
        let (run, key) = (run.clone(), key.to_owned());
        let work = move |connection: &Connection| {
            let task = number_of(connection, &run)?;
            connection.prepare_cached(FORGET)?.execute((task, &key))?;
            Ok(())
        };
        self.tasks
            .writer
            .write_bulk(Step::Checkpoint, 0, work)
            .await
    }
}

/// Forgets all that a task has kept.
pub(super) fn end_all(connection: &Connection, task: i64) -> Result<(), StoreError> {
    connection.prepare_cached(END)?.execute([task])?;
    Ok(())
}

/// The number of the run's task, while the run may use it.
fn number_of(connection: &Connection, run: &RunOfTask) -> Result<i64, StoreError> {
    let stored = by_key(connection, &run.task)?;
    if !may_write(stored.as_ref().map(|stored| &stored.task), run.fence) {
        return Err(StoreError::Fenced);
    }
    stored.map(|stored| stored.number).ok_or(StoreError::Fenced)
}

//! Writes what was decided on a task inside the writer's transaction.
//!
//! SQLite rewrites every index that an `UPDATE` names a column of, whether or not its value
//! changed. So there are four of them, from the cheapest that says what is needed.

use rusqlite::{Connection, OptionalExtension, params};
use taskhost_model::task::Task;
use taskhost_model::time::Timestamp;

use super::read_task::Stored;
use super::{checkpoints, history, key_holders, lanes, recordings, row};
use crate::apply::{Decision, TextChange, Write};
use crate::error::StoreError;
use crate::event::{Applied, Outcome};
use crate::limits::Limits;
use crate::place::{self, Place};

const INSERT: &str = "\
    INSERT INTO tasks (space, id, type, stream, status, created_ms, deleted_ms, place, rank, \
    due_ms, digest, requested_by, body, parent_run, concurrency_key, expires_ms) VALUES (?1, ?2, \
    ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)";
/// Nothing that is looked for has changed.
const UPDATE_BODY: &str = "UPDATE tasks SET body = ?2 WHERE number = ?1";
/// It was claimed, for one.
const UPDATE_PLACE: &str = "UPDATE tasks SET place = ?2, digest = ?3, body = ?4 WHERE number = ?1";
/// It has ended, for one.
const UPDATE_STATUS: &str = "UPDATE tasks SET place = ?2, digest = ?3, body = ?4, status = ?5, \
                             expires_ms = ?6 WHERE number = ?1";
const UPDATE_ALL: &str = "\
    UPDATE tasks SET type = ?2, stream = ?3, status = ?4, created_ms = ?5, deleted_ms = ?6, \
    place = ?7, rank = ?8, due_ms = ?9, digest = ?10, requested_by = ?11, body = ?12, \
    parent_run = ?13, concurrency_key = ?14, expires_ms = ?15 WHERE number = ?1";

/// Does what was decided on the task `stored`.
pub(super) fn write(
    connection: &Connection,
    limits: &Limits,
    stored: Option<Stored>,
    decision: Decision,
    now: Timestamp,
) -> Result<Applied, StoreError> {
    match decision {
        Decision::Nothing(outcome) => Ok(Applied {
            outcome,
            task: stored.map(|stored| stored.task),
        }),
        Decision::Write(write) => {
            let Write {
                mut task,
                params,
                payload,
                log,
                ends_checkpoints,
                ends_recordings,
                former,
                ends_history,
            } = *write;
            task.expires_at = limits.expires_at(&task);
            let number = write_row(connection, stored.as_ref(), &task, now)?;
            let before = stored.as_ref().map(|stored| &stored.task);
            key_holders::follow(connection, number, before, &task)?;
            // A new row cannot have texts yet: clearing them is left out.
            let fresh = stored.is_none();
            if let Some(former) = former {
                // Before its log is cleared.
                history::keep(connection, limits, number, &former)?;
            }
            if ends_history && !fresh {
                history::end_all(connection, number)?;
            }
            write_text(connection, &PARAMS, number, params, fresh)?;
            write_text(connection, &PAYLOADS, number, payload, fresh)?;
            write_log(connection, limits, number, log, fresh)?;
            if ends_checkpoints && !fresh {
                checkpoints::end_all(connection, number)?;
            }
            if ends_recordings && !fresh {
                recordings::end_all(connection, number)?;
            }
            Ok(Applied {
                outcome: Outcome::Changed,
                task: Some(task),
            })
        }
    }
}

fn write_row(
    connection: &Connection,
    stored: Option<&Stored>,
    task: &Task,
    now: Timestamp,
) -> Result<i64, StoreError> {
    let body = row::body(task)?;
    let place = place::of(task, now);
    let Some(stored) = stored else {
        return insert(connection, task, place, &body);
    };
    let (number, old) = (stored.number, &stored.task);
    let same_schedule = old.type_id == task.type_id
        && old.stream == task.stream
        && old.created_at == task.created_at
        && old.deleted_at == task.deleted_at
        && old.run.rank == task.run.rank
        && old.run.due_at == task.run.due_at
        && old.requested_by == task.requested_by
        && old.parent == task.parent
        && (old.expires_at == task.expires_at || old.status != task.status)
        && old.concurrency_key == task.concurrency_key;
    let same_place = stored.place == place as i64 && old.run.digest == task.run.digest;
    let digest = task.run.digest.as_ref().map(|digest| digest.as_str());
    let place = place as i64;
    if same_schedule && old.status == task.status && same_place {
        connection
            .prepare_cached(UPDATE_BODY)?
            .execute((number, body))?;
    } else if same_schedule && old.status == task.status {
        let mut statement = connection.prepare_cached(UPDATE_PLACE)?;
        statement.execute((number, place, digest, body))?;
    } else if same_schedule {
        let mut statement = connection.prepare_cached(UPDATE_STATUS)?;
        let status = task.status.as_str();
        let expires_ms = task.expires_at.map(Timestamp::as_ms);
        statement.execute((number, place, digest, body, status, expires_ms))?;
    } else {
        connection.prepare_cached(UPDATE_ALL)?.execute(params![
            number,
            task.type_id.as_str(),
            task.stream.as_ref().map(|stream| stream.as_str()),
            task.status.as_str(),
            task.created_at.as_ms(),
            task.deleted_at.map(Timestamp::as_ms),
            place,
            task.run.rank,
            task.run.due_at.as_ms(),
            digest,
            task.requested_by,
            body,
            parent_run(task),
            task.concurrency_key,
            task.expires_at.map(Timestamp::as_ms),
        ])?;
    }
    if old.concurrency_key.is_some() || task.concurrency_key.is_some() {
        lanes::move_on(connection, stored, task, place)?;
    }
    Ok(number)
}

fn insert(
    connection: &Connection,
    task: &Task,
    place: Place,
    body: &str,
) -> Result<i64, StoreError> {
    connection.prepare_cached(INSERT)?.execute(params![
        task.space.as_str(),
        task.id.as_str(),
        task.type_id.as_str(),
        task.stream.as_ref().map(|stream| stream.as_str()),
        task.status.as_str(),
        task.created_at.as_ms(),
        task.deleted_at.map(Timestamp::as_ms),
        place as i64,
        task.run.rank,
        task.run.due_at.as_ms(),
        task.run.digest.as_ref().map(|digest| digest.as_str()),
        task.requested_by,
        body,
        parent_run(task),
        task.concurrency_key,
        task.expires_at.map(Timestamp::as_ms),
    ])?;
    Ok(connection.last_insert_rowid())
}

fn parent_run(task: &Task) -> Option<String> {
    task.parent.as_ref().map(|parent| parent.run.to_string())
}

/// The statements of a table of texts.
struct Texts {
    set: &'static str,
    clear: &'static str,
}

const PARAMS: Texts = Texts {
    set: "INSERT OR REPLACE INTO params (task, text) VALUES (?1, ?2)",
    clear: "DELETE FROM params WHERE task = ?1",
};
const PAYLOADS: Texts = Texts {
    set: "INSERT OR REPLACE INTO payloads (task, text) VALUES (?1, ?2)",
    clear: "DELETE FROM payloads WHERE task = ?1",
};

fn write_text(
    connection: &Connection,
    texts: &Texts,
    number: i64,
    change: TextChange,
    fresh: bool,
) -> Result<(), StoreError> {
    match change {
        TextChange::Keep => {}
        TextChange::Clear if fresh => {}
        TextChange::Clear => {
            connection.prepare_cached(texts.clear)?.execute([number])?;
        }
        TextChange::Set(text) | TextChange::Append(text) => {
            connection
                .prepare_cached(texts.set)?
                .execute((number, &*text))?;
        }
    }
    Ok(())
}

/// A log grows by pieces, so that adding to it costs nothing for what is there.
fn write_log(
    connection: &Connection,
    limits: &Limits,
    number: i64,
    change: TextChange,
    fresh: bool,
) -> Result<(), StoreError> {
    match change {
        TextChange::Keep => Ok(()),
        TextChange::Clear if fresh => Ok(()),
        TextChange::Clear => {
            let sql = "DELETE FROM logs WHERE task = ?1";
            connection.prepare_cached(sql)?.execute([number])?;
            Ok(())
        }
        TextChange::Set(text) | TextChange::Append(text) => {
            let sql = "SELECT piece, bytes_so_far FROM logs WHERE task = ?1 \
                       ORDER BY piece DESC LIMIT 1";
            let (piece, kept): (i64, u64) = connection
                .prepare_cached(sql)?
                .query_row([number], |row| {
                    Ok((row.get(0)?, row.get::<_, i64>(1)?.cast_unsigned()))
                })
                .optional()?
                .unwrap_or_default();
            let text = limits.log_that_fits(kept, &text);
            if text.is_empty() {
                return Ok(());
            }
            let bytes_so_far = (kept + text.len() as u64).cast_signed();
            let sql = "INSERT INTO logs (task, piece, bytes_so_far, text) VALUES (?1, ?2, ?3, ?4)";
            connection
                .prepare_cached(sql)?
                .execute((number, piece + 1, bytes_so_far, text))?;
            Ok(())
        }
    }
}

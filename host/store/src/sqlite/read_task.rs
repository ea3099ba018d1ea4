//! Reads tasks as they are stored.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row};
use taskhost_model::ids::TaskKey;
use taskhost_model::status::Status;
use taskhost_model::task::Task;
use taskhost_model::time::Timestamp;

use super::row;
use crate::error::StoreError;

/// The task of a key.
pub(super) const SELECT_BY_KEY: &str = "\
    SELECT space, id, type, stream, status, created_ms, deleted_ms, rank, due_ms, digest, \
    requested_by, body, concurrency_key, expires_ms, number, place FROM tasks \
    WHERE space = ?1 AND id = ?2";
/// The task of a number.
pub(super) const SELECT_BY_NUMBER: &str = "\
    SELECT space, id, type, stream, status, created_ms, deleted_ms, rank, due_ms, digest, \
    requested_by, body, concurrency_key, expires_ms, number, place FROM tasks WHERE number = ?1";
/// The earliest of those that wait for their time.
pub(super) const NEXT_DUE: &str =
    "SELECT due_ms FROM tasks INDEXED BY tasks_waiting WHERE place = 2 ORDER BY due_ms LIMIT 1";

/// A task as it is stored, with what the writer needs beside it.
#[derive(Debug)]
pub(super) struct Stored {
    /// Its row.
    pub number: i64,
    /// Its place, as a number.
    pub place: i64,
    /// The document.
    pub task: Task,
}

/// Params and, where there is one, payload.
pub(super) type Texts = (Arc<str>, Option<Arc<str>>);

/// The stored task of a key, a tombstone included.
pub(super) fn by_key(connection: &Connection, key: &TaskKey) -> Result<Option<Stored>, StoreError> {
    let mut statement = connection.prepare_cached(SELECT_BY_KEY)?;
    let mut rows = statement.query((key.space.as_str(), key.id.as_str()))?;
    rows.next()?.map(stored).transpose()
}

/// The stored task of a number.
pub(super) fn by_number(
    connection: &Connection,
    number: i64,
) -> Result<Option<Stored>, StoreError> {
    let mut statement = connection.prepare_cached(SELECT_BY_NUMBER)?;
    let mut rows = statement.query([number])?;
    rows.next()?.map(stored).transpose()
}

/// Params and, of a completed or acknowledged task, payload.
pub(super) fn texts_of(
    connection: &Connection,
    number: i64,
    task: &Task,
) -> Result<Texts, StoreError> {
    let text = |sql| -> Result<Option<Arc<str>>, StoreError> {
        let mut statement = connection.prepare_cached(sql)?;
        Ok(statement.query_row([number], |row| row.get(0)).optional()?)
    };
    let params = text("SELECT text FROM params WHERE task = ?1")?;
    let payload = match task.status {
        Status::Completed | Status::Acknowledged => {
            text("SELECT text FROM payloads WHERE task = ?1")?
        }
        _ => None,
    };
    Ok((params.unwrap_or_else(|| Arc::from("")), payload))
}

/// When the first of those that wait for their time becomes due.
pub(super) fn next_due(connection: &Connection) -> Result<Option<Timestamp>, StoreError> {
    let mut statement = connection.prepare_cached(NEXT_DUE)?;
    let due_ms: Option<i64> = statement.query_row([], |row| row.get(0)).optional()?;
    Ok(due_ms.map(Timestamp::from_ms))
}

fn stored(row: &Row<'_>) -> Result<Stored, StoreError> {
    Ok(Stored {
        task: row::read(row)?,
        number: row.get(row::COLUMNS_COUNT)?,
        place: row.get(row::COLUMNS_COUNT + 1)?,
    })
}

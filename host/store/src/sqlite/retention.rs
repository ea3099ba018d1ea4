//! Removes documents that a stream no longer keeps, in the order in which they arrived, and those
//! of streams that were deleted; a bounded piece of work at a time.

use rusqlite::{Connection, OptionalExtension, params};
use taskhost_model::time::Timestamp;

use super::stream_row::{self, Stored};
use crate::error::StoreError;
use crate::streams::retained_since;

/// So many documents go in one transaction.
pub(super) const DELETED_AT_A_TIME: u64 = 500;

/// The documents of a stream that arrived first.
pub(super) const SELECT_OLDEST: &str = "\
    SELECT number, arrived_ms, octet_length(body) FROM documents \
    WHERE number > ?1 AND number <= ?2 ORDER BY number LIMIT ?3";
/// Those of them up to one.
pub(super) const DELETE_OLDEST: &str = "\
    DELETE FROM documents WHERE number > ?1 AND number <= ?2";
/// Documents of a stream that was deleted.
pub(super) const DELETE_ORPHANS: &str = "\
    DELETE FROM documents WHERE number IN (SELECT number FROM documents INDEXED BY \
    documents_by_time WHERE stream = ?1 LIMIT ?2)";
const UPDATE_STREAM: &str = "UPDATE streams SET documents = documents - ?2, bytes = bytes - ?3, \
     first_ms = (SELECT min(at_ms) FROM documents WHERE stream = ?1), \
     last_ms = (SELECT max(at_ms) FROM documents WHERE stream = ?1) WHERE number = ?1";

/// Removes some of what a stream no longer keeps; how many documents went.
pub(super) fn trim_some(
    connection: &Connection,
    stream: i64,
    now: Timestamp,
) -> Result<u64, StoreError> {
    let Some(stored) = by_number(connection, stream)? else {
        return Ok(0);
    };
    let settings = &stored.stream.settings;
    let since_ms = retained_since(now, settings).as_ms();
    let mut excess = stored.bytes.saturating_sub(settings.max_bytes);
    let (after, up_to) = stored.numbers();
    let (mut gone, mut bytes, mut last) = (0_i64, 0_u64, after);
    let mut oldest = connection.prepare_cached(SELECT_OLDEST)?;
    let mut rows = oldest.query((after, up_to, DELETED_AT_A_TIME.cast_signed()))?;
    while let Some(row) = rows.next()? {
        let size = row.get::<_, i64>(2)?.cast_unsigned();
        if row.get::<_, i64>(1)? >= since_ms && excess == 0 {
            break;
        }
        last = row.get(0)?;
        gone += 1;
        bytes += size;
        excess = excess.saturating_sub(size);
    }
    drop(rows);
    if gone > 0 {
        connection
            .prepare_cached(DELETE_OLDEST)?
            .execute((after, last))?;
        let values = params![stream, gone, bytes.cast_signed()];
        connection.prepare_cached(UPDATE_STREAM)?.execute(values)?;
    }
    Ok(gone.cast_unsigned())
}

/// Every stream's number.
pub(super) fn streams(connection: &Connection) -> Result<Vec<i64>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT number FROM streams")?;
    let numbers = statement.query_map([], |row| row.get(0))?;
    Ok(numbers.collect::<Result<_, _>>()?)
}

/// Removes some documents of streams that were deleted; true while there are more.
pub(super) fn purge_some(connection: &Connection) -> Result<bool, StoreError> {
    let sql = "SELECT number FROM deleted_streams LIMIT 1";
    let next: Option<i64> = connection
        .prepare_cached(sql)?
        .query_row([], |row| row.get(0))
        .optional()?;
    let Some(stream) = next else {
        return Ok(false);
    };
    let mut delete = connection.prepare_cached(DELETE_ORPHANS)?;
    let gone = delete.execute((stream, DELETED_AT_A_TIME.cast_signed()))?;
    if (gone as u64) < DELETED_AT_A_TIME {
        let sql = "DELETE FROM deleted_streams WHERE number = ?1";
        connection.prepare_cached(sql)?.execute([stream])?;
    }
    Ok(true)
}

fn by_number(connection: &Connection, number: i64) -> Result<Option<Stored>, StoreError> {
    let sql = format!(
        "SELECT {} FROM streams WHERE number = ?1",
        stream_row::COLUMNS
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query([number])?;
    rows.next()?.map(stream_row::read).transpose()
}

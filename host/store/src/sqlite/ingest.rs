//! Adds documents to a stream, a bounded piece of work at a time.

use std::time::{Duration, Instant};

use rusqlite::{Connection, params};
use taskhost_model::ids::StreamKey;
use taskhost_model::time::Timestamp;

use super::reserve::Reserve;
use super::stream_row::existing;
use crate::error::StoreError;
use crate::streams::StreamDocument;

/// One transaction has at most so many bytes of documents …
const BYTES_AT_A_TIME: u64 = 1024 * 1024;
/// … and takes at most so long.
const TIME_AT_A_TIME: Duration = Duration::from_millis(5);

const INSERT: &str = "INSERT INTO documents (number, stream, at_ms, arrived_ms, body) \
                      VALUES (?1, ?2, ?3, ?4, ?5)";
const UPDATE_STREAM: &str = "\
    UPDATE streams SET last_document = ?2, documents = documents + ?3, bytes = bytes + ?4, \
    first_ms = min(coalesce(first_ms, ?5), ?5), last_ms = max(coalesce(last_ms, ?6), ?6) WHERE \
    number = ?1";

/// Adds the first of the documents, which arrive `now`, and answers how many they were: at least
/// one, if there is one.
pub(super) fn add_some(
    connection: &Connection,
    reserve: &Reserve,
    key: &StreamKey,
    documents: &[StreamDocument],
    now: Timestamp,
) -> Result<usize, StoreError> {
    let since = Instant::now();
    let stored = existing(connection, key)?;
    reserve.spare()?;
    let (base, mut number) = stored.numbers();
    let (mut bytes, mut added) = (0, 0);
    let (mut first_ms, mut last_ms) = (i64::MAX, i64::MIN);
    let mut insert = connection.prepare_cached(INSERT)?;
    for document in documents {
        let size = document.body.len() as u64;
        let full = bytes + size > BYTES_AT_A_TIME || since.elapsed() > TIME_AT_A_TIME;
        if added > 0 && full {
            break;
        }
        let at_ms = document.at.as_ms();
        number += 1;
        let values = (number, stored.number, at_ms, now.as_ms(), &*document.body);
        insert.execute(values)?;
        first_ms = first_ms.min(at_ms);
        last_ms = last_ms.max(at_ms);
        bytes += size;
        added += 1;
    }
    if added > 0 {
        connection.prepare_cached(UPDATE_STREAM)?.execute(params![
            stored.number,
            number - base,
            added as i64,
            bytes.cast_signed(),
            first_ms,
            last_ms,
        ])?;
    }
    Ok(added)
}

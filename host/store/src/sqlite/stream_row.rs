//! A stream as a row, and the numbers of its documents.

use rusqlite::{Connection, Row};
use taskhost_model::ids::{StreamKey, StreamName};
use taskhost_model::time::Timestamp;

use super::row::damaged;
use crate::error::StoreError;
use crate::streams::{Stream, StreamSettings};

/// The columns of a stream in the order in which [`read`] wants them.
pub(super) const COLUMNS: &str = "number, name, created_ms, description, retention_days, \
                                  bytes_max, documents, bytes, first_ms, last_ms, last_document";

/// A stream as it is stored.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    /// Its row.
    pub number: i64,
    /// The number of the document that arrived last; 0 before the first.
    pub last_document: i64,
    /// The size of its documents.
    pub bytes: u64,
    /// What is known of it.
    pub stream: Stream,
}

/// A document's number has so many bits for its order of arrival within its stream.
const ARRIVAL_BITS: u32 = 40;

impl Stored {
    /// The numbers that documents of this stream may have: after the first, up to the second.
    pub(super) fn numbers(&self) -> (i64, i64) {
        let base = self.number << ARRIVAL_BITS;
        (base, base + self.last_document)
    }
}

/// The order of arrival of a document within its stream.
pub(super) fn arrival(number: i64) -> i64 {
    number & ((1 << ARRIVAL_BITS) - 1)
}

/// The stream of a key.
pub(super) fn by_key(
    connection: &Connection,
    key: &StreamKey,
) -> Result<Option<Stored>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM streams WHERE space = ?1 AND name = ?2");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query((key.space.as_str(), key.name.as_str()))?;
    rows.next()?.map(read).transpose()
}

/// The stream of a key, which has to be there.
pub(super) fn existing(connection: &Connection, key: &StreamKey) -> Result<Stored, StoreError> {
    by_key(connection, key)?.ok_or_else(|| StoreError::UnknownStream {
        name: key.name.to_string(),
    })
}

/// Reads a stream from a row.
pub(super) fn read(row: &Row<'_>) -> Result<Stored, StoreError> {
    let at = |index| row.get::<_, Option<i64>>(index);
    let count = |index| row.get::<_, i64>(index).map(i64::cast_unsigned);
    let name = row.get_ref(1)?.as_str().map_err(damaged)?;
    Ok(Stored {
        number: row.get(0)?,
        last_document: row.get(10)?,
        bytes: count(7)?,
        stream: Stream {
            name: StreamName::parse(name).map_err(damaged)?,
            created_at: Some(Timestamp::from_ms(row.get(2)?)),
            settings: StreamSettings {
                description: row.get(3)?,
                retention_days: row.get(4)?,
                max_bytes: count(5)?,
            },
            documents: count(6)?,
            bytes: Some(count(7)?),
            first_at: at(8)?.map(Timestamp::from_ms),
            last_at: at(9)?.map(Timestamp::from_ms),
        },
    })
}

//! Documents of a stream within a range of time that satisfy a condition, as statements.

use rusqlite::{CachedStatement, Connection};
use taskhost_model::query::Query;

use super::conditions::{self, Term};
use super::stream_row::Stored;
use crate::error::StoreError;

/// Which documents are meant.
#[derive(Debug)]
pub(super) struct Range {
    /// The stream's number.
    pub stream: i64,
    /// The numbers of its documents: after the first, up to the second.
    pub numbers: (i64, i64),
    /// First millisecond.
    pub from_ms: i64,
    /// First millisecond after.
    pub to_ms: i64,
    /// What is true of the documents.
    pub condition: Term,
    /// Every document of the stream is in the range of time.
    pub whole: bool,
    /// How many documents the stream has.
    pub documents: u64,
}

impl Range {
    pub(super) fn of(stored: &Stored, query: &Query) -> Self {
        let stream = &stored.stream;
        let whole = stream.first_at.is_none_or(|first| query.from <= first)
            && stream.last_at.is_none_or(|last| last < query.to);
        Self {
            stream: stored.number,
            numbers: stored.numbers(),
            from_ms: query.from.as_ms(),
            to_ms: query.to.as_ms(),
            condition: conditions::compile(query.condition.as_ref()),
            whole,
            documents: stream.documents,
        }
    }

    /// Every document of the range is meant.
    pub(super) fn unconditional(&self) -> bool {
        self.condition.sql == "1"
    }

    /// A statement over the documents that are meant, with all parameters bound. A whole stream
    /// is read as it lies in the file; a part of it, and what needs no body, by the index.
    pub(super) fn select<'c>(
        &self,
        connection: &'c Connection,
        columns: &str,
    ) -> Result<CachedStatement<'c>, StoreError> {
        let sql = self.sql(columns, self.whole && !self.unconditional());
        let mut statement = connection.prepare_cached(&sql)?;
        self.bind(&mut statement)?;
        Ok(statement)
    }

    /// The text of [`Self::select`].
    pub(super) fn sql(&self, columns: &str, as_it_lies: bool) -> String {
        let place = if as_it_lies {
            "documents WHERE number > :after AND number <= :up_to"
        } else {
            "documents INDEXED BY documents_by_time WHERE stream = :stream"
        };
        let condition = self.condition.sql;
        format!("SELECT {columns} FROM {place} AND at_ms >= :from AND at_ms < :to AND {condition}")
    }

    /// Binds those of our parameters that the statement has.
    pub(super) fn bind(&self, statement: &mut CachedStatement<'_>) -> Result<(), StoreError> {
        for (name, value) in [
            (":stream", self.stream),
            (":after", self.numbers.0),
            (":up_to", self.numbers.1),
            (":from", self.from_ms),
            (":to", self.to_ms),
        ] {
            if let Some(index) = statement.parameter_index(name)? {
                statement.raw_bind_parameter(index, value)?;
            }
        }
        self.condition.bind(statement)
    }
}

/// How many documents are meant.
pub(super) fn count(connection: &Connection, range: &Range) -> Result<u64, StoreError> {
    if range.whole && range.unconditional() {
        return Ok(range.documents);
    }
    let mut statement = range.select(connection, "count(*)")?;
    let mut rows = statement.raw_query();
    let count: i64 = match rows.next()? {
        Some(row) => row.get(0)?,
        None => 0,
    };
    Ok(count.cast_unsigned())
}

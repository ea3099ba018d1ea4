//! The audit log in SQLite, in the file of tasks: entries are written in the transaction of
//! whatever is written next (`super::writer`).
//!
//! Each shelf lies in one range of the key, in the order of time: adding is a write at its end.

use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Rows, params};
use taskhost_model::audit::{Entry, Shelf};
use taskhost_model::time::Timestamp;

use super::Sqlite;
use super::row::damaged;
use super::schema;
use super::writer::Beside;
use crate::audit::{AuditPage, AuditRequest, AuditStore, Noted, Paging, Taken};
use crate::crash::Step;
use crate::error::StoreError;

const INSERT: &str = "INSERT INTO audit (shelf, id, at_ms, body) VALUES (?1, ?2, ?3, ?4)";
const UPDATE: &str = "UPDATE audit SET body = ?3 WHERE shelf = ?1 AND id = ?2";
const COUNT_ON: &str = "UPDATE audit_counts SET entries = entries + ?2 WHERE shelf = ?1";
const COUNT: &str = "SELECT entries FROM audit_counts WHERE shelf = ?1";
const SELECT: &str = "SELECT body FROM audit WHERE shelf = ?1 AND id < ?2 ORDER BY id DESC";
const OLDEST: &str = "SELECT at_ms FROM audit WHERE shelf = ?1 ORDER BY id LIMIT 1";
/// The last of the oldest, as far as they are to go: all of them where the second part is negative.
const LAST_OF_OLDEST: &str = "SELECT max(id) FROM \
    (SELECT id, at_ms FROM audit WHERE shelf = ?1 ORDER BY id LIMIT ?2)";
const LAST_OF_OLD: &str = "SELECT max(id) FROM \
    (SELECT id, at_ms FROM audit WHERE shelf = ?1 ORDER BY id LIMIT ?2) WHERE at_ms < ?3";
const DELETE: &str = "DELETE FROM audit WHERE shelf = ?1 AND id <= ?2";

/// So many go in one transaction.
const TRIMMED_AT_A_TIME: i64 = 1_000;

/// What was noted, on its way into transactions.
#[derive(Debug)]
pub(super) struct Notes {
    noted: Arc<Noted>,
    taken: Option<Taken>,
}

impl Notes {
    pub(super) fn of(noted: &Arc<Noted>) -> Self {
        Self {
            noted: Arc::clone(noted),
            taken: None,
        }
    }
}

impl Beside for Notes {
    fn write(&mut self, connection: &Connection) -> Result<(), StoreError> {
        let taken = self.noted.take();
        let written = write(connection, &taken);
        self.taken = Some(taken);
        written
    }

    fn ended(&mut self, is_written: bool) {
        match (self.taken.take(), is_written) {
            (Some(taken), true) => self.noted.written(&taken),
            (Some(taken), false) => self.noted.give_back(taken),
            (None, _) => {}
        }
    }
}

fn write(connection: &Connection, taken: &Taken) -> Result<(), StoreError> {
    let mut added = [0_i64; Shelf::ALL.len()];
    for entry in &taken.new {
        let shelf = number(entry.shelf());
        let values = params![shelf, entry.id.as_bytes(), entry.at.as_ms(), body(entry)?];
        connection.prepare_cached(INSERT)?.execute(values)?;
        added[entry.shelf() as usize] += 1;
    }
    for entry in &taken.known {
        let values = params![number(entry.shelf()), entry.id.as_bytes(), body(entry)?];
        connection.prepare_cached(UPDATE)?.execute(values)?;
    }
    for shelf in Shelf::ALL {
        let count = added[shelf as usize];
        if count > 0 {
            connection
                .prepare_cached(COUNT_ON)?
                .execute((number(shelf), count))?;
        }
    }
    Ok(())
}

#[async_trait]
impl AuditStore for Sqlite {
    fn note(&self, entry: Entry) {
        self.noted.note(entry);
    }

    async fn flush(&self) -> Result<(), StoreError> {
        if self.noted.is_empty() {
            return Ok(());
        }
        // What is noted is in the transaction of any change, also of one that says nothing.
        let change = |connection: &Connection| {
            connection.prepare_cached(schema::PROBE)?.execute([])?;
            Ok(())
        };
        self.tasks.writer.write(Step::Other, change).await
    }

    async fn list(&self, request: &AuditRequest) -> Result<AuditPage, StoreError> {
        self.flush().await?;
        let request = request.clone();
        let read = move |connection: &Connection| {
            let after = request.cursor.map_or([u8::MAX; 16], |id| *id.as_bytes());
            let mut statements = [
                connection.prepare_cached(SELECT)?,
                connection.prepare_cached(SELECT)?,
            ];
            let [rules, work] = &mut statements;
            let mut shelves = [
                Shelved::of(rules.query((number(Shelf::Rules), after))?)?,
                Shelved::of(work.query((number(Shelf::Work), after))?)?,
            ];
            let mut paging = Paging::new(&request);
            loop {
                let id = |shelf: &Shelved<'_>| shelf.next.as_ref().map(|entry| entry.id);
                let newest = usize::from(id(&shelves[0]) < id(&shelves[1]));
                let is_taken = match shelves[newest].take()? {
                    Some(entry) => paging.take(entry),
                    None => false,
                };
                if !is_taken {
                    return Ok(paging.finish());
                }
            }
        };
        self.tasks.readers.read(read).await
    }

    async fn trim(&self, before: Timestamp, entries_max: u64) -> Result<u64, StoreError> {
        let (mut gone, before) = (0, before.as_ms());
        let entries_max = i64::try_from(entries_max).unwrap_or(i64::MAX);
        for shelf in Shelf::ALL.map(number) {
            loop {
                let look = move |connection: &Connection| {
                    Ok(surplus(connection, shelf, before, entries_max)?.is_some())
                };
                if !self.tasks.readers.read(look).await? {
                    break;
                }
                let work = move |connection: &Connection| {
                    let Some(last) = surplus(connection, shelf, before, entries_max)? else {
                        return Ok(0);
                    };
                    let gone = connection.prepare_cached(DELETE)?.execute((shelf, last))?;
                    let gone = i64::try_from(gone).unwrap_or(i64::MAX);
                    connection
                        .prepare_cached(COUNT_ON)?
                        .execute((shelf, -gone))?;
                    Ok(gone.unsigned_abs())
                };
                let some = self.tasks.writer.write(Step::Other, work).await?;
                if some == 0 {
                    break;
                }
                gone += some;
            }
        }
        Ok(gone)
    }
}

/// The last of some of the oldest entries that are to go.
fn surplus(
    connection: &Connection,
    shelf: i64,
    before: i64,
    entries_max: i64,
) -> Result<Option<[u8; 16]>, StoreError> {
    let count: i64 = connection
        .prepare_cached(COUNT)?
        .query_row([shelf], |row| row.get(0))?;
    if count > entries_max {
        let some = (count - entries_max).min(TRIMMED_AT_A_TIME);
        let mut statement = connection.prepare_cached(LAST_OF_OLDEST)?;
        return Ok(statement.query_row((shelf, some), |row| row.get(0))?);
    }
    let oldest: Option<i64> = connection
        .prepare_cached(OLDEST)?
        .query_row([shelf], |row| row.get(0))
        .optional()?;
    if oldest.is_none_or(|at| at >= before) {
        return Ok(None);
    }
    let mut statement = connection.prepare_cached(LAST_OF_OLD)?;
    let values = (shelf, TRIMMED_AT_A_TIME, before);
    Ok(statement.query_row(values, |row| row.get(0))?)
}

/// Entries of one shelf, the next one at hand.
struct Shelved<'a> {
    rows: Rows<'a>,
    next: Option<Entry>,
}

impl<'a> Shelved<'a> {
    fn of(rows: Rows<'a>) -> Result<Self, StoreError> {
        let mut shelved = Self { rows, next: None };
        shelved.take()?;
        Ok(shelved)
    }

    fn take(&mut self) -> Result<Option<Entry>, StoreError> {
        let following = match self.rows.next()? {
            Some(row) => Some(read(
                row.get_ref(0)?.as_str().map_err(|error| damaged(&error))?,
            )?),
            None => None,
        };
        Ok(std::mem::replace(&mut self.next, following))
    }
}

fn read(text: &str) -> Result<Entry, StoreError> {
    serde_json::from_str(text).map_err(|error| damaged(&error))
}

fn body(entry: &Entry) -> Result<String, StoreError> {
    serde_json::to_string(entry).map_err(|error| damaged(&error))
}

fn number(shelf: Shelf) -> i64 {
    shelf as i64
}

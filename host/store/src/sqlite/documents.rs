//! Collections in SQLite. They share the tasks' file, so that a run's fence is checked in the
//! transaction that writes. What waits there is in nobody's way: a call is written in pieces,
//! each of them bulk work of its own (`super::writer`).

use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row};
use taskhost_model::condition::Condition;
use taskhost_model::ids::{DocumentId, Label, StreamKey, TypeId};

use super::read_task::by_key;
use super::row::damaged;
use super::writer::BULK_BYTES_MAX;
use super::{Sqlite, collection};
use crate::crash::Step;
use crate::documents::{
    BODY_BYTES_MAX, Change, ChangeRefused, Document, DocumentPage, DocumentStore, Scope, Writer,
    may_write,
};
use crate::error::StoreError;
use crate::look::Look;

const SELECT_ONE: &str = "SELECT id, version, body FROM documents \
                          WHERE space = ?1 AND stream = ?2 AND label = ?3 AND id = ?4";
const SELECT_STORED: &str = "SELECT number, version, octet_length(body) FROM documents \
                             WHERE space = ?1 AND stream = ?2 AND label = ?3 AND id = ?4";
const INSERT: &str = "INSERT INTO documents (space, stream, label, id, version, body) \
                      VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
const UPDATE: &str = "UPDATE documents SET version = ?2, body = ?3 WHERE number = ?1";
const DELETE: &str = "DELETE FROM documents WHERE number = ?1";
const NEXT_VERSION: &str = "UPDATE sequences SET value = value + 1 \
                            WHERE name = 'document_version' RETURNING value";
/// Documents of a stream's collections, with what it costs to delete them.
pub(super) const SELECT_OF_STREAM: &str =
    "SELECT number, octet_length(body) FROM documents WHERE space = ?1 AND stream = ?2";

/// A change costs the writer as much as so many bytes at least: a page.
const CHANGE_BYTES_MIN: u64 = 4_096;

/// What became of a change.
type Answer = Result<String, ChangeRefused>;

/// What is stored under an id.
#[derive(Clone, Copy)]
struct Stored {
    number: i64,
    version: i64,
    bytes: u64,
}

#[async_trait]
impl DocumentStore for Sqlite {
    async fn take_label(&self, label: &Label, owner: &TypeId) -> Result<TypeId, StoreError> {
        let (label, owner) = (label.clone(), owner.clone());
        let work = move |connection: &Connection| {
            if let Some(owner) = owner_of(connection, &label)? {
                return Ok(owner);
            }
            let sql = "INSERT INTO labels (label, owner) VALUES (?1, ?2)";
            connection
                .prepare_cached(sql)?
                .execute((label.as_str(), owner.as_str()))?;
            Ok(owner.clone())
        };
        self.tasks.writer.write(Step::Other, work).await
    }

    async fn label_owner(&self, label: &Label) -> Result<Option<TypeId>, StoreError> {
        let label = label.clone();
        let read = move |connection: &Connection| owner_of(connection, &label);
        self.tasks.readers.read(read).await
    }

    async fn get(&self, scope: &Scope, id: &DocumentId) -> Result<Option<Document>, StoreError> {
        let (scope, id) = (scope.clone(), id.clone());
        let read = move |connection: &Connection| {
            let (space, stream, label) = columns(&scope);
            let mut statement = connection.prepare_cached(SELECT_ONE)?;
            let mut rows = statement.query((space, stream, label, id.as_str()))?;
            rows.next()?.map(document).transpose()
        };
        self.tasks.readers.read(read).await
    }

    async fn query(
        &self,
        scope: &Scope,
        condition: Option<&Condition>,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<DocumentPage, StoreError> {
        let after = cursor.map(DocumentId::parse).transpose();
        let after = after.map_err(|_| StoreError::InvalidCursor)?;
        let (scope, look) = (scope.clone(), Look::new(condition, limit));
        let read = move |connection: &Connection| collection::page(connection, &scope, after, look);
        self.tasks.readers.read_long(read).await
    }

    async fn apply(
        &self,
        scope: &Scope,
        writer: &Writer,
        changes: Vec<Change>,
    ) -> Result<Vec<Answer>, StoreError> {
        let (count, changes) = (changes.len(), Arc::new(changes));
        let mut answers = Vec::with_capacity(count);
        loop {
            let done = answers.len();
            let bytes = changes[done..].iter().map(|change| cost(change, None));
            let bytes = bytes.sum();
            let (scope, writer, changes) = (scope.clone(), writer.clone(), Arc::clone(&changes));
            let reserve = self.reserve.clone();
            let work = move |connection: &Connection| {
                if let Writer::Run { task, fence } = &writer {
                    let stored = by_key(connection, task)?.map(|stored| stored.task);
                    if !may_write(stored.as_ref(), *fence) {
                        return Err(StoreError::Fenced);
                    }
                }
                let changes = &changes[done..];
                // Whoever only deletes makes room.
                if !changes.iter().all(is_deletion) {
                    reserve.spare()?;
                }
                apply_some(connection, &scope, changes)
            };
            let bulk = self.tasks.writer.write_bulk(Step::Documents, bytes, work);
            let some = bulk.await.map_err(|error| halfway(error, done, count))?;
            answers.extend(some);
            if answers.len() >= count {
                return Ok(answers);
            }
        }
    }

    async fn delete_stream(&self, key: &StreamKey) -> Result<u64, StoreError> {
        let (mut gone, bytes) = (0, u64::from(BULK_BYTES_MAX));
        loop {
            let key = key.clone();
            let work = move |connection: &Connection| delete_some(connection, &key);
            let bulk = self.tasks.writer.write_bulk(Step::Other, bytes, work);
            match bulk.await? {
                0 => return Ok(gone),
                some => gone += some,
            }
        }
    }
}

/// Frees the labels of a type that has no version any more.
pub(super) fn free_labels(connection: &Connection, owner: &str) -> Result<(), StoreError> {
    let sql = "DELETE FROM labels WHERE owner = ?1";
    connection.prepare_cached(sql)?.execute([owner])?;
    Ok(())
}

fn owner_of(connection: &Connection, label: &Label) -> Result<Option<TypeId>, StoreError> {
    let sql = "SELECT owner FROM labels WHERE label = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let owner: Option<String> = statement
        .query_row([label.as_str()], |row| row.get(0))
        .optional()?;
    owner
        .map(|owner| TypeId::parse(&owner).map_err(damaged))
        .transpose()
}

/// The space's own collections have no stream's name, which is never empty.
pub(super) fn columns(scope: &Scope) -> (&str, &str, &str) {
    let stream = scope.stream.as_ref().map_or("", |stream| stream.as_str());
    (scope.space.as_str(), stream, scope.label.as_str())
}

pub(super) fn document(row: &Row<'_>) -> Result<Document, StoreError> {
    let id = row.get_ref(0)?.as_str().map_err(damaged)?;
    Ok(Document {
        id: DocumentId::parse(id).map_err(damaged)?,
        version: row.get::<_, i64>(1)?.to_string(),
        body: row.get(2)?,
    })
}

/// Applies the first of the changes, as many as belong into one transaction: at least one, if
/// there is one.
fn apply_some(
    connection: &Connection,
    scope: &Scope,
    changes: &[Change],
) -> Result<Vec<Answer>, StoreError> {
    let (mut answers, mut bytes) = (Vec::new(), 0);
    for change in changes {
        let found = stored(connection, scope, id_of(change))?;
        bytes += cost(change, found);
        if !answers.is_empty() && bytes > u64::from(BULK_BYTES_MAX) {
            break;
        }
        answers.push(apply_one(connection, scope, change, found)?);
    }
    Ok(answers)
}

/// What is written and what is freed.
fn cost(change: &Change, found: Option<Stored>) -> u64 {
    let written = match change {
        Change::Create { body, .. } | Change::Put { body, .. } => body.len() as u64,
        Change::Delete { .. } => 0,
    };
    let freed = found.map_or(0, |found| found.bytes);
    (written + freed).max(CHANGE_BYTES_MIN)
}

/// The error of a call whose first changes are stored already.
fn halfway(error: StoreError, done: usize, count: usize) -> StoreError {
    match error {
        StoreError::Fenced => StoreError::Fenced,
        error if done == 0 => error,
        error => StoreError::Unavailable {
            reason: format!("the first {done} of {count} changes are made, and then: {error}"),
        },
    }
}

/// Deletes some documents of a stream, and says how many; none are left when it says 0.
fn delete_some(connection: &Connection, key: &StreamKey) -> Result<u64, StoreError> {
    let (mut numbers, mut bytes) = (Vec::new(), 0);
    let mut statement = connection.prepare_cached(SELECT_OF_STREAM)?;
    let mut rows = statement.query((key.space.as_str(), key.name.as_str()))?;
    while let Some(row) = rows.next()?
        && bytes < BULK_BYTES_MAX.into()
    {
        numbers.push(row.get::<_, i64>(0)?);
        bytes += row.get::<_, i64>(1)?.cast_unsigned().max(CHANGE_BYTES_MIN);
    }
    drop(rows);
    let mut delete = connection.prepare_cached(DELETE)?;
    for number in &numbers {
        delete.execute([number])?;
    }
    Ok(numbers.len() as u64)
}

fn is_deletion(change: &Change) -> bool {
    matches!(change, Change::Delete { .. })
}

fn id_of(change: &Change) -> &DocumentId {
    match change {
        Change::Create { id, .. } | Change::Put { id, .. } | Change::Delete { id, .. } => id,
    }
}

fn stored(
    connection: &Connection,
    scope: &Scope,
    id: &DocumentId,
) -> Result<Option<Stored>, StoreError> {
    let (space, stream, label) = columns(scope);
    let mut statement = connection.prepare_cached(SELECT_STORED)?;
    let found = statement.query_row((space, stream, label, id.as_str()), |row| {
        Ok(Stored {
            number: row.get(0)?,
            version: row.get(1)?,
            bytes: row.get::<_, i64>(2)?.cast_unsigned(),
        })
    });
    Ok(found.optional()?)
}

fn apply_one(
    connection: &Connection,
    scope: &Scope,
    change: &Change,
    found: Option<Stored>,
) -> Result<Answer, StoreError> {
    let body = match (change, found) {
        (Change::Create { .. }, Some(_)) => return Ok(Err(ChangeRefused::Conflict)),
        (Change::Create { body, .. }, None) => body,
        (
            Change::Put {
                body, if_version, ..
            },
            _,
        ) => {
            if let Err(refused) = expect_version(found, if_version.as_deref()) {
                return Ok(Err(refused));
            }
            body
        }
        (Change::Delete { if_version, .. }, _) => {
            if let Err(refused) = expect_version(found, if_version.as_deref()) {
                return Ok(Err(refused));
            }
            let Some(found) = found else {
                return Ok(Err(ChangeRefused::NotFound));
            };
            let mut delete = connection.prepare_cached(DELETE)?;
            delete.execute([found.number])?;
            return Ok(Ok(String::new()));
        }
    };
    let bytes = body.len() as u64;
    if bytes > BODY_BYTES_MAX {
        return Ok(Err(ChangeRefused::TooLarge { bytes }));
    }
    let mut next_version = connection.prepare_cached(NEXT_VERSION)?;
    let version: i64 = next_version.query_row([], |row| row.get(0))?;
    if let Some(found) = found {
        let mut update = connection.prepare_cached(UPDATE)?;
        update.execute((found.number, version, &**body))?;
    } else {
        let (space, stream, label) = columns(scope);
        let id = id_of(change).as_str();
        let values = (space, stream, label, id, version, &**body);
        connection.prepare_cached(INSERT)?.execute(values)?;
    }
    Ok(Ok(version.to_string()))
}

fn expect_version(found: Option<Stored>, wanted: Option<&str>) -> Result<(), ChangeRefused> {
    match (found, wanted) {
        (_, None) => Ok(()),
        (None, Some(_)) => Err(ChangeRefused::NotFound),
        (Some(found), Some(wanted)) if found.version.to_string() == wanted => Ok(()),
        (Some(_), Some(_)) => Err(ChangeRefused::Conflict),
    }
}

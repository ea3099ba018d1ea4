//! Collections in SQLite. They share the tasks' file, so that a run's fence is checked in the
//! transaction that writes.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, named_params};
use taskhost_model::condition::Condition;
use taskhost_model::ids::{DocumentId, Label, StreamKey, TypeId};

use super::Sqlite;
use super::conditions::{self, Term};
use super::read_task::by_key;
use super::row::damaged;
use crate::crash::Step;
use crate::documents::{
    BODY_BYTES_MAX, Change, ChangeRefused, Document, DocumentPage, DocumentStore, PAGE_BYTES_MAX,
    Scope, Writer, may_write,
};
use crate::error::StoreError;

/// A page of a collection; `condition` is a term of `super::conditions`.
pub(super) fn select_page(condition: &Term) -> String {
    format!(
        "SELECT id, version, body FROM documents WHERE space = :space AND stream = :stream \
         AND label = :label AND id > :after AND {} ORDER BY id",
        condition.sql
    )
}
const SELECT_ONE: &str = "SELECT id, version, body FROM documents \
                          WHERE space = ?1 AND stream = ?2 AND label = ?3 AND id = ?4";
const SELECT_VERSION: &str = "SELECT number, version FROM documents \
                              WHERE space = ?1 AND stream = ?2 AND label = ?3 AND id = ?4";
const INSERT: &str = "INSERT INTO documents (space, stream, label, id, version, body) \
                      VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
const UPDATE: &str = "UPDATE documents SET version = ?2, body = ?3 WHERE number = ?1";
const DELETE: &str = "DELETE FROM documents WHERE number = ?1";
const NEXT_VERSION: &str = "UPDATE sequences SET value = value + 1 \
                            WHERE name = 'document_version' RETURNING value";
/// Some documents of a stream's collections.
pub(super) const DELETE_SOME_OF_STREAM: &str = "DELETE FROM documents WHERE number IN \
     (SELECT number FROM documents WHERE space = ?1 AND stream = ?2 LIMIT ?3)";

/// So many documents go in one transaction.
const DELETED_AT_A_TIME: usize = 256;

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
        let (scope, condition) = (scope.clone(), conditions::compile(condition));
        let read = move |connection: &Connection| {
            let after = after.as_ref().map_or("", DocumentId::as_str);
            page(connection, &scope, &condition, after, limit.clamp(1, 1_000))
        };
        self.tasks.readers.read(read).await
    }

    async fn apply(
        &self,
        scope: &Scope,
        writer: &Writer,
        changes: Vec<Change>,
    ) -> Result<Vec<Result<String, ChangeRefused>>, StoreError> {
        let (scope, writer) = (scope.clone(), writer.clone());
        let work = move |connection: &Connection| {
            if let Writer::Run { task, fence } = &writer {
                let stored = by_key(connection, task)?.map(|stored| stored.task);
                if !may_write(stored.as_ref(), *fence) {
                    return Err(StoreError::Fenced);
                }
            }
            let each = changes.iter();
            each.map(|change| apply_one(connection, &scope, change))
                .collect()
        };
        self.tasks.writer.write(Step::Documents, work).await
    }

    async fn delete_stream(&self, key: &StreamKey) -> Result<u64, StoreError> {
        let mut gone = 0;
        loop {
            let key = key.clone();
            let work = move |connection: &Connection| {
                let mut statement = connection.prepare_cached(DELETE_SOME_OF_STREAM)?;
                let limit = DELETED_AT_A_TIME as i64;
                Ok(statement.execute((key.space.as_str(), key.name.as_str(), limit))?)
            };
            let some = self.tasks.writer.write(Step::Other, work).await?;
            gone += some as u64;
            if some < DELETED_AT_A_TIME {
                return Ok(gone);
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
fn columns(scope: &Scope) -> (&str, &str, &str) {
    let stream = scope.stream.as_ref().map_or("", |stream| stream.as_str());
    (scope.space.as_str(), stream, scope.label.as_str())
}

fn document(row: &Row<'_>) -> Result<Document, StoreError> {
    let id = row.get_ref(0)?.as_str().map_err(damaged)?;
    Ok(Document {
        id: DocumentId::parse(id).map_err(damaged)?,
        version: row.get::<_, i64>(1)?.to_string(),
        body: row.get(2)?,
    })
}

fn page(
    connection: &Connection,
    scope: &Scope,
    condition: &Term,
    after: &str,
    limit: usize,
) -> Result<DocumentPage, StoreError> {
    let (space, stream, label) = columns(scope);
    let mut statement = connection.prepare_cached(&select_page(condition))?;
    let fixed = named_params! {
        ":space": space, ":stream": stream, ":label": label, ":after": after,
    };
    for (name, value) in fixed {
        if let Some(index) = statement.parameter_index(name)? {
            statement.raw_bind_parameter(index, value)?;
        }
    }
    condition.bind(&mut statement)?;
    let mut rows = statement.raw_query();
    let mut page = DocumentPage::default();
    let mut bytes = 0;
    while let Some(row) = rows.next()? {
        bytes += row.get_ref(2)?.as_bytes().map_err(damaged)?.len() as u64;
        if page.documents.len() >= limit || bytes > PAGE_BYTES_MAX {
            page.next = page.documents.last().map(|last| last.id.to_string());
            break;
        }
        page.documents.push(document(row)?);
    }
    Ok(page)
}

fn apply_one(
    connection: &Connection,
    scope: &Scope,
    change: &Change,
) -> Result<Result<String, ChangeRefused>, StoreError> {
    let (space, stream, label) = columns(scope);
    let stored = |id: &DocumentId| -> Result<Option<(i64, i64)>, StoreError> {
        let mut statement = connection.prepare_cached(SELECT_VERSION)?;
        let key = (space, stream, label, id.as_str());
        Ok(statement
            .query_row(key, |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?)
    };
    let (id, body, found) = match change {
        Change::Create { id, body } => match stored(id)? {
            Some(_) => return Ok(Err(ChangeRefused::Conflict)),
            None => (id, body, None),
        },
        Change::Put {
            id,
            body,
            if_version,
        } => {
            let found = stored(id)?;
            if let Err(refused) = expect_version(found, if_version.as_deref()) {
                return Ok(Err(refused));
            }
            (id, body, found)
        }
        Change::Delete { id, if_version } => {
            let found = stored(id)?;
            if let Err(refused) = expect_version(found, if_version.as_deref()) {
                return Ok(Err(refused));
            }
            let Some((number, _)) = found else {
                return Ok(Err(ChangeRefused::NotFound));
            };
            connection.prepare_cached(DELETE)?.execute([number])?;
            return Ok(Ok(String::new()));
        }
    };
    let bytes = body.len() as u64;
    if bytes > BODY_BYTES_MAX {
        return Ok(Err(ChangeRefused::TooLarge { bytes }));
    }
    let mut next_version = connection.prepare_cached(NEXT_VERSION)?;
    let version: i64 = next_version.query_row([], |row| row.get(0))?;
    match found {
        Some((number, _)) => {
            connection
                .prepare_cached(UPDATE)?
                .execute((number, version, &**body))?;
        }
        None => {
            let values = (space, stream, label, id.as_str(), version, &**body);
            connection.prepare_cached(INSERT)?.execute(values)?;
        }
    }
    Ok(Ok(version.to_string()))
}

fn expect_version(found: Option<(i64, i64)>, wanted: Option<&str>) -> Result<(), ChangeRefused> {
    match (found, wanted) {
        (_, None) => Ok(()),
        (None, Some(_)) => Err(ChangeRefused::NotFound),
        (Some((_, version)), Some(wanted)) if version.to_string() == wanted => Ok(()),
        (Some(_), Some(_)) => Err(ChangeRefused::Conflict),
    }
}

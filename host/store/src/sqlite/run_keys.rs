//! Keys of runs in SQLite, in the file of tasks.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension};
use serde::{Deserialize, Serialize};
use taskhost_model::ids::{Incarnation, RunKeyId};
use taskhost_model::time::Timestamp;

use super::Sqlite;
use super::row::damaged;
use crate::crash::Step;
use crate::error::StoreError;
use crate::run_keys::{RunKey, RunKeyStore};

const INSERT: &str = "INSERT OR IGNORE INTO run_keys (id, sealed, body) VALUES (?1, ?2, ?3)";
const RESEAL: &str = "UPDATE run_keys SET sealed = ?2 WHERE id = ?1";
const SELECT: &str = "SELECT sealed, body FROM run_keys WHERE id = ?1";
const LIST: &str = "SELECT sealed, body FROM run_keys ORDER BY id LIMIT ?1";
const DELETE: &str = "DELETE FROM run_keys WHERE id = ?1";
pub(super) const IS_HELD: &str = "SELECT EXISTS (SELECT 1 FROM run_key_holders WHERE key = ?1) \
     OR EXISTS (SELECT 1 FROM schedules WHERE key = ?1)";
const CHECK: &str = "SELECT value FROM identity WHERE name = 'check'";
const SET_CHECK: &str = "INSERT OR IGNORE INTO identity (name, value) VALUES ('check', ?1)";
const REPLACE_CHECK: &str = "UPDATE identity SET value = ?2 WHERE name = 'check' AND value = ?1";

/// A key but for what is sealed.
#[derive(Serialize, Deserialize)]
struct Body {
    id: RunKeyId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    granted: Option<String>,
    person: String,
    shared_by: Incarnation,
    shared_until: Timestamp,
    expires_at: Timestamp,
}

#[async_trait]
impl RunKeyStore for Sqlite {
    async fn put(&self, key: &RunKey) -> Result<(), StoreError> {
        let (id, sealed) = (key.id.to_string(), key.sealed.clone());
        let body = Body {
            id: key.id,
            granted: key.granted.clone(),
            person: key.person.clone(),
            shared_by: key.shared_by,
            shared_until: key.shared_until,
            expires_at: key.expires_at,
        };
        let body = serde_json::to_string(&body).map_err(damaged)?;
        let work = move |connection: &Connection| {
            let mut statement = connection.prepare_cached(INSERT)?;
            statement.execute((&id, &sealed, &body))?;
            Ok(())
        };
        self.tasks.writer.write(Step::Other, work).await
    }

    async fn reseal(&self, id: RunKeyId, sealed: Vec<u8>) -> Result<(), StoreError> {
        let work = move |connection: &Connection| {
            let mut statement = connection.prepare_cached(RESEAL)?;
            statement.execute((id.to_string(), &sealed))?;
            Ok(())
        };
        self.tasks.writer.write(Step::Other, work).await
    }

    async fn get(&self, id: RunKeyId) -> Result<Option<RunKey>, StoreError> {
        let read = move |connection: &Connection| {
            let mut statement = connection.prepare_cached(SELECT)?;
            let mut rows = statement.query([id.to_string()])?;
            rows.next()?.map(key).transpose()
        };
        self.tasks.readers.find(read).await
    }

    async fn list(&self, limit: usize) -> Result<Vec<RunKey>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let read = move |connection: &Connection| {
            let mut statement = connection.prepare_cached(LIST)?;
            let mut rows = statement.query([limit])?;
            let mut keys = Vec::new();
            while let Some(row) = rows.next()? {
                keys.push(key(row)?);
            }
            Ok(keys)
        };
        self.tasks.readers.read(read).await
    }

    async fn held(&self, ids: &[RunKeyId]) -> Result<Vec<RunKeyId>, StoreError> {
        let ids = ids.to_vec();
        let read = move |connection: &Connection| {
            let mut statement = connection.prepare_cached(IS_HELD)?;
            let mut held = Vec::new();
            for id in ids {
                if statement.query_row([id.to_string()], |row| row.get(0))? {
                    held.push(id);
                }
            }
            Ok(held)
        };
        self.tasks.readers.read(read).await
    }

    async fn remove(&self, ids: &[RunKeyId]) -> Result<(), StoreError> {
        let ids = ids.to_vec();
        let work = move |connection: &Connection| {
            let mut statement = connection.prepare_cached(DELETE)?;
            for id in &ids {
                statement.execute([id.to_string()])?;
            }
            Ok(())
        };
        self.tasks.writer.write(Step::Other, work).await
    }

    async fn check(&self, ours: &[u8]) -> Result<Vec<u8>, StoreError> {
        let ours = ours.to_vec();
        let work = move |connection: &Connection| {
            connection.prepare_cached(SET_CHECK)?.execute([&ours])?;
            let mut statement = connection.prepare_cached(CHECK)?;
            Ok(statement.query_row([], |row| row.get(0))?)
        };
        self.tasks.writer.write(Step::Other, work).await
    }

    async fn replace_check(&self, old: &[u8], new: &[u8]) -> Result<bool, StoreError> {
        let (old, new) = (old.to_vec(), new.to_vec());
        let work = move |connection: &Connection| {
            connection
                .prepare_cached(REPLACE_CHECK)?
                .execute((&old, &new))?;
            let mut statement = connection.prepare_cached(CHECK)?;
            let stored: Option<Vec<u8>> = statement.query_row([], |row| row.get(0)).optional()?;
            Ok(stored.as_ref() == Some(&new))
        };
        self.tasks.writer.write(Step::Other, work).await
    }
}

fn key(row: &rusqlite::Row<'_>) -> Result<RunKey, StoreError> {
    let body: String = row.get(1)?;
    let body: Body = serde_json::from_str(&body).map_err(damaged)?;
    Ok(RunKey {
        id: body.id,
        granted: body.granted,
        person: body.person,
        shared_by: body.shared_by,
        shared_until: body.shared_until,
        expires_at: body.expires_at,
        sealed: row.get(0)?,
    })
}

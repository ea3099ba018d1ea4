//! Components in SQLite.

use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::{Connection, Row, params};
use serde::Serialize;
use taskhost_model::ids::{Digest, TypeId};
use taskhost_model::time::Timestamp;

use super::Sqlite;
use super::documents::free_labels;
use super::row::damaged;
use crate::components::{
    Approval, COMPONENT_BYTES_MAX, ComponentStore, Paused, Version, VersionState,
};
use crate::crash::Step;
use crate::error::StoreError;
use crate::limits::within;

const SELECT: &str = "SELECT digest, type, state, bytes, uploaded_ms, activated_ms, descriptor, \
                      approval, signed_by FROM components";
const INSERT: &str = "INSERT INTO components (digest, type, state, bytes, uploaded_ms, \
                      activated_ms, descriptor, approval, signed_by) \
                      VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
/// The active version of a type makes room for another one.
const MAKE_ROOM: &str = "UPDATE components SET state = 'draining' \
                         WHERE type = ?1 AND state = 'active' AND digest != ?2";
const ACTIVATE: &str = "UPDATE components SET state = 'active', activated_ms = ?2, \
                        approval = coalesce(?3, approval) WHERE digest = ?1";
/// What `unfinished` counts for it.
pub(super) const IS_PINNED: &str = "\
    SELECT EXISTS (SELECT 1 FROM tasks INDEXED BY tasks_pinned WHERE digest = ?1 \
    AND place IN (1, 2, 5)) OR EXISTS (SELECT 1 FROM tasks INDEXED BY tasks_held WHERE place = 3 \
    AND deleted_ms IS NULL AND status IN ('in_progress', 'being_canceled') AND digest = ?1)";
/// Whether a task of the type has not ended.
pub(super) const IS_AWAITED: &str = "\
    SELECT EXISTS (SELECT 1 FROM tasks INDEXED BY tasks_ready WHERE type = ?1 AND place = 1) \
    OR EXISTS (SELECT 1 FROM tasks INDEXED BY tasks_waiting WHERE place = 2 AND type = ?1) \
    OR EXISTS (SELECT 1 FROM tasks INDEXED BY tasks_held WHERE place = 3 \
    AND deleted_ms IS NULL AND status IN ('in_progress', 'being_canceled') AND type = ?1)";
const RETIRE: &str = "UPDATE components SET state = 'retired' \
                      WHERE digest = ?1 AND state = 'draining'";

#[async_trait]
impl ComponentStore for Sqlite {
    async fn put(&self, version: &Version, bytes: Arc<[u8]>) -> Result<bool, StoreError> {
        within("component", bytes.len(), COMPONENT_BYTES_MAX)?;
        let (version, reserve) = (version.clone(), self.reserve.clone());
        let size = bytes.len() as u64;
        let work = move |connection: &Connection| {
            let digest = version.digest.as_str();
            if find(connection, &version.digest)?.is_some() {
                return Ok(false);
            }
            // It stands in SQLite's log at first, and then in the file too.
            reserve.spare_for(2 * size)?;
            if version.state == VersionState::Active {
                let of_type = (version.type_id.as_str(), digest);
                connection.prepare_cached(MAKE_ROOM)?.execute(of_type)?;
            }
            connection.prepare_cached(INSERT)?.execute(params![
                digest,
                version.type_id.as_str(),
                state_name(version.state),
                version.bytes.cast_signed(),
                version.uploaded_at.as_ms(),
                version.activated_at.map(Timestamp::as_ms),
                version.descriptor,
                version.approval.as_ref().map(json),
                version.signed_by,
            ])?;
            let sql = "INSERT INTO component_bytes (digest, bytes) VALUES (?1, ?2)";
            connection.prepare_cached(sql)?.execute((digest, &*bytes))?;
            Ok(true)
        };
        // It is whole or not there, so it is one piece; but one at a time.
        let writer = &self.tasks.writer;
        writer.write_bulk(Step::ComponentPut, size, work).await
    }

    async fn get(&self, digest: &Digest) -> Result<Option<Version>, StoreError> {
        let digest = digest.clone();
        let read = move |connection: &Connection| find(connection, &digest);
        self.tasks.readers.read(read).await
    }

    async fn bytes(&self, digest: &Digest) -> Result<Option<Arc<[u8]>>, StoreError> {
        let digest = digest.clone();
        let read = move |connection: &Connection| {
            let sql = "SELECT bytes FROM component_bytes WHERE digest = ?1";
            let mut statement = connection.prepare_cached(sql)?;
            let mut rows = statement.query([digest.as_str()])?;
            let Some(row) = rows.next()? else {
                return Ok(None);
            };
            Ok(Some(Arc::from(row.get_ref(0)?.as_blob().map_err(damaged)?)))
        };
        self.tasks.readers.read(read).await
    }

    async fn list(&self) -> Result<Vec<Version>, StoreError> {
        let read = |connection: &Connection| {
            let sql = format!("{SELECT} ORDER BY type, uploaded_ms DESC, digest");
            let mut statement = connection.prepare_cached(&sql)?;
            let mut rows = statement.query([])?;
            let mut versions = Vec::new();
            while let Some(row) = rows.next()? {
                versions.push(version(row)?);
            }
            Ok(versions)
        };
        self.tasks.readers.read(read).await
    }

    async fn activate(
        &self,
        digest: &Digest,
        at: Timestamp,
        approval: Option<&Approval>,
    ) -> Result<(), StoreError> {
        let (digest, approval) = (digest.clone(), approval.map(json));
        let work = move |connection: &Connection| {
            let Some(version) = find(connection, &digest)? else {
                return Ok(());
            };
            let of_type = (version.type_id.as_str(), digest.as_str());
            connection.prepare_cached(MAKE_ROOM)?.execute(of_type)?;
            connection.prepare_cached(ACTIVATE)?.execute((
                digest.as_str(),
                at.as_ms(),
                &approval,
            ))?;
            Ok(())
        };
        self.tasks.writer.write(Step::ComponentActivate, work).await
    }

    async fn sign(&self, digest: &Digest, signed_by: &str) -> Result<(), StoreError> {
        let (digest, signed_by) = (digest.clone(), signed_by.to_owned());
        let work = move |connection: &Connection| {
            let sql = "UPDATE components SET signed_by = ?2 WHERE digest = ?1";
            let of = (digest.as_str(), signed_by.as_str());
            connection.prepare_cached(sql)?.execute(of)?;
            Ok(())
        };
        self.tasks.writer.write(Step::Other, work).await
    }

    async fn retire(&self, digest: &Digest) -> Result<(), StoreError> {
        let digest = digest.clone();
        let work = move |connection: &Connection| {
            connection
                .prepare_cached(RETIRE)?
                .execute([digest.as_str()])?;
            Ok(())
        };
        self.tasks.writer.write(Step::Other, work).await
    }

    async fn delete(&self, digest: &Digest) -> Result<bool, StoreError> {
        let digest = digest.clone();
        let work = move |connection: &Connection| delete(connection, &digest);
        self.tasks.writer.write(Step::Other, work).await
    }

    async fn set_paused(
        &self,
        type_id: &TypeId,
        paused: Option<&Paused>,
    ) -> Result<(), StoreError> {
        let (type_id, body) = (type_id.clone(), paused.map(json));
        let work = move |connection: &Connection| {
            match &body {
                None => go_on(connection, type_id.as_str())?,
                Some(body) => {
                    let sql = "INSERT OR REPLACE INTO paused_types (type, body) VALUES (?1, ?2)";
                    let row = (type_id.as_str(), body);
                    connection.prepare_cached(sql)?.execute(row)?;
                }
            }
            Ok(())
        };
        self.tasks.writer.write(Step::Other, work).await
    }

    async fn paused(&self) -> Result<Vec<(TypeId, Paused)>, StoreError> {
        let read = |connection: &Connection| {
            let sql = "SELECT type, body FROM paused_types ORDER BY type";
            let mut statement = connection.prepare_cached(sql)?;
            let mut rows = statement.query([])?;
            let mut paused = Vec::new();
            while let Some(row) = rows.next()? {
                let text = |index| row.get_ref(index).and_then(|value| Ok(value.as_str()?));
                let type_id = TypeId::parse(text(0)?).map_err(damaged)?;
                paused.push((type_id, serde_json::from_str(text(1)?).map_err(damaged)?));
            }
            Ok(paused)
        };
        self.tasks.readers.read(read).await
    }
}

fn delete(connection: &Connection, digest: &Digest) -> Result<bool, StoreError> {
    let Some(gone) = find(connection, digest)? else {
        return Ok(false);
    };
    let is_needed = |sql: &str, by: &str| -> Result<bool, StoreError> {
        let mut is_needed = connection.prepare_cached(sql)?;
        Ok(is_needed.query_row([by], |row| row.get(0))?)
    };
    let is_active = gone.state == VersionState::Active;
    if is_needed(IS_PINNED, digest.as_str())?
        || (is_active && is_needed(IS_AWAITED, gone.type_id.as_str())?)
    {
        return Ok(false);
    }
    for sql in [
        "DELETE FROM components WHERE digest = ?1",
        "DELETE FROM component_bytes WHERE digest = ?1",
    ] {
        connection.prepare_cached(sql)?.execute([digest.as_str()])?;
    }
    let type_id = gone.type_id.as_str();
    let sql = "SELECT count(*) FROM components WHERE type = ?1";
    let left: i64 = connection
        .prepare_cached(sql)?
        .query_row([type_id], |row| row.get(0))?;
    if left == 0 {
        free_labels(connection, type_id)?;
        go_on(connection, type_id)?;
    }
    Ok(true)
}

/// The type is not paused any more.
fn go_on(connection: &Connection, type_id: &str) -> Result<(), StoreError> {
    let sql = "DELETE FROM paused_types WHERE type = ?1";
    connection.prepare_cached(sql)?.execute([type_id])?;
    Ok(())
}

/// Names, times and lists always are JSON.
fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

fn find(connection: &Connection, digest: &Digest) -> Result<Option<Version>, StoreError> {
    let mut statement = connection.prepare_cached(&format!("{SELECT} WHERE digest = ?1"))?;
    let mut rows = statement.query([digest.as_str()])?;
    rows.next()?.map(version).transpose()
}

fn version(row: &Row<'_>) -> Result<Version, StoreError> {
    let text = |index| row.get_ref(index).and_then(|value| Ok(value.as_str()?));
    Ok(Version {
        digest: Digest::parse(text(0)?).map_err(damaged)?,
        type_id: TypeId::parse(text(1)?).map_err(damaged)?,
        state: state_of(text(2)?)?,
        bytes: row.get::<_, i64>(3)?.cast_unsigned(),
        uploaded_at: Timestamp::from_ms(row.get(4)?),
        activated_at: row.get::<_, Option<i64>>(5)?.map(Timestamp::from_ms),
        descriptor: text(6)?.to_owned(),
        approval: match row.get_ref(7)?.as_str_or_null().map_err(damaged)? {
            Some(text) => Some(serde_json::from_str(text).map_err(damaged)?),
            None => None,
        },
        signed_by: row.get(8)?,
    })
}

fn state_name(state: VersionState) -> &'static str {
    match state {
        VersionState::PendingApproval => "pending_approval",
        VersionState::Active => "active",
        VersionState::Draining => "draining",
        VersionState::Retired => "retired",
    }
}

fn state_of(name: &str) -> Result<VersionState, StoreError> {
    match name {
        "pending_approval" => Ok(VersionState::PendingApproval),
        "active" => Ok(VersionState::Active),
        "draining" => Ok(VersionState::Draining),
        "retired" => Ok(VersionState::Retired),
        _ => Err(damaged(format!("a component's state is `{name}`"))),
    }
}

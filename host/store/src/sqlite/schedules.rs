//! Schedules in SQLite. They share the tasks' file: a host that has the one has the other.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Params, Row};
use taskhost_model::ids::{ScheduleId, ScheduleKey, Space};
use taskhost_model::schedule::Schedule;
use taskhost_model::time::Timestamp;

use super::Sqlite;
use super::row::damaged;
use crate::crash::Step;
use crate::error::StoreError;
use crate::schedules::{DuePlace, ScheduleStore};

/// A step of the tasks' file. `act_ms`: when somebody has to look at it; `key`: that of its runs.
pub(super) const SCHEDULES_SCHEMA: &str = "
    CREATE TABLE schedules (
        number INTEGER PRIMARY KEY,
        space TEXT NOT NULL,
        id TEXT NOT NULL,
        version INTEGER NOT NULL,
        act_ms INTEGER,
        key TEXT,
        body TEXT NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX schedules_by_id ON schedules (space, id);
    CREATE INDEX schedules_due ON schedules (act_ms, space, id) WHERE act_ms IS NOT NULL;
    CREATE INDEX schedules_by_run_key ON schedules (key) WHERE key IS NOT NULL;
";

pub(super) const BY_KEY: &str = "SELECT body FROM schedules WHERE space = ?1 AND id = ?2";
const INSERT: &str =
    "INSERT INTO schedules (space, id, version, act_ms, key, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
const UPDATE: &str = "UPDATE schedules SET version = ?3, act_ms = ?4, key = ?5, body = ?6 \
                      WHERE space = ?1 AND id = ?2";
const DELETE: &str = "DELETE FROM schedules WHERE space = ?1 AND id = ?2";
pub(super) const LIST: &str =
    "SELECT body FROM schedules WHERE space = ?1 AND id > ?2 ORDER BY id LIMIT ?3";
pub(super) const DUE: &str = "SELECT body FROM schedules INDEXED BY schedules_due \
     WHERE act_ms <= ?1 AND (act_ms, space, id) > (?2, ?3, ?4) \
     ORDER BY act_ms, space, id LIMIT ?5";

#[async_trait]
impl ScheduleStore for Sqlite {
    async fn get(&self, key: &ScheduleKey) -> Result<Option<Schedule>, StoreError> {
        let key = key.clone();
        self.tasks.readers.read(move |it| by_key(it, &key)).await
    }

    async fn put(&self, schedule: &Schedule, over: Option<u64>) -> Result<bool, StoreError> {
        let (schedule, reserve) = (schedule.clone(), self.reserve.clone());
        let work = move |connection: &Connection| {
            let stored = by_key(connection, &schedule.key())?;
            if stored.as_ref() == Some(&schedule) {
                return Ok(true);
            }
            if stored.as_ref().map(|stored| stored.version) != over {
                return Ok(false);
            }
            if stored.is_none() {
                reserve.spare()?;
            }
            let sql = if stored.is_none() { INSERT } else { UPDATE };
            let body = serde_json::to_string(&schedule).map_err(damaged)?;
            connection.prepare_cached(sql)?.execute((
                schedule.space.as_str(),
                schedule.id.as_str(),
                schedule.version.cast_signed(),
                schedule.act_at.map(Timestamp::as_ms),
                schedule.key.map(|key| key.to_string()),
                body,
            ))?;
            Ok(true)
        };
        self.tasks.writer.write(Step::Other, work).await
    }

    async fn remove(&self, key: &ScheduleKey, version: u64) -> Result<bool, StoreError> {
        let key = key.clone();
        let work = move |connection: &Connection| {
            let stored = by_key(connection, &key)?;
            if stored.is_none_or(|stored| stored.version != version) {
                return Ok(false);
            }
            let names = (key.space.as_str(), key.id.as_str());
            connection.prepare_cached(DELETE)?.execute(names)?;
            Ok(true)
        };
        self.tasks.writer.write(Step::Other, work).await
    }

    async fn list(
        &self,
        space: &Space,
        after: Option<&ScheduleId>,
        limit: usize,
    ) -> Result<Vec<Schedule>, StoreError> {
        let (space, after) = (space.clone(), after.cloned());
        let work = move |connection: &Connection| {
            // No id is empty.
            let after = after.as_ref().map_or("", |id| id.as_str());
            all(connection, LIST, (space.as_str(), after, rows(limit)))
        };
        self.tasks.readers.read(work).await
    }

    async fn due(
        &self,
        now: Timestamp,
        after: Option<&DuePlace>,
        limit: usize,
    ) -> Result<Vec<Schedule>, StoreError> {
        let after = after.cloned();
        let work = move |connection: &Connection| {
            let (at, space, id) = after.as_ref().map_or((i64::MIN, "", ""), |it| {
                (it.act_at.as_ms(), it.key.space.as_str(), it.key.id.as_str())
            });
            all(connection, DUE, (now.as_ms(), at, space, id, rows(limit)))
        };
        self.tasks.readers.read(work).await
    }
}

fn by_key(connection: &Connection, key: &ScheduleKey) -> Result<Option<Schedule>, StoreError> {
    let mut statement = connection.prepare_cached(BY_KEY)?;
    let names = (key.space.as_str(), key.id.as_str());
    let found = statement.query_row(names, |row| Ok(read(row))).optional()?;
    found.transpose()
}

/// What one of them says that cannot be read keeps no other from being read.
fn all(connection: &Connection, sql: &str, with: impl Params) -> Result<Vec<Schedule>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut found = Vec::new();
    for schedule in statement.query_map(with, |row| Ok(read(row)))? {
        match schedule? {
            Ok(schedule) => found.push(schedule),
            Err(error) => tracing::error!(%error, "a schedule is damaged, and left out"),
        }
    }
    Ok(found)
}

fn read(row: &Row<'_>) -> Result<Schedule, StoreError> {
    let body: String = row.get(0)?;
    serde_json::from_str(&body).map_err(damaged)
}

fn rows(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

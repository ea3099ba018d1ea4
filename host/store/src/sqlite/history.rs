//! Former runs in SQLite: each with its log, which moves there with the schedule that ends its
//! turn.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension};
use taskhost_model::former::FormerRun;
use taskhost_model::ids::{RunId, TaskKey};
use taskhost_model::receipt::Receipt;

use super::Sqlite;
use super::read_task::by_key;
use super::row::damaged;
use crate::error::StoreError;
use crate::history::TaskHistory;
use crate::limits::Limits;

/// Former runs of a task.
pub(super) const SELECT: &str = "\
    SELECT body FROM former_runs WHERE task = ?1 ORDER BY number DESC LIMIT ?2";
/// Of one of them, the number.
pub(super) const SELECT_ONE: &str = "SELECT number FROM former_runs WHERE task = ?1 AND run = ?2";
const SELECT_LOG: &str = "SELECT text FROM former_logs WHERE run = ?1 ORDER BY piece";
const KEEP: &str = "INSERT INTO former_runs (task, run, body) VALUES (?1, ?2, ?3)";
const KEEP_LOG: &str = "\
    INSERT INTO former_logs (run, piece, text) SELECT ?1, piece, text FROM logs WHERE task = ?2";
/// Those that are more than are kept.
pub(super) const SELECT_OLDER: &str = "\
    SELECT number FROM former_runs WHERE task = ?1 ORDER BY number DESC LIMIT -1 OFFSET ?2";
const FORGET: &str = "DELETE FROM former_runs WHERE number = ?1";
const FORGET_LOG: &str = "DELETE FROM former_logs WHERE run = ?1";

#[async_trait]
impl TaskHistory for Sqlite {
    async fn former_runs(&self, key: &TaskKey) -> Result<Vec<FormerRun>, StoreError> {
        let (key, most) = (key.clone(), count(self.limits.former_runs_kept()));
        let read = move |connection: &Connection| {
            let snapshot = connection.unchecked_transaction()?;
            let Some(task) = number_of(&snapshot, &key)? else {
                return Ok(Vec::new());
            };
            let mut select = snapshot.prepare_cached(SELECT)?;
            let mut rows = select.query((task, most))?;
            let mut runs = Vec::new();
            while let Some(row) = rows.next()? {
                let body = row.get_ref(0)?.as_str().map_err(damaged)?;
                runs.push(serde_json::from_str(body).map_err(damaged)?);
            }
            Ok(runs)
        };
        self.tasks.readers.read(read).await
    }

    async fn receipt(&self, key: &TaskKey) -> Result<Option<Receipt>, StoreError> {
        let key = key.clone();
        let read = move |connection: &Connection| {
            let stored = by_key(connection, &key)?;
            Ok(stored.and_then(|stored| stored.task.receipt))
        };
        self.tasks.readers.find(read).await
    }

    async fn former_log(&self, key: &TaskKey, run: RunId) -> Result<Option<String>, StoreError> {
        let key = key.clone();
        let read = move |connection: &Connection| {
            let snapshot = connection.unchecked_transaction()?;
            let Some(task) = number_of(&snapshot, &key)? else {
                return Ok(None);
            };
            let number: Option<i64> = snapshot
                .prepare_cached(SELECT_ONE)?
                .query_row((task, run.to_string()), |row| row.get(0))
                .optional()?;
            let Some(number) = number else {
                return Ok(None);
            };
            let mut select = snapshot.prepare_cached(SELECT_LOG)?;
            let mut rows = select.query([number])?;
            let mut log = String::new();
            while let Some(row) = rows.next()? {
                log.push_str(row.get_ref(0)?.as_str().map_err(damaged)?);
            }
            Ok(Some(log))
        };
        self.tasks.readers.read(read).await
    }
}

/// Keeps a run that another one takes the place of, with the log that its task has.
pub(super) fn keep(
    connection: &Connection,
    limits: &Limits,
    task: i64,
    former: &FormerRun,
) -> Result<(), StoreError> {
    let most = limits.former_runs_kept();
    if most > 0 {
        let body = serde_json::to_string(former).map_err(damaged)?;
        connection
            .prepare_cached(KEEP)?
            .execute((task, former.id.to_string(), body))?;
        let number = connection.last_insert_rowid();
        connection
            .prepare_cached(KEEP_LOG)?
            .execute((number, task))?;
    }
    forget_all_but(connection, task, most)
}

/// Forgets all former runs of a task.
pub(super) fn end_all(connection: &Connection, task: i64) -> Result<(), StoreError> {
    forget_all_but(connection, task, 0)
}

fn forget_all_but(connection: &Connection, task: i64, most: usize) -> Result<(), StoreError> {
    let mut select = connection.prepare_cached(SELECT_OLDER)?;
    let older: Vec<i64> = select
        .query_map((task, count(most)), |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for number in older {
        connection.prepare_cached(FORGET_LOG)?.execute([number])?;
        connection.prepare_cached(FORGET)?.execute([number])?;
    }
    Ok(())
}

fn number_of(connection: &Connection, key: &TaskKey) -> Result<Option<i64>, StoreError> {
    let stored = by_key(connection, key)?;
    let visible = stored.filter(|stored| stored.task.deleted_at.is_none());
    Ok(visible.map(|stored| stored.number))
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

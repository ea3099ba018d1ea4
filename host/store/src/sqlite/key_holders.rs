//! Which tasks hold which keys of runs: written with the task, where its runs have keys at all.

use std::collections::BTreeSet;

use rusqlite::Connection;
use taskhost_model::ids::RunKeyId;
use taskhost_model::status::Status;
use taskhost_model::task::Task;

use crate::error::StoreError;

/// Notes what a task holds from now on.
pub(super) fn follow(
    connection: &Connection,
    number: i64,
    before: Option<&Task>,
    after: &Task,
) -> Result<(), StoreError> {
    let (before, after) = (before.map(held_by).unwrap_or_default(), held_by(after));
    for key in before.difference(&after) {
        let sql = "DELETE FROM run_key_holders WHERE key = ?1 AND task = ?2";
        let mut statement = connection.prepare_cached(sql)?;
        statement.execute((key.to_string(), number))?;
    }
    for key in after.difference(&before) {
        let sql = "INSERT OR IGNORE INTO run_key_holders (key, task) VALUES (?1, ?2)";
        let mut statement = connection.prepare_cached(sql)?;
        statement.execute((key.to_string(), number))?;
    }
    Ok(())
}

/// The key of an unfinished run, and those of former runs whose guests may be alive.
fn held_by(task: &Task) -> BTreeSet<RunKeyId> {
    let is_unfinished = matches!(task.status, Status::InProgress | Status::BeingCanceled);
    let own = task
        .run
        .key
        .filter(|_| is_unfinished && task.deleted_at.is_none());
    let former = task.previous.iter().filter_map(|lease| lease.key);
    former.chain(own).collect()
}

//! Tasks that runs have spawned.

use rusqlite::Connection;
use taskhost_model::ids::{RunId, Space, TaskId, TaskKey};

use super::read_task::by_number;
use super::row::damaged;
use crate::error::StoreError;
use crate::tasks::Children;

/// Children of a run that a reader may see.
pub(super) const COUNT_CHILDREN: &str = "\
    SELECT count(*) FROM tasks INDEXED BY tasks_children WHERE parent_run = ?1 \
    AND deleted_ms IS NULL";
/// Those of them that still run or will.
pub(super) const SELECT_LIVING_CHILDREN: &str = "\
    SELECT space, id FROM tasks INDEXED BY tasks_living_children WHERE parent_run = ?1 \
    AND place IN (1, 2, 3, 5) AND deleted_ms IS NULL AND status = 'in_progress'";
/// One living child of each run that has some.
pub(super) const SELECT_PARENTS: &str = "\
    SELECT max(number) FROM tasks INDEXED BY tasks_living_children \
    WHERE parent_run IS NOT NULL AND place IN (1, 2, 3, 5) GROUP BY parent_run";

/// The children of a run.
pub(super) fn of(connection: &Connection, run: RunId) -> Result<Children, StoreError> {
    let snapshot = connection.unchecked_transaction()?;
    let run = run.to_string();
    let count: i64 = snapshot
        .prepare_cached(COUNT_CHILDREN)?
        .query_row([&run], |row| row.get(0))?;
    let mut statement = snapshot.prepare_cached(SELECT_LIVING_CHILDREN)?;
    let mut rows = statement.query([&run])?;
    let mut living = Vec::new();
    while let Some(row) = rows.next()? {
        let text = |index| row.get_ref(index).and_then(|value| Ok(value.as_str()?));
        living.push(TaskKey {
            space: Space::parse(text(0)?).map_err(damaged)?,
            id: TaskId::parse(text(1)?).map_err(damaged)?,
        });
    }
    Ok(Children {
        count: count.cast_unsigned(),
        living,
    })
}

/// Runs with living children. A damaged row is left out: whoever claims it says so.
pub(super) fn parents(connection: &Connection) -> Result<Vec<(TaskKey, RunId)>, StoreError> {
    let snapshot = connection.unchecked_transaction()?;
    let mut statement = snapshot.prepare_cached(SELECT_PARENTS)?;
    let mut rows = statement.query([])?;
    let mut parents = Vec::new();
    while let Some(row) = rows.next()? {
        let found = match by_number(&snapshot, row.get(0)?) {
            Err(StoreError::Corrupt { .. }) => None,
            found => found?,
        };
        parents.extend(found.and_then(|stored| stored.task.parent_run()));
    }
    Ok(parents)
}

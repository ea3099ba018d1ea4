//! Claims due runs inside the writer's transaction: one index seek for each type, whatever else
//! is stored.

use rusqlite::Connection;
use taskhost_model::time::Timestamp;

use super::read_task::{by_number, next_due, texts_of};
use super::write_task::{apply, put_right};
use crate::error::StoreError;
use crate::event::{Claim, Event, Outcome};
use crate::limits::Limits;
use crate::queue::{ClaimRequest, ClaimableType};
use crate::tasks::StoredTask;

/// What of a type can be claimed, in order.
pub(super) const SELECT_READY: &str = "\
    SELECT number FROM tasks INDEXED BY tasks_ready WHERE type = ?1 AND place = 1 ORDER BY rank, \
    created_ms, number LIMIT ?2";
/// What became due goes to where claims look for it.
pub(super) const PROMOTE: &str = "\
    UPDATE tasks SET place = 1 WHERE number IN (SELECT number FROM tasks INDEXED BY \
    tasks_waiting WHERE place = 2 AND due_ms <= ?1 ORDER BY due_ms LIMIT ?2)";

/// So many rows become ready in one transaction; when a host was away for long there may be
/// very many, and other writes shall have their turn.
const PROMOTED_MAX: usize = 2_048;

/// What came of one try.
pub(super) enum Claimed {
    /// These runs.
    Runs(Vec<StoredTask>),
    /// More is becoming due; nothing was claimed, so that the order stays right.
    Again,
}

/// Takes due runs, one of each type in turn.
pub(super) fn claim(
    connection: &Connection,
    limits: &Limits,
    request: &ClaimRequest,
    now: Timestamp,
) -> Result<Claimed, StoreError> {
    if promote(connection, now)? == PROMOTED_MAX {
        return Ok(Claimed::Again);
    }
    let mut queues = Vec::with_capacity(request.types.len());
    for wanted in &request.types {
        queues.push((
            wanted,
            ready(connection, wanted, request.limit)?.into_iter(),
        ));
    }
    let mut runs = Vec::new();
    while !queues.is_empty() {
        let mut open = Vec::with_capacity(queues.len());
        for (wanted, mut queue) in queues {
            if runs.len() >= request.limit {
                return Ok(Claimed::Runs(runs));
            }
            if let Some(number) = queue.next() {
                runs.extend(take(connection, limits, request, wanted, number, now)?);
                open.push((wanted, queue));
            }
        }
        queues = open;
    }
    Ok(Claimed::Runs(runs))
}

/// Makes ready what became due, and says how much that was.
fn promote(connection: &Connection, now: Timestamp) -> Result<usize, StoreError> {
    // Mostly nothing is; one seek is cheaper than an update that finds nothing.
    if next_due(connection)?.is_none_or(|due_at| due_at > now) {
        return Ok(0);
    }
    let mut promote = connection.prepare_cached(PROMOTE)?;
    Ok(promote.execute((now.as_ms(), PROMOTED_MAX as i64))?)
}

fn ready(
    connection: &Connection,
    wanted: &ClaimableType,
    limit: usize,
) -> Result<Vec<i64>, StoreError> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut statement = connection.prepare_cached(SELECT_READY)?;
    let rows = statement.query_map((wanted.type_id.as_str(), limit), |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn take(
    connection: &Connection,
    limits: &Limits,
    request: &ClaimRequest,
    wanted: &ClaimableType,
    number: i64,
    now: Timestamp,
) -> Result<Option<StoredTask>, StoreError> {
    let Some(stored) = by_number(connection, number)? else {
        return Ok(None);
    };
    let key = stored.task.key();
    let event = Event::Claim(Claim {
        host: request.host.clone(),
        incarnation: request.incarnation,
        digest: wanted.digest.clone(),
        wall_ms: wanted.wall_ms,
    });
    let applied = apply(connection, limits, &key, Some(stored), &event, now)?;
    match (applied.outcome, applied.task) {
        (Outcome::Changed, Some(task)) => {
            let (params, payload) = texts_of(connection, number, &task)?;
            Ok(Some(StoredTask {
                task,
                params,
                payload,
            }))
        }
        // The clock went back: it is not due any more.
        _ => {
            if let Some(stored) = by_number(connection, number)? {
                put_right(connection, &stored, now)?;
            }
            Ok(None)
        }
    }
}

//! Tasks in SQLite.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use rusqlite::Connection;
use taskhost_model::ids::{Digest, RunId, Space, TaskKey, TypeId};
use taskhost_model::task::Task;
use taskhost_model::time::Timestamp;

use super::claim::{Claimed, claim};
use super::read_task::{Stored, by_key, by_number, next_due, texts_of};
use super::reserve::Reserve;
use super::row::damaged;
use super::write_task::write;
use super::{Sqlite, children, lanes, list};
use crate::apply::{Decision, decide};
use crate::crash::Step;
use crate::error::StoreError;
use crate::event::{Applied, Event, RunEvent};
use crate::limits::Limits;
use crate::place::is_made_ready;
use crate::queue::{ClaimRequest, Claimer, RunQueue, StoredTask};
use crate::tasks::{Children, ListRequest, TaskPage, TaskStore, Unfinished, Waiting};

/// What a guest may be alive for. It is read as far as it is wanted.
pub(super) const SELECT_HELD: &str =
    "SELECT number FROM tasks INDEXED BY tasks_held WHERE place = 3";
/// Tombstones that can go.
pub(super) const SELECT_TOMBSTONES: &str =
    "SELECT number FROM tasks INDEXED BY tasks_tombstones WHERE place = 4 LIMIT ?1";

/// Counts of what could be claimed by type, since when the longest of it is due, and of what waits
/// for a key.
pub(super) const WAITING_BY_TYPE: [&str; 2] = [
    "SELECT type, count(*), min(due_ms) FROM tasks INDEXED BY tasks_ready WHERE place = 1 \
     GROUP BY type",
    "SELECT type, count(*), NULL FROM tasks INDEXED BY tasks_behind WHERE place = 5 GROUP BY type",
];
/// Counts of other unfinished runs by type: what waits for its time, what is held.
pub(super) const UNFINISHED_BY_TYPE: [&str; 2] = [
    "SELECT type, count(*) FROM tasks INDEXED BY tasks_waiting WHERE place = 2 GROUP BY type",
    "SELECT type, count(*) FROM tasks INDEXED BY tasks_held WHERE place = 3 \
     AND deleted_ms IS NULL AND status IN ('in_progress', 'being_canceled') GROUP BY type",
];
/// The same by component.
pub(super) const UNFINISHED_BY_DIGEST: [&str; 2] = [
    "SELECT digest, count(*) FROM tasks INDEXED BY tasks_pinned WHERE digest IS NOT NULL \
     AND place IN (1, 2, 5) GROUP BY digest",
    "SELECT digest, count(*) FROM tasks INDEXED BY tasks_held WHERE place = 3 \
     AND deleted_ms IS NULL AND status IN ('in_progress', 'being_canceled') \
     AND digest IS NOT NULL GROUP BY digest",
];

/// So many tombstones go in one transaction.
const TOMBSTONES_AT_A_TIME: u64 = 256;

#[async_trait]
impl RunQueue for Sqlite {
    async fn claim(&self, request: &ClaimRequest) -> Result<Vec<StoredTask>, StoreError> {
        loop {
            let (request, limits, clock) = (request.clone(), self.limits, self.clock.clone());
            let reserve = self.reserve.clone();
            let work = move |connection: &Connection| {
                // A run brings new data. What is claimed along is so after a schedule that has
                // been asked the same.
                reserve.spare()?;
                claim(connection, &limits, &request, clock.now())
            };
            if let Claimed::Runs(runs) = self.tasks.writer.write(Step::Claim, work).await? {
                return Ok(runs);
            }
        }
    }

    fn claim_along(&self, claimer: Arc<dyn Claimer>) {
        self.along.set(claimer);
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        self.tasks.readers.find(next_due).await
    }

    async fn holders(
        &self,
        space: &Space,
        type_id: &TypeId,
        concurrency_key: &str,
    ) -> Result<Vec<TaskKey>, StoreError> {
        let lane = lanes::Lane::new(type_id, space, concurrency_key);
        let space = space.clone();
        let read = move |connection: &Connection| lane.holders(connection, &space);
        self.tasks.readers.find(read).await
    }
}

#[async_trait]
impl TaskStore for Sqlite {
    async fn apply(&self, key: &TaskKey, event: Event) -> Result<Applied, StoreError> {
        self.limits.check(&event)?;
        let (step, key, limits, clock) =
            (step(&event), key.clone(), self.limits, self.clock.clone());
        let reserve = self.reserve.clone();
        let work = move |connection: &Connection| {
            apply(connection, (&key, &event), &limits, clock.now(), &reserve)
        };
        let writer = &self.tasks.writer;
        let (applied, _) = writer
            .write_in_company(step, work, |(_, is_made_ready)| *is_made_ready)
            .await?;
        Ok(applied)
    }

    async fn get(&self, key: &TaskKey) -> Result<Option<Task>, StoreError> {
        let key = key.clone();
        let read = move |connection: &Connection| {
            let found = visible(connection, &key)?;
            Ok(found.map(|stored| stored.task))
        };
        self.tasks.readers.find(read).await
    }

    async fn read(&self, key: &TaskKey) -> Result<Option<StoredTask>, StoreError> {
        let key = key.clone();
        let read = move |connection: &Connection| {
            // One snapshot: the texts are those of the document.
            let snapshot = connection.unchecked_transaction()?;
            let Some(Stored { number, task, .. }) = visible(&snapshot, &key)? else {
                return Ok(None);
            };
            let (params, payload) = texts_of(&snapshot, number, &task)?;
            Ok(Some(StoredTask {
                task,
                params,
                payload,
            }))
        };
        self.tasks.readers.find(read).await
    }

    async fn log(&self, key: &TaskKey, run: RunId) -> Result<Option<String>, StoreError> {
        let key = key.clone();
        let read = move |connection: &Connection| {
            let snapshot = connection.unchecked_transaction()?;
            let found = visible(&snapshot, &key)?.filter(|stored| stored.task.run.id == run);
            let Some(stored) = found else {
                return Ok(None);
            };
            let sql = "SELECT text FROM logs WHERE task = ?1 ORDER BY piece";
            let mut statement = snapshot.prepare_cached(sql)?;
            let mut rows = statement.query([stored.number])?;
            let mut log = String::new();
            while let Some(row) = rows.next()? {
                log.push_str(row.get_ref(0)?.as_str().map_err(damaged)?);
            }
            Ok(Some(log))
        };
        self.tasks.readers.read(read).await
    }

    async fn list(&self, request: &ListRequest) -> Result<TaskPage, StoreError> {
        let request = request.clone();
        let read = move |connection: &Connection| list::page(connection, &request);
        self.tasks.readers.read(read).await
    }

    async fn held(&self, limit: usize) -> Result<Vec<Task>, StoreError> {
        let unreadable = Arc::clone(&self.unreadable);
        let read = move |connection: &Connection| held(connection, limit, &unreadable);
        self.tasks.readers.read(read).await
    }

    async fn remove_tombstones(&self) -> Result<u64, StoreError> {
        let mut gone = 0;
        loop {
            let some = self
                .tasks
                .writer
                .write(Step::Other, remove_some_tombstones)
                .await?;
            gone += some;
            if some < TOMBSTONES_AT_A_TIME {
                return Ok(gone);
            }
        }
    }

    async fn children(&self, run: RunId) -> Result<Children, StoreError> {
        let read = move |connection: &Connection| children::of(connection, run);
        self.tasks.readers.find(read).await
    }

    async fn parents(&self) -> Result<Vec<(TaskKey, RunId)>, StoreError> {
        self.tasks.readers.read(children::parents).await
    }

    async fn unfinished(&self) -> Result<Unfinished, StoreError> {
        let read = |connection: &Connection| {
            let snapshot = connection.unchecked_transaction()?;
            let waiting = waiting(&snapshot)?;
            let mut by_type = counts(&snapshot, &UNFINISHED_BY_TYPE)?;
            for of_type in &waiting {
                *by_type.entry(of_type.type_id.to_string()).or_default() += of_type.runs;
            }
            let by_type = by_type.into_iter();
            let by_digest = counts(&snapshot, &UNFINISHED_BY_DIGEST)?.into_iter();
            Ok(Unfinished {
                by_type: by_type
                    .map(|(name, count)| Ok((TypeId::parse(&name).map_err(damaged)?, count)))
                    .collect::<Result<_, StoreError>>()?,
                by_digest: by_digest
                    .map(|(name, count)| Ok((Digest::parse(&name).map_err(damaged)?, count)))
                    .collect::<Result<_, StoreError>>()?,
                waiting,
            })
        };
        self.tasks.readers.read(read).await
    }
}

/// Applies an event, and says whether a run can be claimed along that could not before.
pub(super) fn apply(
    connection: &Connection,
    (key, event): (&TaskKey, &Event),
    limits: &Limits,
    now: Timestamp,
    reserve: &Reserve,
) -> Result<(Applied, bool), StoreError> {
    let stored = by_key(connection, key)?;
    let current = stored.as_ref().map(|stored| &stored.task);
    let decision = decide(key, current, event, now);
    // Of all that happens to a task this alone, and a claim, brings new data.
    if let (Event::Schedule(_), Decision::Write(_)) = (event, &decision) {
        reserve.spare()?;
    }
    let applied = write(connection, limits, stored, decision, now)?;
    let is_made_ready = is_made_ready(event, &applied, now);
    Ok((applied, is_made_ready))
}

/// A damaged row is left out, so that it keeps nobody from the end of the others; `unreadable`
/// has those that the log knows of. It does not count: who gets fewer than `limit` has seen all.
fn held(
    connection: &Connection,
    limit: usize,
    unreadable: &Mutex<BTreeSet<i64>>,
) -> Result<Vec<Task>, StoreError> {
    let snapshot = connection.unchecked_transaction()?;
    let mut statement = snapshot.prepare_cached(SELECT_HELD)?;
    let mut rows = statement.query([])?;
    let mut held = Vec::new();
    while held.len() < limit
        && let Some(row) = rows.next()?
    {
        let number = row.get(0)?;
        match by_number(&snapshot, number) {
            Err(StoreError::Corrupt { reason }) => {
                let mut known = unreadable.lock().unwrap_or_else(PoisonError::into_inner);
                if known.insert(number) {
                    say_unreadable(number, &reason);
                }
            }
            found => held.extend(found?.map(|stored| stored.task)),
        }
    }
    Ok(held)
}

fn say_unreadable(number: i64, reason: &str) {
    tracing::error!(
        number,
        reason,
        "a task with a run cannot be read: the run's end cannot be stored, and its task stays as \
         it is. Stop the host; in `tasks.sqlite`, mend the row of this `number` in `tasks`, or \
         delete it"
    );
}

fn visible(connection: &Connection, key: &TaskKey) -> Result<Option<Stored>, StoreError> {
    let found = by_key(connection, key)?;
    Ok(found.filter(|stored| stored.task.deleted_at.is_none()))
}

fn remove_some_tombstones(connection: &Connection) -> Result<u64, StoreError> {
    let numbers: Vec<i64> = connection
        .prepare_cached(SELECT_TOMBSTONES)?
        .query_map([TOMBSTONES_AT_A_TIME.cast_signed()], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let mut delete = connection.prepare_cached("DELETE FROM tasks WHERE number = ?1")?;
    for number in &numbers {
        delete.execute([number])?;
    }
    Ok(numbers.len() as u64)
}

fn waiting(connection: &Connection) -> Result<Vec<Waiting>, StoreError> {
    let mut types: BTreeMap<String, (u64, Option<i64>)> = BTreeMap::new();
    for query in WAITING_BY_TYPE {
        let mut statement = connection.prepare_cached(query)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (runs, oldest) = types.entry(row.get(0)?).or_default();
            *runs += row.get::<_, i64>(1)?.cast_unsigned();
            *oldest = oldest.or(row.get(2)?);
        }
    }
    let each = types.into_iter().map(|(name, (runs, oldest_ms))| {
        Ok(Waiting {
            type_id: TypeId::parse(&name).map_err(damaged)?,
            runs,
            oldest_due_at: oldest_ms.map(Timestamp::from_ms),
        })
    });
    each.collect()
}

fn counts(
    connection: &Connection,
    queries: &[&'static str],
) -> Result<BTreeMap<String, u64>, StoreError> {
    let mut counts = BTreeMap::new();
    for query in queries {
        let mut statement = connection.prepare_cached(query)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            *counts.entry(row.get(0)?).or_default() += row.get::<_, i64>(1)?.cast_unsigned();
        }
    }
    Ok(counts)
}

pub(super) fn step(event: &Event) -> Step {
    match event {
        Event::Schedule(_) => Step::Schedule,
        Event::Claim(_) => Step::Claim,
        Event::Cancel { .. } => Step::Cancel,
        Event::Acknowledge { .. } => Step::Acknowledge,
        Event::Delete { .. } | Event::Expire { .. } => Step::Delete,
        Event::HostLost { .. } | Event::PreviousEnded { .. } => Step::HostLost,
        Event::Resume { .. } | Event::Overdue { .. } | Event::Import(_) => Step::Other,
        Event::Run { event, .. } => match event {
            RunEvent::Progress(_) => Step::Progress,
            RunEvent::Completed { .. }
            | RunEvent::Failed { .. }
            | RunEvent::Paused { .. }
            | RunEvent::Suspended { .. }
            | RunEvent::HandedBack { .. }
            | RunEvent::Stopped { .. } => Step::End,
        },
    }
}

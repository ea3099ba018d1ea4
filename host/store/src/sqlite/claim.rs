//! Claims due runs inside the writer's transaction: one index seek for each type, whatever else
//! is stored.

use rusqlite::Connection;
use taskhost_model::time::Timestamp;

use super::lanes;
use super::read_task::{Stored, Texts, by_number, next_due, texts_of};
use super::row::damaged;
use super::write_task::write;
use crate::apply::decide;
use crate::error::StoreError;
use crate::event::{Claim, Event, Outcome};
use crate::limits::Limits;
use crate::place::{self, Place};
use crate::queue::{ClaimRequest, ClaimableType, StoredTask};

/// What of a type can be claimed, in order.
pub(super) const SELECT_READY: &str = "\
    SELECT number FROM tasks INDEXED BY tasks_ready WHERE type = ?1 AND place = 1 ORDER BY rank, \
    created_ms, due_ms, number LIMIT ?2";
/// Whether a type's component was deleted since somebody wanted it.
pub(super) const IS_GONE: &str = "SELECT NOT EXISTS (SELECT 1 FROM components WHERE digest = ?1)";
/// What cannot be claimed leaves the queue.
const LEAVE: &str = "UPDATE tasks SET place = ?2 WHERE number = ?1 AND place = 1";
/// What became due goes to where claims look for it.
pub(super) const PROMOTE: &str = "\
    UPDATE tasks SET place = 1 WHERE number IN (SELECT number FROM tasks INDEXED BY \
    tasks_waiting WHERE place = 2 AND due_ms <= ?1 ORDER BY due_ms LIMIT ?2)";

/// So many rows become ready, or stand behind others of their key, in one transaction; when a host
/// was away for long there may be very many, and other writes shall have their turn.
const MOVES_MAX: usize = 2_048;

/// What came of one try.
pub(super) enum Claimed {
    /// These runs.
    Runs(Vec<StoredTask>),
    /// More is becoming due, or finds no room with its key; nothing was claimed, so that the order
    /// stays right.
    Again,
}

/// A claim under way.
struct Claiming<'a> {
    connection: &'a Connection,
    limits: &'a Limits,
    request: &'a ClaimRequest,
    now: Timestamp,
    runs: Vec<StoredTask>,
    /// Whether something that could not be claimed has left the queue since its last reading:
    /// others may stand behind it.
    has_cleared: bool,
}

/// Takes due runs, one of each type in turn.
pub(super) fn claim(
    connection: &Connection,
    limits: &Limits,
    request: &ClaimRequest,
    now: Timestamp,
) -> Result<Claimed, StoreError> {
    if promote(connection, now)? == MOVES_MAX
        || lanes::come_back(connection, &request.types, MOVES_MAX)? == MOVES_MAX
    {
        return Ok(Claimed::Again);
    }
    let mut moves = 0;
    for wanted in &request.types {
        moves += lanes::stand_behind(connection, wanted, request.limit, MOVES_MAX - moves)?;
        if moves >= MOVES_MAX {
            return Ok(Claimed::Again);
        }
    }
    let mut claiming = Claiming {
        connection,
        limits,
        request,
        now,
        runs: Vec::new(),
        has_cleared: true,
    };
    while std::mem::take(&mut claiming.has_cleared) {
        claiming.take_in_turn()?;
        if claiming.has_cleared {
            // About very few, after what was done before.
            for wanted in &request.types {
                lanes::stand_behind(connection, wanted, request.limit, usize::MAX)?;
            }
        }
    }
    Ok(Claimed::Runs(claiming.runs))
}

/// Makes ready what became due, and says how much that was.
fn promote(connection: &Connection, now: Timestamp) -> Result<usize, StoreError> {
    // Mostly nothing is; one seek is cheaper than an update that finds nothing.
    if next_due(connection)?.is_none_or(|due_at| due_at > now) {
        return Ok(0);
    }
    let mut promote = connection.prepare_cached(PROMOTE)?;
    Ok(promote.execute((now.as_ms(), MOVES_MAX as i64))?)
}

impl Claiming<'_> {
    fn take_in_turn(&mut self) -> Result<(), StoreError> {
        let mut queues = Vec::with_capacity(self.request.types.len());
        for wanted in &self.request.types {
            let ready = self.ready(wanted)?;
            if !ready.is_empty() && !self.is_gone(wanted)? {
                queues.push((wanted, ready.into_iter()));
            }
        }
        while !queues.is_empty() {
            let mut open = Vec::with_capacity(queues.len());
            for (wanted, mut queue) in queues {
                if self.runs.len() >= self.request.limit {
                    self.has_cleared = false;
                    return Ok(());
                }
                if let Some(number) = queue.next() {
                    self.take(wanted, number)?;
                    open.push((wanted, queue));
                }
            }
            queues = open;
        }
        Ok(())
    }

    fn ready(&self, wanted: &ClaimableType) -> Result<Vec<i64>, StoreError> {
        let limit = i64::try_from(self.request.limit).unwrap_or(i64::MAX);
        let mut statement = self.connection.prepare_cached(SELECT_READY)?;
        let rows = statement.query_map((wanted.type_id.as_str(), limit), |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn is_gone(&self, wanted: &ClaimableType) -> Result<bool, StoreError> {
        let mut is_gone = self.connection.prepare_cached(IS_GONE)?;
        Ok(is_gone.query_row([wanted.digest.as_str()], |row| row.get(0))?)
    }

    fn take(&mut self, wanted: &ClaimableType, number: i64) -> Result<(), StoreError> {
        let (stored, (params, payload)) = match self.read(number) {
            Err(StoreError::Corrupt { reason }) => return self.set_aside(number, &reason),
            found => found?,
        };
        let event = Event::Claim(Claim {
            host: self.request.host.clone(),
            incarnation: self.request.incarnation,
            digest: wanted.digest.clone(),
            wall_ms: wanted.wall_ms,
        });
        let task = &stored.task;
        let decision = decide(&task.key(), Some(task), &event, self.now);
        let applied = write(
            self.connection,
            self.limits,
            Some(stored),
            decision,
            self.now,
        )?;
        match (applied.outcome, applied.task) {
            (Outcome::Changed, Some(task)) => self.runs.push(StoredTask {
                task,
                params,
                payload,
            }),
            // The clock went back: it is not due any more.
            (_, Some(task)) => self.leave(number, place::of(&task, self.now))?,
            (_, None) => {}
        }
        Ok(())
    }

    fn read(&self, number: i64) -> Result<(Stored, Texts), StoreError> {
        let stored = by_number(self.connection, number)?;
        let stored = stored.ok_or_else(|| damaged("an index names a row that is not there"))?;
        let texts = texts_of(self.connection, number, &stored.task)?;
        Ok((stored, texts))
    }

    /// A damaged row costs its own task its run, and no other.
    fn set_aside(&mut self, number: i64, reason: &str) -> Result<(), StoreError> {
        tracing::error!(
            number,
            reason,
            "a due task cannot be read: it was taken out of the queue and does not run. Stop the \
             host; in `tasks.sqlite`, mend the row of this `number` in `tasks` and set its `place` \
             to 1, or delete it"
        );
        self.leave(number, Place::Rest)
    }

    fn leave(&mut self, number: i64, place: Place) -> Result<(), StoreError> {
        let mut leave = self.connection.prepare_cached(LEAVE)?;
        if leave.execute((number, place as i64))? > 0 {
            self.has_cleared = true;
            lanes::move_on_without(self.connection, number)?;
        }
        Ok(())
    }
}

//! Where a task stands from the scheduler's point of view: one place each, so that each has a
//! small index of its own and a claim never looks at what cannot be claimed.

use taskhost_model::status::Phase;
use taskhost_model::task::Task;
use taskhost_model::time::Timestamp;

use crate::event::{Applied, Event, Outcome};

/// The place of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Nothing will happen to it by itself.
    Rest = 0,
    /// It can be claimed.
    Ready = 1,
    /// It can be claimed later, at its `due_at`.
    Waiting = 2,
    /// A guest may be alive under its lease, or under the lease of a `previous` run.
    Held = 3,
    /// It was deleted, and nothing hangs on it any more.
    Tombstone = 4,
    /// It could be claimed, and as many as its concurrency key allows are at work or ready before
    /// it. A backend puts it there, and back: no document tells it, and where it is written anew
    /// it is ready.
    Behind = 5,
}

/// Where `task` stands now.
pub(crate) fn of(task: &Task, now: Timestamp) -> Place {
    if !task.previous.is_empty() {
        return Place::Held;
    }
    if task.deleted_at.is_some() {
        // What was promised by a key that may be repeated is told as long as that counts.
        return match task.receipt {
            Some(_) => Place::Rest,
            None => Place::Tombstone,
        };
    }
    match task.phase() {
        Phase::Running | Phase::BeingCanceled => Place::Held,
        Phase::Queued | Phase::WaitingRetry | Phase::Suspended => {
            if task.run.due_at <= now {
                Place::Ready
            } else {
                Place::Waiting
            }
        }
        Phase::Absent
        | Phase::Canceled
        | Phase::Failed
        | Phase::Completed
        | Phase::Acknowledged => Place::Rest,
    }
}

/// Whether a schedule, or the end of a child, has made a run ready, so that it can be claimed
/// along.
pub(crate) fn is_made_ready(event: &Event, applied: &Applied, now: Timestamp) -> bool {
    let is_ready = |task| of(task, now) == Place::Ready;
    matches!(event, Event::Schedule(_) | Event::Resume { .. })
        && applied.outcome == Outcome::Changed
        && applied.task.as_ref().is_some_and(is_ready)
}

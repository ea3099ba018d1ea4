//! Moves one stored task to its next status. Every status change in the host goes through here.
//!
//! # Guarantees
//! 1. The new status is what [`taskhost_model::status::Phase::next`] allows, or nothing is
//!    written.
//! 2. An event of another run or lease changes nothing: its writer is fenced.
//! 3. An event that was applied before is recognized: a repeated write is harmless.
//!
//! # How it works
//! [`decide`] is pure: from the stored document (or none) and the event it makes the document
//! to write. A backend reads, decides and writes in one atomic unit of its own.
//!
//! # Why not let each backend update in place
//! SQL and scripts would hold a second copy of the rules. The price is one read a change; a
//! task changes a handful of times in its life.

mod due;
mod import;
mod scheduled;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use taskhost_model::error::{ErrorKind, TaskError};
use taskhost_model::former::FormerRun;
use taskhost_model::ids::TaskKey;
use taskhost_model::status::{Next, Phase, Refusal, Trigger};
use taskhost_model::task::{Fence, Task};
use taskhost_model::time::Timestamp;

use crate::event::{Claim, Event, Outcome, RunEvent, RunReport};
use due::{back_to_queue, suspended, wait_until};
use scheduled::{is_promised, schedule};

/// What a backend has to do.
#[derive(Debug)]
pub enum Decision {
    /// Write this document, and these texts beside it.
    Write(Box<Write>),
    /// Write nothing.
    Nothing(Outcome),
}

/// A document to write.
#[derive(Debug)]
pub struct Write {
    /// The whole document.
    pub task: Task,
    /// Params, when the task is scheduled; an empty task has none.
    pub params: TextChange,
    /// The result.
    pub payload: TextChange,
    /// The run's log.
    pub log: TextChange,
    /// Whether the task's checkpoints end with this.
    pub ends_checkpoints: bool,
    /// Whether its recordings do.
    pub ends_recordings: bool,
    /// The run that another one takes the place of; its log stays with it.
    pub former: Option<Box<FormerRun>>,
    /// Whether all of its former runs go.
    pub ends_history: bool,
}

impl Write {
    /// A document of which nothing else changes.
    fn of(task: Task) -> Self {
        Self {
            task,
            params: TextChange::Keep,
            payload: TextChange::Keep,
            log: TextChange::Keep,
            ends_checkpoints: false,
            ends_recordings: false,
            former: None,
            ends_history: false,
        }
    }
}

/// What happens to a text that lies apart from the document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TextChange {
    /// Stays as it is.
    Keep,
    /// Goes.
    Clear,
    /// Is replaced.
    Set(Arc<str>),
    /// Is added at the end.
    Append(Arc<str>),
}

/// What `event` makes of the document `current`.
#[must_use]
pub fn decide(key: &TaskKey, current: Option<&Task>, event: &Event, now: Timestamp) -> Decision {
    match event {
        Event::Schedule(run) => schedule(key, current, run, now),
        Event::Claim(claim) => match current {
            Some(task) => take(task, claim, now),
            None => refused(Refusal::Absent),
        },
        Event::Cancel { if_version, .. }
        | Event::Acknowledge { if_version, .. }
        | Event::Delete { if_version }
            if !has_version(current, *if_version) =>
        {
            Decision::Nothing(Outcome::VersionMismatch)
        }
        Event::Cancel { by, reason, .. } => match current {
            Some(task) => cancel(task, by, reason.as_deref(), now),
            None => Decision::Nothing(Outcome::Unchanged),
        },
        Event::Acknowledge { by, .. } => match current {
            Some(task) => acknowledge(task, by, now),
            None => refused(Refusal::NotCompleted),
        },
        Event::Delete { .. } => match current {
            Some(task) => delete(task, now),
            None => refused(Refusal::Absent),
        },
        Event::Run { fence, event } => match current {
            Some(task) => run_speaks(task, *fence, event, now),
            None => Decision::Nothing(Outcome::Fenced),
        },
        Event::HostLost { fence, crashes_max } => match current {
            Some(task) => host_lost(task, *fence, *crashes_max, now),
            None => Decision::Nothing(Outcome::Fenced),
        },
        Event::PreviousEnded { fence } => match current {
            Some(task) => previous_ended(task, *fence),
            None => Decision::Nothing(Outcome::Unchanged),
        },
        Event::Resume { run } => match current.and_then(|task| due::resumed(task, *run, now)) {
            Some(task) => write(task),
            None => Decision::Nothing(Outcome::Unchanged),
        },
        Event::Import(imported) => match current {
            Some(_) => Decision::Nothing(Outcome::Unchanged),
            None => import::import(key, imported, now),
        },
        Event::Overdue { due_before, limit } => {
            match current.and_then(|task| overdue(task, *due_before, limit, now)) {
                Some(task) => write(task),
                None => Decision::Nothing(Outcome::Unchanged),
            }
        }
        Event::Expire { unmarked_before } => current
            .map_or(Decision::Nothing(Outcome::Unchanged), |task| {
                expire(task, *unmarked_before, now)
            }),
    }
}

/// Whether the visible task has the version that the caller holds; no version: always.
fn has_version(current: Option<&Task>, wanted: Option<u64>) -> bool {
    let visible = current.filter(|task| task.deleted_at.is_none());
    wanted.is_none_or(|version| visible.map_or(0, |task| task.version) == version)
}

fn take(task: &Task, claim: &Claim, now: Timestamp) -> Decision {
    let free = task.previous.is_empty() && task.run.due_at <= now;
    let Next::To(phase) = task.phase().next(Trigger::Claim) else {
        return refused(Refusal::NotExpected);
    };
    if !free {
        return refused(Refusal::NotExpected);
    }
    let mut next = moved(task, phase, now);
    let run = &mut next.run;
    run.lease_number += 1;
    run.host = Some(claim.host.clone());
    run.incarnation = Some(claim.incarnation);
    if run.digest.is_none() {
        run.digest = Some(claim.digest.clone());
        run.wall_ms = Some(claim.wall_ms);
    }
    run.started_at = Some(now);
    if run.deadline_at.is_none() {
        let type_ms = run.wall_ms.unwrap_or(claim.wall_ms);
        let wall_ms = run.timeout_ms.unwrap_or(u64::MAX).min(type_ms);
        run.deadline_at = Some(now.plus(std::time::Duration::from_millis(wall_ms)));
    }
    // Only the run's state moves: readers that wait for a status are not woken by a claim.
    next.version = task.version;
    write(next)
}

fn cancel(task: &Task, by: &str, reason: Option<&str>, now: Timestamp) -> Decision {
    let phase = match task.phase().next(Trigger::Cancel) {
        Next::To(phase) => phase,
        Next::Same => return Decision::Nothing(Outcome::Unchanged),
        Next::Refused(refusal) => return refused(refusal),
    };
    let mut next = moved(task, phase, now);
    next.canceled_by = Some(by.to_owned());
    next.run.cancel_requested_at = Some(now);
    next.run.cancel_reason = reason.map(str::to_owned);
    write(next)
}

fn acknowledge(task: &Task, by: &str, now: Timestamp) -> Decision {
    match task.phase().next(Trigger::Acknowledge) {
        Next::To(phase) => {
            let mut next = moved(task, phase, now);
            next.acknowledged_by = Some(by.to_owned());
            write(next)
        }
        Next::Same => Decision::Nothing(Outcome::Unchanged),
        Next::Refused(refusal) => refused(refusal),
    }
}

/// The tombstone is the document itself, emptied. A run that has not ended stays in `previous`
/// until its guest is gone, so that it cannot bring the document back.
fn delete(task: &Task, now: Timestamp) -> Decision {
    if let Next::Refused(refusal) = task.phase().next(Trigger::Delete) {
        return refused(refusal);
    }
    let mut next = task.clone();
    next.previous.extend(task.lease());
    next.deleted_at = Some(now);
    next.version += 1;
    next.revision += 1;
    next.run.state = None;
    next.run.checkpoints_of = None;
    next.progress = None;
    next.usage = None;
    next.error = None;
    next.receipt.take_if(|_| !is_promised(task, now));
    Decision::Write(Box::new(Write {
        params: TextChange::Clear,
        payload: TextChange::Clear,
        log: TextChange::Clear,
        ends_checkpoints: true,
        ends_recordings: true,
        ends_history: true,
        ..Write::of(next)
    }))
}

/// It is deleted, or, where it was deleted before, its promise ends.
fn expire(task: &Task, unmarked_before: Timestamp, now: Timestamp) -> Decision {
    let is_over = match (task.expires_at, task.ended_at()) {
        (Some(at), _) => at <= now,
        (None, Some(ended_at)) => ended_at < unmarked_before,
        (None, None) => false,
    };
    if !is_over {
        return Decision::Nothing(Outcome::Unchanged);
    }
    if task.deleted_at.is_none() {
        return delete(task, now);
    }
    let mut next = task.clone();
    next.receipt = None;
    write(next)
}

/// It fails because nobody began it in time.
fn overdue(task: &Task, due_before: Timestamp, limit: &str, now: Timestamp) -> Option<Task> {
    let Next::To(phase) = task.phase().next(Trigger::Overdue) else {
        return None;
    };
    if task.run.due_at >= due_before {
        return None;
    }
    let mut next = moved(task, phase, now);
    let message = format!(
        "it was due at {}, and no host began it within {limit}: see why tasks wait \
         (`run.waiting_for`), then run it again with `taskhost retry`",
        task.run.due_at
    );
    next.error = Some(TaskError::of(ErrorKind::QueueTimeout, message));
    Some(next)
}

fn run_speaks(task: &Task, fence: Fence, event: &RunEvent, now: Timestamp) -> Decision {
    if task.fence() != fence || task.deleted_at.is_some() {
        return Decision::Nothing(Outcome::Fenced);
    }
    let (trigger, report) = said(event);
    let Some(trigger) = trigger else {
        return progress(task, report);
    };
    let Next::To(phase) = task.phase().next(trigger) else {
        return Decision::Nothing(Outcome::Repeated);
    };
    let mut next = moved(task, phase, now);
    take_report(&mut next, report);
    let mut payload = TextChange::Keep;
    match event {
        RunEvent::Completed {
            payload: result, ..
        } if phase == Phase::Completed => {
            payload = TextChange::Set(Arc::clone(result));
            next.error = None;
        }
        RunEvent::Failed {
            error, retry_at, ..
        } if phase != Phase::Canceled => {
            next.error = Some(error.clone());
            if let Some(at) = retry_at {
                next.run.attempt += 1;
                wait_until(&mut next.run, *at);
            }
        }
        RunEvent::Paused { error, until, .. } if phase != Phase::Canceled => {
            next.error = Some(error.clone());
            next.run.pauses += 1;
            wait_until(&mut next.run, *until);
        }
        RunEvent::Suspended {
            suspension, until, ..
        } if phase == Phase::Suspended => {
            suspended(&mut next.run, suspension, *until);
        }
        RunEvent::Stopped { .. } if phase == Phase::Failed => {
            next.error = Some(TaskError::of(
                ErrorKind::Internal,
                "stopped without a cancel",
            ));
        }
        RunEvent::HandedBack { .. } if phase == Phase::Queued => back_to_queue(&mut next.run, now),
        _ => next.error = None,
    }
    let log = report
        .log
        .clone()
        .map_or(TextChange::Keep, TextChange::Append);
    Decision::Write(Box::new(Write {
        payload,
        log,
        ends_checkpoints: phase == Phase::Completed,
        ..Write::of(next)
    }))
}

/// What it triggers, if it is an end, and what is reported with it.
fn said(event: &RunEvent) -> (Option<Trigger>, &RunReport) {
    let (trigger, report) = match event {
        RunEvent::Progress(report) => return (None, report),
        RunEvent::Completed { end, .. } => (Trigger::Complete, end),
        RunEvent::Failed {
            retry_at: None,
            end,
            ..
        } => (Trigger::Fail, end),
        RunEvent::Failed {
            retry_at: Some(_),
            end,
            ..
        } => (Trigger::Retry, end),
        RunEvent::Paused { end, .. } => (Trigger::Retry, end),
        RunEvent::Suspended { end, .. } => (Trigger::Suspend, end),
        RunEvent::HandedBack { end } => (Trigger::HandBack, end),
        RunEvent::Stopped { end } => (Trigger::Stop, end),
    };
    (Some(trigger), report)
}

fn progress(task: &Task, report: &RunReport) -> Decision {
    if !matches!(task.phase(), Phase::Running | Phase::BeingCanceled) {
        return Decision::Nothing(Outcome::Repeated);
    }
    let mut next = task.clone();
    take_report(&mut next, report);
    next.revision += 1;
    let log = report
        .log
        .clone()
        .map_or(TextChange::Keep, TextChange::Append);
    Decision::Write(Box::new(Write {
        log,
        ..Write::of(next)
    }))
}

fn take_report(task: &mut Task, report: &RunReport) {
    if report.started_at.is_some() {
        task.run.started_at = report.started_at;
    }
    if report.progress.is_some() {
        task.progress.clone_from(&report.progress);
    }
    if report.usage.is_some() {
        task.usage = report.usage;
    }
}

fn host_lost(task: &Task, fence: Fence, crashes_max: u32, now: Timestamp) -> Decision {
    if task.deleted_at.is_some() || task.fence() != fence {
        return previous_ended(task, fence);
    }
    let crashes = task.run.crashes + 1;
    let for_good = crashes >= crashes_max;
    let trigger = if for_good {
        Trigger::HostLostForGood
    } else {
        Trigger::HostLost
    };
    let Next::To(phase) = task.phase().next(trigger) else {
        return Decision::Nothing(Outcome::Repeated);
    };
    let mut next = moved(task, phase, now);
    next.run.crashes = crashes;
    match phase {
        Phase::Queued => back_to_queue(&mut next.run, now),
        Phase::Failed => {
            let message = format!(
                "the host stopped {crashes} times while it ran this task, so it is not tried \
                 again: look at the host's log, then schedule the task anew"
            );
            next.error = Some(TaskError::of(ErrorKind::HostLost, message));
        }
        _ => {}
    }
    write(next)
}

fn previous_ended(task: &Task, fence: Fence) -> Decision {
    if task.previous.iter().all(|lease| lease.fence != fence) {
        return Decision::Nothing(Outcome::Unchanged);
    }
    let mut next = task.clone();
    next.previous.retain(|lease| lease.fence != fence);
    write(next)
}

/// The document in its next phase, with the times that go with it.
fn moved(task: &Task, phase: Phase, now: Timestamp) -> Task {
    let mut next = task.clone();
    next.status = phase.status();
    next.run.state = phase.run_state();
    next.version += 1;
    next.revision += 1;
    match phase {
        Phase::Completed => next.last_completed_at = Some(now),
        Phase::Failed => next.last_failed_at = Some(now),
        Phase::Canceled => next.last_canceled_at = Some(now),
        Phase::Acknowledged => next.last_acknowledged_at = Some(now),
        Phase::Absent
        | Phase::Queued
        | Phase::Running
        | Phase::WaitingRetry
        | Phase::Suspended
        | Phase::BeingCanceled => {}
    }
    next
}

fn write(task: Task) -> Decision {
    Decision::Write(Box::new(Write::of(task)))
}

fn refused(refusal: Refusal) -> Decision {
    Decision::Nothing(Outcome::Refused(refusal))
}

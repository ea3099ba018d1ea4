//! What a schedule makes of a task.

use std::sync::Arc;

use taskhost_model::former::FormerRun;
use taskhost_model::ids::TaskKey;
use taskhost_model::receipt::Receipt;
use taskhost_model::status::{Next, Phase, Status, Trigger};
use taskhost_model::task::Task;
use taskhost_model::time::Timestamp;

use super::due::queued_run;
use super::{Decision, TextChange, Write, has_version, refused};
use crate::event::{NewRun, Outcome, WriteCondition};

pub(super) fn schedule(
    key: &TaskKey,
    current: Option<&Task>,
    new: &NewRun,
    now: Timestamp,
) -> Decision {
    if let Some(task) = current.filter(|task| task.run.id == new.id) {
        let repeated = task.deleted_at.is_none();
        return Decision::Nothing(if repeated {
            Outcome::Repeated
        } else {
            Outcome::Fenced
        });
    }
    let visible = current.filter(|task| task.deleted_at.is_none());
    if !may_take_its_place(current, new, now) {
        return Decision::Nothing(Outcome::VersionMismatch);
    }
    match current
        .map_or(Phase::Absent, Task::phase)
        .next(Trigger::Schedule)
    {
        Next::To(_) => {}
        Next::Same => return Decision::Nothing(Outcome::Unchanged),
        Next::Refused(refusal) => return refused(refusal),
    }
    // Versions start at the time, so that a task that was deleted and made again does not
    // repeat one that somebody may still hold.
    let first = u64::try_from(now.as_ms()).unwrap_or(1).max(1);
    let last = |pick: fn(&Task) -> Option<Timestamp>| visible.and_then(pick);
    let receipt = new.receipt.clone().map(|body| Receipt {
        body,
        run: new.id,
        at: now,
    });
    let kept = visible.filter(|task| new.keeps_checkpoints && !is_completed(task));
    let mut run = queued_run(new, current.map_or(0, |task| task.run.lease_number));
    run.checkpoints_of = kept.map(|task| task.run.keeper());
    let task = Task {
        id: key.id.clone(),
        type_id: new.type_id.clone(),
        space: key.space.clone(),
        stream: new.stream.clone(),
        also_reads: new.also_reads.clone(),
        status: Status::InProgress,
        created_at: now,
        last_completed_at: last(|task| task.last_completed_at),
        last_acknowledged_at: last(|task| task.last_acknowledged_at),
        last_canceled_at: last(|task| task.last_canceled_at),
        last_failed_at: last(|task| task.last_failed_at),
        parent: new.parent.clone(),
        concurrency_key: new.concurrency_key.clone(),
        record: new.record,
        requested_by: new.requested_by.clone(),
        canceled_by: None,
        acknowledged_by: None,
        version: current.map_or(first, |task| task.version + 1),
        revision: current.map_or(first, |task| task.revision + 1),
        deleted_at: None,
        previous: current
            .map(|task| task.previous.clone())
            .unwrap_or_default(),
        run,
        expires_at: None,
        receipt: receipt.or_else(|| visible.and_then(|task| task.receipt.clone())),
        progress: None,
        usage: None,
        error: None,
    };
    Decision::Write(Box::new(Write {
        params: TextChange::Set(Arc::clone(&new.params)),
        payload: TextChange::Clear,
        log: TextChange::Clear,
        ends_checkpoints: kept.is_none(),
        ends_recordings: true,
        former: visible.map(|task| Box::new(FormerRun::of(task))),
        ..Write::of(task)
    }))
}

/// Whether what is there is what the writer expects.
fn may_take_its_place(current: Option<&Task>, new: &NewRun, now: Timestamp) -> bool {
    match new.condition {
        None => true,
        Some(WriteCondition::Absent) => {
            let is_absent = current.is_none_or(|task| task.deleted_at.is_some());
            // What a key has made counts also when it was deleted.
            let promised = current.is_some_and(|task| is_promised(task, now));
            is_absent && !(new.receipt.is_some() && promised)
        }
        Some(WriteCondition::Version(version)) => has_version(current, Some(version)),
    }
}

/// Its checkpoints have ended with it.
fn is_completed(task: &Task) -> bool {
    matches!(task.phase(), Phase::Completed | Phase::Acknowledged)
}

/// Whether it is still promised what its key has made.
pub(super) fn is_promised(task: &Task, now: Timestamp) -> bool {
    let receipt = task.receipt.as_ref();
    receipt.is_some_and(|it| it.at.plus(Receipt::COUNTS_FOR) > now)
}

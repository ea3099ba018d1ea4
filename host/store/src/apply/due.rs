//! When a run is to be claimed next.

use taskhost_model::ids::RunId;
use taskhost_model::status::{Phase, RunState};
use taskhost_model::task::{Run, Suspension, Task, rank};
use taskhost_model::time::Timestamp;

use crate::event::NewRun;

pub(super) fn queued_run(new: &NewRun, lease_number: u64) -> Run {
    Run {
        id: new.id,
        attempt: 1,
        max_attempts: new.max_attempts.max(1),
        state: Some(RunState::Queued),
        priority: new.priority,
        due_at: new.due_at,
        rank: rank(new.due_at, new.priority),
        started_at: None,
        deadline_at: None,
        timeout_ms: new.timeout_ms,
        wall_ms: None,
        lease_number,
        host: None,
        incarnation: None,
        digest: None,
        key: new.key,
        trace: new.trace,
        cancel_requested_at: None,
        cancel_reason: None,
        crashes: 0,
        pauses: 0,
        suspension: None,
        checkpoints_of: None,
    }
}

/// The next claim is the first one that its deadline counts from.
pub(super) fn wait_until(run: &mut Run, at: Timestamp) {
    run.due_at = at;
    run.rank = rank(at, run.priority);
    run.deadline_at = None;
    run.suspension = None;
}

/// The same attempt, at the place in the queue that it would have now.
pub(super) fn back_to_queue(run: &mut Run, now: Timestamp) {
    run.due_at = now;
    run.rank = rank(now, run.priority);
}

/// The same attempt, with what it has left of its time.
pub(super) fn suspended(run: &mut Run, suspension: &Suspension, until: Timestamp) {
    run.suspension = Some(suspension.clone());
    run.due_at = until;
    run.rank = rank(until, run.priority);
}

/// The document of a suspended run that need not wait any longer; none where it is not that run,
/// or due already.
pub(super) fn resumed(task: &Task, run: RunId, now: Timestamp) -> Option<Task> {
    let waits = task.run.id == run && task.phase() == Phase::Suspended && task.run.due_at > now;
    waits.then(|| {
        let mut next = task.clone();
        back_to_queue(&mut next.run, now);
        // Its status is the same: readers that wait for another one are not woken.
        next.revision += 1;
        next
    })
}

//! When a reader is shown `stale` instead of `in_progress`.
//!
//! A run is live unless it is running on a host that is lost. What waits in the queue is never
//! stale, and a healthy run never is, however long it takes: that is what Kibana, which counts
//! from the scheduling, gets wrong.

use std::time::Duration;

use crate::status::{Phase, Status};
use crate::task::Task;
use crate::time::Timestamp;

/// The status that a reader is shown. `not_live_since` is when the run's host was lost; `None`
/// while the run is live. Stale is *strictly* longer than `stale_after`.
#[must_use]
pub fn shown_status(
    task: &Task,
    not_live_since: Option<Timestamp>,
    stale_after: Duration,
    now: Timestamp,
) -> Status {
    match (task.phase(), not_live_since) {
        (Phase::Running, Some(since)) if now.since(since) > stale_after => Status::Stale,
        (phase, _) => phase.status(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{RunId, Space, TaskId, TypeId};
    use crate::status::RunState;
    use crate::task::Run;

    fn task(state: Option<RunState>, status: Status) -> Task {
        let at = Timestamp::from_ms(0);
        Task {
            id: TaskId::parse("t").unwrap(),
            type_id: TypeId::parse("hello").unwrap(),
            space: Space::parse("default").unwrap(),
            stream: None,
            also_reads: Vec::new(),
            status,
            created_at: at,
            last_completed_at: None,
            last_acknowledged_at: None,
            last_canceled_at: None,
            last_failed_at: None,
            parent: None,
            concurrency_key: None,
            record: false,
            requested_by: "somebody".to_owned(),
            canceled_by: None,
            acknowledged_by: None,
            version: 1,
            revision: 1,
            deleted_at: None,
            previous: Vec::new(),
            run: Run {
                id: RunId::new(),
                attempt: 1,
                max_attempts: 1,
                state,
                priority: 0,
                due_at: at,
                rank: 0,
                started_at: None,
                deadline_at: None,
                timeout_ms: None,
                wall_ms: None,
                trace: None,
                lease_number: 0,
                host: None,
                incarnation: None,
                digest: None,
                key: None,
                cancel_requested_at: None,
                cancel_reason: None,
                crashes: 0,
                pauses: 0,
                suspension: None,
                checkpoints_of: None,
            },
            expires_at: None,
            receipt: None,
            progress: None,
            usage: None,
            error: None,
        }
    }

    #[test]
    fn stale_is_strict_and_only_for_runs_that_are_not_live() {
        let after = Duration::from_secs(300);
        let lost = Some(Timestamp::from_ms(0));
        let running = task(Some(RunState::Running), Status::InProgress);
        let at = |ms| Timestamp::from_ms(ms);
        assert_eq!(
            shown_status(&running, lost, after, at(300_000)),
            Status::InProgress
        );
        assert_eq!(
            shown_status(&running, lost, after, at(300_001)),
            Status::Stale
        );
        assert_eq!(
            shown_status(&running, None, after, at(i64::MAX)),
            Status::InProgress
        );
        let queued = task(Some(RunState::Queued), Status::InProgress);
        assert_eq!(
            shown_status(&queued, lost, after, at(i64::MAX)),
            Status::InProgress
        );
        let canceling = task(None, Status::BeingCanceled);
        assert_eq!(
            shown_status(&canceling, lost, after, at(i64::MAX)),
            Status::BeingCanceled
        );
    }
}

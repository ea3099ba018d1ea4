//! What a run says and what comes of it: fences, repeated events, retries, lost hosts.

use std::sync::Arc;
use std::time::Duration;

use taskhost_model::error::{ErrorKind, TaskError};
use taskhost_model::status::{RunState, Status};
use taskhost_model::task::{Fence, Suspension, Usage};

use super::Subject;
use super::given::{at, cancel, key, no_report, progress};
use crate::error::StoreError;
use crate::event::{Event, Outcome, RunEvent, RunReport};

fn completed(payload: &str) -> RunEvent {
    RunEvent::Completed {
        payload: Arc::from(payload),
        end: no_report(),
    }
}

pub(super) fn failed(retry_at_ms: Option<i64>) -> RunEvent {
    RunEvent::Failed {
        error: TaskError::of(ErrorKind::Task, "no luck"),
        retry_at: retry_at_ms.map(at),
        end: no_report(),
    }
}

fn paused(until_ms: i64) -> RunEvent {
    RunEvent::Paused {
        error: TaskError::of(ErrorKind::Task, "later"),
        until: at(until_ms),
        end: no_report(),
    }
}

/// Every way in which a run can end.
fn every_end(retry_at_ms: i64) -> [RunEvent; 7] {
    [
        completed("{}"),
        failed(None),
        failed(Some(retry_at_ms)),
        paused(retry_at_ms),
        RunEvent::Suspended {
            suspension: Suspension {
                wait: "for all".to_owned(),
                until: at(retry_at_ms),
                times: 1,
                ids: Vec::new(),
            },
            until: at(retry_at_ms),
            end: no_report(),
        },
        RunEvent::HandedBack { end: no_report() },
        RunEvent::Stopped { end: no_report() },
    ]
}

pub(super) async fn every_report_of_a_run_is_written(s: &Subject) -> Result<(), StoreError> {
    let fence = s.running("t").await?;
    let report = RunReport {
        started_at: Some(at(s.now().as_ms() + 1)),
        ..progress(3)
    };
    s.says("t", fence, RunEvent::Progress(report.clone()))
        .await?;
    let task = s.task("t").await?;
    assert_eq!(
        (task.run.started_at, &task.progress),
        (report.started_at, &report.progress)
    );
    let usage = Usage {
        attempt: 1,
        cpu_ms: 1,
        host_wait_ms: 2,
        peak_memory_bytes: 3,
        host_calls: 4,
        http_requests: 5,
        tokens: 6,
    };
    let end = RunReport {
        usage: Some(usage),
        ..progress(9)
    };
    let payload = Arc::from("{}");
    s.says("t", fence, RunEvent::Completed { payload, end })
        .await?;
    let task = s.task("t").await?;
    assert_eq!((task.status, task.usage), (Status::Completed, Some(usage)));
    assert_eq!(task.progress.map(|progress| progress.done), Some(9));
    assert_eq!(
        (task.run.state, task.last_completed_at),
        (None, Some(s.now()))
    );
    Ok(())
}

pub(super) async fn a_late_writer_is_fenced(s: &Subject) -> Result<(), StoreError> {
    let first = s.running("t").await?;
    s.says("t", first, RunEvent::HandedBack { end: no_report() })
        .await?;
    let second = s.claim(1).await?[0].task.fence();
    assert_eq!(second.lease_number, first.lease_number + 1);
    let stored = s.task("t").await?;
    let other_run = Fence {
        run: s.run("hello").id,
        ..second
    };
    for fence in [first, other_run] {
        for event in every_end(0)
            .into_iter()
            .chain([RunEvent::Progress(progress(1))])
        {
            let applied = s.says("t", fence, event).await?;
            assert_eq!(applied.outcome, Outcome::Fenced);
            assert_eq!(applied.task.as_ref(), Some(&stored));
        }
    }
    let absent = s.says("absent", first, completed("{}")).await?;
    assert_eq!(absent.outcome, Outcome::Fenced);
    assert_eq!(s.task("t").await?, stored);
    s.completed("t", second, "{}").await?;
    Ok(())
}

pub(super) async fn an_end_that_is_repeated_is_recognized(s: &Subject) -> Result<(), StoreError> {
    let fence = s.running("t").await?;
    let task = s.completed("t", fence, r#"{"first":true}"#).await?;
    for event in every_end(0)
        .into_iter()
        .chain([RunEvent::Progress(progress(1))])
    {
        let again = s.says("t", fence, event).await?;
        assert_eq!(
            (again.outcome, again.task.as_ref()),
            (Outcome::Repeated, Some(&task))
        );
    }
    let read = s.stores.tasks.read(&key("t")).await?.expect("it is there");
    assert_eq!(read.payload.as_deref(), Some(r#"{"first":true}"#));
    Ok(())
}

pub(super) async fn a_canceled_run_ends_canceled_whatever_it_returns(
    s: &Subject,
) -> Result<(), StoreError> {
    for (number, end) in every_end(s.now().as_ms() + 10).into_iter().enumerate() {
        let id = format!("t{number}");
        let fence = s.running(&id).await?;
        s.apply(&id, cancel()).await?;
        let late = s.says(&id, fence, RunEvent::Progress(progress(5))).await?;
        assert_eq!(
            late.outcome,
            Outcome::Changed,
            "partial progress stays visible"
        );
        let ended = s.says(&id, fence, end).await?;
        assert_eq!(ended.outcome, Outcome::Changed);
        let read = s.stores.tasks.read(&key(&id)).await?.expect("it is there");
        assert_eq!((read.task.status, read.payload), (Status::Canceled, None));
        assert_eq!((read.task.error, read.task.run.state), (None, None));
        assert_eq!(read.task.progress.map(|progress| progress.done), Some(5));
    }
    let fence = s.running("lost").await?;
    s.apply("lost", cancel()).await?;
    s.apply(
        "lost",
        Event::HostLost {
            fence,
            crashes_max: 5,
        },
    )
    .await?;
    assert_eq!(s.task("lost").await?.status, Status::Canceled);
    s.wait_ms(1_000);
    assert!(s.claim(10).await?.is_empty());
    Ok(())
}

pub(super) async fn a_result_before_the_cancel_stays(s: &Subject) -> Result<(), StoreError> {
    let fence = s.running("t").await?;
    let task = s.completed("t", fence, "{}").await?;
    let late = s.apply("t", cancel()).await?;
    assert_eq!((late.outcome, late.task), (Outcome::Unchanged, Some(task)));
    Ok(())
}

pub(super) async fn a_failed_attempt_waits_and_runs_again(s: &Subject) -> Result<(), StoreError> {
    let first = s.running("t").await?;
    let retry_at = s.now().plus(Duration::from_millis(500));
    s.says("t", first, failed(Some(retry_at.as_ms()))).await?;
    let task = s.task("t").await?;
    assert_eq!(
        (task.status, task.run.state),
        (Status::InProgress, Some(RunState::WaitingRetry))
    );
    assert_eq!((task.run.attempt, task.run.due_at), (2, retry_at));
    assert_eq!(
        task.error.map(|error| error.message),
        Some("no luck".to_owned())
    );
    assert!(s.claim(1).await?.is_empty());
    assert_eq!(s.stores.tasks.next_due().await?, Some(retry_at));
    s.wait_ms(500);
    let claimed = s.claim(1).await?.remove(0).task;
    assert_eq!((claimed.run.attempt, claimed.run.id), (2, first.run));
    let deadline = s.now().plus(Duration::from_secs(60));
    assert_eq!(
        claimed.run.deadline_at,
        Some(deadline),
        "each attempt has its own"
    );
    s.says("t", claimed.fence(), failed(None)).await?;
    let task = s.task("t").await?;
    assert_eq!(
        (task.status, task.last_failed_at),
        (Status::Failed, Some(s.now()))
    );
    assert_eq!((task.run.attempt, task.run.state), (2, None));
    // Success leaves no error of an earlier attempt behind.
    let fence = s.running("t").await?;
    s.says("t", fence, failed(Some(s.now().as_ms()))).await?;
    let fence = s.claim(1).await?[0].task.fence();
    assert_eq!(s.completed("t", fence, "{}").await?.error, None);
    Ok(())
}

pub(super) async fn a_pause_costs_no_attempt(s: &Subject) -> Result<(), StoreError> {
    s.scheduled("t").await?;
    for pause in 1..=2 {
        let fence = s.claim(1).await?.remove(0).task.fence();
        let until = s.now().as_ms() + 10;
        s.says("t", fence, paused(until)).await?;
        let waiting = s.task("t").await?;
        assert_eq!(waiting.run.state, Some(RunState::WaitingRetry));
        assert_eq!((waiting.run.attempt, waiting.run.pauses), (1, pause));
        assert_eq!(
            (waiting.run.due_at, waiting.run.deadline_at),
            (at(until), None)
        );
        assert_eq!(
            waiting.error.map(|error| error.message),
            Some("later".to_owned())
        );
        assert!(s.claim(1).await?.is_empty(), "not before");
        s.wait_ms(10);
    }
    let again = s.claim(1).await?.remove(0).task;
    assert_eq!((again.run.attempt, again.run.pauses), (1, 2));
    assert!(
        again.run.deadline_at > Some(s.now()),
        "each has the whole time"
    );
    Ok(())
}

pub(super) async fn a_handed_back_run_keeps_its_attempt_and_deadline(
    s: &Subject,
) -> Result<(), StoreError> {
    let first = s.running("t").await?;
    let deadline_at = s.task("t").await?.run.deadline_at;
    s.wait_ms(1_000);
    s.says("t", first, RunEvent::HandedBack { end: progress(4) })
        .await?;
    let task = s.task("t").await?;
    assert_eq!(
        (task.status, task.run.state),
        (Status::InProgress, Some(RunState::Queued))
    );
    assert_eq!((task.run.attempt, task.run.crashes), (1, 0));
    let claimed = s.claim(1).await?.remove(0).task;
    assert_eq!(
        (claimed.run.attempt, claimed.run.deadline_at),
        (1, deadline_at)
    );
    assert_eq!(claimed.progress.map(|progress| progress.done), Some(4));
    Ok(())
}

pub(super) async fn a_lost_host_requeues_until_it_is_too_often(
    s: &Subject,
) -> Result<(), StoreError> {
    let mut fence = s.running("t").await?;
    for crash in 1..5 {
        let lost = Event::HostLost {
            fence,
            crashes_max: 5,
        };
        s.apply("t", lost.clone()).await?;
        let task = s.task("t").await?;
        assert_eq!(
            (task.status, task.run.state),
            (Status::InProgress, Some(RunState::Queued))
        );
        assert_eq!((task.run.crashes, task.run.attempt), (crash, 1));
        fence = s.claim(1).await?[0].task.fence();
        let again = s.apply("t", lost).await?;
        assert_ne!(
            again.outcome,
            Outcome::Changed,
            "the lost lease is not the current one"
        );
    }
    s.apply(
        "t",
        Event::HostLost {
            fence,
            crashes_max: 5,
        },
    )
    .await?;
    let task = s.task("t").await?;
    assert_eq!((task.status, task.run.crashes), (Status::Failed, 5));
    assert_eq!(
        task.error.map(|error| error.kind),
        Some(ErrorKind::HostLost)
    );
    assert!(s.claim(1).await?.is_empty());
    Ok(())
}

pub(super) async fn versions_and_revisions_tell_what_changed(
    s: &Subject,
) -> Result<(), StoreError> {
    let scheduled = s.scheduled("t").await?;
    let claimed = s.claim(1).await?.remove(0).task;
    assert_eq!(claimed.version, scheduled.version, "the status is the same");
    assert!(
        claimed.revision > scheduled.revision,
        "readers can see that it runs"
    );
    let fence = claimed.fence();
    s.says("t", fence, RunEvent::Progress(progress(1))).await?;
    let moved = s.task("t").await?;
    assert_eq!(moved.version, scheduled.version);
    assert!(moved.revision > claimed.revision);
    let done = s.completed("t", fence, "{}").await?;
    assert!(done.version > moved.version && done.revision > moved.revision);
    let again = s.scheduled("t").await?;
    assert!(again.version > done.version && again.revision > done.revision);
    assert!(
        again.run.lease_number >= fence.lease_number,
        "lease numbers grow over all runs"
    );
    Ok(())
}

pub(super) async fn reads_see_what_was_answered(s: &Subject) -> Result<(), StoreError> {
    assert!(s.stores.tasks.get(&key("t")).await?.is_none());
    for number in 0..30 {
        let id = format!("t{number}");
        let task = s.scheduled(&id).await?;
        assert_eq!(s.task(&id).await?, task);
        let claimed = s.claim(1).await?.remove(0);
        assert_eq!(s.task(&id).await?, claimed.task);
        let done = s.completed(&id, claimed.task.fence(), "[]").await?;
        let read = s.stores.tasks.read(&key(&id)).await?.expect("it is there");
        assert_eq!((read.task, read.payload.as_deref()), (done, Some("[]")));
    }
    Ok(())
}

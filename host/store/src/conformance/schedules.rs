//! What people do to a task: schedule, cancel, acknowledge, delete (`TaskStore` 1, and the
//! guarantees of `apply`).

use taskhost_model::status::{Refusal, RunState, Status};

use super::Subject;
use super::given::{acknowledge, cancel, delete, key};
use crate::conformance::given::{no_report, progress};
use crate::error::StoreError;
use crate::event::{Event, Outcome, RunEvent, WriteCondition};

pub(super) async fn of_many_writers_one_schedules(s: &Subject) -> Result<(), StoreError> {
    s.has_component('a').await?;
    let writers = (0..40).map(|_| {
        let (s, run) = (s.clone(), s.run("hello"));
        tokio::spawn(async move { s.apply("t", Event::Schedule(Box::new(run))).await })
    });
    let writers: Vec<_> = writers.collect();
    let mut outcomes = Vec::new();
    for writer in writers {
        outcomes.push(writer.await.expect("no writer panics")?.outcome);
    }
    let count = |wanted| {
        outcomes
            .iter()
            .filter(|outcome| **outcome == wanted)
            .count()
    };
    assert_eq!(
        (count(Outcome::Changed), count(Outcome::Unchanged)),
        (1, 39)
    );
    let fence = s.claim(1).await?[0].task.fence();
    let before = s.task("t").await?.revision;
    let reports = (0..40).map(|done| {
        let s = s.clone();
        let event = RunEvent::Progress(progress(done));
        tokio::spawn(async move { s.says("t", fence, event).await })
    });
    for report in reports.collect::<Vec<_>>() {
        assert_eq!(
            report.await.expect("no writer panics")?.outcome,
            Outcome::Changed
        );
    }
    assert_eq!(
        s.task("t").await?.revision,
        before + 40,
        "no write was lost"
    );
    Ok(())
}

pub(super) async fn a_schedule_that_is_repeated_is_recognized(
    s: &Subject,
) -> Result<(), StoreError> {
    let run = s.run("hello");
    let first = s.schedule("t", run.clone()).await?;
    let again = s.apply("t", Event::Schedule(Box::new(run.clone()))).await?;
    assert_eq!(
        (again.outcome, again.task),
        (Outcome::Repeated, Some(first))
    );
    // Also when the run has ended since.
    let fence = s.claim(1).await?[0].task.fence();
    s.completed("t", fence, "{}").await?;
    let again = s.apply("t", Event::Schedule(Box::new(run.clone()))).await?;
    assert_eq!(again.outcome, Outcome::Repeated);
    assert_eq!(s.task("t").await?.status, Status::Completed);
    // Deleted since: it does not come back to life.
    s.apply("t", delete()).await?;
    let again = s.apply("t", Event::Schedule(Box::new(run))).await?;
    assert_eq!(again.outcome, Outcome::Fenced);
    assert!(s.stores.tasks.get(&key("t")).await?.is_none());
    Ok(())
}

pub(super) async fn a_live_run_is_left_alone(s: &Subject) -> Result<(), StoreError> {
    let first = s.scheduled("t").await?;
    let other = s
        .apply("t", Event::Schedule(Box::new(s.run("other"))))
        .await?;
    assert_eq!(
        (other.outcome, other.task),
        (Outcome::Unchanged, Some(first))
    );
    s.claim(1).await?;
    let other = s
        .apply("t", Event::Schedule(Box::new(s.run("other"))))
        .await?;
    assert_eq!(other.outcome, Outcome::Unchanged);
    s.apply("t", cancel()).await?;
    let other = s
        .apply("t", Event::Schedule(Box::new(s.run("other"))))
        .await?;
    let refused = Outcome::Refused(Refusal::CancellationInProgress);
    assert_eq!(other.outcome, refused);
    Ok(())
}

pub(super) async fn what_was_done_before_is_kept(s: &Subject) -> Result<(), StoreError> {
    let fence = s.running("t").await?;
    s.says("t", fence, RunEvent::Progress(progress(7))).await?;
    s.completed("t", fence, r#"{"a":1}"#).await?;
    let done = s
        .apply("t", acknowledge())
        .await?
        .task
        .expect("it is there");
    s.wait_ms(1_000);
    let mut run = s.run("other");
    run.priority = 3;
    let again = s.schedule("t", run.clone()).await?;
    assert_eq!(again.last_completed_at, done.last_completed_at);
    assert_eq!(again.last_acknowledged_at, done.last_acknowledged_at);
    assert!(again.last_completed_at.is_some() && again.last_acknowledged_at.is_some());
    assert_eq!((again.created_at, again.type_id), (s.now(), run.type_id));
    assert_eq!((again.run.id, again.run.priority), (run.id, 3));
    assert_eq!(
        (again.progress, again.error, again.acknowledged_by),
        (None, None, None)
    );
    let read = s.stores.tasks.read(&key("t")).await?.expect("it is there");
    assert_eq!((&*read.params, read.payload), ("{}", None));
    Ok(())
}

pub(super) async fn a_schedule_may_want_absence_or_a_version(
    s: &Subject,
) -> Result<(), StoreError> {
    let wanting = |condition| {
        let mut run = s.run("hello");
        run.condition = Some(condition);
        Event::Schedule(Box::new(run))
    };
    let wrong = s.apply("t", wanting(WriteCondition::Version(1))).await?;
    assert_eq!(
        (wrong.outcome, wrong.task),
        (Outcome::VersionMismatch, None)
    );
    let first = s.apply("t", wanting(WriteCondition::Version(0))).await?;
    assert_eq!(
        first.outcome,
        Outcome::Changed,
        "0 is the version of what is absent"
    );
    s.apply("t", cancel()).await?;
    let present = s.apply("t", wanting(WriteCondition::Absent)).await?;
    assert_eq!(present.outcome, Outcome::VersionMismatch);
    let version = s.task("t").await?.version;
    let right = s
        .apply("t", wanting(WriteCondition::Version(version)))
        .await?;
    assert_eq!(right.outcome, Outcome::Changed);
    s.apply("t", cancel()).await?;
    s.apply("t", delete()).await?;
    let absent = s.apply("t", wanting(WriteCondition::Absent)).await?;
    assert_eq!(absent.outcome, Outcome::Changed, "a tombstone is absent");
    Ok(())
}

pub(super) async fn changes_may_want_a_version(s: &Subject) -> Result<(), StoreError> {
    let changes = |if_version| {
        let by = "somebody".to_owned();
        [
            Event::Acknowledge {
                by: by.clone(),
                if_version,
            },
            Event::Cancel {
                by,
                reason: None,
                if_version,
            },
            Event::Delete { if_version },
        ]
    };
    let version = s.scheduled("t").await?.version;
    for event in changes(Some(version + 1)) {
        assert_eq!(s.apply("t", event).await?.outcome, Outcome::VersionMismatch);
    }
    let [acknowledge, cancel, delete] = changes(Some(version));
    let not_completed = Outcome::Refused(Refusal::NotCompleted);
    assert_eq!(s.apply("t", acknowledge).await?.outcome, not_completed);
    let canceled = s.apply("t", cancel).await?;
    assert_eq!(canceled.outcome, Outcome::Changed);
    assert_eq!(
        s.apply("t", delete).await?.outcome,
        Outcome::VersionMismatch
    );
    let version = canceled.task.map(|task| task.version);
    let deleted = s
        .apply(
            "t",
            Event::Delete {
                if_version: version,
            },
        )
        .await?;
    assert_eq!(deleted.outcome, Outcome::Changed);
    let absent = s
        .apply(
            "t",
            Event::Delete {
                if_version: version,
            },
        )
        .await?;
    assert_eq!(absent.outcome, Outcome::VersionMismatch);
    Ok(())
}

pub(super) async fn a_cancel_ends_what_waits_and_asks_what_runs(
    s: &Subject,
) -> Result<(), StoreError> {
    let absent = s.apply("t", cancel()).await?;
    assert_eq!((absent.outcome, absent.task), (Outcome::Unchanged, None));
    s.scheduled("t").await?;
    let canceled = s.apply("t", cancel()).await?.task.expect("it is there");
    assert_eq!(
        (canceled.status, canceled.last_canceled_at),
        (Status::Canceled, Some(s.now()))
    );
    assert_eq!(canceled.canceled_by.as_deref(), Some("somebody"));
    assert!(s.claim(1).await?.is_empty());
    s.running("u").await?;
    let asked = s.apply("u", cancel()).await?.task.expect("it is there");
    assert_eq!(
        (asked.status, asked.run.state),
        (Status::BeingCanceled, None)
    );
    assert_eq!(asked.run.cancel_reason.as_deref(), Some("no longer needed"));
    assert_eq!(asked.run.cancel_requested_at, Some(s.now()));
    let again = s.apply("u", cancel()).await?;
    assert_eq!(
        (again.outcome, again.task),
        (Outcome::Unchanged, Some(asked))
    );
    Ok(())
}

pub(super) async fn acknowledging_needs_a_result(s: &Subject) -> Result<(), StoreError> {
    let refused = Outcome::Refused(Refusal::NotCompleted);
    assert_eq!(s.apply("t", acknowledge()).await?.outcome, refused);
    let fence = s.running("t").await?;
    assert_eq!(s.apply("t", acknowledge()).await?.outcome, refused);
    s.completed("t", fence, r#"{"found":2}"#).await?;
    let done = s.apply("t", acknowledge()).await?;
    assert_eq!(done.outcome, Outcome::Changed);
    let read = s.stores.tasks.read(&key("t")).await?.expect("it is there");
    assert_eq!(read.task.status, Status::Acknowledged);
    assert_eq!(read.task.acknowledged_by.as_deref(), Some("somebody"));
    assert_eq!(read.payload.as_deref(), Some(r#"{"found":2}"#));
    assert_eq!(s.apply("t", acknowledge()).await?.outcome, refused);
    Ok(())
}

pub(super) async fn deleted_is_gone_and_a_late_run_cannot_bring_it_back(
    s: &Subject,
) -> Result<(), StoreError> {
    let absent = Outcome::Refused(Refusal::Absent);
    assert_eq!(s.apply("t", delete()).await?.outcome, absent);
    let fence = s.running("t").await?;
    let tombstone = s
        .apply("t", delete())
        .await?
        .task
        .expect("the tombstone is answered");
    assert_eq!(tombstone.deleted_at, Some(s.now()));
    assert_eq!(tombstone.previous.len(), 1);
    assert_eq!(tombstone.previous[0].fence, fence);
    assert!(s.stores.tasks.get(&key("t")).await?.is_none());
    assert!(s.stores.tasks.read(&key("t")).await?.is_none());
    assert!(s.stores.tasks.log(&key("t"), fence.run).await?.is_none());
    assert_eq!(s.apply("t", delete()).await?.outcome, absent);
    let completed = RunEvent::Completed {
        payload: "{}".into(),
        end: no_report(),
    };
    for late in [RunEvent::Progress(progress(1)), completed] {
        assert_eq!(s.says("t", fence, late).await?.outcome, Outcome::Fenced);
    }
    assert!(s.stores.tasks.get(&key("t")).await?.is_none());
    // Made anew it has a history of its own, and waits for the old guest to be gone.
    let again = s.scheduled("t").await?;
    assert_eq!(
        (again.status, again.run.state),
        (Status::InProgress, Some(RunState::Queued))
    );
    assert_eq!((again.last_completed_at, again.previous.len()), (None, 1));
    assert!(again.run.lease_number >= fence.lease_number);
    assert!(s.claim(1).await?.is_empty());
    let over = s.apply("t", Event::PreviousEnded { fence }).await?;
    assert_eq!(over.outcome, Outcome::Changed);
    let repeated = s.apply("t", Event::PreviousEnded { fence }).await?;
    assert_eq!(repeated.outcome, Outcome::Unchanged);
    let claimed = s.claim(1).await?;
    assert!(claimed[0].task.run.lease_number > fence.lease_number);
    Ok(())
}

pub(super) async fn versions_do_not_come_back_after_a_deletion(
    s: &Subject,
) -> Result<(), StoreError> {
    let first = s.scheduled("t").await?;
    assert!(first.version > 0);
    let tombstone = s.apply("t", delete()).await?.task.expect("it is answered");
    s.wait_ms(10);
    let again = s.scheduled("t").await?;
    assert!(again.version > tombstone.version && tombstone.version > first.version);
    s.apply("t", delete()).await?;
    assert_eq!(s.stores.tasks.remove_tombstones().await?, 1);
    s.wait_ms(10);
    assert!(s.scheduled("t").await?.version > again.version + 1);
    Ok(())
}

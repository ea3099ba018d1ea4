//! Who gets what to run (`RunQueue` 2), and what is known of those that have it.

use std::collections::BTreeSet;

use taskhost_model::status::{RunState, Status};

use super::Subject;
use super::given::{cancel, claim_request, delete, digest, type_id};
use crate::conformance::given::no_report;
use crate::error::StoreError;
use crate::event::{Event, Outcome, RunEvent};
use crate::queue::StoredTask;
use crate::tasks::Waiting;

fn ids(claimed: &[StoredTask]) -> Vec<&str> {
    claimed
        .iter()
        .map(|stored| stored.task.id.as_str())
        .collect()
}

pub(super) async fn claim_never_gives_one_run_twice(s: &Subject) -> Result<(), StoreError> {
    let ids: Vec<String> = (0..200).map(|number| format!("t{number}")).collect();
    s.scheduled_at_once(&ids).await?;
    let claimers = (0..8).map(|_| {
        let s = s.clone();
        tokio::spawn(async move {
            let mut mine = Vec::new();
            loop {
                let claimed = s.claim(7).await?;
                if claimed.is_empty() {
                    return Ok::<_, StoreError>(mine);
                }
                mine.extend(claimed);
            }
        })
    });
    let (mut seen, mut all) = (BTreeSet::new(), 0);
    for claimer in claimers.collect::<Vec<_>>() {
        for stored in claimer.await.expect("no claimer panics")? {
            assert_eq!(stored.task.run.state, Some(RunState::Running));
            assert_eq!(&*stored.params, "{}");
            seen.insert(stored.task.key());
            all += 1;
        }
    }
    assert_eq!((seen.len(), all), (200, 200));
    Ok(())
}

pub(super) async fn claim_gives_due_runs_only(s: &Subject) -> Result<(), StoreError> {
    let mut later = s.run("hello");
    later.due_at = later.due_at.plus(std::time::Duration::from_millis(100));
    // However urgent it is.
    later.priority = 100;
    s.schedule("later", later).await?;
    s.scheduled("now").await?;
    assert_eq!(ids(&s.claim(10).await?), ["now"]);
    s.wait_ms(99);
    assert!(s.claim(10).await?.is_empty());
    s.wait_ms(1);
    assert_eq!(ids(&s.claim(10).await?), ["later"]);
    Ok(())
}

pub(super) async fn claim_gives_wanted_types_only(s: &Subject) -> Result<(), StoreError> {
    s.schedule("other", s.run("other")).await?;
    s.scheduled("t").await?;
    assert!(
        s.stores
            .tasks
            .claim(&claim_request(&[], 10))
            .await?
            .is_empty()
    );
    assert!(s.claim(0).await?.is_empty());
    assert_eq!(ids(&s.claim(10).await?), ["t"]);
    let both = claim_request(&["hello", "other"], 10);
    assert_eq!(ids(&s.stores.tasks.claim(&both).await?), ["other"]);
    Ok(())
}

pub(super) async fn claim_goes_by_rank_then_by_creation(s: &Subject) -> Result<(), StoreError> {
    let ranked = |priority| {
        let mut run = s.run("hello");
        run.priority = priority;
        run
    };
    s.schedule("low", ranked(-1)).await?;
    s.schedule("first", ranked(0)).await?;
    s.wait_ms(5);
    // The same rank as `first`, created later.
    let mut same = ranked(0);
    same.due_at = super::given::at(s.now().as_ms() - 5);
    s.schedule("second", same).await?;
    s.schedule("high", ranked(1)).await?;
    assert_eq!(ids(&s.claim(10).await?), ["high", "first", "second", "low"]);
    Ok(())
}

pub(super) async fn claim_takes_the_types_in_turn(s: &Subject) -> Result<(), StoreError> {
    for number in 0..5 {
        s.schedule(&format!("a{number}"), s.run("long")).await?;
        s.wait_ms(1);
    }
    for number in 0..2 {
        s.schedule(&format!("b{number}"), s.run("short")).await?;
        s.wait_ms(1);
    }
    let request = claim_request(&["short", "none", "long"], 5);
    let claimed = s.stores.tasks.claim(&request).await?;
    assert_eq!(ids(&claimed), ["b0", "a0", "b1", "a1", "a2"]);
    Ok(())
}

pub(super) async fn claim_gives_nothing_while_a_previous_run_may_be_alive(
    s: &Subject,
) -> Result<(), StoreError> {
    let first = s.running("t").await?;
    s.apply("t", delete()).await?;
    let mut later = s.run("hello");
    later.due_at = later.due_at.plus(std::time::Duration::from_millis(50));
    s.schedule("t", later).await?;
    s.wait_ms(100);
    assert!(s.claim(1).await?.is_empty());
    assert_eq!(s.stores.tasks.next_due().await?, None);
    s.apply("t", Event::PreviousEnded { fence: first }).await?;
    assert_eq!(ids(&s.claim(1).await?), ["t"]);
    Ok(())
}

pub(super) async fn claim_pins_the_component_once(s: &Subject) -> Result<(), StoreError> {
    let mut run = s.run("hello");
    run.timeout_ms = Some(10_000);
    s.schedule("t", run).await?;
    let request = claim_request(&["hello"], 1);
    let first = s.stores.tasks.claim(&request).await?.remove(0).task;
    assert_eq!(first.run.digest, Some(digest('a')));
    assert_eq!(first.run.host.as_deref(), Some("host-1"));
    assert_eq!(first.run.incarnation, Some(request.incarnation));
    assert_eq!(
        first.run.deadline_at,
        Some(super::given::at(s.now().as_ms() + 10_000))
    );
    let back = RunEvent::HandedBack { end: no_report() };
    s.says("t", first.fence(), back).await?;
    s.wait_ms(1_000);
    let mut newer = claim_request(&["hello"], 1);
    s.has_component('b').await?;
    newer.types[0].digest = digest('b');
    let second = s.stores.tasks.claim(&newer).await?.remove(0).task;
    assert_eq!(
        (&second.run.digest, second.run.deadline_at),
        (&first.run.digest, first.run.deadline_at)
    );
    assert_eq!(second.run.lease_number, first.run.lease_number + 1);
    assert_eq!(second.run.incarnation, Some(newer.incarnation));
    Ok(())
}

pub(super) async fn a_retry_keeps_the_time_that_the_pinned_version_gives(
    s: &Subject,
) -> Result<(), StoreError> {
    s.scheduled("t").await?;
    let first = s.claim(1).await?.remove(0).task;
    let failed = RunEvent::Failed {
        error: taskhost_model::error::TaskError::of(
            taskhost_model::error::ErrorKind::Task,
            "again",
        ),
        retry_at: Some(s.now()),
        end: no_report(),
    };
    s.says("t", first.fence(), failed).await?;
    let mut newer = claim_request(&["hello"], 1);
    s.has_component('b').await?;
    newer.types[0].digest = digest('b');
    newer.types[0].wall_ms = 1;
    let second = s.stores.tasks.claim(&newer).await?.remove(0).task;
    assert_eq!(second.run.digest, first.run.digest);
    assert_eq!(
        second.run.deadline_at,
        Some(super::given::at(s.now().as_ms() + 60_000))
    );
    Ok(())
}

pub(super) async fn a_clock_that_goes_back_makes_nothing_due(
    s: &Subject,
) -> Result<(), StoreError> {
    let start = s.now();
    s.wait_ms(1_000);
    s.scheduled("t").await?;
    if let taskhost_model::time::Clock::Manual(ms) = &s.clock {
        ms.store(start.as_ms(), std::sync::atomic::Ordering::SeqCst);
    }
    assert!(s.claim(1).await?.is_empty());
    assert!(s.stores.tasks.next_due().await?.is_some());
    s.wait_ms(1_000);
    assert_eq!(ids(&s.claim(1).await?), ["t"]);
    Ok(())
}

pub(super) async fn next_due_is_the_earliest_that_waits(s: &Subject) -> Result<(), StoreError> {
    assert_eq!(s.stores.tasks.next_due().await?, None);
    s.scheduled("now").await?;
    assert_eq!(s.stores.tasks.next_due().await?, None);
    let start = s.now();
    let due = |ms| start.plus(std::time::Duration::from_millis(ms));
    for (id, ms) in [("b", 200), ("a", 100), ("c", 300)] {
        let mut run = s.run("hello");
        run.due_at = due(ms);
        s.schedule(id, run).await?;
    }
    assert_eq!(s.stores.tasks.next_due().await?, Some(due(100)));
    s.apply("a", cancel()).await?;
    assert_eq!(s.stores.tasks.next_due().await?, Some(due(200)));
    s.wait_ms(250);
    // Due since the last claim: still told, so that nobody sleeps over it.
    assert_eq!(s.stores.tasks.next_due().await?, Some(due(200)));
    assert_eq!(s.claim(10).await?.len(), 2);
    assert_eq!(s.stores.tasks.next_due().await?, Some(due(300)));
    Ok(())
}

pub(super) async fn held_are_those_that_a_host_may_run(s: &Subject) -> Result<(), StoreError> {
    let running = s.running("running").await?;
    let canceling = s.running("canceling").await?;
    s.apply("canceling", cancel()).await?;
    let deleted = s.running("deleted").await?;
    s.apply("deleted", delete()).await?;
    let done = s.running("done").await?;
    s.completed("done", done, "{}").await?;
    s.scheduled("queued").await?;
    let held = s.stores.tasks.held(10).await?;
    let ids: BTreeSet<_> = held.iter().map(|task| task.id.as_str()).collect();
    assert_eq!(ids, BTreeSet::from(["running", "canceling", "deleted"]));
    assert_eq!(s.stores.tasks.held(2).await?.len(), 2);
    // A host's loss frees all of them.
    for (id, fence) in [("running", running), ("canceling", canceling)] {
        let lost = s
            .apply(
                id,
                Event::HostLost {
                    fence,
                    crashes_max: 5,
                },
            )
            .await?;
        assert_eq!(lost.outcome, Outcome::Changed);
    }
    s.apply("deleted", Event::PreviousEnded { fence: deleted })
        .await?;
    assert!(s.stores.tasks.held(10).await?.is_empty());
    assert_eq!(s.task("canceling").await?.status, Status::Canceled);
    assert_eq!(s.stores.tasks.remove_tombstones().await?, 1);
    Ok(())
}

pub(super) async fn unfinished_are_counted(s: &Subject) -> Result<(), StoreError> {
    let running = s.running("running").await?;
    let deleted = s.running("deleted").await?;
    s.apply("deleted", delete()).await?;
    let back = s.running("back").await?;
    s.says("back", back, RunEvent::HandedBack { end: no_report() })
        .await?;
    let mut later = s.run("other");
    later.due_at = later.due_at.plus(std::time::Duration::from_secs(60));
    s.schedule("later", later).await?;
    s.schedule("ready", s.run("other")).await?;
    let unfinished = s.stores.tasks.unfinished().await?;
    assert_eq!(
        unfinished.by_type,
        [(type_id("hello"), 2), (type_id("other"), 2)]
    );
    assert_eq!(unfinished.by_digest, [(digest('a'), 2)]);
    // What is due later waits for its time alone.
    let waiting = |type_id, runs| Waiting {
        type_id,
        runs,
        oldest_due_at: Some(s.clock.now()),
    };
    let due = [waiting(type_id("hello"), 1), waiting(type_id("other"), 1)];
    assert_eq!(unfinished.waiting, due);
    s.completed("running", running, "{}").await?;
    s.apply("deleted", Event::PreviousEnded { fence: deleted })
        .await?;
    let unfinished = s.stores.tasks.unfinished().await?;
    assert_eq!(
        unfinished.by_type,
        [(type_id("hello"), 1), (type_id("other"), 2)]
    );
    assert_eq!(unfinished.by_digest, [(digest('a'), 1)]);
    Ok(())
}

//! Runs that wait for children, and whose child a task is.

use std::time::Duration;

use taskhost_model::ids::RunId;
use taskhost_model::status::{RunState, Status};
use taskhost_model::task::{Fence, Parent, Suspension, Task};
use taskhost_model::time::Timestamp;

use super::Subject;
use super::given::{cancel, delete, key, no_report, progress};
use crate::error::StoreError;
use crate::event::{Event, Outcome, RunEvent};
use crate::tasks::Children;

pub(super) fn suspended(until: Timestamp) -> RunEvent {
    RunEvent::Suspended {
        suspension: Suspension {
            wait: "for one of two".to_owned(),
            until,
            times: 1,
            ids: Vec::new(),
        },
        until,
        end: progress(3),
    }
}

impl Subject {
    /// A run that was suspended for ten seconds.
    async fn suspended(&self, id: &str) -> Result<Fence, StoreError> {
        let fence = self.running(id).await?;
        let until = self.now().plus(Duration::from_secs(10));
        let applied = self.says(id, fence, suspended(until)).await?;
        assert_eq!(applied.outcome, Outcome::Changed);
        Ok(fence)
    }

    async fn child(&self, id: &str, of: RunId) -> Result<Task, StoreError> {
        let mut run = self.run("hello");
        run.parent = Some(Parent {
            task: key("parent").id,
            run: of,
            key: id.to_owned(),
            depth: 1,
            stream: None,
            also_reads: Vec::new(),
        });
        self.schedule(id, run).await
    }

    async fn living(&self, of: RunId) -> Result<(u64, Vec<String>), StoreError> {
        let Children { count, living } = self.stores.tasks.children(of).await?;
        let mut ids: Vec<_> = living.iter().map(|key| key.id.to_string()).collect();
        ids.sort();
        Ok((count, ids))
    }
}

pub(super) async fn a_suspended_run_goes_on_when_it_is_resumed_or_due(
    s: &Subject,
) -> Result<(), StoreError> {
    let first = s.suspended("t").await?;
    let waiting = s.task("t").await?;
    assert_eq!(
        (waiting.status, waiting.run.state, waiting.run.attempt),
        (Status::InProgress, Some(RunState::Suspended), 1)
    );
    assert_eq!((waiting.run.pauses, &waiting.error), (0, &None));
    assert_eq!(waiting.progress.map(|progress| progress.done), Some(3));
    let wait = waiting.run.suspension.map(|it| (it.wait, it.times));
    assert_eq!(wait, Some(("for one of two".to_owned(), 1)));
    let deadline_at = waiting.run.deadline_at;
    assert!(deadline_at.is_some(), "its time goes on");
    assert!(s.claim(1).await?.is_empty(), "it is not due");
    assert!(s.stores.tasks.held(9).await?.is_empty());
    assert_eq!(
        s.stores.tasks.next_due().await?,
        Some(s.now().plus(Duration::from_secs(10)))
    );
    let other = Event::Resume { run: RunId::new() };
    assert_eq!(s.apply("t", other).await?.outcome, Outcome::Unchanged);
    let resume = Event::Resume { run: first.run };
    for expected in [Outcome::Changed, Outcome::Unchanged] {
        assert_eq!(s.apply("t", resume.clone()).await?.outcome, expected);
    }
    assert_eq!(s.task("t").await?.version, waiting.version);
    let again = s.claim(1).await?.remove(0).task;
    assert_eq!((again.run.id, again.run.attempt), (first.run, 1));
    assert_eq!(again.run.deadline_at, deadline_at);
    assert_eq!(s.apply("t", resume).await?.outcome, Outcome::Unchanged);
    // Nobody has resumed it: it is claimed when it is due.
    let until = s.now().plus(Duration::from_secs(5));
    s.says("t", again.fence(), suspended(until)).await?;
    s.wait_ms(4_999);
    assert!(s.claim(1).await?.is_empty());
    s.wait_ms(1);
    let last = s.claim(1).await?.remove(0).task;
    s.completed("t", last.fence(), "{}").await?;
    Ok(())
}

pub(super) async fn a_suspended_run_is_canceled_at_once(s: &Subject) -> Result<(), StoreError> {
    let fence = s.suspended("t").await?;
    s.apply("t", cancel()).await?;
    assert_eq!(s.task("t").await?.status, Status::Canceled);
    let resume = Event::Resume { run: fence.run };
    assert_eq!(s.apply("t", resume).await?.outcome, Outcome::Unchanged);
    // A cancel before it was suspended is not lost either.
    let fence = s.running("u").await?;
    s.apply("u", cancel()).await?;
    s.says("u", fence, suspended(s.now())).await?;
    let task = s.task("u").await?;
    assert_eq!((task.status, task.run.state), (Status::Canceled, None));
    Ok(())
}

pub(super) async fn living_children_are_told_by_their_parents_run(
    s: &Subject,
) -> Result<(), StoreError> {
    let parent = s.running("parent").await?;
    let none = (0, Vec::new());
    assert_eq!(s.living(parent.run).await?, none);
    assert!(s.stores.tasks.parents().await?.is_empty());
    for id in ["running", "done", "canceling", "deleted", "queued"] {
        let task = s.child(id, parent.run).await?;
        assert_eq!(task.parent.map(|parent| parent.key), Some(id.to_owned()));
    }
    s.child("of-another-run", RunId::new()).await?;
    let claimed = s.claim(4).await?;
    let fence = |id: &str| {
        let of_id = claimed.iter().find(|run| run.task.key() == key(id));
        of_id.expect("it was claimed").task.fence()
    };
    s.completed("done", fence("done"), "{}").await?;
    s.apply("canceling", cancel()).await?;
    s.apply("deleted", delete()).await?;
    let expected = (4, vec!["queued".to_owned(), "running".to_owned()]);
    assert_eq!(s.living(parent.run).await?, expected);
    let mut parents = s.stores.tasks.parents().await?;
    parents.retain(|(_, run)| *run == parent.run);
    assert_eq!(parents, [(key("parent"), parent.run)]);
    // Scheduled by somebody else it is nobody's child any more.
    s.says(
        "running",
        fence("running"),
        RunEvent::Stopped { end: no_report() },
    )
    .await?;
    let anew = s.scheduled("running").await?;
    assert_eq!(anew.parent, None);
    let expected = (3, vec!["queued".to_owned()]);
    assert_eq!(s.living(parent.run).await?, expected);
    Ok(())
}

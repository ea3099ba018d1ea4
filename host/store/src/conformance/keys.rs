//! Concurrency keys (`RunQueue` 4): of the runs of one key so many are given as it allows, and
//! nobody else waits for them.

use std::collections::BTreeSet;
use std::time::Duration;

use taskhost_model::error::{ErrorKind, TaskError};
use taskhost_model::ids::{Space, TaskId, TaskKey};
use taskhost_model::task::{Fence, Suspension};

use super::Subject;
use super::given::{cancel, claim_request, delete, digest, key, no_report, space, type_id};
use crate::error::StoreError;
use crate::event::{Event, NewRun, RunEvent};
use crate::queue::{ClaimRequest, StoredTask};

/// More than a store moves in one go.
const MANY: usize = 2_500;

fn ids(claimed: &[StoredTask]) -> Vec<&str> {
    let ids = claimed.iter().map(|stored| stored.task.id.as_str());
    ids.collect()
}

/// A claim of types whose keys allow so many.
fn bounded(types: &[&str], limit: usize, most: Option<u64>) -> ClaimRequest {
    let mut request = claim_request(types, limit);
    for wanted in &mut request.types {
        wanted.runs_per_key = most;
    }
    request
}

impl Subject {
    fn run_of_key(&self, key: &str) -> NewRun {
        NewRun {
            concurrency_key: Some(key.to_owned()),
            ..self.run("hello")
        }
    }

    /// Schedules runs of a key, one after the other.
    async fn of_key(&self, key: &str, ids: &[&str]) -> Result<(), StoreError> {
        for id in ids {
            self.schedule(id, self.run_of_key(key)).await?;
            self.wait_ms(1);
        }
        Ok(())
    }

    /// What of the type `hello` is given where so many may run of a key.
    async fn claim_of(&self, most: u64) -> Result<Vec<StoredTask>, StoreError> {
        let request = bounded(&["hello"], 100, Some(most));
        self.stores.tasks.claim(&request).await
    }

    async fn given(&self, most: u64, expected: &[&str]) -> Result<Vec<Fence>, StoreError> {
        let claimed = self.claim_of(most).await?;
        assert_eq!(ids(&claimed), expected);
        Ok(claimed.iter().map(|stored| stored.task.fence()).collect())
    }

    async fn holders(&self, key: &str) -> Result<Vec<TaskKey>, StoreError> {
        let tasks = &self.stores.tasks;
        tasks.holders(&space(), &type_id("hello"), key).await
    }

    async fn holding(&self, key: &str) -> Result<usize, StoreError> {
        Ok(self.holders(key).await?.len())
    }
}

pub(super) async fn as_many_of_a_key_are_given_as_it_allows(s: &Subject) -> Result<(), StoreError> {
    s.of_key("a", &["a1", "a2", "a3"]).await?;
    s.of_key("b", &["b1"]).await?;
    s.scheduled("n1").await?;
    s.scheduled("n2").await?;
    let first = s.given(1, &["a1", "b1", "n1", "n2"]).await?;
    assert_eq!(s.task("a1").await?.concurrency_key.as_deref(), Some("a"));
    s.given(1, &[]).await?;
    assert_eq!((s.holding("a").await?, s.holding("c").await?), (1, 0));
    assert_eq!(s.holders("a").await?, [key("a1")]);
    s.completed("a1", first[0], "{}").await?;
    assert_eq!(s.holding("a").await?, 0);
    s.given(1, &["a2"]).await?;
    s.given(1, &[]).await?;
    // Of another type, or in another space, the key is another one.
    let mut other = s.run_of_key("a");
    other.type_id = type_id("other");
    s.schedule("other", other).await?;
    let elsewhere = TaskKey {
        space: Space::parse("elsewhere").expect("it is valid"),
        id: TaskId::parse("elsewhere").expect("it is valid"),
    };
    let schedule = Event::Schedule(Box::new(s.run_of_key("a")));
    s.stores.tasks.apply(&elsewhere, schedule).await?;
    let request = bounded(&["hello", "other"], 100, Some(1));
    let claimed = s.stores.tasks.claim(&request).await?;
    assert_eq!(ids(&claimed), ["elsewhere", "other"]);
    Ok(())
}

pub(super) async fn a_long_queue_of_one_key_keeps_nobody_waiting(
    s: &Subject,
) -> Result<(), StoreError> {
    let mut waiting = tokio::task::JoinSet::new();
    for number in 0..MANY {
        let s = s.clone();
        let run = s.run_of_key("a");
        waiting.spawn(async move { s.schedule(&format!("a{number}"), run).await });
    }
    for task in waiting.join_all().await {
        task?;
    }
    s.wait_ms(1);
    s.of_key("b", &["b1", "b2"]).await?;
    s.scheduled("n").await?;
    s.schedule("other", s.run("other")).await?;
    let request = bounded(&["hello", "other"], 4, Some(1));
    let claimed = s.stores.tasks.claim(&request).await?;
    let (first, others) = (claimed[0].task.clone(), &ids(&claimed)[1..]);
    assert!(first.id.as_str().starts_with('a'));
    assert_eq!(others, ["other", "b1", "n"]);
    s.given(1, &[]).await?;
    let unfinished = s.stores.tasks.unfinished().await?.by_type;
    let all = MANY as u64 + 3;
    assert_eq!(unfinished, [(type_id("hello"), all), (type_id("other"), 1)]);
    // One after the other, and none twice.
    let (mut seen, mut last) = (BTreeSet::from([first.key()]), first);
    for _ in 0..20 {
        s.completed(last.id.as_str(), last.fence(), "{}").await?;
        let mut claimed = s.claim_of(1).await?;
        assert_eq!(claimed.len(), 1);
        last = claimed.remove(0).task;
        assert!(seen.insert(last.key()), "{}", last.id);
    }
    Ok(())
}

pub(super) async fn of_a_key_the_first_in_rank_is_next(s: &Subject) -> Result<(), StoreError> {
    s.of_key("a", &["a1", "a2", "a3"]).await?;
    let first = s.given(1, &["a1"]).await?;
    let mut urgent = s.run_of_key("a");
    urgent.priority = 1;
    s.schedule("urgent", urgent).await?;
    s.given(1, &[]).await?;
    s.completed("a1", first[0], "{}").await?;
    let urgent = s.given(1, &["urgent"]).await?;
    s.completed("urgent", urgent[0], "{}").await?;
    s.given(1, &["a2"]).await?;
    Ok(())
}

pub(super) async fn a_run_that_waits_again_gives_its_key_back(
    s: &Subject,
) -> Result<(), StoreError> {
    s.of_key("a", &["retried", "handed-back", "lost", "last"])
        .await?;
    let fence = s.given(1, &["retried"]).await?;
    let failed = RunEvent::Failed {
        error: TaskError::of(ErrorKind::Task, "again"),
        retry_at: Some(s.now().plus(Duration::from_secs(1))),
        end: no_report(),
    };
    s.says("retried", fence[0], failed).await?;
    let fence = s.given(1, &["handed-back"]).await?;
    let back = RunEvent::HandedBack { end: no_report() };
    s.says("handed-back", fence[0], back).await?;
    let fence = s.given(1, &["lost"]).await?[0];
    s.given(1, &[]).await?;
    let crashes_max = 5;
    s.apply("lost", Event::HostLost { fence, crashes_max })
        .await?;
    assert_eq!(s.holding("a").await?, 0);
    // Each at the place in the queue that it has now.
    for id in ["last", "handed-back", "lost"] {
        let fence = s.given(1, &[id]).await?;
        s.completed(id, fence[0], "{}").await?;
        s.wait_ms(1);
    }
    s.given(1, &[]).await?;
    s.wait_ms(1_000);
    s.given(1, &["retried"]).await?;
    Ok(())
}

pub(super) async fn who_is_scheduled_again_stands_behind_older_ones(
    s: &Subject,
) -> Result<(), StoreError> {
    for id in ["first", "second", "third"] {
        s.of_key("a", &[id]).await?;
        s.wait_ms(1);
    }
    let fence = s.given(1, &["first"]).await?[0];
    s.given(1, &[]).await?;
    s.completed("first", fence, "{}").await?;
    // The second is ready now, and the third stands behind it.
    s.apply("second", Event::Delete { if_version: None })
        .await?;
    s.of_key("a", &["second"]).await?;
    let fence = s.given(1, &["third"]).await?[0];
    s.completed("third", fence, "{}").await?;
    s.given(1, &["second"]).await?;
    Ok(())
}

pub(super) async fn a_suspended_run_holds_its_key(s: &Subject) -> Result<(), StoreError> {
    s.of_key("a", &["parent", "next"]).await?;
    let fence = s.given(1, &["parent"]).await?[0];
    let until = s.now().plus(Duration::from_secs(10));
    let suspended = RunEvent::Suspended {
        suspension: Suspension {
            wait: "for one of two".to_owned(),
            until,
            times: 1,
            ids: Vec::new(),
        },
        until,
        end: no_report(),
    };
    s.says("parent", fence, suspended).await?;
    assert_eq!(s.holding("a").await?, 1);
    s.given(1, &[]).await?;
    s.apply("parent", Event::Resume { run: fence.run }).await?;
    s.given(1, &["parent"]).await?;
    s.given(1, &[]).await?;
    let fence = s.task("parent").await?.fence();
    s.completed("parent", fence, "{}").await?;
    s.given(1, &["next"]).await?;
    Ok(())
}

pub(super) async fn a_deleted_run_holds_its_key_while_its_guest_may_be_alive(
    s: &Subject,
) -> Result<(), StoreError> {
    s.of_key("a", &["a1", "a2"]).await?;
    let fence = s.given(1, &["a1"]).await?[0];
    s.given(1, &[]).await?;
    s.apply("a1", delete()).await?;
    s.given(1, &[]).await?;
    s.apply("a1", Event::PreviousEnded { fence }).await?;
    s.given(1, &["a2"]).await?;
    let canceled = s.task("a2").await?.fence();
    s.of_key("a", &["a3"]).await?;
    s.apply("a2", cancel()).await?;
    s.given(1, &[]).await?;
    let stopped = RunEvent::Stopped { end: no_report() };
    s.says("a2", canceled, stopped).await?;
    s.given(1, &["a3"]).await?;
    Ok(())
}

pub(super) async fn whatever_leaves_a_key_lets_the_next_have_it(
    s: &Subject,
) -> Result<(), StoreError> {
    s.of_key("a", &["a1", "a2", "a3", "a4", "a5"]).await?;
    let fence = s.given(1, &["a1"]).await?[0];
    s.given(1, &[]).await?;
    s.completed("a1", fence, "{}").await?;
    // It was its turn, and it goes without having had it.
    s.apply("a2", cancel()).await?;
    s.apply("a3", delete()).await?;
    // And this one goes without having been near it.
    s.apply("a5", cancel()).await?;
    let fence = s.given(1, &["a4"]).await?[0];
    s.of_key("a", &["a6"]).await?;
    s.given(1, &[]).await?;
    s.completed("a4", fence, "{}").await?;
    // Scheduled again it has another key.
    s.of_key("b", &["a4"]).await?;
    s.given(1, &["a6", "a4"]).await?;
    Ok(())
}

pub(super) async fn the_bound_that_a_claim_names_holds(s: &Subject) -> Result<(), StoreError> {
    s.of_key("a", &["a1", "a2", "a3", "a4", "a5", "a6", "a7", "a8"])
        .await?;
    let first = s.given(1, &["a1"]).await?;
    s.given(1, &[]).await?;
    let more = s.given(3, &["a2", "a3"]).await?;
    s.given(3, &[]).await?;
    // What runs beyond a smaller one goes on, and ends before others begin.
    s.completed("a1", first[0], "{}").await?;
    s.given(1, &[]).await?;
    s.completed("a2", more[0], "{}").await?;
    s.given(1, &[]).await?;
    s.completed("a3", more[1], "{}").await?;
    s.given(1, &["a4"]).await?;
    s.given(3, &["a5", "a6"]).await?;
    // None.
    let claimed = s.stores.tasks.claim(&bounded(&["hello"], 9, None)).await?;
    assert_eq!(ids(&claimed), ["a7", "a8"]);
    assert_eq!(s.holding("a").await?, 5);
    Ok(())
}

pub(super) async fn what_waits_for_a_key_is_pinned_and_a_living_child(
    s: &Subject,
) -> Result<(), StoreError> {
    s.of_key("a", &["a1"]).await?;
    let fence = s.given(1, &["a1"]).await?[0];
    let mut next = s.run_of_key("a");
    next.parent = Some(taskhost_model::task::Parent {
        task: key("a1").id,
        run: fence.run,
        key: "one".to_owned(),
        depth: 1,
        stream: None,
        also_reads: Vec::new(),
    });
    s.schedule("next", next).await?;
    s.given(1, &[]).await?;
    let living = s.stores.tasks.children(fence.run).await?.living;
    assert_eq!(living, [key("next")]);
    assert_eq!(s.stores.tasks.parents().await?, [(key("a1"), fence.run)]);
    s.wait_ms(1);
    let back = RunEvent::HandedBack { end: no_report() };
    s.says("a1", fence, back).await?;
    s.given(1, &["next"]).await?;
    s.given(1, &[]).await?;
    let pinned = s.stores.tasks.unfinished().await?.by_digest;
    assert_eq!(pinned, [(digest('a'), 2)]);
    assert_eq!(s.stores.tasks.next_due().await?, None);
    Ok(())
}

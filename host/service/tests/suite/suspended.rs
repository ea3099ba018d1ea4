//! Runs that were suspended while they wait for children: begun again when one of them has ended or
//! their time is up, and not before.

use std::time::Duration;

use taskhost_model::ids::{Digest, Incarnation, RunId, TypeId};
use taskhost_model::status::{Phase, Status};
use taskhost_model::task::{Parent, Suspension, Task, Usage};
use taskhost_model::time::{Clock, Timestamp};
use taskhost_service::Service;
use taskhost_store::event::{Event, NewRun, RunEvent, RunReport};
use taskhost_store::limits::Limits;
use taskhost_store::open::{Stores, in_memory};
use taskhost_store::queue::{ClaimRequest, ClaimableType};

use crate::bench::parts;
use crate::guest;
use crate::hold::{PATIENCE, until};
use crate::people::{Accepted, Wish, key, say, somebody};

/// How long the parent wants to wait.
const WAIT: Duration = Duration::from_secs(600);

/// A service that claims nothing so far, and what lies below it: a parent that was suspended and is
/// due, and two of its children, which are not. What it waits for is `waited-for`.
struct Host {
    service: Service,
    stores: Stores,
    clock: Clock,
}

/// What its attempt has used before it was suspended.
fn usage() -> Usage {
    Usage {
        attempt: 1,
        cpu_ms: 7_000,
        host_wait_ms: 9_000,
        peak_memory_bytes: 1 << 30,
        host_calls: 3,
        http_requests: 5,
        tokens: 11,
    }
}

impl Host {
    async fn start() -> Self {
        let clock = Clock::manual(Timestamp::from_ms(1_795_000_000_000));
        let stores = in_memory(Limits::default(), clock.clone());
        let service = Service::start(parts(&stores, &clock)).await.unwrap();
        let pushed = service
            .types
            .push(&somebody(), guest::component(0), None)
            .await
            .unwrap();
        let host = Self {
            service,
            stores,
            clock,
        };
        let run = host.suspended(pushed.digest).await;
        for id in ["waited-for", "other"] {
            host.child(id, run).await;
        }
        host
    }

    fn new_run(&self, due_at: Timestamp, parent: Option<Parent>) -> NewRun {
        NewRun {
            id: RunId::new(),
            type_id: TypeId::parse(guest::TYPE).unwrap(),
            stream: None,
            also_reads: Vec::new(),
            params: guest::COMPLETES.to_string().into(),
            parent,
            record: false,
            trace: None,
            requested_by: somebody().name,
            key: None,
            priority: 0,
            due_at,
            timeout_ms: None,
            max_attempts: 1,
            condition: None,
            keeps_checkpoints: false,
            receipt: None,
            concurrency_key: None,
        }
    }

    /// What a former life of the host has left.
    async fn suspended(&self, digest: Digest) -> RunId {
        let (tasks, now) = (&self.stores.tasks, self.clock.now());
        let run = self.new_run(now, None);
        let (id, type_id) = (run.id, run.type_id.clone());
        let schedule = Event::Schedule(Box::new(run));
        tasks.apply(&key("parent"), schedule).await.unwrap();
        let request = ClaimRequest {
            host: "host-0".to_owned(),
            incarnation: Incarnation::new(),
            types: vec![ClaimableType {
                type_id,
                digest,
                wall_ms: 3_600_000,
                runs_per_key: None,
            }],
            limit: 1,
        };
        let claimed = tasks.claim(&request).await.unwrap().remove(0).task;
        let event = RunEvent::Suspended {
            suspension: Suspension {
                wait: "for one".to_owned(),
                until: now.plus(WAIT),
                times: 1,
                ids: vec![key("waited-for").id],
            },
            until: now,
            end: RunReport {
                usage: Some(usage()),
                ..RunReport::default()
            },
        };
        let fence = claimed.fence();
        let says = Event::Run { fence, event };
        tasks.apply(&key("parent"), says).await.unwrap();
        id
    }

    async fn child(&self, id: &str, run: RunId) {
        let parent = Parent {
            task: key("parent").id,
            run,
            key: id.to_owned(),
            depth: 1,
            stream: None,
            also_reads: Vec::new(),
        };
        let later = self.clock.now().plus(2 * WAIT);
        let schedule = Event::Schedule(Box::new(self.new_run(later, Some(parent))));
        self.stores.tasks.apply(&key(id), schedule).await.unwrap();
    }

    async fn parent(&self) -> Task {
        let parent = self.stores.tasks.get(&key("parent")).await;
        parent.unwrap().unwrap()
    }

    /// The parent once it has been claimed so often, and suspended again.
    async fn suspended_again(&self, lease_number: u64) -> Task {
        let waiting = async {
            loop {
                let parent = self.parent().await;
                let is_suspended = parent.phase() == Phase::Suspended;
                assert!(!parent.status.is_terminal(), "its guest was begun");
                if is_suspended && parent.run.lease_number == lease_number {
                    return parent;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.unwrap()
    }

    /// Waits until the parent's guest, which completes at once, has had its turn.
    async fn completes(&self) {
        let (by, key) = (somebody(), key("parent"));
        let mut view = self.service.tasks.get(&by, &key).await.unwrap();
        while !view.status.is_terminal() {
            let wait = self
                .service
                .tasks
                .wait(&by, &key, view.revision(), PATIENCE);
            view = wait.await.unwrap().unwrap();
        }
        assert_eq!(view.status, Status::Completed, "{view:?}");
        // The guest makes no call, and computes next to nothing.
        let used = view.task.unwrap().usage.unwrap();
        assert!((7_000..8_000).contains(&used.cpu_ms), "{used:?}");
        let cpu_ms = usage().cpu_ms;
        assert_eq!(Usage { cpu_ms, ..used }, usage());
    }

    async fn cancel(&self, id: &str) {
        let accepted = Accepted::default();
        say(&self.service, &accepted, id, Wish::Cancel)
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn no_guest_is_begun_while_nobody_has_ended_for_whom_it_waits() {
    let host = Host::start().await;
    let before = host.parent().await.run;
    host.service.begin();
    let parent = host.suspended_again(2).await;
    let (suspension, former) = (
        parent.run.suspension.clone().unwrap(),
        before.suspension.unwrap(),
    );
    assert_eq!((suspension.times, suspension.until), (2, former.until));
    assert_eq!(suspension.ids, former.ids);
    let waits = parent.run.due_at.since(host.clock.now());
    assert_eq!(waits, Duration::from_secs(10), "twice as long as at first");
    assert_eq!(parent.usage, Some(usage()), "it has used nothing");
    assert_eq!(
        (parent.run.attempt, parent.run.deadline_at),
        (before.attempt, before.deadline_at)
    );
    until(|| host.service.health().running == 0).await;
    // The end of a child of which it does not wait is looked at, and begins no guest either.
    host.cancel("other").await;
    host.suspended_again(3).await;
    host.cancel("waited-for").await;
    host.completes().await;
}

#[tokio::test]
async fn its_guest_is_begun_when_its_child_has_gone() {
    let host = Host::start().await;
    host.service.begin();
    host.suspended_again(2).await;
    say(
        &host.service,
        &Accepted::default(),
        "waited-for",
        Wish::Delete,
    )
    .await
    .unwrap();
    host.completes().await;
}

#[tokio::test]
async fn its_guest_is_begun_when_the_time_of_its_wait_is_up() {
    let host = Host::start().await;
    host.clock.advance(WAIT);
    host.service.begin();
    host.completes().await;
}

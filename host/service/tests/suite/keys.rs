//! Concurrency keys: who waits for whom, what people are told of it, and that the next has its turn
//! at once, however the one before it ends.

use std::sync::Arc;
use std::time::Duration;

use taskhost_model::ids::TypeId;
use taskhost_model::requester::Requester;
use taskhost_model::status::{RunState, Status};
use taskhost_model::time::{Clock, Timestamp};
use taskhost_service::view::TaskView;
use taskhost_service::{ScheduleRequest, Scheduled, Service};
use taskhost_store::limits::Limits;
use taskhost_store::open::{Stores, in_memory};

use crate::bench::parts;
use crate::guest::{COMPLETES, WAITS, of_type};
use crate::hold::PATIENCE;
use crate::people::{key, somebody};

const TYPE: &str = "keyed";

/// A service that knows a type of which one run is at work at once.
async fn service() -> (Service, Stores, Clock) {
    let clock = Clock::manual(Timestamp::from_ms(1_795_000_000_000));
    let stores = in_memory(Limits::default(), clock.clone());
    let service = Service::start(parts(&stores, &clock)).await.unwrap();
    push(&service, 0, r#""concurrency":{"max":1},"#).await;
    service.begin();
    (service, stores, clock)
}

async fn push(service: &Service, version: u32, more: &str) {
    let component = of_type(TYPE, version, more);
    service
        .types
        .push(&somebody(), component, None)
        .await
        .unwrap();
}

async fn schedule(service: &Service, id: &str, kind: u8) -> TaskView {
    let request = ScheduleRequest {
        type_id: TypeId::parse(TYPE).unwrap(),
        stream: None,
        params: Arc::from(kind.to_string()),
        priority: None,
        run_at: None,
        timeout_ms: None,
        record: false,
        trace: None,
        condition: None,
    };
    let by = somebody();
    let scheduled = service.tasks.schedule(&by, key(id), request).await;
    match scheduled.unwrap() {
        Scheduled::New(view) => view,
        Scheduled::AlreadyRunning(running) => panic!("{running:?}"),
    }
}

/// Waits until what is shown of a task meets a predicate.
async fn until(service: &Service, id: &str, wanted: impl Fn(&TaskView) -> bool) -> TaskView {
    let (by, key): (Requester, _) = (somebody(), key(id));
    let waiting = async {
        let mut since = 0;
        loop {
            let wait = service.tasks.wait(&by, &key, since, PATIENCE);
            let Some(view) = wait.await.unwrap() else {
                continue;
            };
            if wanted(&view) {
                return view;
            }
            since = view.revision();
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap()
}

async fn runs(service: &Service, id: &str) -> TaskView {
    let is_running =
        |view: &TaskView| view.task.as_ref().unwrap().run.state == Some(RunState::Running);
    until(service, id, is_running).await
}

async fn completes(service: &Service, id: &str) {
    let ended = until(service, id, |view| view.status.is_terminal()).await;
    assert_eq!(ended.status, Status::Completed);
}

#[tokio::test]
async fn the_next_of_a_key_runs_as_soon_as_the_one_before_has_ended() {
    let (service, stores, _) = service().await;
    schedule(&service, "first", WAITS).await;
    let first = runs(&service, "first").await;
    assert_eq!(
        first.task.unwrap().concurrency_key.as_deref(),
        Some("*"),
        "all tasks of the type have it"
    );
    let second = schedule(&service, "second", WAITS).await;
    let why = second.waiting_for.unwrap();
    for part in ["key `*`: 1 of", "`keyed`", "1 may be at once"] {
        assert!(why.contains(part), "{why:?}");
    }
    schedule(&service, "third", COMPLETES).await;
    let (tasks, by) = (&service.tasks, somebody());
    let seen = tasks.get(&by, &key("third")).await.unwrap();
    assert_eq!(seen.waiting_for, Some(why));
    tasks.cancel(&by, &key("first"), None, None).await.unwrap();
    let second = runs(&service, "second").await;
    assert_eq!(second.waiting_for, None);
    // A deleted one is interrupted, and nothing is written but that it is over.
    tasks.delete(&by, &key("second"), None).await.unwrap();
    completes(&service, "third").await;
    assert!(stores.tasks.held(9).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_version_with_another_bound_is_heeded_at_once() {
    let (service, _, _) = service().await;
    for id in ["first", "second", "third"] {
        schedule(&service, id, WAITS).await;
    }
    runs(&service, "first").await;
    push(&service, 1, r#""concurrency":{"max":2},"#).await;
    runs(&service, "second").await;
    let third = service.tasks.get(&somebody(), &key("third")).await.unwrap();
    assert!(third.waiting_for.unwrap().contains("2 may be at once"));
    push(&service, 2, "").await;
    runs(&service, "third").await;
    let unbound = schedule(&service, "unbound", COMPLETES).await;
    assert_eq!(unbound.task.unwrap().concurrency_key, None);
    completes(&service, "unbound").await;
}

#[tokio::test]
async fn a_host_that_died_holds_no_key() {
    let (service, stores, clock) = service().await;
    schedule(&service, "first", WAITS).await;
    runs(&service, "first").await;
    schedule(&service, "second", COMPLETES).await;
    service.abandon().await;
    // The first has its next turn behind those that have waited.
    clock.advance(Duration::from_millis(10));
    let second_life = Service::start(parts(&stores, &clock)).await.unwrap();
    second_life.begin();
    completes(&second_life, "second").await;
    let first = runs(&second_life, "first").await.task.unwrap();
    assert_eq!((first.run.crashes, first.run.lease_number), (1, 2));
}

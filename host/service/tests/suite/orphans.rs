//! Children whose parents have ended: canceled, and never begun.

use std::sync::Arc;
use std::time::Duration;

use taskhost_model::ids::{RunId, TypeId};
use taskhost_model::status::Status;
use taskhost_model::task::{Parent, Task};
use taskhost_model::time::{Clock, Timestamp};
use taskhost_service::Service;
use taskhost_store::event::{Event, NewRun};
use taskhost_store::limits::Limits;
use taskhost_store::open::{Stores, in_memory};

use crate::bench::parts;
use crate::guest;
use crate::hold::PATIENCE;
use crate::people::{Accepted, Wish, key, say, somebody};

/// A service that claims nothing so far, what lies below it, and its clock.
async fn service() -> (Service, Stores, Clock) {
    let clock = Clock::manual(Timestamp::from_ms(1_795_000_000_000));
    let stores = in_memory(Limits::default(), clock.clone());
    let service = Service::start(parts(&stores, &clock)).await.unwrap();
    service
        .types
        .push(&somebody(), guest::component(0), None)
        .await
        .unwrap();
    (service, stores, clock)
}

/// What a host that died has left: a child that would complete.
async fn left_behind(stores: &Stores, id: &str, parent: RunId, due_at: Timestamp) {
    let run = NewRun {
        id: RunId::new(),
        type_id: TypeId::parse(guest::TYPE).unwrap(),
        stream: None,
        also_reads: Vec::new(),
        params: Arc::from(guest::COMPLETES.to_string()),
        parent: Some(Parent {
            task: key("parent").id,
            run: parent,
            key: id.to_owned(),
            depth: 1,
            stream: None,
            also_reads: Vec::new(),
        }),
        concurrency_key: None,
        record: false,
        trace: None,
        requested_by: "somebody".to_owned(),
        key: None,
        priority: 0,
        due_at,
        timeout_ms: None,
        max_attempts: 1,
        condition: None,
        keeps_checkpoints: false,
        receipt: None,
    };
    let schedule = Event::Schedule(Box::new(run));
    stores.tasks.apply(&key(id), schedule).await.unwrap();
}

/// The task once it has ended.
async fn ended(service: &Service, id: &str) -> Task {
    let (by, key) = (somebody(), key(id));
    let waiting = async {
        let mut since = 0;
        loop {
            let wait = service.tasks.wait(&by, &key, since, PATIENCE);
            let Some(view) = wait.await.unwrap() else {
                continue;
            };
            since = view.revision();
            if view.status.is_terminal() {
                return view.task.unwrap();
            }
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap()
}

#[track_caller]
fn assert_orphan(task: &Task) {
    let run = &task.run;
    assert_eq!(
        (task.status, run.cancel_reason.as_deref()),
        (Status::Canceled, Some("its parent has ended"))
    );
    let calls = task.usage.map_or(0, |usage| usage.host_calls);
    assert_eq!((calls, &task.progress), (0, &None), "no guest was begun");
}

#[tokio::test]
async fn an_orphan_is_not_begun_when_it_is_claimed() {
    let (service, stores, clock) = service().await;
    left_behind(&stores, "child", RunId::new(), clock.now()).await;
    service.begin();
    let task = ended(&service, "child").await;
    assert_orphan(&task);
    assert_eq!(task.run.lease_number, 1, "it was claimed");
}

#[tokio::test]
async fn an_orphan_that_is_not_due_is_swept() {
    let (service, stores, clock) = service().await;
    let later = clock.now().plus(Duration::from_secs(3_600));
    left_behind(&stores, "child", RunId::new(), later).await;
    service.begin();
    let task = ended(&service, "child").await;
    assert_orphan(&task);
    assert_eq!(task.run.lease_number, 0, "it was never claimed");
}

#[tokio::test]
async fn a_child_lives_as_long_as_the_run_of_its_parent() {
    let (service, stores, clock) = service().await;
    let accepted = Accepted::default();
    let wish = Wish::Schedule(guest::WAITS);
    say(&service, &accepted, "parent", wish).await.unwrap();
    let parent = accepted.runs()[0];
    let later = clock.now().plus(Duration::from_secs(3_600));
    left_behind(&stores, "later", parent, later).await;
    left_behind(&stores, "former", RunId::new(), later).await;
    left_behind(&stores, "now", parent, clock.now()).await;
    service.begin();
    assert_eq!(ended(&service, "now").await.status, Status::Completed);
    // The sweeper has been here once that one is gone, and has left the other one alone.
    assert_orphan(&ended(&service, "former").await);
    let living = stores.tasks.children(parent).await.unwrap();
    assert_eq!((living.count, living.living), (2, vec![key("later")]));
    say(&service, &accepted, "parent", Wish::Cancel)
        .await
        .unwrap();
    assert_eq!(ended(&service, "parent").await.status, Status::Canceled);
    assert_orphan(&ended(&service, "later").await);
}

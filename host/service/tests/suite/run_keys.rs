//! The life of a run's key: made with its schedule, shared, read with, and ended when nobody holds
//! it, whatever has become of its host.

use std::sync::Arc;
use std::time::Duration;

use taskhost_model::error::ErrorKind;
use taskhost_model::ids::{RunId, TypeId};
use taskhost_model::requester::{Credential, Requester};
use taskhost_model::rights::Role;
use taskhost_model::status::Status;
use taskhost_service::error::ServiceError;
use taskhost_store::event::{Event, NewRun};
use taskhost_store::memory::people::Rights;
use taskhost_store::tasks::ListRequest;

use crate::guest::{self, READS, READS_ON, SPAWNS, WAITS};
use crate::people::{key, space};
use crate::population::{Population, held, host_on, request, ring};

const STREAM: Option<&str> = Some(guest::STREAM);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[tokio::test]
async fn runs_of_one_person_share_a_key_that_ends_with_the_last_of_them() {
    let it = Population::start().await;
    it.service.begin();
    let (ann, ben) = (it.who("ann"), it.who("ben"));
    for (by, id) in [(&ann, "a"), (&ann, "b"), (&ben, "c")] {
        it.schedule(by, id, READS_ON, STREAM).await.unwrap();
    }
    it.schedule(&ann, "plain", WAITS, None).await.unwrap();
    let [a, b, c] = [
        it.at_work("a").await,
        it.at_work("b").await,
        it.at_work("c").await,
    ];
    assert_eq!(held(&a), held(&b));
    assert_ne!(held(&a), held(&c));
    assert_eq!(it.at_work("plain").await.run.key, None);
    assert_eq!((it.keys().await.len(), it.people.living_keys()), (2, 2));
    let stored = it.keys().await;
    for key in &stored {
        let shown = String::from_utf8_lossy(&key.sealed).into_owned();
        assert!(
            !shown.contains("ApiKey") && !shown.contains("Basic"),
            "{shown}"
        );
    }
    let cancel = async |id: &str| {
        it.service
            .tasks
            .cancel(&ann, &key(id), None, None)
            .await
            .unwrap();
        it.ended(id).await;
    };
    cancel("a").await;
    it.sweeps().await;
    assert_eq!(it.keys().await.len(), 2, "one of its runs goes on");
    cancel("b").await;
    it.until_keys(1).await;
    assert_eq!(it.people.living_keys(), 1);
    // Another one needs another key.
    it.schedule(&ann, "d", READS, STREAM).await.unwrap();
    let d = it.ended("d").await;
    assert_eq!(d.status, Status::Completed, "{:?}", d.error);
    assert_ne!(held(&d), held(&a));
    cancel("c").await;
    it.until_keys(0).await;
    assert_eq!(it.people.living_keys(), 0);
}

#[tokio::test]
async fn a_key_is_shared_for_five_minutes_and_with_those_streams_that_it_reads() {
    let it = Population::start().await;
    let (admin, ann) = (it.who("adm"), it.who("ann"));
    for stream in ["logs.more", "other"] {
        let settings = taskhost_store::streams::StreamSettings::default();
        it.service
            .streams
            .put(&admin, &it.stream(stream), &settings)
            .await
            .unwrap();
    }
    let take = async |id: &str, stream: &str| {
        let view = it.schedule(&ann, id, WAITS, Some(stream)).await.unwrap();
        held(&view.task.unwrap())
    };
    let first = take("a", guest::STREAM).await;
    it.clock.advance(Duration::from_secs(4 * 60));
    assert_eq!(take("b", "logs.more").await, first);
    // She may read another one since; the key may not.
    it.people.change(
        "ann",
        Rights::of(&space(), Role::Operator, &["logs.*", "other"]),
    );
    let second = take("c", "other").await;
    assert_ne!(second, first);
    it.clock.advance(Duration::from_secs(6 * 60));
    assert_ne!(take("d", "other").await, second);
    // One that is due later needs one that lasts.
    let third = take("e", "other").await;
    let mut later = request(WAITS, Some("other"));
    later.run_at = Some(it.clock.now().plus(30 * DAY));
    it.service
        .tasks
        .schedule(&ann, key("f"), later)
        .await
        .unwrap();
    assert_ne!(held(&it.task("f").await), third);
    let (task, all) = (it.task("f").await, it.keys().await);
    let its = all.iter().find(|it| it.id == held(&task)).unwrap();
    assert!(its.expires_at > task.run.due_at.plus(7 * DAY));
    // Nobody's key lives for good.
    let mut far = request(WAITS, Some("other"));
    far.run_at = Some(it.clock.now().plus(367 * DAY));
    let refused = it.service.tasks.schedule(&ann, key("g"), far).await;
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("more than a year away"), "{refused}");
}

#[tokio::test]
async fn a_key_that_somebody_brings_serves_itself_and_is_not_ended() {
    let it = Population::start().await;
    it.service.begin();
    let own = it.people.own_key("ann");
    let by = it.service.recognize(Some(&own)).await.unwrap();
    assert_eq!(by.name, "ann");
    it.schedule(&by, "t", READS, STREAM).await.unwrap();
    let task = it.ended("t").await;
    assert_eq!(task.status, Status::Completed, "{:?}", task.error);
    it.until_keys(0).await;
    assert_eq!(it.people.living_keys(), 1, "hers");
    it.service.recognize(Some(&own)).await.unwrap();
}

#[tokio::test]
async fn a_run_whose_key_is_ended_in_the_middle_is_denied_what_it_reads() {
    let it = Population::start().await;
    it.service.begin();
    it.schedule(&it.who("ann"), "t", READS_ON, STREAM)
        .await
        .unwrap();
    it.at_work("t").await;
    let granted = it.keys().await.pop().unwrap().granted.unwrap();
    let people = it.stores[0].people.as_ref().unwrap();
    people.authority.invalidate(&[granted]).await.unwrap();
    // It completes when it is told that it is denied, and traps when it is told anything else.
    let task = it.ended("t").await;
    assert_eq!(task.status, Status::Completed, "{:?}", task.error);
}

#[tokio::test]
async fn no_key_no_run() {
    let it = Population::start().await;
    let ann = it.who("ann");
    let expires = async |id: &str| {
        let all = it.keys().await;
        let task = it.task(id).await;
        all.into_iter().find(|key| key.id == held(&task)).unwrap()
    };
    // One that waited for too long.
    it.schedule(&ann, "late", READS, STREAM).await.unwrap();
    let late = expires("late").await;
    assert!(late.expires_at > it.clock.now().plus(8 * DAY));
    it.clock.advance(100 * DAY);
    // One whose key is gone, and one that has none.
    it.schedule(&ann, "gone", READS, STREAM).await.unwrap();
    let gone = expires("gone").await;
    let run = |key| NewRun {
        id: RunId::new(),
        type_id: TypeId::parse(guest::TYPE).unwrap(),
        stream: request(READS, STREAM).stream,
        also_reads: Vec::new(),
        params: Arc::from(READS.to_string()),
        parent: None,
        concurrency_key: None,
        record: false,
        trace: None,
        requested_by: "ann".to_owned(),
        key,
        priority: 0,
        due_at: it.clock.now(),
        timeout_ms: None,
        max_attempts: 3,
        condition: None,
        keeps_checkpoints: false,
        receipt: None,
    };
    for (id, of) in [
        ("none", None),
        ("moved", Some(taskhost_model::ids::RunKeyId::new())),
    ] {
        let schedule = Event::Schedule(Box::new(run(of)));
        it.stores[0].tasks.apply(&key(id), schedule).await.unwrap();
    }
    // Its sealed text moved into another key's place does not open.
    let mut moved = gone.clone();
    moved.id = held(&it.task("moved").await);
    let keys = &it.stores[0].people.as_ref().unwrap().keys;
    keys.put(&moved).await.unwrap();
    it.service.abandon().await;
    keys.remove(&[gone.id]).await.unwrap();
    let host = host_on(&it.stores[0], &it.clock, ring(1), "host-0")
        .await
        .unwrap();
    host.begin();
    for (id, says) in [
        ("late", "expired"),
        ("gone", "is gone"),
        ("none", "without a key"),
        ("moved", "does not open"),
    ] {
        let error = it.ended(id).await.error.unwrap();
        assert_eq!(error.kind, ErrorKind::Identity, "{id}: {error:?}");
        assert!(
            error.message.contains(says) && !error.retryable,
            "{id}: {error:?}"
        );
    }
    it.until_keys(0).await;
}

#[tokio::test]
async fn whoever_schedules_again_runs_it_in_their_own_name() {
    let it = Population::start().await;
    it.service.begin();
    it.schedule(&it.who("ann"), "t", READS_ON, STREAM)
        .await
        .unwrap();
    let first = it.at_work("t").await;
    it.service
        .tasks
        .cancel(&it.who("ben"), &key("t"), None, None)
        .await
        .unwrap();
    it.ended("t").await;
    it.schedule(&it.who("ben"), "t", READS, STREAM)
        .await
        .unwrap();
    let second = it.ended("t").await;
    assert_eq!(
        (second.status, &*second.requested_by),
        (Status::Completed, "ben")
    );
    assert_ne!(held(&first), held(&second));
    it.until_keys(0).await;
}

#[tokio::test]
async fn a_child_reads_with_its_parents_key_which_it_holds_too() {
    let it = Population::start().await;
    it.service.begin();
    it.schedule(&it.who("ann"), "parent", SPAWNS, STREAM)
        .await
        .unwrap();
    let parent = it.at_work("parent").await;
    let children = async {
        loop {
            let mut all = ListRequest::all(space());
            all.id_contains = Some("child-".to_owned());
            let mut all = it.stores[0].tasks.list(&all).await.unwrap().tasks;
            all.retain(|task| task.parent.is_some());
            if let Some(child) = all.pop() {
                return child;
            }
            crate::bench::a_moment().await;
        }
    };
    let child = tokio::time::timeout(crate::hold::PATIENCE, children).await;
    let child = child.unwrap();
    assert_eq!(held(&child), held(&parent));
    assert_eq!(child.requested_by, "ann");
    let of = child.parent.as_ref().and_then(|it| it.stream.clone());
    assert_eq!(of, parent.stream, "whoever may not read it sees no child");
    let child = it.ended(child.id.as_str()).await;
    assert_eq!(child.status, Status::Completed, "{:?}", child.error);
    it.sweeps().await;
    assert_eq!(it.keys().await.len(), 1);
    it.service
        .tasks
        .delete(&it.who("ann"), &key("parent"), None)
        .await
        .unwrap();
    it.until_keys(0).await;
    assert_eq!(it.people.living_keys(), 0);
}

#[tokio::test]
async fn what_was_never_scheduled_holds_no_key() {
    let it = Population::start().await;
    it.schedule(&it.who("ann"), "t", WAITS, STREAM)
        .await
        .unwrap();
    it.clock.advance(Duration::from_secs(6 * 60));
    let mut refused = request(WAITS, STREAM);
    refused.condition = Some(taskhost_store::event::WriteCondition::Absent);
    let again = it
        .service
        .tasks
        .schedule(&it.who("ann"), key("t"), refused)
        .await;
    assert!(
        matches!(again, Err(ServiceError::VersionMismatch)),
        "{again:?}"
    );
    assert_eq!(it.people.living_keys(), 2);
    it.until_keys(1).await;
    assert_eq!(it.people.living_keys(), 1);
}

/// Keys of a host that was killed are ended by another one, those that are held after their runs.
#[tokio::test]
async fn the_keys_of_a_killed_host_are_ended_by_another() {
    let it = Population::of(2).await;
    it.schedule(&it.who("ann"), "t", READS, STREAM)
        .await
        .unwrap();
    it.service.abandon().await;
    let host = host_on(&it.stores[1], &it.clock, ring(1), "host-1")
        .await
        .unwrap();
    it.sweeps().await;
    assert_eq!(it.keys().await.len(), 1, "a run holds it");
    // Its life is declared lost as soon as its name comes back with another one.
    let back = host_on(&it.stores[0], &it.clock, ring(1), "host-0")
        .await
        .unwrap();
    host.begin();
    let task = it.ended("t").await;
    assert_eq!(task.status, Status::Completed, "{:?}", task.error);
    it.until_keys(0).await;
    assert_eq!(it.people.living_keys(), 0);
    drop(back);
}

/// Runs end, and others are scheduled with the key that is about to be ended: none of those is
/// left without.
#[tokio::test]
async fn a_key_is_not_ended_under_a_schedule_that_takes_it() {
    let it = Population::start().await;
    it.service.begin();
    let ann = it.who("ann");
    let mut all = tokio::task::JoinSet::new();
    for lane in 0..4 {
        let (tasks, ann) = (it.service.tasks.clone(), ann.clone());
        let store = Arc::clone(&it.stores[0].tasks);
        all.spawn(async move {
            for round in 0..40 {
                let id = key(&format!("t{lane}-{round}"));
                tasks
                    .schedule(&ann, id.clone(), request(READS, STREAM))
                    .await
                    .unwrap();
                let task = loop {
                    let task = store.get(&id).await.unwrap().unwrap();
                    if task.status.is_terminal() {
                        break task;
                    }
                    crate::bench::a_moment().await;
                };
                assert_eq!(task.status, Status::Completed, "{:?}", task.error);
                // As long as it takes that the sweeper comes between some of them.
                for _ in 0..lane * round {
                    crate::bench::a_moment().await;
                }
            }
        });
    }
    all.join_all().await;
    it.until_keys(0).await;
    assert_eq!(it.people.living_keys(), 0);
}

#[tokio::test]
async fn a_recording_is_its_requesters_as_long_as_they_read_the_stream() {
    let it = Population::start().await;
    it.service.begin();
    let host = &it.service;
    let mut recorded = request(READS, STREAM);
    recorded.record = true;
    host.tasks
        .schedule(&it.who("ann"), key("t"), recorded)
        .await
        .unwrap();
    it.ended("t").await;
    let read = async |by: &Requester| host.tasks.recording(by, &key("t"), None).await.map(drop);
    read(&it.who("ann")).await.unwrap();
    for name in ["ben", "adm", "eve"] {
        assert!(
            matches!(
                read(&it.who(name)).await,
                Err(ServiceError::NotFound { .. })
            ),
            "{name}"
        );
    }
    // Whoever says that they are somebody else is recognized by what they come with.
    let posing = Requester {
        name: "ann".to_owned(),
        credential: Credential::Own(crate::population::basic("eve", "secret")),
        ..Requester::single_user()
    };
    assert!(matches!(
        read(&posing).await,
        Err(ServiceError::NotFound { .. })
    ));
    it.people
        .change("ann", Rights::of(&space(), Role::Operator, &[]));
    // What is known of her rights counts for a while; her stream is read with her own credential.
    assert!(matches!(
        read(&it.who("ann")).await,
        Err(ServiceError::NotFound { .. })
    ));
}

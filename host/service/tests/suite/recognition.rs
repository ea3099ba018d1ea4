//! Who asks: recognized by the store's authority, which is not asked more often than it has to be,
//! and never taken to allow what it did not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use taskhost_model::ids::{RunId, StreamName, TypeId};
use taskhost_model::requester::{Authorization, Credential, Requester};
use taskhost_model::rights::{Right, Role};
use taskhost_model::status::Status;
use taskhost_model::time::{Clock, Timestamp};
use taskhost_service::Service;
use taskhost_service::error::ServiceError;
use taskhost_store::authority::{Authority, GrantedKey, Person};
use taskhost_store::error::StoreError;
use taskhost_store::event::{Event, NewRun};
use taskhost_store::limits::Limits;
use taskhost_store::memory::people::{Declared, Rights};
use taskhost_store::open::{Stores, in_memory_with_people};

use crate::people::{key, space};
use crate::population::{basic, host_on, ring};

/// An authority that counts what it is asked, and that can be away.
#[derive(Debug)]
struct Counted {
    inner: Arc<Declared>,
    persons: AtomicUsize,
    rights: AtomicUsize,
    is_away: AtomicBool,
}

impl Counted {
    fn there(&self) -> Result<(), StoreError> {
        match self.is_away.load(Ordering::SeqCst) {
            false => Ok(()),
            true => Err(StoreError::Unavailable {
                reason: "a test rejects the call".to_owned(),
            }),
        }
    }

    fn asked(&self) -> (usize, usize) {
        let of = |count: &AtomicUsize| count.load(Ordering::SeqCst);
        (of(&self.persons), of(&self.rights))
    }
}

#[async_trait]
impl Authority for Counted {
    async fn person(&self, authorization: &Authorization) -> Result<Person, StoreError> {
        self.persons.fetch_add(1, Ordering::SeqCst);
        // Others come meanwhile.
        tokio::task::yield_now().await;
        self.there()?;
        self.inner.person(authorization).await
    }

    async fn has(
        &self,
        authorization: &Authorization,
        asked: &[Right],
    ) -> Result<Vec<bool>, StoreError> {
        self.rights.fetch_add(1, Ordering::SeqCst);
        tokio::task::yield_now().await;
        self.there()?;
        self.inner.has(authorization, asked).await
    }

    async fn grant(
        &self,
        authorization: &Authorization,
        purpose: &str,
        valid_for: Duration,
    ) -> Result<GrantedKey, StoreError> {
        self.inner.grant(authorization, purpose, valid_for).await
    }

    async fn invalidate(&self, keys: &[String]) -> Result<(), StoreError> {
        self.inner.invalidate(keys).await
    }
}

async fn service() -> (Service, Arc<Declared>, Arc<Counted>) {
    let (service, people, counted, _) = with_stores().await;
    (service, people, counted)
}

async fn with_stores() -> (Service, Arc<Declared>, Arc<Counted>, Stores) {
    let clock = Clock::manual(Timestamp::from_ms(1_795_000_000_000));
    let people = Arc::new(Declared::new(clock.clone()));
    let mut stores = in_memory_with_people(Limits::default(), clock.clone(), &people);
    let counted = Arc::new(Counted {
        inner: Arc::clone(&people),
        persons: AtomicUsize::new(0),
        rights: AtomicUsize::new(0),
        is_away: AtomicBool::new(false),
    });
    stores.people.as_mut().unwrap().authority = Arc::<Counted>::clone(&counted);
    let service = host_on(&stores, &clock, ring(1), "host-1").await.unwrap();
    (service, people, counted, stores)
}

fn is_unauthorized<T>(answer: &Result<T, ServiceError>) -> bool {
    matches!(answer, Err(ServiceError::Unauthorized { .. }))
}

fn is_unavailable<T>(answer: &Result<T, ServiceError>) -> bool {
    matches!(answer, Err(ServiceError::Unavailable { .. }))
}

#[tokio::test(start_paused = true)]
async fn somebody_is_asked_for_once_in_half_a_minute_however_many_come() {
    let (service, people, counted) = service().await;
    let own = people.declare("ann", "a", Rights::of(&space(), Role::Viewer, &[]));
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (service, own) = (service.clone(), own.clone());
        all.spawn(async move {
            let by = service.recognize(Some(&own)).await.unwrap();
            service.tasks.get(&by, &key("t")).await.unwrap();
            let wish = taskhost_store::tasks::ListRequest::all(space());
            service.tasks.list(&by, wish).await.unwrap();
            by.name
        });
    }
    assert!(all.join_all().await.iter().all(|name| name == "ann"));
    // A task that is not there is nobody's to see: one question is that of the list.
    assert_eq!(counted.asked(), (1, 1));
    tokio::time::advance(Duration::from_secs(29)).await;
    service.recognize(Some(&own)).await.unwrap();
    assert_eq!(counted.asked().0, 1);
    people.disable("ann");
    tokio::time::advance(Duration::from_secs(2)).await;
    assert!(is_unauthorized(&service.recognize(Some(&own)).await));
    assert_eq!(counted.asked().0, 2);
}

/// Elasticsearch takes its seconds to say that it has no answer.
#[tokio::test(start_paused = true)]
async fn whoever_waits_hears_that_nobody_could_be_asked() {
    let (service, people, counted) = service().await;
    let own = people.declare("ann", "a", Rights::of(&space(), Role::Viewer, &[]));
    counted.is_away.store(true, Ordering::SeqCst);
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (service, own) = (service.clone(), own.clone());
        all.spawn(async move { service.recognize(Some(&own)).await });
    }
    let answers = all.join_all().await;
    assert!(answers.iter().all(is_unavailable), "{answers:?}");
    assert_eq!(counted.asked(), (1, 0));
    // Whoever comes later asks again.
    assert!(is_unavailable(&service.recognize(Some(&own)).await));
    assert_eq!(counted.asked(), (2, 0));
    counted.is_away.store(false, Ordering::SeqCst);
    let by = service.recognize(Some(&own)).await.unwrap();
    assert_eq!(counted.asked(), (3, 0));

    // It is the same with what somebody may do.
    counted.is_away.store(true, Ordering::SeqCst);
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (service, by, own) = (service.clone(), by.clone(), own.clone());
        all.spawn(async move {
            let answer = service.may_know_all(&by).await;
            // What is known is answered all the same.
            service.recognize(Some(&own)).await.unwrap();
            answer
        });
    }
    let answers = all.join_all().await;
    assert!(answers.iter().all(is_unavailable), "{answers:?}");
    assert_eq!(counted.asked(), (3, 1));
}

/// A question more takes time, which would tell of a stream that there is a task on it.
#[tokio::test(start_paused = true)]
async fn as_much_is_asked_where_a_task_is_hidden_as_where_there_is_none() {
    let (service, people, counted, stores) = with_stores().await;
    let ids = ["logs-a", "logs-b"].map(|stream| format!("streams_feature_identification_{stream}"));
    let run = NewRun {
        id: RunId::new(),
        type_id: TypeId::parse("streams_feature_identification").unwrap(),
        stream: Some(StreamName::parse("logs-a").unwrap()),
        also_reads: Vec::new(),
        params: Arc::from("{}"),
        parent: None,
        concurrency_key: None,
        record: false,
        trace: None,
        requested_by: "ann".to_owned(),
        key: None,
        priority: 0,
        due_at: Timestamp::from_ms(1_795_000_000_000),
        timeout_ms: None,
        max_attempts: 1,
        condition: None,
        keeps_checkpoints: false,
        receipt: None,
    };
    let schedule = Event::Schedule(Box::new(run));
    stores.tasks.apply(&key(&ids[0]), schedule).await.unwrap();
    let own = people.declare("eve", "e", Rights::of(&space(), Role::Viewer, &["logs-c"]));
    let by = service.recognize(Some(&own)).await.unwrap();
    for id in &ids {
        let before = counted.asked();
        let view = service.tasks.get(&by, &key(id)).await.unwrap();
        assert_eq!(view.status, Status::NotStarted);
        assert_eq!(counted.asked(), (before.0, before.1 + 1), "{id}");
    }
}

#[tokio::test(start_paused = true)]
async fn rights_that_were_taken_away_are_gone_within_half_a_minute() {
    let (service, people, counted) = service().await;
    let own = people.declare(
        "ann",
        "a",
        Rights {
            everywhere: Some(Role::Admin),
            ..Rights::default()
        },
    );
    let by = service.recognize(Some(&own)).await.unwrap();
    service.may_know_all(&by).await.unwrap();
    people.change("ann", Rights::default());
    tokio::time::advance(Duration::from_secs(31)).await;
    let refused = service.may_know_all(&by).await;
    assert!(
        matches!(refused, Err(ServiceError::Forbidden { .. })),
        "{refused:?}"
    );
    assert_eq!(counted.asked().1, 2);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_not_remembered_for_long() {
    let (service, people, counted) = service().await;
    let wrong = basic("ann", "b");
    assert!(is_unauthorized(&service.recognize(Some(&wrong)).await));
    assert!(is_unauthorized(&service.recognize(Some(&wrong)).await));
    assert_eq!(counted.asked().0, 1);
    people.declare("ann", "b", Rights::default());
    tokio::time::advance(Duration::from_secs(3)).await;
    assert_eq!(service.recognize(Some(&wrong)).await.unwrap().name, "ann");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_allowed_while_nobody_can_be_asked() {
    let (service, people, counted) = service().await;
    let own = people.declare(
        "ann",
        "a",
        Rights {
            everywhere: Some(Role::Admin),
            ..Rights::default()
        },
    );
    let by = service.recognize(Some(&own)).await.unwrap();
    counted.is_away.store(true, Ordering::SeqCst);
    let other = people.declare("ben", "b", Rights::default());
    for answer in [
        service.recognize(Some(&other)).await.map(drop),
        service.may_know_all(&by).await,
        service.tasks.delete(&by, &key("t"), None).await,
    ] {
        assert!(
            matches!(answer, Err(ServiceError::Unavailable { .. })),
            "{answer:?}"
        );
    }
    // It is no refusal either: nothing of it is remembered.
    counted.is_away.store(false, Ordering::SeqCst);
    service.recognize(Some(&other)).await.unwrap();
    service.may_know_all(&by).await.unwrap();
}

#[tokio::test]
async fn without_a_credential_nobody_is_anybody() {
    let (service, _, _) = service().await;
    assert!(is_unauthorized(&service.recognize(None).await));
    // The one user is the host's where there are no people, and nobody where there are.
    let single = Requester {
        name: "ann".to_owned(),
        credential: Credential::SingleUser,
        ..Requester::single_user()
    };
    assert!(is_unauthorized(&service.may_know_all(&single).await));
    assert!(is_unauthorized(
        &service.tasks.delete(&single, &key("t"), None).await
    ));
    let wish = taskhost_store::tasks::ListRequest::all(space());
    assert!(is_unauthorized(&service.tasks.list(&single, wish).await));
}

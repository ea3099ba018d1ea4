//! A sweep and a schedule that meet over the same key, in each order that could lose it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use taskhost_model::ids::RunKeyId;
use taskhost_model::status::Status;
use taskhost_service::Service;
use taskhost_store::error::StoreError;
use taskhost_store::event::Event;
use taskhost_store::faulty::{Call, Fate, Policy, wrap};
use taskhost_store::run_keys::{RunKey, RunKeyStore};
use tokio::sync::Semaphore;

use crate::guest::{self, READS, WAITS};
use crate::hold::until;
use crate::people::key;
use crate::population::{Population, held, host_on, request, ring};

/// Somebody stops at a place, once, until the test lets them go.
#[derive(Debug)]
struct Gate {
    is_shut: AtomicBool,
    has_come: AtomicBool,
    open: Semaphore,
}

impl Gate {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            is_shut: AtomicBool::new(false),
            has_come: AtomicBool::new(false),
            open: Semaphore::new(0),
        })
    }

    async fn pass(&self) {
        if self.is_shut.swap(false, Ordering::SeqCst) {
            self.has_come.store(true, Ordering::SeqCst);
            self.open.acquire().await.unwrap().forget();
        }
    }

    async fn until_come(&self) {
        until(|| self.has_come.load(Ordering::SeqCst)).await;
    }
}

/// Holds up schedules before they are written.
#[derive(Debug)]
struct Schedules(Arc<Gate>);

#[async_trait]
impl Policy for Schedules {
    async fn before(&self, call: Call<'_>) -> Fate {
        if matches!(call.event, Some(Event::Schedule(_))) {
            self.0.pass().await;
        }
        Fate::Done
    }

    async fn after(&self, _: Call<'_>) {}
}

/// Holds up the answer to who holds a key, when nobody does.
#[derive(Debug)]
struct Looks {
    inner: Arc<dyn RunKeyStore>,
    gate: Arc<Gate>,
}

#[async_trait]
impl RunKeyStore for Looks {
    async fn put(&self, key: &RunKey) -> Result<(), StoreError> {
        self.inner.put(key).await
    }

    async fn reseal(&self, id: RunKeyId, sealed: Vec<u8>) -> Result<(), StoreError> {
        self.inner.reseal(id, sealed).await
    }

    async fn get(&self, id: RunKeyId) -> Result<Option<RunKey>, StoreError> {
        self.inner.get(id).await
    }

    async fn list(&self, limit: usize) -> Result<Vec<RunKey>, StoreError> {
        self.inner.list(limit).await
    }

    async fn held(&self, ids: &[RunKeyId]) -> Result<Vec<RunKeyId>, StoreError> {
        let held = self.inner.held(ids).await?;
        if held.is_empty() {
            self.gate.pass().await;
        }
        Ok(held)
    }

    async fn remove(&self, ids: &[RunKeyId]) -> Result<(), StoreError> {
        self.inner.remove(ids).await
    }

    async fn check(&self, ours: &[u8]) -> Result<Vec<u8>, StoreError> {
        self.inner.check(ours).await
    }

    async fn replace_check(&self, old: &[u8], new: &[u8]) -> Result<bool, StoreError> {
        self.inner.replace_check(old, new).await
    }
}

/// A population whose host is held up at both places.
async fn held_up() -> (Population, Service, Arc<Gate>, Arc<Gate>) {
    let it = Population::start().await;
    it.service.abandon().await;
    let (schedules, looks) = (Gate::new(), Gate::new());
    let policy: Arc<dyn Policy> = Arc::new(Schedules(Arc::clone(&schedules)));
    let mut stores = wrap(&it.stores[0], &policy);
    let mut people = it.stores[0].people.clone().unwrap();
    people.keys = Arc::new(Looks {
        inner: people.keys,
        gate: Arc::clone(&looks),
    });
    stores.people = Some(people);
    let service = host_on(&stores, &it.clock, ring(1), "host-0")
        .await
        .unwrap();
    service.begin();
    (it, service, schedules, looks)
}

#[tokio::test]
async fn a_key_in_the_hands_of_a_schedule_is_not_ended() {
    let (it, service, schedules, _) = held_up().await;
    let by = it.who("ann");
    schedules.is_shut.store(true, Ordering::SeqCst);
    let tasks = service.tasks.clone();
    let scheduling = tokio::spawn(async move {
        let wish = request(READS, Some(guest::STREAM));
        tasks.schedule(&by, key("t"), wish).await.unwrap();
    });
    schedules.until_come().await;
    // No run holds it, and the sweeper sees that.
    it.sweeps().await;
    assert_eq!((it.keys().await.len(), it.people.living_keys()), (1, 1));
    schedules.open.add_permits(1);
    scheduling.await.unwrap();
    let task = it.ended("t").await;
    assert_eq!(task.status, Status::Completed, "{:?}", task.error);
    it.until_keys(0).await;
}

#[tokio::test]
async fn a_key_that_was_taken_since_it_was_looked_for_is_not_ended() {
    let (it, service, _, looks) = held_up().await;
    let by = it.who("ann");
    let schedule = async |id: &str, kind| {
        let wish = request(kind, Some(guest::STREAM));
        service.tasks.schedule(&by, key(id), wish).await.unwrap();
    };
    schedule("a", WAITS).await;
    let first = it.at_work("a").await;
    looks.is_shut.store(true, Ordering::SeqCst);
    service
        .tasks
        .cancel(&by, &key("a"), None, None)
        .await
        .unwrap();
    // The sweeper has seen that nobody holds it, and has not gone on.
    looks.until_come().await;
    schedule("b", WAITS).await;
    assert_eq!(held(&it.at_work("b").await), held(&first));
    looks.open.add_permits(1);
    it.sweeps().await;
    assert_eq!(it.people.living_keys(), 1, "a run holds it");
    // It is given to nobody else, as the sweeper gave it up.
    schedule("c", READS).await;
    let third = it.ended("c").await;
    assert_eq!(third.status, Status::Completed, "{:?}", third.error);
    assert_ne!(held(&third), held(&first));
    service
        .tasks
        .cancel(&by, &key("b"), None, None)
        .await
        .unwrap();
    it.until_keys(0).await;
    assert_eq!(it.people.living_keys(), 0);
}

/// Of a schedule whose answer was lost nobody knows whether it was written.
#[tokio::test]
async fn a_key_of_a_schedule_without_an_answer_lives_as_long_as_it_is_shared() {
    let it = Population::start().await;
    it.service.abandon().await;
    let policy: Arc<dyn Policy> = Arc::new(LosesAnswers);
    let mut stores = wrap(&it.stores[0], &policy);
    stores.people = it.stores[0].people.clone();
    let service = host_on(&stores, &it.clock, ring(1), "host-0")
        .await
        .unwrap();
    let wish = request(WAITS, Some(guest::STREAM));
    let lost = service.tasks.schedule(&it.who("ann"), key("t"), wish).await;
    lost.unwrap_err();
    it.sweeps().await;
    assert_eq!(it.keys().await.len(), 1);
    it.clock.advance(std::time::Duration::from_secs(6 * 60));
    it.until_keys(0).await;
}

/// Says of schedules that they failed, which have not even come.
#[derive(Debug)]
struct LosesAnswers;

#[async_trait]
impl Policy for LosesAnswers {
    async fn before(&self, call: Call<'_>) -> Fate {
        match call.event {
            Some(Event::Schedule(_)) => Fate::Rejected,
            _ => Fate::Done,
        }
    }

    async fn after(&self, _: Call<'_>) {}
}

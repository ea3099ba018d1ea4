//! What runs together may take of the store's reads, over a store that has no more of them than
//! it has to, and whose reads last until the test lets them end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use taskhost_clients::error::ErrorCode;
use taskhost_clients::run::RunClients;
use taskhost_clients::stop::{StopReason, StopSignal};
use taskhost_clients::turns::RunTurns;
use taskhost_model::query::Query;
use taskhost_store::faulty::{Call, Fate, Policy, wrap};
use taskhost_store::open::Stores;
use taskhost_store::streams::READS_AT_ONCE;
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, yield_now};

use crate::bench::{Bench, STREAM, code};

const ALL: &str = r#"{"from":0,"to":1000000}"#;
/// More turns than anybody on the test's one thread needs to get as far as it can.
const TURNS: usize = 100;

#[derive(Debug)]
struct Slow {
    places: Semaphore,
    may_end: Semaphore,
    begun: AtomicUsize,
}

#[async_trait]
impl Policy for Slow {
    async fn before(&self, call: Call<'_>) -> Fate {
        if call.name != "streams.get" {
            let _place = self.places.acquire().await.unwrap();
            self.begun.fetch_add(1, Ordering::SeqCst);
            self.may_end.acquire().await.unwrap().forget();
        }
        Fate::Done
    }

    async fn after(&self, _: Call<'_>) {}
}

struct Runs {
    bench: Bench,
    slow: Arc<Slow>,
    stores: Stores,
    turns: RunTurns,
}

impl Runs {
    async fn new() -> Self {
        let bench = Bench::new().await;
        let slow = Arc::new(Slow {
            places: Semaphore::new(READS_AT_ONCE as usize),
            may_end: Semaphore::new(0),
            begun: AtomicUsize::new(0),
        });
        let policy: Arc<dyn Policy> = Arc::<Slow>::clone(&slow);
        Self {
            stores: wrap(&bench.stores, &policy),
            turns: RunTurns::default(),
            bench,
            slow,
        }
    }

    fn another(&self) -> RunClients {
        self.another_with_stop().0
    }

    fn another_with_stop(&self) -> (RunClients, StopSignal) {
        self.bench.another(&self.stores, &self.turns)
    }

    /// How many reads the store has begun, once nobody gets any further.
    async fn begun(&self) -> usize {
        for _ in 0..TURNS {
            yield_now().await;
        }
        self.slow.begun.load(Ordering::SeqCst)
    }

    /// A person's read of the whole stream.
    fn person(&self) -> JoinHandle<u64> {
        let (store, key) = (Arc::clone(&self.stores.streams), self.bench.stream());
        let requester = self.bench.info.requester.clone();
        tokio::spawn(async move {
            let query: Query = serde_json::from_str(ALL).unwrap();
            store.count(&requester, &key, &query).await.unwrap().value
        })
    }
}

#[tokio::test]
async fn whatever_runs_read_one_read_is_left_for_people() {
    let runs = Runs::new().await;
    let (count, sample) = (runs.another(), runs.another());
    let (many, search, stats) = (runs.another(), runs.another(), runs.another());
    let asked = vec![ALL.to_owned(); 4];
    let reads = [
        tokio::spawn(async move { count.streams.count(STREAM, ALL).await.map(drop) }),
        tokio::spawn(async move { sample.streams.sample(STREAM, ALL).await.map(drop) }),
        tokio::spawn(async move { many.streams.sample_many(STREAM, &asked).await.map(drop) }),
        tokio::spawn(async move { search.streams.search(STREAM, ALL).await.map(drop) }),
        tokio::spawn(async move { stats.streams.field_stats(STREAM, ALL).await.map(drop) }),
    ];
    let share = READS_AT_ONCE as usize - 1;
    assert_eq!(runs.begun().await, share, "the others wait");
    // What the stream is anybody may ask meanwhile.
    let waits_for_nobody = runs.another();
    waits_for_nobody.streams.describe(STREAM).await.unwrap();
    let person = runs.person();
    assert_eq!(runs.begun().await, share + 1, "a person waits for runs");
    // One ends, and the next one of them begins.
    runs.slow.may_end.add_permits(1);
    assert_eq!(runs.begun().await, share + 2);
    let reads_in_all = reads.len() + 3 + 1;
    runs.slow.may_end.add_permits(reads_in_all - 1);
    assert_eq!(person.await.unwrap(), 10);
    for read in reads {
        read.await.unwrap().unwrap();
    }
    assert_eq!(runs.begun().await, reads_in_all);
}

#[tokio::test]
async fn whatever_collections_runs_query_one_read_is_left_for_people() {
    let runs = Runs::new().await;
    let query = |clients: RunClients| {
        tokio::spawn(async move {
            let collection = clients.documents.open("features", None).unwrap();
            collection.query(None, None, 1, None).await.map(drop)
        })
    };
    let (share, count) = (READS_AT_ONCE as usize - 1, 5);
    let queries: Vec<_> = (0..count).map(|_| query(runs.another())).collect();
    assert_eq!(runs.begun().await, share, "the others wait");
    let person = runs.person();
    assert_eq!(runs.begun().await, share + 1, "a person waits for runs");
    runs.slow.may_end.add_permits(count + 1);
    person.await.unwrap();
    for query in queries {
        query.await.unwrap().unwrap();
    }
    assert_eq!(runs.begun().await, count + 1);
}

#[tokio::test]
async fn one_that_is_stopped_while_it_waits_holds_nobody_up() {
    let runs = Runs::new().await;
    let share = READS_AT_ONCE as usize - 1;
    let read = |clients: RunClients| {
        tokio::spawn(async move { clients.streams.count(STREAM, ALL).await.map(drop) })
    };
    let begun: Vec<_> = (0..share).map(|_| read(runs.another())).collect();
    assert_eq!(runs.begun().await, share);
    let (clients, stop) = runs.another_with_stop();
    let stopped = read(clients);
    assert_eq!(runs.begun().await, share);
    let next = read(runs.another());
    stop.ask(StopReason::User);
    assert_eq!(code(stopped.await.unwrap()), ErrorCode::Canceled);
    assert_eq!(runs.begun().await, share, "its place was not its own yet");
    runs.slow.may_end.add_permits(share + 1);
    next.await.unwrap().unwrap();
    for read in begun {
        read.await.unwrap().unwrap();
    }
}

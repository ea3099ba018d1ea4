//! Every call of the service to its store is held up, twice: before it is done and before it is
//! answered. A seeded driver lets one after the other go, in any order, while people schedule,
//! cancel, acknowledge and delete, runs end and are tried again, and the sweeper goes round.
//!
//! Loom and shuttle replace threads and locks by their own; what races here are transactions,
//! which the store makes one after the other in any case, and guests, which need real threads.
//! So whole calls are what is put in order. The steps of threads between them, at the memory that
//! they share, are for shuttle: `tests/threads`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use taskhost_service::Service;
use taskhost_store::faulty::{Call, Fate, Policy, Seen};
use tokio::sync::oneshot;

use crate::bench::{Bench, STEP, Seed, on_one_thread};
use crate::people::{Accepted, Wish, insist};
use crate::record::Record;

/// Few, so that people are in each other's way.
const TASKS: usize = 2;
const PEOPLE: usize = 5;
const WISHES: usize = 6;
/// Turns of the driver, at most; a seed needs some hundred.
const TURNS_MAX: usize = 20_000;

#[derive(Debug)]
struct Gate {
    closed: AtomicBool,
    held_up: Mutex<Vec<oneshot::Sender<()>>>,
    record: Arc<Record>,
}

impl Gate {
    async fn pass(&self) {
        if !self.closed.load(Ordering::SeqCst) {
            return;
        }
        let (go_on, wait) = oneshot::channel();
        self.held_up().push(go_on);
        // Dropped by nobody; whoever opens the gate lets all go.
        drop(wait.await);
    }

    /// Lets one go; false when nobody is there.
    fn let_one_go(&self, random: &mut StdRng) -> bool {
        let mut held_up = self.held_up();
        if held_up.is_empty() {
            return false;
        }
        let any = random.random_range(0..held_up.len());
        // Whoever waited may have been dropped: that is one way to go, too.
        let _ = held_up.remove(any).send(());
        true
    }

    fn open(&self) {
        self.closed.store(false, Ordering::SeqCst);
        self.held_up().clear();
    }

    fn held_up(&self) -> MutexGuard<'_, Vec<oneshot::Sender<()>>> {
        self.held_up.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Policy for Gate {
    async fn before(&self, call: Call<'_>) -> Fate {
        if let Some(event) = call.event {
            self.record.called(event);
        }
        self.pass().await;
        Fate::Done
    }

    fn done(&self, seen: Seen<'_>) {
        self.record.done(seen);
    }

    async fn after(&self, _: Call<'_>) {
        self.pass().await;
    }

    fn told(&self, seen: Seen<'_>) {
        self.record.told(seen);
    }
}

async fn somebody(service: Service, accepted: Arc<Accepted>, mut random: StdRng) {
    for _ in 0..WISHES {
        let id = format!("t{}", random.random_range(0..TASKS));
        insist(&service, &accepted, &id, Wish::any(&mut random)).await;
    }
}

async fn under(seed: &Seed) {
    let mut random = seed.random();
    let record = Arc::new(Record::default());
    let gate = Arc::new(Gate {
        closed: AtomicBool::new(false),
        held_up: Mutex::default(),
        record: Arc::clone(&record),
    });
    let policy: Arc<dyn Policy> = Arc::<Gate>::clone(&gate);
    let mut bench = Bench::start(Arc::clone(&record), &policy).await;
    let accepted = Arc::new(Accepted::default());
    gate.closed.store(true, Ordering::SeqCst);
    let mut people: Vec<_> = (0..PEOPLE)
        .map(|_| {
            let own = StdRng::seed_from_u64(random.random());
            tokio::spawn(somebody(bench.service.clone(), Arc::clone(&accepted), own))
        })
        .collect();
    // Some hosts stop in the middle, and another life goes on with what they leave.
    let mut is_stopped = false;
    let mut stops_at = random
        .random_bool(0.25)
        .then(|| random.random_range(20..120));
    for turn in 0.. {
        assert!(turn < TURNS_MAX, "somebody waits for ever");
        bench.settle().await;
        if stops_at == Some(turn) {
            (stops_at, is_stopped) = (None, true);
            let old = bench.service.clone();
            people.push(tokio::spawn(async move {
                old.drain(Duration::from_millis(300)).await;
            }));
        }
        let somebody_went = gate.let_one_go(&mut random);
        if !somebody_went && people.iter().all(tokio::task::JoinHandle::is_finished) {
            break;
        }
        if !somebody_went || random.random_bool(0.1) {
            bench.pass(STEP * random.random_range(1..20)).await;
        }
    }
    for person in people {
        person.await.unwrap();
    }
    gate.open();
    if is_stopped {
        bench.start_again().await;
    }
    // What waits until it is stopped is stopped; everything else ends by itself.
    for number in 0..TASKS {
        let id = format!("t{number}");
        insist(&bench.service, &accepted, &id, Wish::Cancel).await;
    }
    bench.until_quiet().await;
    record.check(&accepted.runs());
}

#[test]
fn in_whatever_order_calls_meet_a_run_ends_once_and_nothing_sticks() {
    for seed in Seed::some(300, 5_000) {
        on_one_thread(under(&seed));
    }
}

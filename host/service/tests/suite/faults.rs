//! A store that rejects, dawdles, does what it says it has not done, and loses to other writers.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use taskhost_model::status::Status;
use taskhost_service::Service;
use taskhost_service::error::ServiceError;
use taskhost_service::view::TaskView;
use taskhost_store::event::Event;
use taskhost_store::faulty::{Call, Fate, Policy, Seen};
use tokio::sync::Notify;

use crate::bench::{Bench, STEP, Seed, on_one_thread};
use crate::guest::{self, KINDS, WAITS};
use crate::people::{self, Accepted, Wish, insist, key, somebody};
use crate::record::Record;

const TASKS: usize = 30;
const ROUNDS: usize = 4;
/// What all of it may take of the test's time, faults and all.
const PATIENCE: Duration = Duration::from_secs(900);

#[derive(Debug)]
struct Faults {
    random: Mutex<StdRng>,
    on: AtomicBool,
    record: Arc<Record>,
}

impl Faults {
    fn percent(&self) -> u32 {
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        random.random_range(0..100)
    }

    fn are_on(&self) -> bool {
        self.on.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Policy for Faults {
    async fn before(&self, call: Call<'_>) -> Fate {
        if let Some(event) = call.event {
            self.record.called(event);
        }
        match self.percent() {
            _ if !self.are_on() => Fate::Done,
            0..5 => Fate::Rejected,
            5..10 => Fate::DoneButFailed,
            10..20 if call.writes => Fate::Conflict,
            _ => Fate::Done,
        }
    }

    fn done(&self, seen: Seen<'_>) {
        self.record.done(seen);
    }

    async fn after(&self, _: Call<'_>) {
        if self.are_on() && self.percent() < 5 {
            let late = Duration::from_millis(u64::from(self.percent()) * 30);
            // tidy: sleep allowed because the time is the test's own, and passes in no time
            tokio::time::sleep(late).await;
        }
    }

    fn told(&self, seen: Seen<'_>) {
        self.record.told(seen);
    }
}

/// Uses one task again and again; it is left to itself once it is sure to end.
async fn use_it(service: Service, accepted: Arc<Accepted>, id: String, mut random: StdRng) {
    let say = async |wish| insist(&service, &accepted, &id, wish).await;
    for _ in 0..ROUNDS {
        let kind = KINDS[random.random_range(0..KINDS.len())];
        say(Wish::Schedule(kind)).await;
        for _ in 0..random.random_range(0..3) {
            say(Wish::WaitForChange).await;
        }
        match random.random_range(0..4) {
            0 => say(Wish::Delete).await,
            1 => say(Wish::Acknowledge).await,
            2 => say(Wish::Cancel).await,
            _ if kind == WAITS => say(Wish::Cancel).await,
            _ => say(Wish::Read).await,
        }
    }
    // The last word is said once, and nobody cares what the answer is.
    let last = match random.random_range(0..3) {
        0 => Wish::Delete,
        1 => Wish::Cancel,
        _ => Wish::Schedule(KINDS[random.random_range(0..KINDS.len())]),
    };
    drop(people::say(&service, &accepted, &id, last).await);
}

async fn under(seed: &Seed) {
    let record = Arc::new(Record::default());
    let mut random = seed.random();
    let faults = Arc::new(Faults {
        random: Mutex::new(StdRng::seed_from_u64(random.random())),
        on: AtomicBool::new(false),
        record: Arc::clone(&record),
    });
    let policy: Arc<dyn Policy> = Arc::<Faults>::clone(&faults);
    let bench = Bench::start(Arc::clone(&record), &policy).await;
    let accepted = Arc::new(Accepted::default());
    faults.on.store(true, Ordering::SeqCst);
    let users: Vec<_> = (0..TASKS)
        .map(|number| {
            let own = StdRng::seed_from_u64(random.random());
            let (service, accepted) = (bench.service.clone(), Arc::clone(&accepted));
            tokio::spawn(use_it(service, accepted, format!("t{number}"), own))
        })
        .collect();
    // Versions change meanwhile, so that runs are pinned to one that has to be read again. They
    // own a label, so that a push can break off after its component is kept.
    let types = bench.service.types.clone();
    let pusher = tokio::spawn(async move {
        let mut last = None;
        for version in 1..4 {
            let component = guest::of_type(guest::TYPE, version, r#""collections":["own"],"#);
            let mut tries = tokio::time::interval(Duration::from_secs(2));
            tries.tick().await;
            loop {
                tries.tick().await;
                if let Ok(pushed) = types.push(&somebody(), Arc::clone(&component), None).await {
                    last = Some(pushed.digest);
                    break;
                }
            }
        }
        last
    });
    let mut passed = Duration::ZERO;
    while !users.iter().all(tokio::task::JoinHandle::is_finished) || !pusher.is_finished() {
        bench.settle().await;
        bench.pass(STEP).await;
        passed += STEP;
        assert!(passed < PATIENCE, "somebody waits for ever");
    }
    for user in users {
        user.await.unwrap();
    }
    let last_pushed = pusher.await.unwrap();
    faults.on.store(false, Ordering::SeqCst);
    // What waits and can be seen is stopped; what cannot be seen has to end by itself.
    for id in bench.waiting().await {
        insist(&bench.service, &accepted, &id, Wish::Cancel).await;
    }
    bench.until_quiet().await;
    record.check(&accepted.runs());
    assert!(record.ends() > TASKS, "{} runs ended", record.ends());
    // It has recovered by itself.
    assert!(bench.service.health().claiming);
    bench.completes_one("last").await;
    let last = bench.service.tasks.get(&somebody(), &key("last")).await;
    assert_eq!(last.unwrap().task.unwrap().run.digest, last_pushed);
}

#[test]
fn a_store_that_fails_loses_nothing_and_nothing_sticks() {
    for seed in Seed::some(8, 60) {
        on_one_thread(under(&seed));
    }
}

/// Whether an event is the one that is meant.
type IsIt = fn(&Event) -> bool;

/// Loses the answer to one kind of event, once.
#[derive(Debug)]
struct LosesAnswer {
    to: Mutex<Option<IsIt>>,
    record: Arc<Record>,
}

#[async_trait]
impl Policy for LosesAnswer {
    async fn before(&self, call: Call<'_>) -> Fate {
        let Some(event) = call.event else {
            return Fate::Done;
        };
        self.record.called(event);
        let mut to = self.to.lock().unwrap_or_else(PoisonError::into_inner);
        match to.take_if(|is_it| is_it(event)) {
            Some(_) => Fate::DoneButFailed,
            None => Fate::Done,
        }
    }

    fn done(&self, seen: Seen<'_>) {
        self.record.done(seen);
    }

    async fn after(&self, _: Call<'_>) {}

    fn told(&self, seen: Seen<'_>) {
        self.record.told(seen);
    }
}

/// Somebody says `wish`, is told that it failed although it was done, and goes away.
async fn lost_answer(first: Option<u8>, wish: Wish, to: IsIt) -> TaskView {
    let record = Arc::new(Record::default());
    let loses = Arc::new(LosesAnswer {
        to: Mutex::new(None),
        record: Arc::clone(&record),
    });
    let policy: Arc<dyn Policy> = Arc::<LosesAnswer>::clone(&loses);
    let (bench, accepted) = (Bench::start(record, &policy).await, Accepted::default());
    if let Some(kind) = first {
        insist(&bench.service, &accepted, "one", Wish::Schedule(kind)).await;
        while bench.service.health().running == 0 {
            bench.settle().await;
            bench.pass(STEP).await;
        }
    }
    *loses.to.lock().unwrap() = Some(to);
    let answer = people::say(&bench.service, &accepted, "one", wish).await;
    assert!(matches!(answer, Err(ServiceError::Unavailable { .. })));
    bench.until_quiet().await;
    let tasks = &bench.service.tasks;
    tasks.get(&somebody(), &key("one")).await.unwrap()
}

#[test]
fn what_was_done_goes_on_though_its_answer_was_lost() {
    on_one_thread(async {
        let is_it = |event: &Event| matches!(event, Event::Schedule(_));
        let view = lost_answer(None, Wish::Schedule(guest::COMPLETES), is_it).await;
        assert_eq!(view.status, Status::Completed);
        let is_it = |event: &Event| matches!(event, Event::Cancel { .. });
        let view = lost_answer(Some(WAITS), Wish::Cancel, is_it).await;
        assert_eq!(view.status, Status::Canceled);
        let is_it = |event: &Event| matches!(event, Event::Delete { .. });
        let view = lost_answer(Some(WAITS), Wish::Delete, is_it).await;
        assert_eq!(view.status, Status::NotStarted);
    });
}

/// Holds the answer to a claim back until it is let go.
#[derive(Debug)]
struct LateClaim {
    armed: AtomicBool,
    go_on: Notify,
    record: Arc<Record>,
}

#[async_trait]
impl Policy for LateClaim {
    async fn before(&self, call: Call<'_>) -> Fate {
        if let Some(event) = call.event {
            self.record.called(event);
        }
        Fate::Done
    }

    fn done(&self, seen: Seen<'_>) {
        self.record.done(seen);
    }

    async fn after(&self, call: Call<'_>) {
        if call.name == "tasks.claim" && self.armed.swap(false, Ordering::SeqCst) {
            self.go_on.notified().await;
        }
    }

    fn told(&self, seen: Seen<'_>) {
        self.record.told(seen);
    }
}

/// Its run is given up meanwhile, and the task canceled: whoever starts it then has no lease.
async fn claim_heard_of_too_late() {
    let record = Arc::new(Record::default());
    let late = Arc::new(LateClaim {
        armed: AtomicBool::new(false),
        go_on: Notify::new(),
        record: Arc::clone(&record),
    });
    let policy: Arc<dyn Policy> = Arc::<LateClaim>::clone(&late);
    let bench = Bench::start(Arc::clone(&record), &policy).await;
    let accepted = Accepted::default();
    late.armed.store(true, Ordering::SeqCst);
    insist(&bench.service, &accepted, "one", Wish::Schedule(WAITS)).await;
    loop {
        bench.settle().await;
        let task = bench.beneath.tasks.get(&key("one")).await.unwrap().unwrap();
        if task.run.crashes == 1 {
            break;
        }
        bench.pass(STEP).await;
    }
    insist(&bench.service, &accepted, "one", Wish::Cancel).await;
    late.go_on.notify_one();
    bench.settle().await;
    assert_eq!(
        bench.service.health().running,
        1,
        "it is started all the same"
    );
    bench.until_quiet().await;
    record.check(&accepted.runs());
}

#[test]
fn a_run_without_a_lease_is_stopped() {
    on_one_thread(claim_heard_of_too_late());
}

//! A service whose store is in a test's hands, and whose time is moved by the test alone.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use taskhost_clients::http::Network;
use taskhost_clients::inference::Connectors;
use taskhost_model::status::Status;
use taskhost_model::task::Task;
use taskhost_model::time::{Clock, Timestamp};
use taskhost_runtime::{Runtime, RuntimeSettings};
use taskhost_service::host_key::GivenKey;
use taskhost_service::settings::Settings;
use taskhost_service::{Parts, Service};
use taskhost_store::faulty::{Policy, wrap};
use taskhost_store::limits::Limits;
use taskhost_store::open::{Stores, in_memory};
use taskhost_store::tasks::ListRequest;

use crate::guest;
use crate::people::{Accepted, Wish, insist, key, somebody, space};
use crate::record::Record;

/// What moves in one step of the test's time.
pub(crate) const STEP: Duration = Duration::from_millis(10);
/// How often a guest is waited for before it is left to itself: its code may not be there yet.
const LOOKS_MAX: usize = 100;
/// Far more than the longest wait of a service that works: the sweeper comes every second.
const QUIET_WITHIN: Duration = Duration::from_secs(30);

/// A service on a store with a policy.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) service: Service,
    pub(crate) record: Arc<Record>,
    /// What lies below the policy.
    pub(crate) beneath: Stores,
    clock: Clock,
    wrapped: Stores,
}

impl Bench {
    /// Starts a service that knows the component.
    pub(crate) async fn start(record: Arc<Record>, policy: &Arc<dyn Policy>) -> Self {
        let clock = Clock::manual(Timestamp::from_ms(1_795_000_000_000));
        let beneath = in_memory(Limits::default(), clock.clone());
        let wrapped = wrap(&beneath, policy);
        let service = Service::start(parts(&wrapped, &clock)).await.unwrap();
        let by = somebody();
        let push = service.types.push(&by, guest::component(0), None);
        tokio::select! {
            pushed = push => drop(pushed.unwrap()),
            () = async { loop { a_moment().await } } => {}
        }
        service.begin();
        let bench = Self {
            service,
            record,
            beneath,
            clock,
            wrapped,
        };
        bench.completes_one("first").await;
        bench
    }

    /// A task is run as if nothing were the matter. The first one has the code loaded.
    pub(crate) async fn completes_one(&self, id: &str) {
        let wish = Wish::Schedule(guest::COMPLETES);
        insist(&self.service, &Accepted::default(), id, wish).await;
        self.until_quiet().await;
        let view = self.service.tasks.get(&somebody(), &key(id)).await.unwrap();
        assert_eq!(view.status, Status::Completed);
    }

    /// Another life of the host on the same store.
    pub(crate) async fn start_again(&mut self) {
        self.record.forget_guests();
        self.service = Service::start(parts(&self.wrapped, &self.clock))
            .await
            .unwrap();
        self.service.begin();
    }

    /// Lets everybody go on who can, guests included.
    pub(crate) async fn settle(&self) {
        for _ in 0..LOOKS_MAX {
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
            if !self.record.is_busy() {
                return;
            }
            a_moment().await;
        }
    }

    /// Moves time.
    pub(crate) async fn pass(&self, time: Duration) {
        self.clock.advance(time);
        tokio::time::advance(time).await;
    }

    /// Waits until nothing is unfinished, held or left behind.
    pub(crate) async fn until_quiet(&self) {
        let mut passed = Duration::ZERO;
        loop {
            self.settle().await;
            let left = self.left().await;
            if left.is_empty() {
                return;
            }
            assert!(passed < QUIET_WITHIN, "stuck: {left:#?}");
            self.pass(STEP).await;
            passed += STEP;
        }
    }

    /// Tasks that anybody can see, not ended, whose guests wait until they are stopped.
    pub(crate) async fn waiting(&self) -> Vec<String> {
        let mut waiting = Vec::new();
        for task in self.unfinished().await {
            let stored = self.beneath.tasks.read(&task.key()).await.unwrap().unwrap();
            if *stored.params == guest::WAITS.to_string() {
                waiting.push(task.id.to_string());
            }
        }
        waiting
    }

    async fn unfinished(&self) -> Vec<Task> {
        let mut request = ListRequest::all(space());
        request.limit = 1_000;
        let mut tasks = self.beneath.tasks.list(&request).await.unwrap().tasks;
        tasks.retain(|task| !task.status.is_terminal());
        tasks
    }

    /// What is unfinished, held or left behind, in words.
    async fn left(&self) -> Vec<String> {
        let tasks = self.unfinished().await;
        let unfinished = tasks.iter();
        let mut left: Vec<String> = unfinished
            .map(|task| format!("{} is {:?}", task.id, task.phase()))
            .collect();
        for task in self.beneath.tasks.held(1_000).await.unwrap() {
            left.push(format!("{} is held: {:?}", task.id, task.previous));
        }
        match self.service.health().running {
            0 => {}
            running => left.push(format!("{running} runs are at work")),
        }
        left
    }
}

/// Prints a seed when the test fails under it.
#[derive(Debug)]
pub(crate) struct Seed(u64);

impl Seed {
    /// The one that is asked for, or so many of which nobody knows.
    pub(crate) fn some(count: u64, count_long: u64) -> impl Iterator<Item = Self> {
        let asked = std::env::var("TASKHOST_SEED").ok();
        let asked = asked.map(|text| text.parse::<u64>().expect("TASKHOST_SEED is a number"));
        let is_long = std::env::var_os("TASKHOST_LONG").is_some();
        let count = if is_long { count_long } else { count };
        let first = asked.unwrap_or_else(|| u64::from(rand::rng().random::<u32>()));
        let count = if asked.is_some() { 1 } else { count };
        (first..first + count).map(Self)
    }

    pub(crate) fn random(&self) -> StdRng {
        StdRng::seed_from_u64(self.0)
    }
}

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("try it again with TASKHOST_SEED={}", self.0);
        }
    }
}

/// Runs a test on one thread, in a time that only the test moves.
pub(crate) fn on_one_thread(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build();
    runtime.unwrap().block_on(test);
}

/// A moment of everybody else's time, in which the test's own stands still: it does as long as a
/// thread is blocked.
pub(crate) async fn a_moment() {
    // tidy: sleep allowed because it is between two looks at what guests do, in real time
    let wait = || std::thread::sleep(Duration::from_micros(50));
    tokio::task::spawn_blocking(wait).await.unwrap();
}

pub(crate) fn parts(stores: &Stores, clock: &Clock) -> Parts {
    Parts {
        stores: stores.clone(),
        runtime: runtime(),
        clock: clock.clone(),
        settings: Settings {
            slots: 16,
            retry_backoff: Duration::from_millis(50),
            sweep_interval: Duration::from_secs(1),
            ..Settings::default()
        },
        host: "host-1".to_owned(),
        connectors: Connectors::default(),
        network: Network::default(),
        script: None,
        host_key: Arc::new(GivenKey([7; 32])),
        key_ring: None,
        address: None,
        messenger: None,
        spans: None,
    }
}

/// One for all tests. Compiled guests are kept for the next time.
fn runtime() -> Arc<Runtime> {
    static RUNTIME: OnceLock<Arc<Runtime>> = OnceLock::new();
    let start = || Arc::new(Runtime::start(runtime_settings()).unwrap());
    Arc::clone(RUNTIME.get_or_init(start))
}

pub(crate) fn runtime_settings() -> RuntimeSettings {
    let cache_dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled-for-service");
    RuntimeSettings {
        workers: 2,
        runs_max: 64,
        ..RuntimeSettings::new(cache_dir)
    }
}

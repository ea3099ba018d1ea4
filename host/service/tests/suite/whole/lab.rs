//! A host that can be killed, on a store that stays, in a time that only the test moves.

use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use taskhost_model::time::{Clock, Timestamp};
use taskhost_service::settings::TypeSettings;
use taskhost_service::{Parts, Service};
use taskhost_store::faulty::{Policy, wrap};
use taskhost_store::limits::Limits;
use taskhost_store::open::{OpenError, Settings, Stores, in_memory, open};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::doc::QUEUE_TIMEOUT_MS;
use super::facts::Moment;
use super::guest;
use super::model::{BACKOFF_MS, CRASHES_MAX, SLOTS};
use super::watch::{Gate, Watch};
use crate::bench::{a_moment, parts};
use crate::people::somebody;

/// What moves in one step of the test's time, in milliseconds.
const STEP_MS: u64 = 10;
/// The clock is not set further than that in all: nothing that has ended goes by itself, no
/// attempt's time is up and every promise counts.
pub(crate) const STEPPED_MS_MAX: i64 = 20 * 3_600_000;
/// Far more than anything takes that works.
const PATIENCE: Duration = Duration::from_secs(30);
/// The others look once more so often before it is believed that nobody is at work.
const TURNS: usize = 30;

/// What a case begins with.
#[derive(Debug)]
pub(crate) enum Ground {
    /// A store in memory.
    Memory,
    /// A folder with an embedded store that has the component. Making one takes longer than most
    /// of what is done to it, so each case has a copy.
    Folder(TempDir),
}

/// Where the documents are.
#[derive(Debug)]
enum Place {
    Memory(Box<Stores>),
    Folder(TempDir),
}

/// A host, and what outlives it.
#[derive(Debug)]
pub(crate) struct Lab {
    place: Place,
    clock: Clock,
    passed_ms: u64,
    /// So many runs of the type at once.
    limit: Option<usize>,
    host: Option<Host>,
}

/// One life of a host, with an executor of its own: where that is dropped, everything stops where
/// it is.
#[derive(Debug)]
struct Host {
    service: Service,
    watch: Arc<Watch>,
    /// What lies below the watch; it has the lock on its folder.
    beneath: Stores,
    /// As long as it is here, time stands still.
    still: mpsc::Sender<()>,
    executor: Runtime,
}

impl Ground {
    /// A folder with the component in it.
    pub(crate) fn folder() -> Self {
        let folder = new_folder();
        let path = folder.path().to_owned();
        let mut lab = Lab::on(Place::Folder(folder), clock(), None);
        lab.push();
        let host = lab.host();
        host.executor.block_on(host.beneath.close());
        let made = new_folder();
        lab.kill();
        copy(&path, made.path());
        Self::Folder(made)
    }
}

impl Lab {
    /// A host that knows the component, on a store of its own.
    pub(crate) fn start(ground: &Ground, limit: Option<usize>) -> Self {
        let clock = clock();
        let folder = match ground {
            Ground::Memory => {
                let stores = in_memory(Limits::default(), clock.clone());
                let lab = Self::on(Place::Memory(Box::new(stores)), clock, limit);
                lab.push();
                return lab;
            }
            Ground::Folder(folder) => folder,
        };
        let own = new_folder();
        copy(folder.path(), own.path());
        Self::on(Place::Folder(own), clock, limit)
    }

    fn on(place: Place, clock: Clock, limit: Option<usize>) -> Self {
        let mut lab = Self {
            place,
            clock,
            passed_ms: 0,
            limit,
            host: None,
        };
        lab.boot();
        lab
    }

    fn push(&self) {
        let push = async |service: &Service| {
            let by = somebody();
            let pushed = service.types.push(&by, guest::component(), None).await;
            pushed.unwrap();
        };
        self.run(push);
    }

    /// Another life of the host.
    pub(crate) fn boot(&mut self) {
        let executor = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        let (still, until_gone) = mpsc::channel::<()>();
        // The test's time stands as long as a thread is blocked.
        executor.spawn_blocking(move || until_gone.recv());
        let watch = Arc::new(Watch::default());
        let stores = self.stores();
        let policy: Arc<dyn Policy> = Arc::<Watch>::clone(&watch);
        let mut wrapped = wrap(&stores, &policy);
        // Its writes are nobody's answer, and nobody could tell when they are done.
        wrapped.audit = in_memory(Limits::default(), self.clock.clone()).audit;
        wrapped.checkpoints = Arc::new(Gate {
            inner: Arc::clone(&stores.checkpoints),
            watch: Arc::clone(&watch),
        });
        let service = executor.block_on(async {
            let service = Service::start(parts_of(&wrapped, &self.clock, self.limit)).await;
            let service = service.unwrap();
            service.begin();
            service
        });
        self.host = Some(Host {
            service,
            watch,
            beneath: stores,
            still,
            executor,
        });
        self.run(async |_| {});
    }

    fn stores(&self) -> Stores {
        let folder = match &self.place {
            Place::Memory(stores) => return Stores::clone(stores),
            Place::Folder(folder) => folder.path().to_owned(),
        };
        let settings = Settings {
            folder,
            limits: Limits::default(),
        };
        let began = Instant::now();
        loop {
            match open(&settings, self.clock.clone()) {
                // Guests of the former life, which end on threads of their own, have it still.
                Err(OpenError::InUse { .. }) if began.elapsed() < PATIENCE => {
                    std::thread::yield_now();
                }
                opened => return opened.unwrap(),
            }
        }
    }

    fn host(&self) -> &Host {
        self.host.as_ref().expect("the host lives")
    }

    pub(crate) fn watch(&self) -> &Watch {
        &self.host().watch
    }

    pub(crate) fn now(&self) -> Moment {
        Moment {
            wall_ms: self.clock.now().as_ms(),
            passed_ms: self.passed_ms,
        }
    }

    /// Does something, and waits until nobody is at work.
    pub(crate) fn run<T>(&self, what: impl AsyncFnOnce(&Service) -> T) -> T {
        let host = self.host();
        host.executor.block_on(async {
            let answer = what(&host.service).await;
            settle(&host.watch).await;
            answer
        })
    }

    /// Reads something, which sets nobody to work.
    pub(crate) fn read<T>(&self, what: impl AsyncFnOnce(&Service) -> T) -> T {
        let host = self.host();
        host.executor.block_on(what(&host.service))
    }

    /// Lets one step of time pass.
    pub(crate) fn pass(&mut self) {
        let step = Duration::from_millis(STEP_MS);
        self.clock.advance(step);
        self.passed_ms += STEP_MS;
        self.run(async |_| tokio::time::advance(step).await);
    }

    /// Sets the clock on the wall.
    pub(crate) fn step(&self, by_ms: i64) {
        let to_ms = self.clock.now().as_ms() + by_ms;
        if let Clock::Manual(ms) = &self.clock {
            ms.store(to_ms, std::sync::atomic::Ordering::SeqCst);
        }
    }

    /// Kills the host: nothing is said or written any more.
    pub(crate) fn kill(&mut self) {
        if let Some(host) = self.host.take() {
            // The blocked thread goes on first: whoever drops an executor waits for its threads.
            drop(host.still);
            drop(host.executor);
        }
    }

    /// Stops the host in order.
    pub(crate) fn drain(&self) {
        let host = self.host();
        host.executor.block_on(async {
            let drained = host.service.drain(Duration::ZERO);
            tokio::pin!(drained);
            let began = Instant::now();
            // Its grace is over at once; what comes then takes guests some time of the machine's,
            // of which nothing passes here.
            tokio::time::advance(Duration::from_millis(1)).await;
            loop {
                tokio::select! {
                    biased;
                    () = &mut drained => return,
                    () = a_moment() => {}
                }
                assert!(began.elapsed() < PATIENCE, "it does not stop");
            }
        });
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.kill();
    }
}

fn parts_of(stores: &Stores, clock: &Clock, limit: Option<usize>) -> Parts {
    let mut parts = parts(stores, clock);
    let settings = &mut parts.settings;
    settings.slots = SLOTS;
    settings.crashes_max = CRASHES_MAX;
    settings.retry_backoff = Duration::from_millis(BACKOFF_MS.unsigned_abs());
    let of_type = TypeSettings {
        runs_at_once: limit.map(|limit| limit as u64),
        queue_timeout: Some(Duration::from_millis(QUEUE_TIMEOUT_MS.unsigned_abs())),
        ..TypeSettings::default()
    };
    let type_id = guest::TYPE.parse().unwrap();
    settings.types.insert(type_id, of_type);
    parts
}

/// In memory where there is such a place: no case is about what a disk keeps.
fn new_folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap())
}

fn copy(from: &Path, to: &Path) {
    for file in from.read_dir().unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

fn clock() -> Clock {
    Clock::manual(Timestamp::from_ms(1_795_000_000_000))
}

/// Lets everybody go on who can, guests included.
async fn settle(watch: &Watch) {
    let began = Instant::now();
    loop {
        let before = watch.stillness();
        for _ in 0..TURNS {
            tokio::task::yield_now().await;
        }
        if before.is_some() && before == watch.stillness() {
            return;
        }
        if before.is_none() {
            a_moment().await;
        }
        let unrest = watch.unrest();
        assert!(
            began.elapsed() < PATIENCE,
            "it does not come to rest: {unrest}"
        );
    }
}

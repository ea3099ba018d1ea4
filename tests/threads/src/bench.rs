//! A host without components: the service's own claims, scheduler, runs and sweeper over a
//! store in memory.

use std::sync::Arc;

use shuttle::future::{JoinHandle, block_on};
use taskhost_model::ids::{Space, TaskId, TaskKey};
use taskhost_store::event::{Applied, Event, NewRun};
use taskhost_store::limits::Limits;
use taskhost_store::open::in_memory;

use crate::changes::Changes;
use crate::claims::Claims;
use crate::core::Core;
use crate::error::ServiceError;
use crate::lease::Lease;
use crate::live::Live;
use crate::peers::Peers;
use crate::runner::{Kind, Runtime};
use crate::runs::run_id;
use crate::runtime::Handle;
use crate::scheduler::Scheduler;
use crate::settings::Settings;
use crate::stop::StopReason;
use crate::store::{Store, Trouble};
use crate::sweeper::Sweeper;
use crate::sync::{AtomicUsize, CancellationToken, Notify, Semaphore};
use crate::task::TaskTracker;
use crate::time;
use crate::types::{TaskTypes, type_id, version};
use crate::wake::Wake;

#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) core: Arc<Core>,
    pub(crate) store: Arc<Store>,
    runs: TaskTracker,
    stop: CancellationToken,
    scheduler: JoinHandle<()>,
}

impl Bench {
    /// A host with so many slots; no task type is known to it yet.
    pub(crate) fn start(slots: usize, trouble: Trouble) -> Self {
        let clock = time::start();
        let stores = in_memory(Limits::default(), clock.clone());
        // What is in memory never waits.
        block_on(stores.components.put(&version(), Arc::from([]))).unwrap();
        let store = Arc::new(Store::new(stores.tasks, trouble));
        let core = Arc::new(Core {
            host: "host-1".to_owned(),
            repeatable: std::array::from_fn(|_| tokio::sync::Mutex::default()),
            hosts: None,
            lease: Arc::new(Lease::of_the_only_host()),
            peers: Peers::default(),
            look: Notify::new(),
            sweep: Notify::new(),
            hints: Arc::new(Semaphore::new(0)),
            slots: Arc::new(Semaphore::new(slots)),
            tasks: Arc::<Store>::clone(&store),
            schedules: stores.schedules,
            timekeeping: Notify::new(),
            streams: stores.streams,
            documents: stores.documents,
            turns: crate::turns::RunTurns,
            checkpoints: stores.checkpoints,
            recordings: stores.recordings,
            host_key: Arc::new(crate::host_key::GivenKey([0; 32])),
            access: Arc::new(crate::access::Access),
            audit: crate::audit::Audit,
            run_keys: None,
            connectors: crate::inference::Connectors,
            network: crate::http::Network,
            script: None,
            types: TaskTypes::default(),
            live: Arc::new(Live::default()),
            changes: Changes::default(),
            backlog: crate::backlog::Backlog,
            spans: None,
            begun: CancellationToken::new(),
            parked: Arc::new(Semaphore::new(0)),
            keyed_children: Default::default(),
            clock,
            settings: Settings::default(),
            wake: Arc::new(Wake::default()),
            stopping: CancellationToken::new(),
        });
        let runs = TaskTracker::new();
        let scheduler = Scheduler::new(Claims {
            core: Arc::clone(&core),
            // A claim that was heard of late may find its task claimed once more.
            runtime: Arc::new(Runtime::new(trouble != Trouble::Any)),
            runs: runs.clone(),
            executor: Handle,
            turn: AtomicUsize::new(0),
        });
        let stop = CancellationToken::new();
        Self {
            core,
            store,
            runs,
            scheduler: crate::spawn(scheduler.run(stop.clone())),
            stop,
        }
    }

    pub(crate) fn sweeper(&self) -> Sweeper {
        Sweeper::new(Arc::clone(&self.core))
    }

    /// As the service does it, but without a limit of time.
    pub(crate) async fn drain(self) {
        self.core.stopping.cancel();
        self.core.live.ask_all(StopReason::Drain);
        self.stop.cancel();
        self.scheduler.await.unwrap();
        self.runs.close();
        self.runs.wait().await;
    }
}

/// Somebody wants a task to run; a number has one run.
pub(crate) async fn schedule(
    core: &Arc<Core>,
    id: &str,
    number: u64,
    kind: Kind,
) -> Result<Applied, ServiceError> {
    let run = NewRun {
        id: run_id(number),
        type_id: type_id(),
        stream: None,
        also_reads: Vec::new(),
        params: kind.params(),
        parent: None,
        concurrency_key: None,
        record: false,
        trace: None,
        requested_by: "somebody".to_owned(),
        key: None,
        priority: 0,
        due_at: core.clock.now(),
        timeout_ms: None,
        max_attempts: 2,
        condition: None,
        keeps_checkpoints: false,
        receipt: None,
    };
    core.apply_wish(&key(id), Event::Schedule(Box::new(run)))
        .await
}

pub(crate) async fn cancel(core: &Arc<Core>, id: &str) -> Result<Applied, ServiceError> {
    let (reason, if_version) = (None, None);
    let by = "somebody".to_owned();
    let event = Event::Cancel {
        by,
        reason,
        if_version,
    };
    core.apply_wish(&key(id), event).await
}

pub(crate) async fn acknowledge(core: &Arc<Core>, id: &str) -> Result<Applied, ServiceError> {
    let (by, if_version) = ("somebody".to_owned(), None);
    let event = Event::Acknowledge { by, if_version };
    core.apply_wish(&key(id), event).await
}

pub(crate) async fn delete(core: &Arc<Core>, id: &str) -> Result<Applied, ServiceError> {
    let event = Event::Delete { if_version: None };
    core.apply_wish(&key(id), event).await
}

pub(crate) fn key(id: &str) -> TaskKey {
    TaskKey {
        space: Space::parse("default").unwrap(),
        id: TaskId::parse(id).unwrap(),
    }
}

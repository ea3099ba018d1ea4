//! Measures the store on Elasticsearch: schedules, claims and ends a second, and requests for each
//! task.
//!
//! `tests/elasticsearch/with.sh cargo run --release -p taskhost-store --example elastic_rates
//! [TASKS]`, with TASKHOST_ELASTICSEARCH_ON_DISK set for figures of a disk.

use std::sync::Arc;
use std::time::{Duration, Instant};

use taskhost_model::ids::{Digest, Incarnation, RunId, Space, TaskId, TaskKey, TypeId};
use taskhost_model::time::Clock;
use taskhost_store::components::{Version, VersionState};
use taskhost_store::event::{Event, NewRun, RunEvent, RunReport};
use taskhost_store::limits::Limits;
use taskhost_store::open::{
    Credentials, ElasticConnection, ElasticSettings, Stores, in_memory, open_elastic,
};
use taskhost_store::queue::{ClaimRequest, ClaimableType, Claimer, Reservation, StoredTask};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

type Failure = Box<dyn std::error::Error + Send + Sync>;

const TASKS: usize = 20_000;
const CALLERS: usize = 64;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let variable = |name: &str| std::env::var(format!("TASKHOST_ELASTICSEARCH_{name}"));
    let credentials = Credentials::Basic {
        username: variable("USERNAME")?,
        password: variable("PASSWORD")?,
    };
    let settings = ElasticSettings {
        connection: ElasticConnection::new(&variable("URL")?, credentials),
        prefix: format!(".rates-{}", Clock::System.now().as_ms()),
        limits: Limits::default(),
    };
    let streams = in_memory(Limits::default(), Clock::System).streams;
    let stores = open_elastic(&settings, Clock::System, streams).await?;
    stores.components.put(&version()?, Arc::from([])).await?;
    let tasks = std::env::args()
        .nth(1)
        .map_or(Ok(TASKS), |text| text.parse())?;
    // A young Java is several times slower.
    schedule(&stores, "warm", tasks / 2).await?;
    drain(&stores).await?;
    for (name, count, callers) in [("alone", tasks / 40, 1), ("some", tasks / 4, 16)] {
        let took = Measure::begin(&stores);
        schedule_by(&stores, name, count, callers).await?;
        took.say(&format!("schedule, {callers} at once"), &stores, count);
        drain(&stores).await?;
    }
    let took = Measure::begin(&stores);
    schedule(&stores, "queue", tasks).await?;
    took.say(&format!("schedule, {CALLERS} at once"), &stores, tasks);
    let took = Measure::begin(&stores);
    let count = drain(&stores).await?;
    took.say("claim 64 and complete", &stores, count);
    along(&stores, tasks).await
}

/// What something takes.
struct Measure {
    begun: Instant,
    requests: u64,
}

impl Measure {
    fn begin(stores: &Stores) -> Self {
        Self {
            begun: Instant::now(),
            requests: stores.requests().unwrap_or(0),
        }
    }

    fn say(&self, what: &str, stores: &Stores, count: usize) {
        let seconds = self.begun.elapsed().as_secs_f64();
        let requests = stores.requests().unwrap_or(0) - self.requests;
        println!(
            "{what}: {:.0} tasks/s, {:.3} requests a task",
            count as f64 / seconds,
            requests as f64 / count as f64
        );
    }
}

async fn schedule(stores: &Stores, name: &str, count: usize) -> Result<(), Failure> {
    schedule_by(stores, name, count, CALLERS).await
}

async fn schedule_by(
    stores: &Stores,
    name: &str,
    count: usize,
    callers: usize,
) -> Result<(), Failure> {
    let mut each = JoinSet::new();
    for caller in 0..callers {
        let (stores, name) = (stores.clone(), name.to_owned());
        each.spawn(async move {
            for number in (caller..count).step_by(callers) {
                let key = key(&format!("{name}-{number}"))?;
                stores
                    .tasks
                    .apply(&key, Event::Schedule(Box::new(run()?)))
                    .await?;
            }
            Ok::<_, Failure>(())
        });
    }
    for one in each.join_all().await {
        one?;
    }
    Ok(())
}

/// Claims and completes until nothing is due.
async fn drain(stores: &Stores) -> Result<usize, Failure> {
    let mut count = 0;
    loop {
        let claimed = stores.tasks.claim(&request(CALLERS)?).await?;
        if claimed.is_empty() {
            return Ok(count);
        }
        count += claimed.len();
        let mut each = JoinSet::new();
        for run in claimed {
            let stores = stores.clone();
            each.spawn(async move { complete(&stores, &run).await });
        }
        for one in each.join_all().await {
            one?;
        }
    }
}

/// Tasks that are claimed with the write that accepts them, and completed.
async fn along(stores: &Stores, count: usize) -> Result<(), Failure> {
    let (tell, mut told) = mpsc::unbounded_channel();
    let slots = Arc::new(Semaphore::new(CALLERS));
    stores.tasks.claim_along(Arc::new(Slots {
        slots: Arc::clone(&slots),
        request: request(1)?,
        tell,
    }));
    let took = Measure::begin(stores);
    let scheduling = {
        let stores = stores.clone();
        tokio::spawn(async move { schedule(&stores, "along", count).await })
    };
    let (mut each, mut done) = (JoinSet::new(), 0);
    while done < count {
        tokio::select! {
            Some((run, permit)) = told.recv() => {
                let stores = stores.clone();
                each.spawn(async move {
                    complete(&stores, &run).await?;
                    drop::<tokio::sync::OwnedSemaphorePermit>(permit);
                    Ok::<_, Failure>(())
                });
            }
            Some(one) = each.join_next() => {
                one??;
                done += 1;
            }
            () = tokio::time::sleep(Duration::from_millis(20)) => {
                // Those for which there was no slot.
                for run in stores.tasks.claim(&request(CALLERS)?).await? {
                    let stores = stores.clone();
                    each.spawn(async move { complete(&stores, &run).await });
                }
            }
        }
    }
    scheduling.await??;
    took.say("schedule, claim along and complete", stores, count);
    Ok(())
}

#[derive(Debug)]
struct Slots {
    slots: Arc<Semaphore>,
    request: ClaimRequest,
    tell: mpsc::UnboundedSender<(StoredTask, tokio::sync::OwnedSemaphorePermit)>,
}

#[derive(Debug)]
struct Slot {
    permit: tokio::sync::OwnedSemaphorePermit,
    request: ClaimRequest,
    tell: mpsc::UnboundedSender<(StoredTask, tokio::sync::OwnedSemaphorePermit)>,
}

impl Claimer for Slots {
    fn reserve(&self) -> Option<Box<dyn Reservation>> {
        Some(Box::new(Slot {
            permit: Arc::clone(&self.slots).try_acquire_owned().ok()?,
            request: self.request.clone(),
            tell: self.tell.clone(),
        }))
    }
}

impl Reservation for Slot {
    fn request(&self) -> &ClaimRequest {
        &self.request
    }

    fn start(self: Box<Self>, claimed: Vec<StoredTask>) {
        if let Some(run) = claimed.into_iter().next() {
            // The measurement may be over.
            let _ = self.tell.send((run, self.permit));
        }
    }
}

async fn complete(stores: &Stores, run: &StoredTask) -> Result<(), Failure> {
    let event = RunEvent::Completed {
        payload: Arc::from(r#"{"found":[1,2,3]}"#),
        end: RunReport::default(),
    };
    let fence = run.task.fence();
    stores
        .tasks
        .apply(&run.task.key(), Event::Run { fence, event })
        .await?;
    Ok(())
}

fn key(id: &str) -> Result<TaskKey, Failure> {
    Ok(TaskKey {
        space: Space::parse("default")?,
        id: TaskId::parse(id)?,
    })
}

fn run() -> Result<NewRun, Failure> {
    Ok(NewRun {
        id: RunId::new(),
        type_id: TypeId::parse("hello")?,
        stream: None,
        also_reads: Vec::new(),
        params: Arc::from(r#"{"name":"somebody"}"#),
        parent: None,
        concurrency_key: None,
        record: false,
        trace: None,
        requested_by: "somebody".to_owned(),
        key: None,
        priority: 0,
        due_at: Clock::System.now(),
        timeout_ms: None,
        max_attempts: 3,
        condition: None,
        keeps_checkpoints: false,
        receipt: None,
    })
}

fn request(limit: usize) -> Result<ClaimRequest, Failure> {
    Ok(ClaimRequest {
        host: "rates".to_owned(),
        incarnation: Incarnation::new(),
        types: vec![ClaimableType {
            type_id: TypeId::parse("hello")?,
            digest: version()?.digest,
            wall_ms: 60_000,
            runs_per_key: None,
        }],
        limit,
    })
}

fn version() -> Result<Version, Failure> {
    Ok(Version {
        digest: Digest::parse(&"a".repeat(64))?,
        type_id: TypeId::parse("hello")?,
        descriptor: "{}".to_owned(),
        state: VersionState::Active,
        bytes: 0,
        uploaded_at: Clock::System.now(),
        activated_at: None,
        approval: None,
        signed_by: None,
    })
}

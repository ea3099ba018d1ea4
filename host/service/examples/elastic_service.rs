//! Measures the service on Elasticsearch, without HTTP: tasks a second, requests to Elasticsearch
//! for each task by kind, the time from schedule to start, and what idle hosts ask.
//!
//! `tests/elasticsearch/with.sh cargo run --release -p taskhost-service --example elastic_service
//! [HOSTS] [TASKS] [ROUNDS]`

#[path = "../tests/suite/guest.rs"]
#[expect(dead_code, reason = "the suite's guest can do more than complete")]
mod guest;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use taskhost_clients::http::Network;
use taskhost_clients::inference::Connectors;
use taskhost_model::ids::{Space, TaskId, TaskKey, TypeId};
use taskhost_model::requester::Requester;
use taskhost_model::status::Status;
use taskhost_model::time::Clock;
use taskhost_runtime::{Runtime, RuntimeSettings};
use taskhost_service::host_key::GivenKey;
use taskhost_service::peers::{Hint, Messenger};
use taskhost_service::settings::Settings;
use taskhost_service::{Parts, ScheduleRequest, Service, Tasks};
use taskhost_store::limits::Limits;
use taskhost_store::open::{
    Credentials, ElasticConnection, ElasticSettings, Stores, in_memory, open_elastic,
};
use tokio::task::JoinSet;

type Failure = Box<dyn std::error::Error + Send + Sync>;

const IN_FLIGHT: usize = 64;
const ALONE: usize = 100;
const IDLE: Duration = Duration::from_secs(20);

/// A service and its way to the store.
#[derive(Clone)]
struct Host {
    service: Service,
    stores: Stores,
}

/// Carries hints within the process.
#[derive(Debug, Default)]
struct Post(Mutex<BTreeMap<String, Tasks>>);

impl Messenger for Post {
    fn send(&self, address: &str, hint: Hint) {
        let hearers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(hearer) = hearers.get(address) {
            hearer.hear(hint);
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse::<usize>());
    let mut number = |usual| numbers.next().unwrap_or(Ok(usual));
    let (count, tasks, rounds) = (number(1)?, number(5_000)?, number(5)?);
    let hosts = start(count).await?;
    load(&hosts, "warm", tasks, IN_FLIGHT).await?;
    for round in 0..rounds {
        let took = Measure::begin(&hosts);
        load(&hosts, &format!("r{round}"), tasks, IN_FLIGHT).await?;
        took.say("64 in flight", &hosts, tasks);
    }
    let took = Measure::begin(&hosts);
    let mut waits = alone(&hosts).await?;
    took.say("alone", &hosts, ALONE);
    waits.sort_unstable();
    println!(
        "schedule → start: p50 {} ms, p99 {} ms",
        waits[waits.len() / 2],
        waits[waits.len() * 99 / 100]
    );
    // The last look for work was a moment ago.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let took = Measure::begin(&hosts);
    tokio::time::sleep(IDLE).await;
    took.say("idle (tasks: seconds × hosts)", &hosts, IDLE.as_secs() as usize * count);
    Ok(())
}

async fn start(count: usize) -> Result<Vec<Host>, Failure> {
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
    let cache = std::env::temp_dir().join("taskhost-elastic-service");
    let runtime = Arc::new(Runtime::start(RuntimeSettings {
        workers: 2,
        runs_max: 512,
        ..RuntimeSettings::new(cache)
    })?);
    let post = Arc::new(Post::default());
    let mut hosts = Vec::new();
    for number in 0..count {
        let streams = in_memory(Limits::default(), Clock::System).streams;
        let stores = open_elastic(&settings, Clock::System, streams).await?;
        let address = format!("host-{number}");
        let service = Service::start(Parts {
            stores: stores.clone(),
            runtime: Arc::clone(&runtime),
            clock: Clock::System,
            settings: Settings::default(),
            host: address.clone(),
            connectors: Connectors::default(),
            network: Network::default(),
            script: None,
            host_key: Arc::new(GivenKey([7; 32])),
            address: Some(address.clone()),
            messenger: Some(Arc::clone(&post) as _),
        })
        .await?;
        if number == 0 {
            service.types.push(guest::component(0), None).await?;
        }
        service.begin();
        let mut hearers = post.0.lock().unwrap_or_else(PoisonError::into_inner);
        hearers.insert(address, service.tasks.clone());
        drop(hearers);
        hosts.push(Host { service, stores });
    }
    Ok(hosts)
}

/// Schedules so many tasks, so many at once, and waits for each until it has completed.
async fn load(hosts: &[Host], name: &str, count: usize, at_once: usize) -> Result<(), Failure> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut clients = JoinSet::new();
    for client in 0..at_once {
        let tasks = hosts[client % hosts.len()].service.tasks.clone();
        let (next, name) = (Arc::clone(&next), name.to_owned());
        clients.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return Ok::<_, Failure>(());
                }
                complete(&tasks, &format!("{name}-{number}")).await?;
            }
        });
    }
    for client in clients.join_all().await {
        client?;
    }
    Ok(())
}

async fn complete(tasks: &Tasks, id: &str) -> Result<(), Failure> {
    let (by, key) = (Requester::single_user(), key(id)?);
    tasks.schedule(&by, key.clone(), wish()?).await?;
    let mut since = 0;
    loop {
        let view = tasks.wait(&by, &key, since, Duration::from_secs(60)).await?;
        let view = view.ok_or("a task does not end")?;
        match view.status {
            Status::Completed => return Ok(()),
            Status::InProgress => since = view.revision(),
            other => return Err(format!("{id} is {other:?}").into()),
        }
    }
}

/// One task at a time, of which nobody reads anything before it has ended; how many milliseconds
/// each waited for its start.
async fn alone(hosts: &[Host]) -> Result<Vec<i64>, Failure> {
    let mut waits = Vec::new();
    for number in 0..ALONE {
        let tasks = &hosts[number % hosts.len()].service.tasks;
        let (by, key) = (Requester::single_user(), key(&format!("alone-{number}"))?);
        let mut watch = tasks.watch(&key);
        tasks.schedule(&by, key, wish()?).await?;
        loop {
            let task = watch.next().await?.task.clone();
            if task.status == Status::Completed {
                let started = task.run.started_at.ok_or("it has not started")?;
                waits.push(started.as_ms() - task.created_at.as_ms());
                break;
            }
        }
    }
    Ok(waits)
}

fn key(id: &str) -> Result<TaskKey, Failure> {
    Ok(TaskKey {
        space: Space::parse("default")?,
        id: TaskId::parse(id)?,
    })
}

fn wish() -> Result<ScheduleRequest, Failure> {
    Ok(ScheduleRequest {
        type_id: TypeId::parse(guest::TYPE)?,
        stream: None,
        params: Arc::from(guest::COMPLETES.to_string()),
        priority: None,
        run_at: None,
        timeout_ms: None,
        record: false,
        condition: None,
    })
}

/// What something takes.
struct Measure {
    begun: Instant,
    requests: BTreeMap<&'static str, u64>,
}

impl Measure {
    fn begin(hosts: &[Host]) -> Self {
        Self {
            begun: Instant::now(),
            requests: requests(hosts),
        }
    }

    fn say(&self, what: &str, hosts: &[Host], count: usize) {
        let seconds = self.begun.elapsed().as_secs_f64();
        let (mut kinds, mut all) = (Vec::new(), 0);
        for (kind, sent) in requests(hosts) {
            let sent = sent - self.requests.get(kind).copied().unwrap_or(0);
            all += sent;
            if sent > 0 {
                kinds.push(format!("{kind} {:.3}", sent as f64 / count as f64));
            }
        }
        println!(
            "{what}: {:.0}/s, {:.3} requests each ({})",
            count as f64 / seconds,
            all as f64 / count as f64,
            kinds.join(", ")
        );
    }
}

fn requests(hosts: &[Host]) -> BTreeMap<&'static str, u64> {
    let mut all = BTreeMap::new();
    for host in hosts {
        for (kind, sent) in host.stores.requests_by_kind().unwrap_or_default() {
            *all.entry(kind).or_default() += sent;
        }
    }
    all
}

//! Hosts on one real Elasticsearch, in one process, each with its own connection and its own slots.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use taskhost_clients::http::Network;
use taskhost_clients::inference::Connectors;
use taskhost_model::ids::{Space, TaskId, TaskKey, TypeId};
use taskhost_model::requester::{Authorization, Credential, Requester};
use taskhost_model::status::Status;
use taskhost_model::time::Clock;
use taskhost_runtime::{Runtime, RuntimeSettings};
use taskhost_service::host_key::GivenKey;
use taskhost_service::key_ring::KeyRing;
use taskhost_service::peers::{Hint, Messenger};
use taskhost_service::settings::Settings;
use taskhost_service::{Parts, ScheduleRequest, Service, Tasks};
use taskhost_store::limits::Limits;
use taskhost_store::open::{
    Credentials, ElasticConnection, ElasticSettings, Stores, in_memory, open_elastic,
};
use tokio::task::JoinSet;

use crate::guest;

pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A service and its way to the store.
#[derive(Clone)]
pub(crate) struct Host {
    pub(crate) service: Service,
    pub(crate) stores: Stores,
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

/// What `tests/elasticsearch/with.sh` says of the server.
fn variable(name: &str) -> Result<String, std::env::VarError> {
    std::env::var(format!("TASKHOST_ELASTICSEARCH_{name}"))
}

/// So many hosts on a new store, of which all know the guest. Without hints each finds by looking
/// what others do.
pub(crate) async fn start(count: usize, hints: bool) -> Result<Vec<Host>, Failure> {
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
            key_ring: Some(KeyRing::new([7; 32], Vec::new())),
            address: Some(address.clone()),
            messenger: hints.then(|| Arc::clone(&post) as _),
            spans: None,
        })
        .await?;
        if number == 0 {
            let pushed = guest::component(0);
            service.types.push(&somebody()?, pushed, None).await?;
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
pub(crate) async fn load(
    hosts: &[Host],
    name: &str,
    count: usize,
    at_once: usize,
) -> Result<(), Failure> {
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
    let (by, key) = (somebody()?, key(id)?);
    tasks.schedule(&by, key.clone(), wish()?).await?;
    let mut since = 0;
    loop {
        let view = tasks
            .wait(&by, &key, since, Duration::from_secs(60))
            .await?;
        let view = view.ok_or("a task does not end")?;
        match view.status {
            Status::Completed => return Ok(()),
            Status::InProgress => since = view.revision(),
            other => return Err(format!("{id} is {other:?}").into()),
        }
    }
}

/// Who may do everything there.
pub(crate) fn somebody() -> Result<Requester, Failure> {
    let (name, password) = (variable("USERNAME")?, variable("PASSWORD")?);
    let own = STANDARD.encode(format!("{name}:{password}"));
    let credential = Credential::Own(Authorization::parse(&format!("Basic {own}"))?);
    Ok(Requester {
        name,
        credential,
        ..Requester::single_user()
    })
}

pub(crate) fn key(id: &str) -> Result<TaskKey, Failure> {
    Ok(TaskKey {
        space: Space::parse("default")?,
        id: TaskId::parse(id)?,
    })
}

pub(crate) fn wish() -> Result<ScheduleRequest, Failure> {
    Ok(ScheduleRequest {
        type_id: TypeId::parse(guest::TYPE)?,
        stream: None,
        params: Arc::from(guest::COMPLETES.to_string()),
        priority: None,
        run_at: None,
        timeout_ms: None,
        record: false,
        trace: None,
        condition: None,
    })
}

/// How many requests these have sent to Elasticsearch, of each kind.
pub(crate) fn requests(hosts: &[Host]) -> BTreeMap<&'static str, u64> {
    let mut all = BTreeMap::new();
    for host in hosts {
        for (kind, sent) in host.stores.requests_by_kind().unwrap_or_default() {
            *all.entry(kind).or_default() += sent;
        }
    }
    all
}

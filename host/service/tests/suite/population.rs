//! A service on a store with people who differ.

use std::sync::Arc;
use std::time::Duration;

use taskhost_model::capabilities::Capabilities;
use taskhost_model::ids::{RunKeyId, Space, StreamKey, StreamName, TaskKey, TypeId};
use taskhost_model::requester::{Authorization, Credential, Requester};
use taskhost_model::rights::Role;
use taskhost_model::task::Task;
use taskhost_model::time::{Clock, Timestamp};
use taskhost_service::error::ServiceError;
use taskhost_service::key_ring::KeyRing;
use taskhost_service::policy::Rule;
use taskhost_service::view::TaskView;
use taskhost_service::{ScheduleRequest, Scheduled, Service};
use taskhost_store::limits::Limits;
use taskhost_store::memory::people::{Declared, Rights};
use taskhost_store::open::{Stores, in_memory_of_hosts_with_people, in_memory_with_people};
use taskhost_store::run_keys::RunKey;
use taskhost_store::streams::StreamSettings;

use crate::bench::parts;
use crate::guest;
use crate::hold::PATIENCE;
use crate::people::{key, space};

/// Nobody has waited for a sweep after so long that has not come.
const SWEEP_INTERVAL: Duration = Duration::from_millis(20);

/// Hosts, and who may do what there.
pub(crate) struct Population {
    pub(crate) service: Service,
    pub(crate) stores: Vec<Stores>,
    pub(crate) people: Arc<Declared>,
    pub(crate) clock: Clock,
}

impl Population {
    /// One host, whose store has everybody and the stream.
    pub(crate) async fn start() -> Self {
        Self::of(1).await
    }

    /// The first of so many hosts; it begins to claim with [`Service::begin`].
    pub(crate) async fn of(hosts: usize) -> Self {
        let clock = Clock::manual(Timestamp::from_ms(1_795_000_000_000));
        let people = Arc::new(Declared::new(clock.clone()));
        let of = |role, streams| Rights::of(&space(), role, streams);
        for (name, rights) in [
            ("ann", of(Role::Operator, &["logs.*"])),
            ("ben", of(Role::Operator, &["logs.*"])),
            ("vic", of(Role::Viewer, &["logs.test"])),
            ("eve", of(Role::Operator, &["other"])),
            (
                "zoe",
                Rights {
                    streams: vec!["logs.test".to_owned()],
                    ..Rights::default()
                },
            ),
            (
                "far",
                Rights::of(&Space::parse("far").unwrap(), Role::Admin, &["logs.*"]),
            ),
            (
                "adm",
                Rights {
                    everywhere: Some(Role::Admin),
                    streams: vec!["*".to_owned()],
                    ..Rights::default()
                },
            ),
        ] {
            people.declare(name, "secret", rights);
        }
        let limits = Limits::default();
        let stores = match hosts {
            1 => vec![in_memory_with_people(limits, clock.clone(), &people)],
            _ => in_memory_of_hosts_with_people(limits, clock.clone(), hosts, &people),
        };
        let service = host_on(&stores[0], &clock, ring(1), "host-0")
            .await
            .unwrap();
        let it = Self {
            service,
            stores,
            people,
            clock,
        };
        let more = r#""stream":"optional","capabilities":{"children":["worker"]},"#;
        let component = guest::of_type(guest::TYPE, 0, more);
        let pushed = it.service.types.push(&it.who("adm"), component, None).await;
        pushed.unwrap();
        let by = it.who("adm");
        let stream = it.stream(guest::STREAM);
        let settings = StreamSettings::default();
        it.service
            .streams
            .put(&by, &stream, &settings)
            .await
            .unwrap();
        it
    }

    /// Whoever has this name.
    pub(crate) fn who(&self, name: &str) -> Requester {
        Requester {
            name: name.to_owned(),
            credential: Credential::Own(basic(name, "secret")),
            ..Requester::single_user()
        }
    }

    pub(crate) fn stream(&self, name: &str) -> StreamKey {
        StreamKey {
            space: space(),
            name: StreamName::parse(name).unwrap(),
        }
    }

    pub(crate) async fn schedule(
        &self,
        by: &Requester,
        id: &str,
        kind: u8,
        stream: Option<&str>,
    ) -> Result<TaskView, ServiceError> {
        let scheduled = self
            .service
            .tasks
            .schedule(by, key(id), request(kind, stream))
            .await?;
        Ok(match scheduled {
            Scheduled::New(view) => view,
            Scheduled::AlreadyRunning(running) => running.view,
        })
    }

    /// As the store has it.
    pub(crate) async fn task(&self, id: &str) -> Task {
        self.stores[0].tasks.get(&key(id)).await.unwrap().unwrap()
    }

    /// The task once it has ended.
    pub(crate) async fn ended(&self, id: &str) -> Task {
        let is_so = async |task: &Task| task.status.is_terminal();
        self.until(id, is_so).await
    }

    /// The task once its guest is at work.
    pub(crate) async fn at_work(&self, id: &str) -> Task {
        let is_so = async |task: &Task| task.lease().is_some();
        self.until(id, is_so).await
    }

    async fn until(&self, id: &str, is_so: impl AsyncFn(&Task) -> bool) -> Task {
        let task = async {
            loop {
                let task = self.task(id).await;
                if is_so(&task).await {
                    return task;
                }
                crate::bench::a_moment().await;
            }
        };
        tokio::time::timeout(PATIENCE, task).await.unwrap()
    }

    /// Keys of runs that the store has.
    pub(crate) async fn keys(&self) -> Vec<RunKey> {
        let people = self.stores[0].people.as_ref().unwrap();
        people.keys.list(1_000).await.unwrap()
    }

    /// Waits until so many are left.
    pub(crate) async fn until_keys(&self, count: usize) {
        let keys = async {
            while self.keys().await.len() != count {
                crate::bench::a_moment().await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, keys).await;
        assert!(waited.is_ok(), "{:?}", self.keys().await);
    }

    /// The sweeper comes some times.
    pub(crate) async fn sweeps(&self) {
        // tidy: sleep allowed because nothing is to happen, and that takes the sweeper's time
        tokio::time::sleep(SWEEP_INTERVAL * 6).await;
    }
}

/// A host with this key.
pub(crate) async fn host_on(
    stores: &Stores,
    clock: &Clock,
    ring: KeyRing,
    name: &str,
) -> Result<Service, ServiceError> {
    let mut parts = parts(stores, clock);
    parts.key_ring = Some(ring);
    parts.host = name.to_owned();
    parts.settings.sweep_interval = SWEEP_INTERVAL;
    parts.settings.policy.rules = vec![Rule {
        allowed: Capabilities {
            children: vec![TypeId::parse(guest::TYPE).unwrap()],
            ..Capabilities::default()
        },
        record: true,
        ..Rule::default()
    }];
    Service::start(parts).await
}

/// The keys of hosts: one, and those before it.
pub(crate) fn ring(number: u8) -> KeyRing {
    KeyRing::new([number; 32], Vec::new())
}

pub(crate) fn request(kind: u8, stream: Option<&str>) -> ScheduleRequest {
    ScheduleRequest {
        type_id: TypeId::parse(guest::TYPE).unwrap(),
        stream: stream.map(|name| StreamName::parse(name).unwrap()),
        params: Arc::from(kind.to_string()),
        priority: None,
        run_at: None,
        timeout_ms: None,
        record: false,
        trace: None,
        condition: None,
    }
}

/// With what somebody comes who has a password.
pub(crate) fn basic(name: &str, password: &str) -> Authorization {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(format!("{name}:{password}"));
    Authorization::parse(&format!("Basic {text}")).unwrap()
}

pub(crate) fn in_space(name: &str, id: &str) -> TaskKey {
    TaskKey {
        space: Space::parse(name).unwrap(),
        ..key(id)
    }
}

/// What a run holds.
pub(crate) fn held(task: &Task) -> RunKeyId {
    task.run.key.expect("it has a key")
}

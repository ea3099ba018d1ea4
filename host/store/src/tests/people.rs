//! People of the store in memory, as the suite wants them.

use std::sync::Arc;

use async_trait::async_trait;
use taskhost_model::ids::{StreamKey, StreamName};
use taskhost_model::requester::Authorization;

use crate::conformance::rights::{Peopled, Registrar, Rights, Somebody};
use crate::conformance::{Subject, exercise_people, given};
use crate::limits::Limits;
use crate::memory::people::Declared;
use crate::open::{Stores, in_memory_of_hosts_with_people, in_memory_with_people};
use crate::streams::{StreamDocument, StreamSettings, StreamStore};

#[derive(Debug)]
struct Declaring {
    people: Arc<Declared>,
    streams: Arc<dyn StreamStore>,
}

#[async_trait]
impl Registrar for Declaring {
    fn name(&self, name: &str) -> StreamName {
        given::stream(name).name
    }

    async fn stream(&self, name: &str) -> StreamKey {
        let key = given::stream(name);
        let settings = StreamSettings::default();
        self.streams.put(&key, &settings).await.unwrap();
        let documents = (1..4).map(|ms| StreamDocument {
            at: given::at(ms),
            body: format!("{{\"@timestamp\":{ms}}}").into(),
        });
        let ingested = self.streams.ingest(&key, documents.collect()).await;
        ingested.unwrap();
        key
    }

    async fn person(&self, name: &str, rights: &Rights) -> Somebody {
        let password = format!("{name}'s password");
        Somebody {
            authorization: self.people.declare(name, &password, rights.clone()),
            name: name.to_owned(),
            password,
        }
    }

    async fn change(&self, somebody: &Somebody, rights: &Rights) {
        self.people.change(&somebody.name, rights.clone());
    }

    async fn disable(&self, somebody: &Somebody) {
        self.people.disable(&somebody.name);
    }

    async fn own_key(&self, somebody: &Somebody) -> Authorization {
        self.people.own_key(&somebody.name)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_with_people_passes_the_suite() {
    exercise_people(async || {
        let clock = given::clock();
        let people = Arc::new(Declared::new(clock.clone()));
        let stores = in_memory_with_people(Limits::default(), clock.clone(), &people);
        peopled(stores, clock, people)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_in_memory_have_people_and_keys_in_common() {
    let clock = given::clock();
    let people = Arc::new(Declared::new(clock.clone()));
    let hosts = in_memory_of_hosts_with_people(Limits::default(), clock.clone(), 2, &people);
    let [one, other] = hosts.try_into().unwrap();
    let registrar = peopled(one.clone(), clock, people).registrar;
    let rights = Rights::of(
        &given::space(),
        taskhost_model::rights::Role::Viewer,
        &["a"],
    );
    let ann = registrar.person("ann", &rights).await;
    let stream = registrar.stream("a").await;
    let of = |stores: &Stores| stores.people.clone().unwrap();
    let hour = std::time::Duration::from_secs(3_600);
    let granted = of(&one).authority.grant(&ann.authorization, "", hour).await;
    let key = granted.unwrap();
    let by = taskhost_model::requester::Requester {
        name: ann.name,
        credential: taskhost_model::requester::Credential::Own(key.authorization),
        ..taskhost_model::requester::Requester::single_user()
    };
    let query = given::query(0, 10);
    let counted = other.streams.count(&by, &stream, &query).await.unwrap();
    assert_eq!(counted.value, 3);
    of(&other).authority.invalidate(&[key.id]).await.unwrap();
    let counted = one.streams.count(&by, &stream, &query).await;
    assert!(matches!(
        counted,
        Err(crate::error::StoreError::Unauthorized { .. })
    ));
    assert_eq!(of(&one).keys.check(b"one").await.unwrap(), b"one");
    assert_eq!(of(&other).keys.check(b"other").await.unwrap(), b"one");
}

fn peopled(stores: Stores, clock: taskhost_model::time::Clock, people: Arc<Declared>) -> Peopled {
    let streams = Arc::clone(&stores.streams);
    Peopled {
        subject: Subject { stores, clock },
        registrar: Arc::new(Declaring { people, streams }),
    }
}

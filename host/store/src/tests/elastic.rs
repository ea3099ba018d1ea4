//! The store on Elasticsearch passes the suite, on a real server: `tests/elasticsearch/with.sh`
//! names one by TASKHOST_ELASTICSEARCH_URL. Without it nothing is tested here, and each test says
//! so.

mod audit;
mod hosts;
mod indices;
mod people;
mod people_of_cluster;
#[path = "../../../../tests/e2e/src/proxy.rs"]
#[allow(
    unreachable_pub,
    dead_code,
    reason = "end-to-end tests use the rest of it"
)]
mod proxy;
mod trouble;

use std::sync::Mutex;

use serde_json::Value;
use taskhost_model::time::Clock;

use super::agreement::Pair;
use crate::conformance::{self, Subject, given};
use crate::elastic::client::{Client, Request};
use crate::limits::Limits;
use crate::open::{
    Credentials, ElasticConnection, ElasticSettings, OpenError, Stores, in_memory, open_elastic,
};

/// A cluster, and what was made there.
pub(super) struct Cluster {
    pub(super) connection: ElasticConnection,
    made: Mutex<Vec<String>>,
}

impl Cluster {
    /// The one that the environment names.
    pub(super) fn find() -> Option<Self> {
        let variable = |name: &str| std::env::var(format!("TASKHOST_ELASTICSEARCH_{name}"));
        let Ok(url) = variable("URL") else {
            eprintln!("!!! SKIPPED: a real Elasticsearch; run tests/elasticsearch/with.sh");
            return None;
        };
        let credentials = Credentials::Basic {
            username: variable("USERNAME").unwrap(),
            password: variable("PASSWORD").unwrap(),
        };
        Some(Self {
            connection: ElasticConnection::new(&url, credentials),
            made: Mutex::default(),
        })
    }

    pub(super) fn client(&self) -> Client {
        Client::new(&self.connection).unwrap()
    }

    /// A prefix that nobody has used.
    pub(super) fn prefix(&self) -> String {
        let prefix = format!(".test-{:016x}", rand::random::<u64>());
        self.made.lock().unwrap().push(prefix.clone());
        prefix
    }

    /// The one that was made last.
    fn last_prefix(&self) -> String {
        self.made.lock().unwrap().last().unwrap().clone()
    }

    pub(super) async fn open(&self, prefix: &str, clock: &Clock) -> Result<Stores, OpenError> {
        let settings = ElasticSettings {
            connection: self.connection.clone(),
            prefix: prefix.to_owned(),
            limits: Limits::default(),
        };
        // What streams hold is not the affair of these tests.
        let streams = in_memory(Limits::default(), clock.clone()).streams;
        open_elastic(&settings, clock.clone(), streams).await
    }

    /// An empty store; what was made before goes.
    async fn subject(&self) -> Subject {
        self.clear().await;
        let clock = given::clock();
        let stores = self.open(&self.prefix(), &clock).await.unwrap();
        Subject { stores, clock }
    }

    /// Removes what was made.
    pub(super) async fn clear(&self) {
        let made = std::mem::take(&mut *self.made.lock().unwrap());
        for prefix in made {
            let request = Request::delete(format!("{prefix}_*")).with("expand_wildcards", "all");
            let answer = self.client().expect(&request, &[200, 404]).await.unwrap();
            let _: Value = answer.json().unwrap();
        }
    }
}

macro_rules! suite {
    ($($name:ident: $part:ident;)+) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            let Some(cluster) = Cluster::find() else { return };
            conformance::$part(&async || cluster.subject().await).await;
            cluster.clear().await;
        })+
    };
}

suite! {
    it_applies_as_the_suite_wants: of_apply;
    it_queues_and_lists_as_the_suite_wants: of_tasks;
    it_keeps_schedules_as_the_suite_wants: of_timetables;
    it_keeps_documents_as_the_suite_wants: of_documents;
    it_keeps_components_as_the_suite_wants: of_components;
    it_keeps_hosts_as_the_suite_wants: of_hosts;
    it_keeps_run_keys_as_the_suite_wants: of_run_keys;
    it_keeps_the_audit_log_as_the_suite_wants: of_audit;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_agrees_with_memory() {
    let Some(cluster) = Cluster::find() else {
        return;
    };
    for _ in 0..3 {
        Pair::new(cluster.subject().await).await.run_some(25).await;
    }
    cluster.clear().await;
}

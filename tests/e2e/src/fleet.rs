//! Several hosts, each a process with a folder of its own, on one store in Elasticsearch.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use std::time::SystemTime;

use reqwest::Method;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use serde_json::Value;
use tokio::process::Command;
use tokio::sync::OwnedMutexGuard;
use tokio::time::Instant;

use crate::PATIENCE;
use crate::answer::Answer;
use crate::cluster::KEY;
use crate::elasticsearch::Elasticsearch;
use crate::home::Home;
use crate::host::Host;

/// The shortest that there is.
pub const LEASE: Duration = Duration::from_secs(15);
const SETTINGS: &str = "hosts.lease_s = 15\nhosts.beat_interval_s = 3\n\
    elasticsearch.request_timeout_s = 5\n";

/// The hosts' folders, and their store. One at a time in a test program: some stop Elasticsearch,
/// and all want the cores for themselves.
#[derive(Debug)]
pub struct Fleet {
    /// Where the store is.
    pub elasticsearch: Elasticsearch,
    /// How the names of its indices begin.
    pub prefix: String,
    homes: Vec<Home>,
    http: reqwest::Client,
    _alone: OwnedMutexGuard<()>,
}

impl Fleet {
    /// Folders for so many hosts, each with these components in its watched folder; `None` where
    /// there is no Elasticsearch.
    pub async fn find(hosts: usize, components: &[&str], settings: &str) -> Option<Self> {
        static ALONE: OnceLock<Arc<tokio::sync::Mutex<()>>> = OnceLock::new();
        let elasticsearch = Elasticsearch::find()?;
        let alone = Arc::clone(ALONE.get_or_init(Arc::default));
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let prefix = format!(".test-{:x}", now.unwrap().as_nanos());
        let homes = (0..hosts).map(|_| {
            let home = Home::with(components);
            let own = format!("elasticsearch.prefix = \"{prefix}\"\n");
            home.settings(&format!("{SETTINGS}{own}{settings}"));
            home
        });
        Some(Self {
            http: client_of(&elasticsearch),
            homes: homes.collect(),
            elasticsearch,
            prefix,
            _alone: alone.lock_owned().await,
        })
    }

    /// How many hosts it is for.
    #[must_use]
    pub fn size(&self) -> usize {
        self.homes.len()
    }

    /// The folder of a host.
    #[must_use]
    pub fn home(&self, number: usize) -> &Home {
        &self.homes[number]
    }

    /// Starts a host and waits until it is ready.
    pub async fn start(&self, number: usize) -> Host {
        self.start_over(number, &self.elasticsearch.url).await
    }

    /// Starts a host that reaches its store over another address.
    pub async fn start_over(&self, number: usize, url: &str) -> Host {
        self.started(self.serve(number, url)).await
    }

    /// Runs a command of [`Self::serve`] and waits until it is ready.
    pub async fn started(&self, command: Command) -> Host {
        let mut host = Host::of(command).await;
        host.http = self.http.clone();
        host
    }

    /// Starts all of them.
    pub async fn start_all(&self) -> Vec<Host> {
        let mut hosts = Vec::new();
        for number in 0..self.size() {
            hosts.push(self.start(number).await);
        }
        hosts
    }

    /// The command that starts a host.
    #[must_use]
    pub fn serve(&self, number: usize, url: &str) -> Command {
        let mut command = self.homes[number].serve();
        command.args(["--store", "elasticsearch", "--elasticsearch-url", url]);
        let server = &self.elasticsearch;
        command
            .env("TASKHOST_ELASTICSEARCH_USERNAME", &server.username)
            .env("TASKHOST_ELASTICSEARCH_PASSWORD", &server.password)
            .env("TASKHOST_KEY", KEY);
        command
    }

    /// Lets searches see all that was written.
    pub async fn settle(&self) {
        let path = format!("/{}*/_refresh?expand_wildcards=all", self.prefix);
        let request = self.elasticsearch.request(Method::POST, &path);
        self.elasticsearch.send(request).await.expect(200);
    }

    /// Removes what the hosts have stored.
    pub async fn clear(self) {
        let path = format!("/{}*?expand_wildcards=all", self.prefix);
        let request = self.elasticsearch.request(Method::DELETE, &path);
        self.elasticsearch.send(request).await.expect(200);
    }
}

/// Requests as the superuser.
fn client_of(server: &Elasticsearch) -> reqwest::Client {
    let mut basic = HeaderValue::try_from(server.authorization()).unwrap();
    basic.set_sensitive(true);
    let headers = HeaderMap::from_iter([(AUTHORIZATION, basic)]);
    let client = reqwest::Client::builder()
        .timeout(PATIENCE)
        .default_headers(headers);
    client.build().unwrap()
}

/// A way to speak to a host that may be gone at any moment.
#[derive(Debug, Clone)]
pub struct Caller {
    /// `http://127.0.0.1:PORT`
    pub url: String,
    http: reqwest::Client,
}

impl Caller {
    /// To this host, as long as it lives.
    #[must_use]
    pub fn of(host: &Host) -> Self {
        Self {
            url: host.url.clone(),
            http: host.http.clone(),
        }
    }

    /// Sends a request; `None` when no answer comes within the time.
    pub async fn ask(
        &self,
        method: Method,
        path: String,
        body: Option<&Value>,
        within: Duration,
    ) -> Option<Answer> {
        let asked = format!("{method} {path}");
        let mut request = self.http.request(method, format!("{}{path}", self.url));
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.timeout(within).send().await.ok()?;
        Answer::read(asked, response).await.ok()
    }
}

/// Hosts by number, of which some may be gone.
#[derive(Debug, Default)]
pub struct Callers(Mutex<Vec<Option<Caller>>>);

impl Callers {
    /// To all of these.
    #[must_use]
    pub fn of<'a>(hosts: impl IntoIterator<Item = &'a Host>) -> Self {
        let callers = hosts.into_iter().map(|host| Some(Caller::of(host)));
        Self(Mutex::new(callers.collect()))
    }

    /// To the host of this number, if it is there.
    #[must_use]
    pub fn get(&self, number: usize) -> Option<Caller> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)[number].clone()
    }

    /// Notes that a host is gone, or back.
    pub fn set(&self, number: usize, caller: Option<Caller>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)[number] = caller;
    }

    /// One of those that are there, chosen by a number that may be any.
    #[must_use]
    pub fn pick(&self, any: usize) -> Option<(usize, Caller)> {
        let callers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let there = callers.iter().enumerate();
        let there = there.filter_map(|(number, caller)| Some((number, caller.clone()?)));
        let there: Vec<_> = there.collect();
        let count = there.len();
        there.into_iter().nth(any.checked_rem(count)?)
    }
}

/// Lets time pass: what is done to hosts lasts a while, and a rate is one over a while.
pub async fn pass(time: Duration) {
    pass_until(Instant::now() + time).await;
}

/// The same, until a moment.
pub async fn pass_until(moment: Instant) {
    // tidy: sleep allowed because it is how long something is away
    tokio::time::sleep_until(moment).await;
}

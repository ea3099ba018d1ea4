//! The real Elasticsearch that `tests/elasticsearch/with.sh` has started: spoken to, stopped, held
//! up and started again.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Method, RequestBuilder};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;
use tokio::process::Command;

use crate::answer::Answer;
use crate::{PATIENCE, places};

/// The server.
#[derive(Debug, Clone)]
pub struct Elasticsearch {
    /// `http://127.0.0.1:PORT`
    pub url: String,
    /// A superuser.
    pub username: String,
    /// Of the superuser.
    pub password: String,
    folder: Option<PathBuf>,
    http: reqwest::Client,
}

impl Elasticsearch {
    /// The one that the environment names; says so where there is none.
    #[must_use]
    pub fn find() -> Option<Self> {
        let variable = |name: &str| std::env::var(format!("TASKHOST_ELASTICSEARCH_{name}"));
        let Ok(url) = variable("URL") else {
            eprintln!("!!! SKIPPED: a real Elasticsearch; run tests/elasticsearch/with.sh");
            return None;
        };
        Some(Self {
            url,
            username: variable("USERNAME").unwrap(),
            password: variable("PASSWORD").unwrap(),
            folder: variable("FOLDER").ok().map(PathBuf::from),
            http: reqwest::Client::builder()
                .timeout(PATIENCE)
                .build()
                .unwrap(),
        })
    }

    /// The superuser, as the value of the header `Authorization`.
    #[must_use]
    pub fn authorization(&self) -> String {
        let both = format!("{}:{}", self.username, self.password);
        format!("Basic {}", STANDARD.encode(both))
    }

    /// A request of the superuser; `path` begins with a slash.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.url));
        request.header("authorization", self.authorization())
    }

    /// Sends a request that has to be answered.
    pub async fn send(&self, request: RequestBuilder) -> Answer {
        let request = request.build().unwrap();
        let asked = format!("{} {}", request.method(), request.url().path());
        let response = self.http.execute(request).await.unwrap();
        Answer::read(asked, response).await.unwrap()
    }

    /// `GET`
    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    /// `PUT` of JSON.
    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::PUT, path).json(body)).await
    }

    /// `POST` of JSON.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::POST, path).json(body)).await
    }

    /// Holds its processes up; nobody is told.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets them go on.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let file = self.folder().join("pid");
        let group: i32 = std::fs::read_to_string(file)
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        let group = Pid::from_raw(group).expect("a process group");
        kill_process_group(group, signal).unwrap();
    }

    /// Stops it in order.
    pub async fn stop(&self) {
        self.server("stop").await;
    }

    /// Starts it again, on the same port and data.
    pub async fn start(&self) {
        self.server("start").await;
    }

    async fn server(&self, what: &str) {
        let mut command = Command::new(places::top().join("tests/elasticsearch/server.sh"));
        command.arg(what).arg(self.folder());
        let status = command.status().await.unwrap();
        assert!(status.success(), "server.sh {what}: {status}");
    }

    fn folder(&self) -> &PathBuf {
        let folder = self.folder.as_ref();
        folder.expect("TASKHOST_ELASTICSEARCH_FOLDER, which tests/elasticsearch/with.sh sets")
    }
}

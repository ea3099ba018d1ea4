//! What nearly every test does with tasks, types and streams.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::{Value, json};

use crate::PATIENCE;
use crate::answer::Answer;
use crate::host::Host;
use crate::places;

/// Statuses after which nothing happens by itself.
pub const TERMINAL: [&str; 4] = ["completed", "failed", "canceled", "acknowledged"];

/// A task's path in the space `default`.
#[must_use]
pub fn task(id: &str) -> String {
    format!("/v1/spaces/default/tasks/{id}")
}

/// A stream's path in the space `default`.
#[must_use]
pub fn stream(name: &str) -> String {
    format!("/v1/spaces/default/streams/{name}")
}

impl Host {
    /// Schedules a task that has not run before, or not any more.
    pub async fn schedule(&self, id: &str, type_id: &str, params: Value) -> Value {
        let answer = self
            .put(&task(id), &json!({"type": type_id, "params": params}))
            .await;
        answer.expect(201)
    }

    /// Schedules a task on a stream.
    pub async fn schedule_on(&self, stream: &str, id: &str, type_id: &str, params: Value) -> Value {
        let body = json!({"type": type_id, "stream": stream, "params": params});
        self.put(&task(id), &body).await.expect(201)
    }

    /// The task's status answer.
    pub async fn task(&self, id: &str) -> Value {
        self.get(&task(id)).await.expect(200)
    }

    /// Waits until what is known of a task meets a predicate.
    pub async fn until(&self, id: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let waiting = async {
            let mut seen = self.task(id).await;
            while !wanted(&seen) {
                let since = &seen["revision"];
                let path = format!("{}?wait=20s&since={since}", task(id));
                let answer = self.get(&path).await;
                if answer.status != 304 {
                    seen = answer.expect(200);
                }
            }
            seen
        };
        match tokio::time::timeout(PATIENCE, waiting).await {
            Ok(seen) => seen,
            Err(_) => panic!("waited in vain; now it is {}", self.task(id).await),
        }
    }

    /// Waits until a task has this status.
    pub async fn reaches(&self, id: &str, status: &str) -> Value {
        self.until(id, |task| {
            let now = task["status"].as_str().unwrap_or_default();
            assert!(
                now == status || !TERMINAL.contains(&now),
                "not {status}, but {task:#}"
            );
            now == status
        })
        .await
    }

    /// Waits until a task has ended, however.
    pub async fn ends(&self, id: &str) -> Value {
        let ended = |task: &Value| TERMINAL.iter().any(|status| task["status"] == *status);
        self.until(id, ended).await
    }

    /// Waits until a task's guest has been entered and has said something.
    pub async fn moves(&self, id: &str) -> Value {
        self.until(id, |task| task["progress"]["updated_at"].is_string())
            .await
    }

    /// Runs a task to its end.
    pub async fn run(&self, id: &str, type_id: &str, params: Value) -> Value {
        self.schedule(id, type_id, params).await;
        self.ends(id).await
    }

    /// Sees that a task's run is at work where it was begun: neither stale, nor lost and begun
    /// anew.
    pub async fn is_at_work_still(&self, id: &str) {
        let task = self.task(id).await;
        let run = &task["run"];
        assert_eq!(task["status"], "in_progress", "{task:#}");
        assert_eq!(run["state"], "running", "{task:#}");
        let told = (&run["attempt"], &run["crashes"], &run["lease_number"]);
        assert_eq!(told, (&json!(1), &json!(0), &json!(1)), "{task:#}");
    }

    /// `POST …/tasks/{id}/{verb}` without a body.
    pub async fn verb(&self, id: &str, verb: &str) -> Answer {
        self.send(self.request(Method::POST, &format!("{}/{verb}", task(id))))
            .await
    }

    /// Uploads bytes as a task type.
    pub async fn push_bytes(&self, bytes: impl Into<Vec<u8>>) -> Answer {
        self.upload("/v1/task-types", "application/wasm", bytes)
            .await
    }

    /// Uploads bytes as a task type, with the text of their signature.
    pub async fn push_signed(&self, bytes: impl Into<Vec<u8>>, signature: &str) -> Answer {
        let request = self.request(Method::POST, "/v1/task-types");
        let request = request
            .header("content-type", "application/wasm")
            .header("taskhost-signature", STANDARD.encode(signature));
        self.send(request.body(bytes.into())).await
    }

    /// `POST …/versions/{digest}/{verb}` of a task type.
    pub async fn decide(&self, type_id: &str, digest: &Value, verb: &str) -> Answer {
        let digest = digest.as_str().unwrap();
        let path = format!("/v1/task-types/{type_id}/versions/{digest}/{verb}");
        self.send(self.request(Method::POST, &path)).await
    }

    /// A version of a task type as people are shown it.
    pub async fn version(&self, type_id: &str, digest: &Value) -> Value {
        let view = self.get(&format!("/v1/task-types/{type_id}")).await;
        let view = view.expect(200);
        let versions = view["versions"].as_array().unwrap().iter();
        let found = versions
            .clone()
            .find(|version| version["digest"] == *digest);
        found.unwrap_or_else(|| panic!("{view:#}")).clone()
    }

    /// Uploads a component by name.
    pub async fn push(&self, name: &str) -> Answer {
        self.push_bytes(std::fs::read(places::component(name)).unwrap())
            .await
    }

    /// Makes a stream and gives it these documents.
    pub async fn fill(&self, name: &str, documents: impl IntoIterator<Item = Value>) {
        let made = self.put(&stream(name), &json!({})).await;
        assert!(matches!(made.status, 200 | 201), "{made:?}");
        let lines: String = documents
            .into_iter()
            .map(|document| format!("{document}\n"))
            .collect();
        let count = lines.lines().count();
        let answer = self.ingest(name, lines).await.expect(200);
        assert_eq!(answer, json!({"accepted": count, "rejected": []}));
    }

    /// Ingests NDJSON.
    pub async fn ingest(&self, name: &str, lines: impl Into<Vec<u8>>) -> Answer {
        self.upload(
            &format!("{}/documents", stream(name)),
            "application/x-ndjson",
            lines,
        )
        .await
    }

    /// The ids of all tasks of the space `default` that a query finds, the newest first.
    pub async fn listed(&self, query: &str) -> Vec<String> {
        let (mut listed, mut cursor) = (Vec::new(), String::new());
        loop {
            let path = format!("/v1/spaces/default/tasks?limit=1000&{query}{cursor}");
            let page = self.get(&path).await.expect(200);
            for each in page["tasks"].as_array().unwrap() {
                listed.push(each["id"].as_str().unwrap().to_owned());
            }
            let Some(next) = page["next"].as_str() else {
                return listed;
            };
            cursor = format!("&cursor={next}");
        }
    }

    /// The value of a line of `/metrics`, by its name and labels.
    pub async fn metric(&self, name: &str) -> Option<f64> {
        let text = self.get("/metrics").await.text;
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map(|value| value.parse().unwrap())
    }

    /// Asks again and again until there is an answer: for what has no event to wait for, like
    /// the watched folder.
    pub async fn see<T>(&self, what: &str, asking: impl AsyncFn() -> Option<T>) -> T {
        let mut again = tokio::time::interval(Duration::from_millis(20));
        let waiting = async {
            loop {
                again.tick().await;
                if let Some(seen) = asking().await {
                    return seen;
                }
            }
        };
        let seen = tokio::time::timeout(PATIENCE, waiting).await;
        seen.unwrap_or_else(|_| panic!("did not see {what}\n{}", self.log()))
    }
}

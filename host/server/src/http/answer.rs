//! Writes answers: a task's status as clients of any age know it, straight to bytes.
//!
//! With `completed` and `acknowledged` the payload's keys also stand at the top level, as
//! Kibana's clients expect them, unless a key of the answer has the same name.

mod shape;

use std::borrow::Cow;
use std::fmt;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode};
use schemars::JsonSchema;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;
use taskhost_model::status::Status;
use taskhost_model::task::{Run, Task};
use taskhost_service::view::{TaskView, WaitReason, Waiting};

/// Every key that a status answer may have; a payload's key of the same name stays below
/// `payload`.
const RESERVED: [&str; 27] = [
    "outcome",
    "params",
    "id",
    "type",
    "status",
    "space",
    "stream",
    "also_reads",
    "created_at",
    "last_completed_at",
    "last_acknowledged_at",
    "last_canceled_at",
    "last_failed_at",
    "parent",
    "concurrency_key",
    "record",
    "requested_by",
    "canceled_by",
    "acknowledged_by",
    "version",
    "revision",
    "run",
    "expires_at",
    "progress",
    "usage",
    "error",
    "payload",
];

/// A status answer.
pub(crate) struct StatusAnswer<'a> {
    pub(crate) status: Status,
    pub(crate) task: Option<&'a Task>,
    pub(crate) payload: Option<&'a str>,
    /// The running run's params, when a schedule changed nothing because of it.
    pub(crate) already_running: Option<&'a str>,
    /// Why it waits, where it is to run and does not.
    pub(crate) waiting_for: Option<Waiting>,
}

/// A run with what is only known when it is shown.
#[derive(Serialize, JsonSchema)]
struct ShownRun<'a> {
    #[serde(flatten)]
    run: &'a Run,
    /// Why it waits although it may be due.
    #[serde(skip_serializing_if = "Option::is_none")]
    waiting_for: Option<WaitReason>,
    /// The same for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    waiting_because: Option<&'a str>,
}

impl<'a> StatusAnswer<'a> {
    pub(crate) fn of(view: &'a TaskView) -> Self {
        Self {
            status: view.status,
            task: view.task.as_ref(),
            payload: view.payload.as_deref(),
            already_running: None,
            waiting_for: view.waiting_for.clone(),
        }
    }

    /// Of a document without its payload: in lists and events.
    pub(crate) fn of_task(task: &'a Task) -> Self {
        let status = task.phase().status();
        Self {
            status,
            task: Some(task),
            payload: None,
            already_running: None,
            waiting_for: None,
        }
    }

    /// The answer as JSON text.
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl Serialize for StatusAnswer<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if let Some(params) = self.already_running {
            map.serialize_entry("outcome", "already_running")?;
            raw_json(&mut map, "params", params)?;
        }
        let Some(task) = self.task else {
            map.serialize_entry("status", &self.status)?;
            return map.end();
        };
        map.serialize_entry("id", &task.id)?;
        map.serialize_entry("type", &task.type_id)?;
        map.serialize_entry("status", &self.status)?;
        map.serialize_entry("space", &task.space)?;
        optional(&mut map, "stream", task.stream.as_ref())?;
        let also_reads = Some(&task.also_reads).filter(|it| !it.is_empty());
        optional(&mut map, "also_reads", also_reads)?;
        map.serialize_entry("created_at", &task.created_at)?;
        for (key, at) in [
            ("last_completed_at", task.last_completed_at),
            ("last_acknowledged_at", task.last_acknowledged_at),
            ("last_canceled_at", task.last_canceled_at),
            ("last_failed_at", task.last_failed_at),
        ] {
            optional(&mut map, key, at.as_ref())?;
        }
        optional(&mut map, "parent", task.parent.as_ref())?;
        optional(&mut map, "concurrency_key", task.concurrency_key.as_ref())?;
        optional(&mut map, "record", task.record.then_some(&true))?;
        map.serialize_entry("requested_by", &task.requested_by)?;
        optional(&mut map, "canceled_by", task.canceled_by.as_ref())?;
        optional(&mut map, "acknowledged_by", task.acknowledged_by.as_ref())?;
        map.serialize_entry("version", &task.version.to_string())?;
        map.serialize_entry("revision", &task.revision)?;
        let waiting_for = self.waiting_for.as_ref().map(|it| it.reason);
        let waiting_because = self.waiting_for.as_deref();
        // Which key it reads with would tell what else its requester has at work.
        let without_key = task.run.key.map(|_| Run {
            key: None,
            ..task.run.clone()
        });
        let run = without_key.as_ref().unwrap_or(&task.run);
        let shown = ShownRun {
            run,
            waiting_for,
            waiting_because,
        };
        map.serialize_entry("run", &shown)?;
        optional(&mut map, "expires_at", task.expires_at.as_ref())?;
        optional(&mut map, "progress", task.progress.as_ref())?;
        optional(&mut map, "usage", task.usage.as_ref())?;
        // The error of an attempt that will be tried again is no answer yet.
        let error = task
            .error
            .as_ref()
            .filter(|_| self.status == Status::Failed);
        optional(&mut map, "error", error)?;
        if let Some(payload) = self.payload {
            raw_json(&mut map, "payload", payload)?;
            payload_keys(&mut map, payload, &RESERVED)?;
        }
        map.end()
    }
}

/// Kibana's form of a status: `{status, error?, …payload}`, with the error as a text.
pub(crate) struct KibanaStatus<'a> {
    pub(crate) status: Status,
    pub(crate) error: Option<&'a str>,
    pub(crate) payload: Option<&'a str>,
}

impl<'a> KibanaStatus<'a> {
    pub(crate) fn of(view: &'a TaskView) -> Self {
        let error = view.task.as_ref().and_then(|task| task.error.as_ref());
        let error = error.filter(|_| view.status == Status::Failed);
        Self {
            status: view.status,
            error: error.map(|error| error.message.as_str()),
            payload: view.payload.as_deref(),
        }
    }
}

impl Serialize for KibanaStatus<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("status", &self.status)?;
        optional(&mut map, "error", self.error.as_ref())?;
        if let Some(payload) = self.payload {
            payload_keys(&mut map, payload, &["status", "error"])?;
        }
        map.end()
    }
}

fn optional<M, T>(map: &mut M, key: &'static str, value: Option<&T>) -> Result<(), M::Error>
where
    M: SerializeMap,
    T: Serialize,
{
    match value {
        Some(value) => map.serialize_entry(key, value),
        None => Ok(()),
    }
}

fn raw_json<M: SerializeMap>(map: &mut M, key: &str, json: &str) -> Result<(), M::Error> {
    let raw: &RawValue = serde_json::from_str(json).map_err(serde::ser::Error::custom)?;
    map.serialize_entry(key, raw)
}

/// The keys of a payload that is an object, except those that the answer keeps for itself.
fn payload_keys<M: SerializeMap>(
    map: &mut M,
    json: &str,
    reserved: &[&str],
) -> Result<(), M::Error> {
    let Ok(object) = serde_json::from_str::<RawObject<'_>>(json) else {
        return Ok(());
    };
    // No key stands twice: such a result is refused when it is returned.
    for (key, value) in &object.0 {
        if !reserved.contains(&key.as_ref()) {
            map.serialize_entry(key, value)?;
        }
    }
    Ok(())
}

/// A JSON object in its own order, its values unread.
struct RawObject<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for RawObject<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = RawObject<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(Key(key)) = map.next_key()? {
                    entries.push((key, map.next_value()?));
                }
                Ok(RawObject(entries))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

/// A task as a response, with its `ETag`.
pub(crate) fn task(status: StatusCode, view: &TaskView) -> Response<Body> {
    with_etag(json(status, &StatusAnswer::of(view)), view)
}

/// Adds a task's version to a response.
pub(crate) fn with_etag(mut response: Response<Body>, view: &TaskView) -> Response<Body> {
    set_etag(response.headers_mut(), &view.version().to_string());
    response
}

/// Sets an opaque version as `ETag`.
pub(crate) fn set_etag(headers: &mut HeaderMap, version: &str) {
    if let Ok(value) = HeaderValue::try_from(format!("\"{version}\"")) {
        headers.insert(ETAG, value);
    }
}

/// A JSON response.
pub(crate) fn json<T: Serialize>(status: StatusCode, value: &T) -> Response<Body> {
    match serde_json::to_vec(value) {
        Ok(bytes) => bytes_of("application/json", status, bytes),
        Err(error) => {
            tracing::error!(%error, "an answer could not be written");
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            response
        }
    }
}

/// A response of any content type.
pub(crate) fn bytes_of(
    content_type: &'static str,
    status: StatusCode,
    bytes: impl Into<Body>,
) -> Response<Body> {
    let mut response = Response::new(bytes.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    no_store(headers);
    response
}

/// A response without a body.
pub(crate) fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    no_store(response.headers_mut());
    response
}

/// Nothing that the interface answers may be kept by a cache.
pub(crate) fn no_store(headers: &mut HeaderMap) {
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use taskhost_model::error::{ErrorKind, TaskError};
    use taskhost_model::ids::{RunId, Space, TaskId, TaskKey, TypeId};
    use taskhost_model::task::Run;
    use taskhost_model::time::Timestamp;

    fn document(status: Status) -> Task {
        let at = Timestamp::from_ms(0);
        Task {
            id: TaskId::parse("t").unwrap(),
            type_id: TypeId::parse("hello").unwrap(),
            space: Space::parse("default").unwrap(),
            stream: None,
            also_reads: Vec::new(),
            status,
            created_at: at,
            last_completed_at: None,
            last_acknowledged_at: None,
            last_canceled_at: None,
            last_failed_at: None,
            parent: None,
            concurrency_key: None,
            record: false,
            requested_by: "local".to_owned(),
            canceled_by: None,
            acknowledged_by: None,
            version: 7,
            revision: 9,
            deleted_at: None,
            previous: Vec::new(),
            run: Run {
                id: RunId::new(),
                attempt: 1,
                max_attempts: 1,
                state: None,
                priority: 0,
                due_at: at,
                rank: 0,
                started_at: None,
                deadline_at: None,
                timeout_ms: None,
                wall_ms: None,
                trace: None,
                lease_number: 1,
                host: None,
                incarnation: None,
                digest: None,
                key: None,
                cancel_requested_at: None,
                cancel_reason: None,
                crashes: 0,
                pauses: 0,
                suspension: None,
                checkpoints_of: None,
            },
            expires_at: None,
            receipt: None,
            progress: None,
            usage: None,
            error: Some(TaskError::of(ErrorKind::Trap, "it broke")),
        }
    }

    fn view(status: Status, payload: Option<&str>) -> TaskView {
        let mut view = TaskView::of(document(status));
        view.payload = payload.map(Into::into);
        view
    }

    #[test]
    fn a_payload_stands_below_its_key_and_at_the_top_unless_it_clashes() {
        let payload = r#"{"features":[1e2],"status":"mine","a\"b":2}"#;
        let view = view(Status::Completed, Some(payload));
        let text = StatusAnswer::of(&view).to_json();
        // Numbers are passed on as the task wrote them.
        assert!(text.contains(r#""features":[1e2]"#), "{text}");
        let answer: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(answer["status"], "completed");
        assert_eq!(answer["payload"]["status"], "mine");
        assert_eq!(answer["a\"b"], 2);
        assert_eq!(answer["version"], "7");
        assert_eq!(answer["revision"], 9);
        let written = text.matches("\"features\"").count();
        assert_eq!(written, 2, "once in the payload, once at the top");
    }

    #[test]
    fn a_payload_that_is_no_object_stands_below_its_key_alone() {
        let view = view(Status::Acknowledged, Some("[1]"));
        let answer: Value = serde_json::from_str(&StatusAnswer::of(&view).to_json()).unwrap();
        assert_eq!(answer["payload"], json!([1]));
    }

    #[test]
    fn optional_fields_are_left_out_and_an_error_comes_with_failed_only() {
        let answer = StatusAnswer::of(&view(Status::Failed, None)).to_json();
        assert!(answer.contains("\"kind\":\"trap\""), "{answer}");
        let answer = StatusAnswer::of(&view(Status::InProgress, None)).to_json();
        assert!(
            !answer.contains("null") && !answer.contains("error"),
            "{answer}"
        );
        let key = TaskKey {
            space: Space::parse("default").unwrap(),
            id: TaskId::parse("t").unwrap(),
        };
        let absent = TaskView::not_started(key);
        assert_eq!(
            StatusAnswer::of(&absent).to_json(),
            r#"{"status":"not_started"}"#
        );
    }

    #[test]
    fn every_key_of_an_answer_is_reserved() {
        let mut task = document(Status::Failed);
        let at = Some(Timestamp::from_ms(0));
        task.last_completed_at = at;
        task.last_acknowledged_at = at;
        task.last_canceled_at = at;
        task.last_failed_at = at;
        task.record = true;
        task.expires_at = at;
        task.parent = Some(taskhost_model::task::Parent {
            task: task.id.clone(),
            run: task.run.id,
            key: "x".to_owned(),
            depth: 1,
            stream: None,
            also_reads: Vec::new(),
        });
        task.canceled_by = Some("x".to_owned());
        task.acknowledged_by = Some("x".to_owned());
        task.stream = taskhost_model::ids::StreamName::parse("s").ok();
        task.also_reads = task.stream.iter().cloned().collect();
        task.concurrency_key = Some("a".to_owned());
        task.progress = Some(taskhost_model::task::Progress::default());
        task.usage = Some(taskhost_model::task::Usage::default());
        let mut answer = StatusAnswer::of_task(&task);
        answer.already_running = Some("{}");
        answer.payload = Some("{}");
        let written: serde_json::Map<String, Value> =
            serde_json::from_str(&answer.to_json()).unwrap();
        let mut written: Vec<&str> = written.keys().map(String::as_str).collect();
        let mut reserved = RESERVED.to_vec();
        written.sort_unstable();
        reserved.sort_unstable();
        assert_eq!(written, reserved);
    }

    #[test]
    fn kibana_is_told_the_error_as_a_text() {
        let failed = view(Status::Failed, None);
        let answer = serde_json::to_value(KibanaStatus::of(&failed)).unwrap();
        assert_eq!(answer, json!({"status": "failed", "error": "it broke"}));
        let completed = view(Status::Completed, Some(r#"{"features":[],"error":1}"#));
        let answer = serde_json::to_value(KibanaStatus::of(&completed)).unwrap();
        assert_eq!(answer, json!({"status": "completed", "features": []}));
    }
}

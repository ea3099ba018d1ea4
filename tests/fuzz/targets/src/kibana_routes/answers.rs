//! What every answer has to be, and what the documented routes answer.

use serde_json::{Map, Value};

use super::requests::Sent;
use crate::wire::Answer;

/// Bytes of an answer beside what it quotes.
const OWN_BYTES_MAX: usize = 512 * 1024;

/// The table of problems, without those that are the host's own fault: nothing here has one.
const PROBLEMS: [(u16, &str); 15] = [
    (400, "invalid"),
    (403, "host-not-allowed"),
    (403, "origin-not-allowed"),
    (403, "id-not-available"),
    (404, "unknown-task-type"),
    (404, "unknown-stream"),
    (404, "not-found"),
    (405, "method-not-allowed"),
    (409, "already-running"),
    (409, "cancellation-in-progress"),
    (409, "not-completed"),
    (412, "version-mismatch"),
    (413, "too-large"),
    (415, "unsupported-media-type"),
    (422, "invalid-component"),
];

const STATUSES: [&str; 8] = [
    "not_started",
    "in_progress",
    "stale",
    "being_canceled",
    "canceled",
    "failed",
    "completed",
    "acknowledged",
];

/// Asserts what holds for every answer.
pub(super) fn check(sent: &Sent, answer: &Answer) {
    let shown = || format!("{sent:?}: {answer:?}");
    assert!(answer.body.len() <= OWN_BYTES_MAX, "{}", shown());
    let code = answer.status.as_u16();
    if matches!(code, 403) {
        let is_refused = sent.is_foreign || sent.path.contains("/tasks/");
        assert!(is_refused, "{}", shown());
    }
    match code {
        // A body is left out where a connection is.
        _ if sent.method == "HEAD" => assert!((200..500).contains(&code), "{}", shown()),
        204 | 304 => assert!(answer.body.is_empty(), "{}", shown()),
        200 | 201 => fulfilled(sent, answer),
        _ => problem(sent, answer),
    }
}

fn problem(sent: &Sent, answer: &Answer) {
    assert_eq!(answer.content_type(), "application/problem+json");
    let problem = answer.json();
    let status = answer.status.as_u16();
    let code = problem["code"].as_str().unwrap();
    assert!(PROBLEMS.contains(&(status, code)), "{sent:?}: {problem}");
    assert_eq!(problem["type"], format!("urn:taskhost:problem:{code}"));
    assert_eq!(problem["status"], status);
    assert_eq!(problem["instance"], sent.path.as_str());
    for key in ["title", "detail"] {
        assert!(
            problem[key].as_str().is_some_and(|it| !it.is_empty()),
            "{problem}"
        );
    }
    assert_eq!(
        problem["retryable"],
        answer.headers.contains_key("retry-after")
    );
    for mistake in problem
        .get("errors")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        assert!(
            mistake["field"].is_string() && mistake["problem"].is_string(),
            "{problem}"
        );
    }
}

fn fulfilled(sent: &Sent, answer: &Answer) {
    match answer.content_type() {
        "application/x-ndjson" => {
            let text = str::from_utf8(&answer.body).unwrap();
            for line in text.lines() {
                let line: Map<String, Value> = serde_json::from_str(line).unwrap();
                assert!(line.contains_key("message") && line.contains_key("at"));
            }
        }
        "application/json" => {
            let shown = answer.json();
            let Some(internal) = sent.path.strip_prefix("/internal/streams/") else {
                return of_tasks(sent, &shown);
            };
            match internal.rsplit('/').next().unwrap() {
                "_identify" | "_task" | "_status" => kibana_status(&shown),
                "features" => assert!(shown["features"].is_array(), "{shown}"),
                "_tasks" => shown["tasks"].as_array().unwrap().iter().for_each(listed),
                _ => assert_eq!(shown, serde_json::json!({"acknowledged": true})),
            }
        }
        other => panic!("{other}: {sent:?}"),
    }
}

fn listed(task: &Value) {
    let task = task.as_object().unwrap();
    assert!(task["id"].is_string() && task["created_at"].is_string() && task.len() == 2);
}

/// `{status, error?, …payload}`.
fn kibana_status(shown: &Value) {
    let status = shown["status"].as_str().unwrap();
    assert!(STATUSES.contains(&status), "{shown}");
    let has_payload = matches!(status, "completed" | "acknowledged");
    let keys = shown.as_object().unwrap().keys();
    for key in keys.filter(|key| *key != "status") {
        assert!(
            has_payload || (key == "error" && status == "failed"),
            "{shown}"
        );
    }
    assert_eq!(shown["error"].is_string(), status == "failed", "{shown}");
}

/// What is promised of tasks, and of other routes only that it is an object.
fn of_tasks(sent: &Sent, shown: &Value) {
    let shown = shown.as_object().unwrap();
    let parts: Vec<&str> = sent.path.split('/').collect();
    let is_task = matches!(
        parts[..],
        ["", "v1", "spaces", _, "tasks", _]
            | ["", "v1", "spaces", _, "tasks", _, "cancel" | "acknowledge"]
    );
    if !is_task {
        return;
    }
    let status = shown["status"].as_str().unwrap();
    assert!(STATUSES.contains(&status), "{shown:?}");
    if sent.path.ends_with("/acknowledge") {
        assert_eq!(status, "acknowledged");
    }
    assert_eq!(shown.contains_key("id"), status != "not_started");
    let has_payload = matches!(status, "completed" | "acknowledged");
    assert!(has_payload || !shown.contains_key("payload"), "{shown:?}");
    assert_eq!(shown.contains_key("error"), status == "failed", "{shown:?}");
}

//! Requests of any form: mostly those that a client would send, with one thing or another wrong.

use arbitrary::Unstructured;
use axum::body::Body;
use axum::http::{Method, Request, Uri};

use crate::pick;
use crate::wire::in_pieces;

/// What was sent, as far as it matters for the answer.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) body: Vec<u8>,
    /// It may wait for a change, and never end.
    pub(super) watches: bool,
    /// The guard may refuse it.
    pub(super) is_foreign: bool,
}

const METHODS: [&str; 7] = ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"];

/// Routes with the method that they take; `*` is an id.
const ROUTES: [(&str, &str); 24] = [
    ("POST", "/internal/streams/*/features/_identify"),
    ("POST", "/internal/streams/*/features/_identify"),
    ("POST", "/internal/streams/*/features/_identify"),
    ("POST", "/internal/streams/*/features/_task"),
    ("POST", "/internal/streams/*/features/_task"),
    ("POST", "/internal/streams/*/features/_task"),
    ("GET", "/internal/streams/*/features/_status"),
    ("GET", "/internal/streams/*/features/_status"),
    ("GET", "/internal/streams/*/features"),
    ("GET", "/internal/streams/_tasks"),
    ("DELETE", "/internal/streams/_tasks/*"),
    ("PUT", "/v1/spaces/default/tasks/*"),
    ("PUT", "/v1/spaces/default/tasks/*"),
    ("PUT", "/v1/spaces/default/tasks/*"),
    ("GET", "/v1/spaces/default/tasks/*"),
    ("GET", "/v1/spaces/default/tasks"),
    ("DELETE", "/v1/spaces/default/tasks/*"),
    ("POST", "/v1/spaces/default/tasks/*/cancel"),
    ("POST", "/v1/spaces/default/tasks/*/acknowledge"),
    ("GET", "/v1/spaces/default/tasks/*/runs/*/log"),
    ("GET", "/v1/spaces/default/tasks/*/events"),
    ("GET", "/v1/spaces/default/streams/*/collections/features"),
    ("GET", "/v1/task-types/*"),
    ("POST", "/v1/spaces/default/streams/*/count"),
];

const IDS: [&str; 10] = [
    "logs",
    "logs",
    "other",
    "t",
    "streams_feature_identification_logs",
    "streams_feature_identification_none",
    "none",
    "echo",
    "bulk",
    "%e9%00",
];

const QUERIES: [&str; 18] = [
    "schedule=true",
    "schedule=true",
    "cancel=true",
    "acknowledge=true",
    "schedule=true&cancel=true",
    "schedule=false&apiVersion=1",
    "wait=1ms&since=1",
    "wait=9999999999999999999s",
    "since=1",
    "wait=5s",
    "limit=1",
    "limit=0",
    "status=failed,completed&type=echo&stream=logs&q=T",
    "created_after=1795000000000&requested_by=local",
    "cursor=tasks.1.1",
    "cursor=x",
    "%zz=%00",
    "",
];

const BODIES: [&str; 20] = [
    "",
    "{}",
    r#"{"from":0,"to":0}"#,
    r#"{"from":0,"to":10}"#,
    r#"{"from":0,"to":2,"connectorId":"x"}"#,
    r#"{"from":"1970-01-01T00:00:00Z","to":3}"#,
    r#"{"from":-5,"to":-1}"#,
    r#"{"action":"schedule","from":0,"to":10}"#,
    r#"{"action":"schedule","from":0,"to":11}"#,
    r#"{"action":"schedule","from":0,"to":12}"#,
    r#"{"action":"schedule","from":0,"to":13}"#,
    r#"{"action":"cancel"}"#,
    r#"{"action":"acknowledge"}"#,
    r#"{"type":"echo","params":0}"#,
    r#"{"type":"echo","params":1}"#,
    r#"{"type":"echo","params":2,"priority":-100,"timeout_ms":100}"#,
    r#"{"type":"echo","params":{"id":1,"status":"mine","payload":{}},"stream":"logs"}"#,
    r#"{"type":"echo","params":"[1e2,{}]","run_at":0}"#,
    r#"{"type":"streams_feature_identification","stream":"logs","params":{"start":0,"end":7}}"#,
    r#"{"reason":"enough"}"#,
];

const HEADERS: [(&str, &str); 16] = [
    ("content-type", "application/json"),
    ("content-type", "application/json; charset=utf-8"),
    ("content-type", "text/plain"),
    ("content-length", "99999999"),
    ("content-length", "x"),
    ("if-match", "\"1\""),
    ("if-match", "\"2\""),
    ("if-match", "\"x\""),
    ("if-match", "*"),
    ("if-none-match", "*"),
    ("if-none-match", "\"1\""),
    ("last-event-id", "0"),
    ("kbn-xsrf", "true"),
    ("origin", "http://localhost"),
    ("origin", "http://elsewhere.example"),
    ("host", "elsewhere.example"),
];

/// A request; none where no server would have read it.
pub(super) fn request(u: &mut Unstructured<'_>) -> (Sent, Option<Request<Body>>) {
    let (usual, route) = ROUTES[pick::below(u, ROUTES.len())];
    let method = match pick::sometimes(u, 16) {
        true => pick::one(u, &METHODS),
        false => usual,
    };
    let path = path(u, route);
    let target = match query(u, route) {
        Some(query) => format!("{path}?{query}"),
        None => path.clone(),
    };
    let body = body(u);
    let pieces = [u.arbitrary().unwrap_or_default(), 0];
    let mut request = Request::builder().method(Method::try_from(method).unwrap());
    let mut sent = Sent {
        method: method.to_owned(),
        path,
        // Any character may be written with a percent sign.
        watches: ["/events", "wait", "%"]
            .iter()
            .any(|part| target.contains(part)),
        is_foreign: false,
        body,
    };
    if pick::below(u, 32) != 31 {
        request = request.header("host", "localhost");
    }
    for _ in 0..pick::below(u, 3) {
        let (name, value) = HEADERS[pick::below(u, HEADERS.len())];
        request = request.header(name, value);
    }
    if pick::sometimes(u, 16) {
        request = request.header(pick::odd_text(u), pick::odd_text(u));
    }
    let Ok(uri) = target.parse::<Uri>() else {
        return (sent, None);
    };
    sent.path = uri.path().to_owned();
    let request = request.uri(uri).body(in_pieces(&sent.body, &pieces)).ok();
    if let Some(headers) = request.as_ref().map(Request::headers) {
        let hosts: Vec<_> = headers.get_all("host").iter().collect();
        sent.is_foreign = hosts != ["localhost"] || headers.contains_key("origin");
    }
    (sent, request)
}

fn path(u: &mut Unstructured<'_>, route: &str) -> String {
    if pick::sometimes(u, 32) {
        return format!("/{}", pick::text(u, 24));
    }
    let mut path = String::new();
    for part in route.split_inclusive('*') {
        match part.strip_suffix('*') {
            None => path.push_str(part),
            Some(before) => {
                path.push_str(before);
                path.push_str(&id(u));
            }
        }
    }
    path
}

fn id(u: &mut Unstructured<'_>) -> String {
    match pick::sometimes(u, 16) {
        true => pick::text(u, 12),
        false => pick::one(u, &IDS).to_owned(),
    }
}

fn query(u: &mut Unstructured<'_>, route: &str) -> Option<String> {
    // Without a flag `_identify` is a status.
    let wanted = if route.ends_with("_identify") { 8 } else { 2 };
    if pick::below(u, 8) >= wanted {
        return None;
    }
    Some(match pick::sometimes(u, 16) {
        true => pick::text(u, 16),
        false => pick::one(u, &QUERIES).to_owned(),
    })
}

fn body(u: &mut Unstructured<'_>) -> Vec<u8> {
    match pick::below(u, 8) {
        5 => pick::text(u, 64).into_bytes(),
        6 => {
            let params = pick::value(u, &["a", "id", "status", "error", "not"]);
            serde_json::json!({"type": "echo", "params": params})
                .to_string()
                .into_bytes()
        }
        7 => pick::object(u, &["action", "from", "to", "type", "params"])
            .to_string()
            .into_bytes(),
        _ => pick::one(u, &BODIES).as_bytes().to_vec(),
    }
}

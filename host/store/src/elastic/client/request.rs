//! A request to Elasticsearch and its answer.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use elasticsearch::http::Method;
use elasticsearch::http::headers::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use taskhost_model::requester;

use super::unavailable;
use crate::error::StoreError;

/// Whose rights a request has, where these are not the host's.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Authorization(HeaderValue);

impl Authorization {
    /// The value of an `Authorization` header; none when it cannot be one.
    pub(crate) fn new(header: &str) -> Option<Self> {
        let mut value = HeaderValue::from_str(header).ok()?;
        value.set_sensitive(true);
        Some(Self(value))
    }

    /// Somebody's own.
    pub(crate) fn of(person: &requester::Authorization) -> Result<Self, StoreError> {
        Self::new(person.header()).ok_or_else(|| StoreError::Unauthorized {
            reason: "it cannot stand in a request".to_owned(),
        })
    }
}

impl fmt::Debug for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authorization(…)")
    }
}

/// What requests are counted as: the API that the path names.
const KINDS: [&str; 8] = [
    "_bulk",
    "_mget",
    "_msearch",
    "_search",
    "_refresh",
    "_cluster",
    "_field_caps",
    "_security",
];

/// A request.
#[derive(Clone)]
pub(crate) struct Request {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) body: Option<Bytes>,
    pub(super) timeout: Option<Duration>,
    pub(super) retry_for: Option<Duration>,
    query: Vec<(&'static str, String)>,
    is_lines: bool,
    by: Option<Authorization>,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A body may have a password in it.
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl Request {
    fn new(method: Method, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            body: None,
            timeout: None,
            retry_for: None,
            query: Vec::new(),
            is_lines: false,
            by: None,
        }
    }

    /// What it is counted as.
    pub(super) fn kind(&self) -> &'static str {
        let mut segments = self.path.split('/');
        let kind = segments.find_map(|part| KINDS.iter().find(|kind| **kind == part));
        kind.copied().unwrap_or("other")
    }

    /// Reads.
    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self::new(Method::Get, path)
    }

    /// Asks, or writes.
    pub(crate) fn post(path: impl Into<String>) -> Self {
        Self::new(Method::Post, path)
    }

    /// Writes.
    pub(crate) fn put(path: impl Into<String>) -> Self {
        Self::new(Method::Put, path)
    }

    /// Removes.
    pub(crate) fn delete(path: impl Into<String>) -> Self {
        Self::new(Method::Delete, path)
    }

    /// With a JSON body.
    pub(crate) fn json(mut self, body: &Value) -> Self {
        self.body = Some(Bytes::from(body.to_string()));
        self
    }

    /// With a body of JSON lines, as `_bulk` takes it.
    pub(crate) fn lines(mut self, body: impl Into<Bytes>) -> Self {
        self.is_lines = true;
        self.body = Some(body.into());
        self
    }

    /// With a parameter.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "texts, numbers and booleans are given as they come"
    )]
    pub(crate) fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.query.push((name, value.to_string()));
        self
    }

    /// With somebody's rights in place of the host's.
    pub(crate) fn by(mut self, authorization: &Authorization) -> Self {
        self.by = Some(authorization.clone());
        self
    }

    /// It has failed after so long without an answer.
    pub(crate) fn within(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// It is repeated for so long, where it is refused for the moment.
    pub(crate) fn retried_for(mut self, time: Duration) -> Self {
        self.retry_for = Some(time);
        self
    }

    pub(super) fn query(&self) -> Option<&[(&'static str, String)]> {
        Some(self.query.as_slice()).filter(|query| !query.is_empty())
    }

    pub(super) fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Some(Authorization(value)) = &self.by {
            headers.insert(AUTHORIZATION, value.clone());
        }
        if self.is_lines {
            let lines = HeaderValue::from_static("application/x-ndjson");
            headers.insert(CONTENT_TYPE, lines);
        }
        headers
    }
}

/// An answer.
#[derive(Clone)]
pub(crate) struct Answer {
    /// The status of HTTP.
    pub(crate) status: u16,
    /// What came with it.
    pub(crate) body: Bytes,
    /// Whether the request was sent more than once, so that an earlier one may have been carried
    /// out.
    pub(crate) repeated: bool,
}

/// What Elasticsearch says is wrong.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Cause {
    /// A word, as `version_conflict_engine_exception`.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// A sentence.
    pub(crate) reason: Option<String>,
    /// What stands behind it.
    pub(crate) root_cause: Vec<Cause>,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A body may have a key in it.
        f.debug_struct("Answer")
            .field("status", &self.status)
            .field("cause", &self.cause())
            .finish_non_exhaustive()
    }
}

impl Answer {
    /// Whether the same request may be answered otherwise in a moment.
    pub(super) fn is_for_the_moment(&self) -> bool {
        let is_full = self.status == 429 && self.cause().is_disk_full();
        matches!(self.status, 429 | 502 | 503 | 504) && !is_full
    }

    /// The body as JSON.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, StoreError> {
        serde_json::from_slice(&self.body).map_err(|error| {
            unavailable(&format!(
                "Elasticsearch has answered what cannot be read: {error}"
            ))
        })
    }

    /// What it says is wrong.
    pub(crate) fn cause(&self) -> Cause {
        #[derive(Deserialize)]
        struct Body {
            error: Value,
        }
        let body = serde_json::from_slice::<Body>(&self.body);
        let error = body.map(|body| body.error).unwrap_or_default();
        match error {
            Value::String(reason) => Cause {
                reason: Some(reason),
                ..Cause::default()
            },
            other => serde_json::from_value(other).unwrap_or_default(),
        }
    }

    /// The answer as an error.
    pub(crate) fn error(&self) -> StoreError {
        self.cause().error(self.status)
    }
}

impl Cause {
    /// The disk of a node is beyond the mark from which on nothing is taken in.
    fn is_disk_full(&self) -> bool {
        let reason = self.reason.as_deref().unwrap_or_default();
        self.kind == "cluster_block_exception"
            && (reason.contains("flood-stage") || reason.contains("read-only-allow-delete"))
    }

    /// It as an error of the store.
    pub(crate) fn error(&self, status: u16) -> StoreError {
        if self.is_disk_full() {
            return StoreError::DiskFull;
        }
        let root = self.root_cause.first().and_then(|it| it.reason.as_deref());
        let reason = root.or(self.reason.as_deref()).unwrap_or("no reason given");
        let reason = match status {
            401 => "Elasticsearch does not know the host's credentials: look at \
                    TASKHOST_ELASTICSEARCH_USERNAME and TASKHOST_ELASTICSEARCH_PASSWORD, or \
                    TASKHOST_ELASTICSEARCH_API_KEY"
                .to_owned(),
            403 => {
                // It names the host's user, roles and indices: nothing for whoever asks.
                tracing::warn!(reason, "Elasticsearch does not let the host do this");
                format!(
                    "Elasticsearch does not let the host do this ({}): its role needs what README \
                     names, and its log has all that Elasticsearch says",
                    what_lacks(reason)
                )
            }
            _ => format!("Elasticsearch answers {status} {}: {reason}", self.kind),
        };
        StoreError::Unavailable { reason }
    }
}

/// What was refused, and what would allow it, of `action [NAME] is unauthorized for user …, this
/// action is granted by …`.
fn what_lacks(reason: &str) -> String {
    let action = reason
        .split_once("action [")
        .and_then(|it| it.1.split_once(']'));
    let granted = reason.split_once("this action is granted by ");
    let parts = [action.map(|it| it.0), granted.map(|it| it.1)];
    let parts: Vec<&str> = parts.into_iter().flatten().collect();
    match parts.is_empty() {
        true => "it names no action".to_owned(),
        false => parts.join(", granted by "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_action_and_nobody() {
        let refused = r#"{"error":{"type":"security_exception","reason":"action
            [indices:data/read/get] is unauthorized for user [taskhost-host] with effective roles
            [secret-role] on indices [.streams_tasks], this action is granted by the index
            privileges [read,all]"},"status":403}"#;
        let refused = refused.split_whitespace().collect::<Vec<_>>().join(" ");
        let said = answer(403, &refused).error().to_string();
        let lacks = "(indices:data/read/get, granted by the index privileges [read,all])";
        assert!(said.contains(lacks), "{said}");
        for kept in ["taskhost-host", "secret-role", ".streams_tasks"] {
            assert!(!said.contains(kept), "{said}");
        }
    }

    fn answer(status: u16, body: &str) -> Answer {
        Answer {
            status,
            body: Bytes::from(body.to_owned()),
            repeated: false,
        }
    }

    #[test]
    fn a_full_disk_is_not_waited_for() {
        let full = r#"{"error":{"type":"cluster_block_exception","reason":
            "index [x] blocked by: [TOO_MANY_REQUESTS/12/disk usage exceeded flood-stage
            watermark, index has read-only-allow-delete block];"},"status":429}"#;
        let full = answer(429, &full.replace('\n', " "));
        assert!(!full.is_for_the_moment());
        assert!(matches!(full.error(), StoreError::DiskFull));
        let busy = answer(
            429,
            r#"{"error":{"type":"es_rejected_execution_exception"}}"#,
        );
        assert!(busy.is_for_the_moment());
        assert!(matches!(busy.error(), StoreError::Unavailable { .. }));
    }

    #[test]
    fn a_reason_is_told_whatever_form_it_has() {
        for (body, expected) in [
            (
                r#"{"error":{"type":"x","reason":"because","root_cause":[]}}"#,
                "because",
            ),
            (
                r#"{"error":{"type":"x","reason":"a","root_cause":[{"type":"y","reason":"b"}]}}"#,
                "b",
            ),
            (
                r#"{"error":"Incorrect HTTP method"}"#,
                "Incorrect HTTP method",
            ),
            ("<html>", "no reason given"),
            ("", "no reason given"),
        ] {
            let error = answer(400, body).error().to_string();
            assert!(error.ends_with(expected), "{error}");
        }
    }
}

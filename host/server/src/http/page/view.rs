//! What the parts of a stream's page are made from.

use serde::Deserialize;
use taskhost_model::ids::Label;
use taskhost_model::status::Status;
use taskhost_model::time::Timestamp;
use taskhost_service::features::Stored;
use taskhost_service::view::TaskView;
use taskhost_store::streams::Stream;

/// Ranges that end now, with how many minutes they are long.
pub(super) const RANGES: [(&str, &str, u64); 5] = [
    ("15m", "Last 15 minutes", 15),
    ("1h", "Last hour", 60),
    ("24h", "Last 24 hours", 24 * 60),
    ("7d", "Last 7 days", 7 * 24 * 60),
    ("30d", "Last 30 days", 30 * 24 * 60),
];

/// Everything that the control shows.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a> {
    /// Where its forms go to.
    pub(super) path: &'a str,
    pub(super) stream: &'a Stream,
    pub(super) task: &'a TaskView,
    /// The stream's features, with those that are excluded.
    pub(super) features: &'a [Stored],
    pub(super) connectors: &'a [Label],
    pub(super) may_operate: bool,
    pub(super) looked_at: Option<&'a LookedAt>,
    pub(super) now: Timestamp,
}

/// Among which documents the task's last run has counted those of its features.
#[derive(Debug)]
pub(super) struct LookedAt {
    /// The run.
    pub(super) run: String,
    /// How many there are in its range.
    pub(super) documents: u64,
}

/// The range of a run, as its params have it.
#[derive(Debug, Deserialize)]
pub(super) struct RunRange {
    pub(super) start: i64,
    pub(super) end: i64,
}

/// What is read of a result; all of it may be missing.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Payload {
    pub(super) features: Vec<Named>,
    pub(super) documents_sampled: Option<u64>,
    pub(super) unmatched: Option<u64>,
    pub(super) duration_ms: Option<u64>,
    pub(super) model: Option<Model>,
}

/// A feature of a result: the collection has what it is like now.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Named {
    pub(super) uuid: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Model {
    pub(super) connector: String,
    pub(super) rounds: Option<u64>,
    pub(super) tokens_used: Option<u64>,
    pub(super) problem: Option<String>,
}

/// What is read of the task's result.
pub(super) fn payload(view: View<'_>) -> Payload {
    let payload = view.task.payload.as_deref();
    payload
        .and_then(|payload| serde_json::from_str(payload).ok())
        .unwrap_or_default()
}

/// The ids of the features that wait for somebody to review them, in their order.
pub(super) fn to_review(view: View<'_>) -> Vec<String> {
    match view.task.status {
        Status::Completed => {
            let features = payload(view).features;
            features.into_iter().map(|named| named.uuid).collect()
        }
        _ => Vec::new(),
    }
}

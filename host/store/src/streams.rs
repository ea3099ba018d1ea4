//! The store of stream data: documents with a time, written once and read in ranges.

use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use taskhost_model::ids::{Space, StreamKey, StreamName};
use taskhost_model::query::Query;
use taskhost_model::requester::Requester;
use taskhost_model::time::Timestamp;

use crate::error::StoreError;

/// Reads of documents that a store carries out at once; further ones wait for their turn. Runs
/// take one less together, so that people never wait for runs alone.
pub const READS_AT_ONCE: u32 = 3;

/// Stream data.
///
/// # Guarantees
/// 1. When `ingest` has answered, the documents are on disk; it commits at most 1 MiB or 5 ms
///    of work at a time, so that others get their turn.
/// 2. A read sees what the requester may see and nothing else.
/// 3. A sample is random, without repetition, and the same again for the same seed over the
///    same documents; its order is random too.
/// 4. Ranges are `[from, to)`; conditions mean what `model::condition` says, to the letter.
/// 5. Answers keep to the rows and bytes that were asked for; what was cut is said.
/// 6. What a stream holds beyond its days or bytes goes, what arrived first before the rest: a
///    document's age counts from its arrival, so that old data that is brought in today stays as
///    long as any other.
#[async_trait]
pub trait StreamStore: Send + Sync + std::fmt::Debug {
    /// Makes a stream or changes its settings; true when it was made.
    async fn put(&self, key: &StreamKey, settings: &StreamSettings) -> Result<bool, StoreError>;

    /// What is known of a stream.
    async fn get(
        &self,
        requester: &Requester,
        key: &StreamKey,
    ) -> Result<Option<Stream>, StoreError>;

    /// All streams of a space, by name.
    async fn list(&self, requester: &Requester, space: &Space) -> Result<Vec<Stream>, StoreError>;

    /// Removes a stream with its documents; false when there was none.
    async fn delete(&self, key: &StreamKey) -> Result<bool, StoreError>;

    /// Adds documents.
    async fn ingest(
        &self,
        key: &StreamKey,
        documents: Vec<StreamDocument>,
    ) -> Result<(), StoreError>;

    /// How many documents match.
    async fn count(
        &self,
        requester: &Requester,
        key: &StreamKey,
        query: &Query,
    ) -> Result<Count, StoreError>;

    /// A random sample of what matches.
    async fn sample(
        &self,
        requester: &Requester,
        key: &StreamKey,
        query: &Query,
        bytes_max: u64,
    ) -> Result<Batch, StoreError>;

    /// What matches, ordered by time, over a cursor.
    async fn search(
        &self,
        requester: &Requester,
        key: &StreamKey,
        query: &Query,
        bytes_max: u64,
    ) -> Result<Batch, StoreError>;

    /// Statistics of the fields of what matches, over a random sample of `query.size`
    /// documents (10,000 when left out).
    async fn field_stats(
        &self,
        requester: &Requester,
        key: &StreamKey,
        query: &Query,
    ) -> Result<FieldStats, StoreError>;

    /// Removes what is beyond a stream's days or bytes; returns how many documents went.
    async fn enforce_retention(&self, now: Timestamp) -> Result<u64, StoreError>;
}

/// What people set for a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StreamSettings {
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4000))]
    pub description: Option<String>,
    /// Documents go so many days after they arrived, whatever their `@timestamp` says.
    #[schemars(range(min = 1))]
    pub retention_days: u32,
    /// Beyond so many bytes of documents those that arrived first go.
    pub max_bytes: u64,
}

impl Default for StreamSettings {
    fn default() -> Self {
        Self {
            description: None,
            retention_days: 30,
            max_bytes: 10 * 1024 * 1024 * 1024,
        }
    }
}

/// What is known of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Stream {
    /// Its name.
    pub name: StreamName,
    /// When it was made, where the requester may know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Timestamp>,
    /// What people set.
    #[serde(flatten)]
    pub settings: StreamSettings,
    /// How many documents it holds.
    pub documents: u64,
    /// Their size, where it was found out; on a cluster by a sample.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Time of the oldest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_at: Option<Timestamp>,
    /// Time of the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_at: Option<Timestamp>,
}

/// A document on its way in.
#[derive(Debug, Clone)]
pub struct StreamDocument {
    /// Its `@timestamp`.
    pub at: Timestamp,
    /// JSON text, a JSON object that has `@timestamp`.
    pub body: Arc<str>,
}

/// How many documents match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// The number.
    pub value: u64,
    /// How exact it is.
    pub relation: Relation,
}

/// How exact a count is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// Exactly so many.
    Eq,
    /// At least so many: counting stopped there.
    Gte,
    /// About so many.
    Estimate,
}

impl Relation {
    /// As tasks and people read it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Eq => "eq",
            Self::Gte => "gte",
            Self::Estimate => "estimate",
        }
    }
}

impl Count {
    /// Exactly so many.
    #[must_use]
    pub fn exactly(value: u64) -> Self {
        let relation = Relation::Eq;
        Self { value, relation }
    }
}

/// What a read found.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// JSON texts.
    pub documents: Vec<String>,
    /// How many match in all, where it is known.
    pub matched: Option<u64>,
    /// Whether it was cut before there were as many as asked for, though more may match: by the
    /// bytes, or by the end of the time or of the documents that a store looks at.
    pub truncated: bool,
    /// Where the next answer begins.
    pub next: Option<String>,
    /// Documents that were left out because each alone is above the bytes allowed.
    pub left_out: u64,
}

/// Statistics of fields.
#[derive(Debug, Clone, Default, Serialize)]
pub struct FieldStats {
    /// How many documents were looked at.
    pub documents: u64,
    /// At most 1,000, most frequent first.
    pub fields: Vec<FieldStat>,
    /// How many fields occur beyond those that are listed.
    #[serde(skip_serializing_if = "is_zero")]
    pub fields_left_out: u64,
}

/// Statistics of one field. Objects are taken apart: a nested field has its dotted path. Of an
/// array the elements are the values.
#[derive(Debug, Clone, Serialize)]
pub struct FieldStat {
    /// Its dotted path.
    pub field: String,
    /// How many documents have it, `null` included.
    pub present: u64,
    /// How often it occurs as each JSON type: `string`, `number`, `boolean`, `array`, `null`, and
    /// `object` for empty ones.
    pub types: std::collections::BTreeMap<&'static str, u64>,
    /// How many different values (texts, numbers, booleans).
    pub distinct: u64,
    /// Whether `distinct` is exact, or a lower bound because counting stopped at 10,000.
    pub distinct_exact: bool,
    /// The most frequent values, most frequent first.
    pub top: Vec<ValueCount>,
}

/// One value and how often it occurs.
#[derive(Debug, Clone, Serialize)]
pub struct ValueCount {
    /// The value; a text is cut at 256 characters.
    pub value: Value,
    /// How often.
    pub count: u64,
}

/// What arrived in a stream before this time is too old.
pub(crate) fn retained_since(now: Timestamp, settings: &StreamSettings) -> Timestamp {
    let kept_ms = i64::from(settings.retention_days) * 24 * 60 * 60 * 1_000;
    Timestamp::from_ms(now.as_ms().saturating_sub(kept_ms))
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands over a reference"
)]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

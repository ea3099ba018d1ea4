//! What a task of this type is given, and the features that it finds.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use taskhost_sdk::Condition;

/// How many documents are looked at where the params do not say.
pub const SAMPLE_SIZE_DEFAULT: u32 = 10_000;

/// Which part of the stream to look at.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// Start of the range, in milliseconds since 1970.
    pub start: i64,
    /// End of the range, itself not included, in milliseconds since 1970; after the start.
    pub end: i64,
    /// How many documents to look at: 10 to 10,000; by default 10,000.
    #[schemars(range(min = 10, max = 10_000))]
    #[serde(default)]
    pub sample_size: Option<u32>,
    /// The same seed finds the same features in the same documents; by default 0.
    #[serde(default)]
    pub seed: Option<u64>,
    /// A connector to a language model, by the name that the operator gave it; by default none is
    /// asked.
    #[serde(default)]
    pub connector: Option<String>,
}

/// The systems that write into the stream.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Payload {
    /// What was found. A document belongs to the first feature here whose filter it satisfies.
    pub features: Vec<Feature>,
    /// How many documents were looked at.
    pub documents_sampled: u64,
    /// How many of them satisfy no filter.
    pub unmatched: u64,
    /// How long the run took, in milliseconds.
    pub duration_ms: u64,
}

/// One system.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Feature {
    /// The same for the same system in every run.
    pub uuid: String,
    /// A readable id, unique among the features of one run.
    pub id: String,
    /// Always `system`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What the system is called, after its program, host or logger.
    pub name: String,
    /// The name in a few words.
    pub title: String,
    /// What is known of it, in sentences.
    pub description: String,
    /// Selects its documents, in the whole stream.
    #[schemars(with = "serde_json::Value")]
    pub filter: Condition,
    /// How sure the find is, from 0 to 100.
    pub confidence: u8,
    /// Frequent lines, each with its share of the system's lines.
    pub evidence: Vec<String>,
    /// Of the sampled documents that satisfy the filter, the share that is the system's.
    pub precision: f64,
    /// Of the system's sampled documents, the share that satisfies the filter.
    pub recall: f64,
    /// How many documents of the whole range satisfy the filter.
    pub count: u64,
    /// When it was last found; RFC 3339.
    pub last_seen: String,
    /// When it is forgotten unless it is found again; RFC 3339.
    pub expires_at: String,
}

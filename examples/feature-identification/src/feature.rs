//! What a task of this type is given, and the features that it finds.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use taskhost_sdk::Condition;

use crate::words_of_models::clean;

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
    /// How many days a feature is kept that is not found again: 1 to 365; by default 7.
    #[schemars(range(min = 1, max = 365))]
    #[serde(default)]
    pub keep_days: Option<u32>,
}

/// The systems that write into the stream.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Payload {
    /// The systems that were found, without those that people exclude. A document belongs to the
    /// first whose filter it satisfies.
    pub features: Vec<Feature>,
    /// How many documents were looked at.
    pub documents_sampled: u64,
    /// How many of them satisfy no filter.
    pub unmatched: u64,
    /// How long the run took, in milliseconds.
    pub duration_ms: u64,
    /// What came of asking a language model; none where no connector was given, and what was found
    /// is arithmetic alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<Asked>,
    /// Types of the computed features that were saved.
    pub computed: Vec<String>,
}

/// What came of asking a language model.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
pub struct Asked {
    /// Which.
    pub connector: String,
    /// How often it was asked for systems.
    pub rounds: u32,
    /// Tokens of all that was asked and answered.
    pub tokens_used: u64,
    /// Systems that it has proposed.
    pub proposed: u32,
    /// Of these, those that nothing spoke for.
    pub dropped: u32,
    /// Why it was not asked to the end, in words: what stands is what the arithmetic has found,
    /// with what the model had said by then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// What is known of a stream: a system that writes into it, or what was computed of all its
/// documents.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Feature {
    /// The same for the same system in every run.
    pub uuid: String,
    /// A readable id, unique among the features of one run.
    pub id: String,
    /// `system`, or what was computed: `dataset_analysis`, `log_samples`, `log_patterns` or
    /// `error_logs`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What kind of system, in a word or two: `web server`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subtype: Option<String>,
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
    #[serde(default = "whole")]
    pub precision: f64,
    /// Of the system's sampled documents, the share that satisfies the filter.
    #[serde(default = "whole")]
    pub recall: f64,
    /// How many documents of the whole range satisfy the filter.
    #[serde(default)]
    pub count: u64,
    /// What identifies it, or what was computed.
    #[serde(default)]
    pub properties: Map<String, Value>,
    /// Words to find it by.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Whatever else is known.
    #[serde(default)]
    pub meta: Map<String, Value>,
    /// Who has found it.
    #[serde(default)]
    pub source: Source,
    /// Whether people want it.
    #[serde(default)]
    pub status: Status,
    /// Since when people do not; RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub excluded_at: Option<String>,
    /// Who does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub excluded_by: Option<String>,
    /// Fields that a person has changed, which stay as they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub edited: Vec<String>,
    /// The run that has found it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
    /// When it was last found; RFC 3339.
    pub last_seen: String,
    /// When it is forgotten unless it is found again; RFC 3339.
    pub expires_at: String,
}

/// Who has found a feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Arithmetic.
    #[default]
    Computed,
    /// Arithmetic, and a language model has named it or found it.
    Model,
    /// Somebody.
    Person,
}

/// Whether people want a feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// They may.
    #[default]
    Active,
    /// They do not: it does not expire, and is not found again.
    Excluded,
}

fn whole() -> f64 {
    1.0
}

impl Feature {
    /// Whether people do not want it.
    #[must_use]
    pub fn is_excluded(&self) -> bool {
        self.status == Status::Excluded
    }

    /// Whether it is a system, and not what was computed of all documents.
    #[must_use]
    pub fn is_system(&self) -> bool {
        self.kind == "system"
    }

    /// Takes over what a person has said of the same feature.
    pub fn keep_edited(&mut self, known: &Self) {
        let is_persons = known.source == Source::Person;
        let has = |field: &str| is_persons || known.edited.iter().any(|it| it == field);
        if has("name") {
            self.name.clone_from(&known.name);
        }
        if has("title") {
            self.title.clone_from(&known.title);
        }
        if has("description") {
            self.description.clone_from(&known.description);
        }
        if has("filter") {
            self.filter = known.filter.clone();
        }
        if has("tags") {
            self.tags.clone_from(&known.tags);
        }
        if is_persons {
            self.source = Source::Person;
            self.subtype.clone_from(&known.subtype);
            self.properties.clone_from(&known.properties);
            self.meta.clone_from(&known.meta);
            // Nothing but a person ends it.
            self.expires_at.clone_from(&known.expires_at);
        }
        self.edited.clone_from(&known.edited);
    }
}

/// Names are the same whatever their case, their blanks, and what nobody sees of them.
#[must_use]
pub fn folded(name: &str) -> String {
    clean(name, usize::MAX).to_lowercase()
}

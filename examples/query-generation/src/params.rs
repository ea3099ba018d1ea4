//! What a task of this type is given, and what comes of it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stream_reading::event::{EventQuery, Named};
use stream_reading::feature::Feature;

/// How many documents of each feature are looked at where the params do not say.
pub(crate) const SAMPLE_SIZE_DEFAULT: u32 = 500;
/// Features of one run.
pub(crate) const FEATURES_MAX: usize = 64;

/// For which features, in which part of the stream, and with which model.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Params {
    /// Start of the range, in milliseconds since 1970.
    pub(crate) start: i64,
    /// End of the range, itself not included, in milliseconds since 1970; after the start.
    pub(crate) end: i64,
    /// The language model that thinks of queries, by the name of its connector in the host's
    /// settings. Without one they are made from words of trouble and rare lines.
    #[serde(default)]
    pub(crate) connector: Option<String>,
    /// For these; by default for those that the stream has, and where it has none for the whole
    /// stream.
    #[schemars(length(max = 64))]
    #[serde(default)]
    pub(crate) features: Option<Vec<Feature>>,
    /// How many documents of each feature to look at: 10 to 2,000; by default 500.
    #[schemars(range(min = 10, max = 2_000))]
    #[serde(default)]
    pub(crate) sample_size: Option<u32>,
    /// The same seed draws the same samples; by default 0.
    #[serde(default)]
    pub(crate) seed: Option<u64>,
    /// Whether the queries are kept in the stream's collection `queries`; by default they are only
    /// proposed.
    #[serde(default)]
    pub(crate) save: bool,
}

/// Queries that hold in the data.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Proposed {
    /// At most one for each feature.
    pub(crate) queries: Vec<EventQuery>,
    /// What was thought of and does not hold, and features for which there is no query.
    pub(crate) dropped: Vec<Dropped>,
    /// How many features were looked at.
    pub(crate) features: u64,
    /// How many queries are in the collection that were not there before.
    pub(crate) saved: u64,
    /// Tokens that the model took; none where none was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tokens_used: Option<u64>,
}

/// Something that was not proposed.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Dropped {
    /// For which feature.
    pub(crate) feature: Named,
    /// The query's title; none where nobody thought of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) title: Option<String>,
    /// Why, for people.
    pub(crate) why: String,
}

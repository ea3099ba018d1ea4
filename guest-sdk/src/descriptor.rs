//! What a task type says about itself.

use serde::Serialize;
use serde_json::{Map, Value};

/// Whether tasks of a type are scheduled on a stream.
///
/// ```
/// use taskhost_sdk::{Descriptor, StreamUse};
/// let descriptor = Descriptor::new("hello", "1.0.0").stream(StreamUse::Optional);
/// assert_eq!(descriptor.to_json()["stream"], "optional");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StreamUse {
    /// Scheduling without one is refused.
    Required,
    /// With or without.
    Optional,
    /// Scheduling with one is refused.
    #[default]
    None,
}

/// What a task type says about itself; the host keeps to it.
///
/// What is not said has the host's default, which stands with each method. A host refuses the
/// component where a number is above what its settings allow.
///
/// ```
/// use taskhost_sdk::Descriptor;
///
/// let descriptor = Descriptor::new("find-features", "1.2.0")
///     .title("Find features")
///     .description("Which systems write into this stream?")
///     .stream_required()
///     .memory_mib(128)
///     .cpu_ms(60_000)
///     .wall_s(600)
///     .output_kib(2_048)
///     .collection("features")
///     .attempts(3)
///     .grace_ms(2_000)
///     .stale_after_s(120)
///     .extra("homepage", "https://example.org");
/// let json = descriptor.to_json();
/// assert_eq!(json["limits"]["memory_mib"], 128);
/// assert_eq!(json["collections"][0], "features");
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Descriptor {
    id: String,
    version: String,
    title: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    params_schema: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result_schema: Option<Value>,
    stream: StreamUse,
    #[serde(skip_serializing_if = "Map::is_empty")]
    limits: Map<String, Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    collections: Vec<String>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    retry: Map<String, Value>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl Descriptor {
    /// `id`: `[a-z][a-z0-9_-]{0,63}`, the same for all versions of the type. `version`: the
    /// author's, for people, at most 64 bytes. Until [`Self::title`] says otherwise the title is
    /// the id.
    pub fn new(id: impl Into<String>, version: impl Into<String>) -> Self {
        let id = id.into();
        Self {
            title: id.clone(),
            id,
            version: version.into(),
            description: None,
            params_schema: None,
            result_schema: None,
            stream: StreamUse::None,
            limits: Map::new(),
            collections: Vec::new(),
            retry: Map::new(),
            rest: Map::new(),
        }
    }

    /// Its name for people, in a few words; at most 200 bytes.
    #[must_use]
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.title = title.into();
        self
    }

    /// What it does, in a few sentences; at most 4,000 bytes.
    #[must_use]
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.description = Some(description.into());
        self
    }

    /// Whether tasks are scheduled on a stream; by default scheduling on one is refused.
    #[must_use]
    pub fn stream(mut self, stream: StreamUse) -> Self {
        self.stream = stream;
        self
    }

    /// Tasks work on a stream: scheduling without one is refused.
    #[must_use]
    pub fn stream_required(self) -> Self {
        self.stream(StreamUse::Required)
    }

    /// Memory of one run, all memories and tables together; 64 MiB by default.
    #[must_use]
    pub fn memory_mib(mut self, mib: u64) -> Self {
        self.limits.insert("memory_mib".to_owned(), mib.into());
        self
    }

    /// CPU time of one run, the host's work for it not counted; 10,000 by default.
    #[must_use]
    pub fn cpu_ms(mut self, ms: u64) -> Self {
        self.limits.insert("cpu_ms".to_owned(), ms.into());
        self
    }

    /// Time of one attempt, waiting included; 300 by default.
    #[must_use]
    pub fn wall_s(mut self, seconds: u64) -> Self {
        self.limits.insert("wall_s".to_owned(), seconds.into());
        self
    }

    /// Size of the result as JSON; 1,024 KiB by default.
    #[must_use]
    pub fn output_kib(mut self, kib: u64) -> Self {
        self.limits.insert("output_kib".to_owned(), kib.into());
        self
    }

    /// Declares a collection (`[a-z][a-z0-9_-]{0,63}`), which then belongs to this type alone.
    #[must_use]
    pub fn collection(mut self, label: impl Into<String>) -> Self {
        self.collections.push(label.into());
        self
    }

    /// How often a run is tried that ends with a retryable error, the first time included; 3 by
    /// default.
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.retry.insert("attempts".to_owned(), attempts.into());
        self
    }

    /// How long a run that is asked to stop may go on to leave things in order; 5,000 by default.
    #[must_use]
    pub fn grace_ms(self, ms: u64) -> Self {
        self.extra("grace_ms", ms)
    }

    /// How long a run may be without a living host before readers are told that it is stale; 300
    /// by default.
    #[must_use]
    pub fn stale_after_s(self, seconds: u64) -> Self {
        self.extra("stale_after_s", seconds)
    }

    /// A key of your own. Hosts keep and ignore keys that they do not know.
    #[must_use]
    pub fn extra(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.rest.insert(key.into(), value.into());
        self
    }

    /// The schema of the params, in place of the derived one.
    ///
    /// ```
    /// use taskhost_sdk::Descriptor;
    /// let descriptor = Descriptor::new("anything", "1").params_schema(true).result_schema(true);
    /// assert_eq!(descriptor.to_json()["params_schema"], true);
    /// ```
    #[must_use]
    pub fn params_schema(mut self, schema: impl Into<Value>) -> Self {
        self.params_schema = Some(schema.into());
        self
    }

    /// The schema of the result, in place of the derived one.
    #[must_use]
    pub fn result_schema(mut self, schema: impl Into<Value>) -> Self {
        self.result_schema = Some(schema.into());
        self
    }

    /// What the host reads.
    #[must_use]
    pub fn to_json(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    /// Fills in the schemas that the author has not given.
    pub(crate) fn with_schemas(mut self, params: Value, result: Value) -> Self {
        self.params_schema.get_or_insert(params);
        self.result_schema.get_or_insert(result);
        self
    }
}

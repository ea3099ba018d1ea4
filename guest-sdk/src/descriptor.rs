//! What a task type says about itself.

use serde_json::{Map, Value, json};

/// Whether tasks of a type are scheduled on a stream.
///
/// ```
/// use taskhost_sdk::{Descriptor, StreamUse};
/// let descriptor = Descriptor::new("hello", "1.0.0").stream(StreamUse::Optional);
/// assert_eq!(descriptor.to_json()["stream"], "optional");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
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
///     .no_progress_s(30)
///     .host_calls(10_000)
///     .tokens(50_000)
///     .collection("features")
///     .space_collection("prompts")
///     .stream_collection("queries")
///     .http("https://api.example.org", &["GET"], "/v1/")
///     .secret("api-key")
///     .model("small")
///     .any_model()
///     .child("hello")
///     .min_host("1.0")
///     .attempts(3)
///     .grace_ms(2_000)
///     .stale_after_s(120)
///     .set("homepage", "https://example.org");
/// let json = descriptor.to_json();
/// assert_eq!(json["limits"]["memory_mib"], 128);
/// assert_eq!(json["collections"][0], "features");
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Descriptor {
    // JSON from the start: deriving it from fields costs each component 10 kB.
    keys: Map<String, Value>,
}

impl Descriptor {
    /// `id`: `[a-z][a-z0-9_-]{0,63}`, the same for all versions of the type. `version`: the
    /// author's, for people, at most 64 bytes. Until [`Self::title`] says otherwise the title is
    /// the id.
    pub fn new(id: &str, version: &str) -> Self {
        let keys = Map::new();
        Self { keys }
            .set("id", id)
            .set("version", version)
            .title(id)
    }

    /// Its name for people, in a few words; at most 200 bytes.
    #[must_use]
    pub fn title(self, title: &str) -> Self {
        self.set("title", title)
    }

    /// What it does, in a few sentences; at most 4,000 bytes.
    #[must_use]
    pub fn description(self, description: &str) -> Self {
        self.set("description", description)
    }

    /// Whether tasks are scheduled on a stream; by default scheduling on one is refused.
    #[must_use]
    pub fn stream(self, stream: StreamUse) -> Self {
        let stream = match stream {
            StreamUse::Required => "required",
            StreamUse::Optional => "optional",
            StreamUse::None => "none",
        };
        self.set("stream", stream)
    }

    /// Tasks work on a stream: scheduling without one is refused.
    #[must_use]
    pub fn stream_required(self) -> Self {
        self.stream(StreamUse::Required)
    }

    /// Memory of one attempt, all memories and tables together; 64 MiB by default.
    #[must_use]
    pub fn memory_mib(self, mib: u64) -> Self {
        self.set_in("limits", "memory_mib", mib)
    }

    /// CPU time of one attempt, the host's work for it not counted; 10,000 by default.
    #[must_use]
    pub fn cpu_ms(self, ms: u64) -> Self {
        self.set_in("limits", "cpu_ms", ms)
    }

    /// Time of one attempt, waiting included; 300 by default.
    #[must_use]
    pub fn wall_s(self, seconds: u64) -> Self {
        self.set_in("limits", "wall_s", seconds)
    }

    /// Size of the result as JSON; 1,024 KiB by default.
    #[must_use]
    pub fn output_kib(self, kib: u64) -> Self {
        self.set_in("limits", "output_kib", kib)
    }

    /// The longest time without a call of [`crate::Progress`]; a heartbeat is enough, and sleeping
    /// does not count. An attempt above it fails. No limit by default.
    #[must_use]
    pub fn no_progress_s(self, seconds: u64) -> Self {
        self.set_in("limits", "no_progress_s", seconds)
    }

    /// Host calls of one attempt; those above it fail with `quota-exceeded`. By default as many as
    /// the host allows.
    #[must_use]
    pub fn host_calls(self, calls: u64) -> Self {
        self.set_in("limits", "host_calls", calls)
    }

    /// Tokens of language models of one run, over all its attempts; what is above fails with
    /// `quota-exceeded`. By default as many as the host allows.
    #[must_use]
    pub fn tokens(self, tokens: u64) -> Self {
        self.set_in("limits", "tokens", tokens)
    }

    /// Asks for HTTP requests to one origin. `origin`: scheme, host and port in lower case, the
    /// port only where it is not the scheme's own. `methods`: in upper case. `path_prefix`: by
    /// whole segments, `/` for all of the origin.
    ///
    /// What the operator of a host does not allow in the settings waits for approval when the
    /// component is uploaded.
    ///
    /// ```
    /// use taskhost_sdk::Descriptor;
    /// let descriptor = Descriptor::new("digest", "1")
    ///     .http("https://api.example.org", &["GET", "POST"], "/v1/")
    ///     .http("https://files.example.org:8443", &["GET"], "/");
    /// let json = descriptor.to_json();
    /// assert_eq!(json["capabilities"]["http"][0]["methods"][1], "POST");
    /// assert_eq!(json["capabilities"]["http"][1]["origin"], "https://files.example.org:8443");
    /// ```
    #[must_use]
    pub fn http(self, origin: &str, methods: &[&str], path_prefix: &str) -> Self {
        let rule = json!({ "origin": origin, "methods": methods, "path_prefix": path_prefix });
        self.wanting("http", rule)
    }

    /// Asks for a secret, by the name that the operator gives it.
    #[must_use]
    pub fn secret(self, name: &str) -> Self {
        self.wanting("secrets", name.into())
    }

    /// Asks for a connector to a language model, by the name that the operator gives it.
    #[must_use]
    pub fn model(self, name: &str) -> Self {
        self.wanting("models", name.into())
    }

    /// Asks to spawn runs of another task type.
    #[must_use]
    pub fn child(self, task_type: &str) -> Self {
        self.wanting("children", task_type.into())
    }

    /// The contract that a host has to have at least, as `1.0`: an older one refuses the component
    /// and says so. Any host of the same major version by default.
    #[must_use]
    pub fn min_host(self, version: &str) -> Self {
        self.set("min_host", version)
    }

    /// The schema of what is kept with [`crate::State`], for people and tools: checkpoints are not
    /// checked against it.
    #[must_use]
    pub fn checkpoint_schema(self, schema: impl Into<Value>) -> Self {
        self.set("checkpoint_schema", schema)
    }

    /// Declares a collection (`[a-z][a-z0-9_-]{0,63}`), which then belongs to this type alone.
    #[must_use]
    pub fn collection(mut self, label: &str) -> Self {
        if let Value::Array(labels) = self.entry("collections", json!([])) {
            labels.push(label.into());
        }
        self
    }

    /// Reads a collection of the space that people keep, by `PUT
    /// /v1/spaces/SPACE/collections/LABEL/ID`: prompts, for one. Opened as its own ones are; what
    /// would write there fails with `denied`. Hosts before November 2026 do not know it, and open
    /// none.
    #[must_use]
    pub fn space_collection(mut self, label: &str) -> Self {
        if let Value::Array(labels) = self.entry("space_collections", json!([])) {
            labels.push(label.into());
        }
        self
    }

    /// Asks to read a collection of the run's stream that another type owns. Opened as its own ones
    /// are; what would write there fails with `denied`. Hosts before November 2026 do not know it,
    /// and open none.
    #[must_use]
    pub fn stream_collection(self, label: &str) -> Self {
        self.wanting("collections", label.into())
    }

    /// A run reads the streams that its params name, instead of one that it is scheduled on:
    /// [`Streams::named`](crate::Streams::named). `pointer`: a JSON pointer (RFC 6901) into the
    /// params, to one name or a list of at most 64. They have to be there when the task is
    /// scheduled, and to be readable for whoever schedules it. Hosts before November 2026 answer
    /// `denied` for every stream.
    ///
    /// ```
    /// use taskhost_sdk::Descriptor;
    /// let descriptor = Descriptor::new("compare", "1").streams_from("/streams");
    /// assert_eq!(descriptor.to_json()["streams_from"], "/streams");
    /// ```
    #[must_use]
    pub fn streams_from(self, pointer: &str) -> Self {
        self.set("streams_from", pointer)
    }

    /// Asks whatever models the operator allows it, by names that the params or the operator give:
    /// `[[allow]]` in the settings is enough, and without one it does without, so that it never
    /// waits for approval because of this. Hosts before November 2026 do not know it, and answer
    /// `denied`.
    #[must_use]
    pub fn any_model(self) -> Self {
        self.set("any_model", true)
    }

    /// How often a run is tried that ends with a retryable error, the first time included; 3 by
    /// default.
    #[must_use]
    pub fn attempts(self, attempts: u32) -> Self {
        self.set_in("retry", "attempts", attempts.into())
    }

    /// Of all runs of this type in a space, so many (1 to 1,000) are at work at once; the others
    /// wait in the queue, and keep no other type from its turn. As many as there are slots by
    /// default.
    ///
    /// A run is at work while its guest runs and while it waits for children; not while it waits to
    /// be tried again, or after its host has died, until it is its turn again. A child that needs
    /// the key of a run which waits for it is refused with `conflict`.
    #[must_use]
    pub fn runs_at_once(self, max: u64) -> Self {
        self.set("concurrency", json!({ "max": max }))
    }

    /// The same of runs with the same key: on one stream, where `key` is `stream`, or with one
    /// value in their params, where it is a JSON pointer (RFC 6901) to it. Runs that have nothing
    /// there count as if they had `null`.
    ///
    /// ```
    /// use taskhost_sdk::Descriptor;
    /// let descriptor = Descriptor::new("fetch", "1").runs_at_once_per("/url", 1);
    /// assert_eq!(descriptor.to_json()["concurrency"]["key"], "/url");
    /// ```
    #[must_use]
    pub fn runs_at_once_per(self, key: &str, max: u64) -> Self {
        self.set("concurrency", json!({ "key": key, "max": max }))
    }

    /// How long a run that is asked to stop may go on to leave things in order; 5,000 by default.
    #[must_use]
    pub fn grace_ms(self, ms: u64) -> Self {
        self.set("grace_ms", ms)
    }

    /// How long a run may be without a living host before readers are told that it is stale; 300
    /// by default.
    #[must_use]
    pub fn stale_after_s(self, seconds: u64) -> Self {
        self.set("stale_after_s", seconds)
    }

    /// The schema of the params, in place of the derived one.
    ///
    /// ```
    /// use taskhost_sdk::Descriptor;
    /// let descriptor = Descriptor::new("anything", "1").params_schema(true).result_schema(true);
    /// assert_eq!(descriptor.to_json()["params_schema"], true);
    /// ```
    #[must_use]
    pub fn params_schema(self, schema: impl Into<Value>) -> Self {
        self.set("params_schema", schema)
    }

    /// The schema of the result, in place of the derived one.
    #[must_use]
    pub fn result_schema(self, schema: impl Into<Value>) -> Self {
        self.set("result_schema", schema)
    }

    /// Any key, also one of your own: hosts keep and ignore what they do not know.
    #[must_use]
    pub fn set(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.keys.insert(key.to_owned(), value.into());
        self
    }

    /// What the host reads.
    #[must_use]
    pub fn to_json(&self) -> Value {
        Value::Object(self.keys.clone())
    }

    /// What the host reads, with the schemas that the author has not given.
    pub(crate) fn into_json(mut self, params_schema: Value, result_schema: Value) -> Value {
        self.entry("params_schema", params_schema);
        self.entry("result_schema", result_schema);
        Value::Object(self.keys)
    }

    fn wanting(mut self, list: &str, entry: Value) -> Self {
        if let Value::Object(lists) = self.entry("capabilities", json!({}))
            && let Value::Array(entries) = lists.entry(list).or_insert(json!([]))
        {
            entries.push(entry);
        }
        self
    }

    fn set_in(mut self, object: &str, key: &str, value: u64) -> Self {
        if let Value::Object(keys) = self.entry(object, json!({})) {
            keys.insert(key.to_owned(), value.into());
        }
        self
    }

    fn entry(&mut self, key: &str, default: Value) -> &mut Value {
        self.keys.entry(key.to_owned()).or_insert(default)
    }
}

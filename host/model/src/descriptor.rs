//! What a task type says of itself: the answer of its `describe()`, checked.
//!
//! Keys that this host does not know are kept in `unknown` and shown as a warning: a newer
//! task type runs on an older host unless it asks for something that must not be ignored.

mod mistakes;
mod words;

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::capabilities::Capabilities;
use crate::concurrency::Concurrency;
use crate::contract::{ContractVersion, min_host_problem};
use crate::ids::{Label, TypeId};

/// What a component asks for and offers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Descriptor {
    /// The type's id, the only source of it.
    pub id: TypeId,
    /// The author's version, for people.
    pub version: String,
    /// For people, one line.
    pub title: String,
    /// For people, a paragraph.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// JSON Schema that params have to meet when a task is scheduled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub params_schema: Option<Value>,
    /// JSON Schema that the result has to meet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result_schema: Option<Value>,
    /// JSON Schema of checkpoints, for people and tools: a checkpoint is bytes, and not checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint_schema: Option<Value>,
    /// The contract that a host has to have at least: `1.0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_host: Option<ContractVersion>,
    /// Whether a task of this type works on a stream.
    #[serde(default)]
    pub stream: StreamUse,
    /// What a run may use.
    #[serde(default, deserialize_with = "from_object")]
    pub limits: Limits,
    /// Collections that the type owns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub collections: Vec<Label>,
    /// Collections of the space that people keep and this type reads.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub space_collections: Vec<Label>,
    /// Whether it asks, beside those that it names, whatever models the operator allows it. That
    /// needs no approval: without any it does without.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub any_model: bool,
    /// What it wants to reach beyond its stream and its collections.
    #[serde(
        default,
        deserialize_with = "from_object",
        skip_serializing_if = "Capabilities::is_empty"
    )]
    pub capabilities: Capabilities,
    /// Where its params name the streams that a run reads, as a JSON pointer (RFC 6901); none: it
    /// reads the stream that it is scheduled on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub streams_from: Option<String>,
    /// How failures are tried again.
    #[serde(default, deserialize_with = "from_object")]
    pub retry: Retry,
    /// How many of its runs may be at work at once; none: as many as there are slots.
    #[serde(
        default,
        deserialize_with = "some_object",
        skip_serializing_if = "Option::is_none"
    )]
    pub concurrency: Option<Concurrency>,
    /// Time between asking a run to stop and stopping it, in milliseconds.
    #[serde(default = "default_grace_ms")]
    pub grace_ms: u64,
    /// How long a run that is not live is shown as `in_progress`, in seconds.
    #[serde(default = "default_stale_after_s")]
    pub stale_after_s: u64,
    /// Keys that this host does not know.
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
}

/// Whether a type works on a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StreamUse {
    /// Scheduling without one is refused.
    Required,
    /// With or without.
    Optional,
    /// Scheduling with one is refused.
    #[default]
    None,
}

/// What one attempt may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// All memories and tables together, in MiB.
    pub memory_mib: u64,
    /// The guest's own computing, in milliseconds.
    pub cpu_ms: u64,
    /// The attempt's wall-clock time from its first claim, in seconds.
    pub wall_s: u64,
    /// The result, in KiB.
    pub output_kib: u64,
    /// The longest time without a word of progress, sleep not counted, in seconds; none: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_progress_s: Option<u64>,
    /// Host calls of one attempt; none: as many as [`Bounds::host_calls`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_calls: Option<u64>,
    /// Tokens of language models for one run, over its attempts; none: as many as
    /// [`Bounds::tokens`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_mib: 64,
            cpu_ms: 10_000,
            wall_s: 300,
            output_kib: 1024,
            no_progress_s: None,
            host_calls: None,
            tokens: None,
        }
    }
}

/// How failures with `retryable` are tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Retry {
    /// Attempts in all, the first one included.
    pub attempts: u32,
}

impl Default for Retry {
    fn default() -> Self {
        Self { attempts: 3 }
    }
}

/// The most that a descriptor may ask for; an operator's settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// See [`Limits::memory_mib`].
    pub memory_mib: u64,
    /// See [`Limits::cpu_ms`].
    pub cpu_ms: u64,
    /// See [`Limits::wall_s`]; holds for [`Limits::no_progress_s`] as well.
    pub wall_s: u64,
    /// See [`Limits::output_kib`].
    pub output_kib: u64,
    /// See [`Retry::attempts`].
    pub attempts: u32,
    /// See [`Descriptor::grace_ms`].
    pub grace_ms: u64,
    /// See [`Limits::host_calls`]; holds for those that ask for no limit as well.
    pub host_calls: u64,
    /// See [`Limits::tokens`]; holds for those that ask for no limit as well.
    pub tokens: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            memory_mib: 1024,
            cpu_ms: 3_600_000,
            wall_s: 86_400,
            output_kib: 8192,
            attempts: 10,
            grace_ms: 30_000,
            host_calls: 100_000_000,
            tokens: 10_000_000,
        }
    }
}

/// The deepest nesting of a descriptor and of any other JSON from a guest.
pub const JSON_DEPTH_MAX: usize = 64;
/// The most values in one JSON text: as a tree each may take several hundred bytes.
pub const JSON_VALUES_MAX: usize = 1_000_000;

impl Descriptor {
    /// Reads and checks what `describe()` returned.
    ///
    /// # Errors
    /// Every mistake, each as a sentence that names the key.
    pub fn parse(text: &str, bounds: &Bounds) -> Result<Self, Vec<String>> {
        // Before all else: what a newer host knows may be a mistake for this one.
        if let Some(problem) = min_host_problem(text) {
            return Err(vec![problem]);
        }
        let descriptor = Self::read(text).map_err(|problem| vec![problem])?;
        let mistakes = descriptor.mistakes(bounds);
        if mistakes.is_empty() {
            Ok(descriptor)
        } else {
            Err(mistakes)
        }
    }

    /// Reads the JSON; the error is a sentence that names the key.
    fn read(text: &str) -> Result<Self, String> {
        let mut json = serde_json::Deserializer::from_str(text);
        let read = serde_path_to_error::deserialize(&mut json).map_err(|error| {
            match error.path().to_string() {
                root if root == "." => {
                    format!("describe() did not return a descriptor: {}", error.inner())
                }
                key => format!("`{key}` {}", words::of(&error.inner().to_string())),
            }
        })?;
        json.end()
            .map_err(|error| format!("describe() did not return a descriptor: {error}"))?;
        Ok(read)
    }
}

/// An array would do for the parser, with the values in the order of the fields.
fn from_object<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct Object<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for Object<T> {
        type Value = T;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
            T::deserialize(MapAccessDeserializer::new(map))
        }
    }
    deserializer.deserialize_map(Object(PhantomData))
}

/// The same of what may be left out.
fn some_object<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    from_object(deserializer).map(Some)
}

fn default_grace_ms() -> u64 {
    5_000
}

fn default_stale_after_s() -> u64 {
    300
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::CONTRACT;

    fn parse(json: &str) -> Result<Descriptor, Vec<String>> {
        Descriptor::parse(json, &Bounds::default())
    }

    /// One with these keys too.
    fn with(more: &str) -> Result<Descriptor, Vec<String>> {
        parse(&format!(r#"{{"id":"a","version":"1","title":"A",{more}}}"#))
    }

    #[test]
    fn the_least_that_a_type_must_say() {
        let descriptor = parse(r#"{"id":"hello","version":"1","title":"Hello"}"#).unwrap();
        assert_eq!(descriptor.limits, Limits::default());
        assert_eq!(descriptor.stream, StreamUse::None);
        assert_eq!(descriptor.retry.attempts, 3);
    }

    #[test]
    fn standing_still_is_bounded_as_the_whole_time_is() {
        let with = |seconds: u64| with(&format!(r#""limits":{{"no_progress_s":{seconds}}}"#));
        assert_eq!(with(7).unwrap().limits.no_progress_s, Some(7));
        for seconds in [0, 86_401] {
            let mistakes = with(seconds).unwrap_err();
            assert!(
                mistakes[0].contains("`limits.no_progress_s`"),
                "{mistakes:?}"
            );
        }
    }

    #[test]
    fn a_host_that_is_too_old_is_told_of_that_and_of_nothing_else() {
        let with = |min_host: &str, more: &str| with(&format!(r#""min_host":{min_host}{more}"#));
        let fits = with(r#""1.0""#, "").unwrap();
        assert_eq!(fits.min_host, Some(CONTRACT));
        assert_eq!(serde_json::to_value(&fits).unwrap()["min_host"], "1.0");
        for newer in ["1.1", "2.0", "0.1"] {
            let of_newer = r#","stream":"sometimes","capabilities":{"http":["new"]}"#;
            let mistakes = with(&format!("{newer:?}"), of_newer).unwrap_err();
            assert_eq!(mistakes.len(), 1, "{mistakes:?}");
            for part in ["`min_host`", newer, "this one has 1.0"] {
                assert!(mistakes[0].contains(part), "{mistakes:?}");
            }
        }
        for nonsense in [
            r#""1""#,
            r#""1.0.0""#,
            r#""+1.0""#,
            r#"".""#,
            "1.0",
            "[1,0]",
        ] {
            let mistakes = with(nonsense, "").unwrap_err();
            assert!(mistakes[0].contains("`min_host`"), "{mistakes:?}");
        }
    }

    #[test]
    fn calls_and_tokens_are_bounded_where_they_are_asked_for() {
        let with = |limits: &str| with(&format!(r#""limits":{limits}"#));
        let limits = with(r#"{"host_calls":7,"tokens":8}"#).unwrap().limits;
        assert_eq!((limits.host_calls, limits.tokens), (Some(7), Some(8)));
        let limits = with("{}").unwrap().limits;
        assert_eq!((limits.host_calls, limits.tokens), (None, None));
        for (limits, key) in [
            (r#"{"host_calls":0}"#, "`limits.host_calls` is 0"),
            (
                r#"{"tokens":10000001}"#,
                "`limits.tokens` asks for 10000001",
            ),
        ] {
            let mistakes = with(limits).unwrap_err();
            assert!(mistakes[0].contains(key), "{mistakes:?}");
        }
    }

    #[test]
    fn capabilities_are_read_and_their_mistakes_named() {
        let with = |wanted: &str| with(&format!(r#""capabilities":{wanted}"#));
        let read = with(
            r#"{"http":[{"origin":"https://a.example"}],"secrets":["key"],"models":["small"],
                "children":["b"]}"#,
        );
        let words = [
            "http origin https://a.example (GET, HEAD, /)",
            "secret key",
            "model small",
            "child type b",
        ];
        assert_eq!(read.unwrap().capabilities.words(), words);
        for (capabilities, named) in [
            ("[]", "`capabilities`"),
            (
                r#"{"http":["https://a.example"]}"#,
                "`capabilities.http[0]`",
            ),
            (
                r#"{"http":[{"origin":"https://a.example","method":"GET"}]}"#,
                "`capabilities.http[0].method`",
            ),
            (
                r#"{"http":[{"origin":"https://A.example"}]}"#,
                "`capabilities.http[0]` has the origin `https://A.example`",
            ),
            (r#"{"secrets":["No!"]}"#, "`capabilities.secrets[0]`"),
        ] {
            let mistakes = with(capabilities).unwrap_err();
            assert!(mistakes[0].contains(named), "{mistakes:?}");
        }
    }

    #[test]
    fn concurrency_is_read_and_its_mistakes_named() {
        let with = |concurrency: &str| with(&format!(r#""concurrency":{concurrency}"#));
        let read = |text| with(text).unwrap().concurrency.unwrap();
        assert_eq!(read("{}"), Concurrency::default());
        let by_url = read(r#"{"key":"/url","max":7}"#);
        assert_eq!((by_url.key.as_deref(), by_url.max), (Some("/url"), 7));
        for (concurrency, named) in [
            ("1", "`concurrency`"),
            ("null", "`concurrency`"),
            (r#"["/url",1]"#, "`concurrency`"),
            (r#"{"key":1}"#, "`concurrency.key`"),
            (r#"{"key":"url"}"#, "`concurrency.key`"),
            (r#"{"key":"stream"}"#, "`concurrency.key` is `stream`"),
            (r#"{"max":"all"}"#, "`concurrency.max`"),
            (r#"{"max":-1}"#, "`concurrency.max`"),
            (r#"{"max":0}"#, "`concurrency.max` is 0"),
        ] {
            let mistakes = with(concurrency).unwrap_err();
            assert!(mistakes[0].contains(named), "{mistakes:?}");
        }
    }

    #[test]
    fn a_label_is_the_types_or_the_spaces() {
        let read = with(r#""space_collections":["prompts"],"any_model":true"#).unwrap();
        assert!(read.any_model && read.space_collections.len() == 1);
        assert!(read.capabilities.is_empty(), "nothing waits for approval");
        let plain = serde_json::to_value(with(r#""grace_ms":1"#).unwrap()).unwrap();
        assert!(plain.get("any_model").is_none() && plain.get("space_collections").is_none());
        for twice in [
            r#""space_collections":["a","a"]"#,
            r#""collections":["a"],"space_collections":["a"]"#,
        ] {
            assert!(with(twice).unwrap_err()[0].contains("`a` twice"), "{twice}");
        }
    }

    #[test]
    fn unknown_keys_are_kept() {
        let text = r#"{"id":"hello","version":"1","title":"Hello","color":"red"}"#;
        let descriptor = parse(text).unwrap();
        assert_eq!(descriptor.unknown.get("color"), Some(&Value::from("red")));
    }

    #[test]
    fn all_mistakes_at_once_each_naming_key_and_bound() {
        let mistakes = parse(
            r#"{"id":"hello","version":"","title":"Hello","grace_ms":60000,
                "limits":{"memory_mib":4096,"cpu_ms":0},"collections":["a","a"]}"#,
        )
        .unwrap_err();
        for part in [
            "`version`",
            "`grace_ms`",
            "4096",
            "at most 1024",
            "`limits.cpu_ms`",
            "`a`",
        ] {
            assert!(
                mistakes.iter().any(|m| m.contains(part)),
                "{part} in {mistakes:?}"
            );
        }
    }

    #[test]
    fn nonsense_is_refused() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        for text in [
            "",
            "[]",
            "{}",
            r#"{"id":"hello","version":"1","title":"x"} and more"#,
            &deep,
        ] {
            assert!(parse(text).is_err());
        }
    }

    #[test]
    fn a_key_with_the_wrong_value_is_named() {
        for (more, key) in [
            (r#""id":"Hello!""#, "`id`"),
            (r#""id":"a","stream":"sometimes""#, "`stream`"),
            (r#""id":"a","limits":{"cpu_ms":"1 s"}"#, "`limits.cpu_ms`"),
            (r#""id":"a","limits":[64,10]"#, "`limits`"),
            (r#""id":"a","retry":[3]"#, "`retry`"),
            (r#""id":"a","stale_after_s":0"#, "`stale_after_s`"),
        ] {
            let text = format!(r#"{{"version":"1","title":"x",{more}}}"#);
            let mistakes = parse(&text).unwrap_err();
            assert!(mistakes[0].contains(key), "{mistakes:?}");
        }
    }
}

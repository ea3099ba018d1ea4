//! How many runs of a task type may be at work at once: of all of them, of those on one stream, or
//! of those with one value in their params.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ids::StreamName;

/// The most runs that may be let be at work at once by a key: whoever wants more wants no key.
const RUNS_MAX: u64 = 1_000;
/// The longest pointer, in bytes.
const POINTER_BYTES_MAX: usize = 512;
/// The [`Concurrency::key`] that is a run's stream.
const OF_STREAM: &str = "stream";
/// The key of all runs of a type.
pub const OF_TYPE: &str = "*";
/// The key of runs that have no value where theirs is looked for. A text of these letters has the
/// same: they wait for each other, which does no harm.
const NOTHING: &str = "null";

/// Of the runs in one space that have the same key, so many may be at work at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Concurrency {
    /// Where a run has its key. Left out: all runs of the type have the same. `stream`: its
    /// stream. A JSON pointer (RFC 6901) such as `/url`: what its params have there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// So many runs with the same key at once.
    pub max: u64,
}

impl Default for Concurrency {
    fn default() -> Self {
        Self { key: None, max: 1 }
    }
}

impl Concurrency {
    /// What is wrong with it, as sentences.
    pub(crate) fn mistakes(&self, may_have_stream: bool) -> Vec<String> {
        let mut mistakes = Vec::new();
        if !(1..=RUNS_MAX).contains(&self.max) {
            mistakes.push(format!(
                "`concurrency.max` is {}: it has to be between 1 and {RUNS_MAX}; to have no bound, \
                 leave `concurrency` out",
                self.max
            ));
        }
        let of_key = match self.key.as_deref() {
            None => None,
            Some(OF_STREAM) => (!may_have_stream).then(|| {
                "`concurrency.key` is `stream`, and tasks of this type work on none: say in \
                 `stream` that they do, or leave the key out"
                    .to_owned()
            }),
            Some(pointer) => mistake_of_pointer(pointer),
        };
        mistakes.extend(of_key);
        mistakes
    }

    /// The key of a run with this stream and these params, which are JSON text: a text as it is,
    /// anything else as JSON.
    #[must_use]
    pub fn key_of(&self, stream: Option<&StreamName>, params: &str) -> String {
        match self.key.as_deref() {
            None => OF_TYPE.to_owned(),
            Some(OF_STREAM) => stream.map_or(NOTHING, StreamName::as_str).to_owned(),
            Some(pointer) => value_at(params, pointer),
        }
    }
}

fn mistake_of_pointer(pointer: &str) -> Option<String> {
    if !pointer.starts_with('/') {
        return Some(
            "`concurrency.key` is none: leave it out (all tasks of the type have the same), or say \
             `stream` (those on the same stream have), or a JSON pointer into the params, which \
             begins with a slash: `/url`"
                .to_owned(),
        );
    }
    if pointer.len() > POINTER_BYTES_MAX {
        return Some(format!(
            "`concurrency.key` has {} bytes, at most {POINTER_BYTES_MAX}",
            pointer.len()
        ));
    }
    let mut after_tildes = pointer.split('~').skip(1);
    let is_escaped = after_tildes.all(|rest| rest.starts_with(['0', '1']));
    (!is_escaped).then(|| {
        "`concurrency.key` has a `~` that stands for nothing: in a JSON pointer `~0` is a tilde \
         and `~1` a slash"
            .to_owned()
    })
}

fn value_at(params: &str, pointer: &str) -> String {
    let params: Value = serde_json::from_str(params).unwrap_or_default();
    match params.pointer(pointer) {
        None => NOTHING.to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by(key: Option<&str>) -> Concurrency {
        Concurrency {
            key: key.map(str::to_owned),
            max: 1,
        }
    }

    #[test]
    fn a_key_is_of_the_type_the_stream_or_the_params() {
        let logs = StreamName::parse("logs").unwrap();
        assert_eq!(by(None).key_of(Some(&logs), "{}"), "*");
        let of_stream = by(Some("stream"));
        assert_eq!(of_stream.key_of(Some(&logs), r#"{"stream":1}"#), "logs");
        assert_eq!(of_stream.key_of(None, "{}"), "null");
        let params =
            r#"{"a":{"b/c":["x","y\u0000é"],"":7,"~":{"k":1.50}},"url":"http://a/","no":null}"#;
        for (pointer, key) in [
            ("/url", "http://a/"),
            ("/a/b~1c/1", "y\u{0}é"),
            ("/a/b~1c/0", "x"),
            ("/a/b~1c/00", "null"),
            ("/a/b~1c/2", "null"),
            ("/a/b~1c", r#"["x","y\u0000é"]"#),
            ("/a/", "7"),
            ("/a/~0", r#"{"k":1.5}"#),
            ("/a/~0/k", "1.5"),
            ("/a/~0/k/0", "null"),
            ("/url/0", "null"),
            ("/no", "null"),
            ("/no/0", "null"),
            ("/missing", "null"),
        ] {
            assert_eq!(by(Some(pointer)).key_of(None, params), key, "{pointer}");
        }
        // Params need not be an object.
        assert_eq!(by(Some("/0")).key_of(None, r#"["a"]"#), "a");
        assert_eq!(by(Some("/0")).key_of(None, "1"), "null");
    }

    #[test]
    fn mistakes_say_what_to_do() {
        for key in [None, Some("stream"), Some("/"), Some("/a~0~1/0")] {
            assert_eq!(by(key).mistakes(true), [""; 0]);
        }
        assert_eq!(by(Some("/url")).mistakes(false), [""; 0]);
        let long = format!("/{}", "a".repeat(POINTER_BYTES_MAX));
        for (wrong, part) in [
            (by(Some("stream")), "work on none"),
            (by(Some("")), "leave it out"),
            (by(Some("url")), "`/url`"),
            (by(Some("/a~2")), "`~0` is a tilde"),
            (by(Some("/a~")), "`~0` is a tilde"),
            (by(Some(&long)), "513 bytes"),
            (Concurrency { max: 0, ..by(None) }, "between 1 and 1000"),
            (
                Concurrency {
                    max: 1_001,
                    ..by(None)
                },
                "`concurrency.max` is 1001",
            ),
        ] {
            let mistakes = wrong.mistakes(false);
            assert_eq!(mistakes.len(), 1, "{mistakes:?}");
            assert!(mistakes[0].contains(part), "{mistakes:?}");
        }
    }
}

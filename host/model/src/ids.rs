//! Identifiers as validated types: an id that exists has the form that the HTTP interface
//! promises, so no layer checks it again.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

/// Why a text is no id of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} `{given}` is not valid: it has to match {pattern}")]
pub struct InvalidId {
    /// What was wanted, for people: "space", "task id" …
    pub kind: &'static str,
    /// The offending text, shortened to 80 characters with control characters escaped.
    pub given: String,
    /// The form that is accepted.
    pub pattern: &'static str,
}

/// What a pattern says in words after its regular expression, a word that is reserved.
const RESERVED: &str = ", and not `bulk`";

fn schema_of(pattern: &'static str) -> Schema {
    match pattern.strip_suffix(RESERVED) {
        None => json_schema!({"type": "string", "pattern": format!("^{pattern}$")}),
        Some(pattern) => json_schema!({
            "type": "string",
            "pattern": format!("^{pattern}$"),
            "not": {"const": "bulk"},
        }),
    }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $pattern:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Accepted form, as a regular expression.
            pub const PATTERN: &'static str = $pattern;

            /// Checks `text`.
            ///
            /// # Errors
            /// [`InvalidId`] when the text does not match [`Self::PATTERN`].
            pub fn parse(text: &str) -> Result<Self, InvalidId> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) {
                    Ok(Self(Arc::from(text)))
                } else {
                    Err(InvalidId { kind: $kind, given: shortened(text), pattern: $pattern })
                }
            }

            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                schema_of($pattern)
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::parse(text)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = Cow::<'de, str>::deserialize(deserializer)?;
                Self::parse(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

text_id!(
    /// A wall between groups of people: tasks, streams and documents live in one space.
    Space, "space", "[a-z][a-z0-9_-]{0,63}", |t| is_name(t)
);
text_id!(
    /// A task type's id, as its `describe()` states it.
    TypeId, "task type", "[a-z][a-z0-9_-]{0,63}", |t| is_name(t)
);
text_id!(
    /// A collection's label.
    Label, "collection label", "[a-z][a-z0-9_-]{0,63}", |t| is_name(t)
);
text_id!(
    /// A stream's name.
    StreamName, "stream", "[A-Za-z0-9][A-Za-z0-9_.-]{0,199}", |t| is_free_name(t, 200)
);
text_id!(
    /// A task's id, chosen by the caller; unique in its space. `bulk` is reserved for a route.
    TaskId, "task id", "[A-Za-z0-9][A-Za-z0-9_.-]{0,254}, and not `bulk`",
    |t| is_free_name(t, 255) && t != "bulk"
);
text_id!(
    /// A schedule's id, chosen by the caller; unique in its space. The ids of its tasks begin with
    /// it.
    ScheduleId, "schedule id", "[A-Za-z0-9][A-Za-z0-9_.-]{0,199}", |t| is_free_name(t, 200)
);
text_id!(
    /// An id of a stored document in a collection.
    DocumentId, "document id", "[A-Za-z0-9][A-Za-z0-9_.-]{0,254}", |t| is_free_name(t, 255)
);
text_id!(
    /// The sha256 of a component, as 64 lower-case hexadecimal digits.
    Digest, "digest", "[0-9a-f]{64}",
    |t| t.len() == 64 && t.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
);

/// One run of a task. Made before the first write, so that a repeated write is recognized.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
#[schemars(inline, extend("format" = "uuid"))]
pub struct RunId(#[schemars(with = "String")] Uuid);

impl RunId {
    /// A new id; ids sort by the time of their making (UUID version 7, RFC 9562).
    #[must_use]
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }

    /// Reads the usual hyphenated form.
    ///
    /// # Errors
    /// [`InvalidId`] when the text is no UUID.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        Uuid::parse_str(text).map(Self).map_err(|_| InvalidId {
            kind: "run id",
            given: shortened(text),
            pattern: "a UUID",
        })
    }
}

impl Default for RunId {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A key that runs hold for what they read: see `RunKey` in the store. It says nothing of the key.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
#[schemars(inline, extend("format" = "uuid"))]
pub struct RunKeyId(#[schemars(with = "String")] Uuid);

impl RunKeyId {
    /// A new one.
    #[must_use]
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }

    /// Reads what was written by `Display`.
    ///
    /// # Errors
    /// [`InvalidId`] when the text is no UUID.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        Uuid::parse_str(text).map(Self).map_err(|_| InvalidId {
            kind: "run key id",
            given: shortened(text),
            pattern: "a UUID",
        })
    }
}

impl Default for RunKeyId {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for RunKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An entry of the audit log; ids sort by the time of their making.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
#[schemars(inline, extend("format" = "uuid"))]
pub struct EntryId(#[schemars(with = "String")] Uuid);

impl EntryId {
    /// A new one.
    #[must_use]
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }

    /// Reads what was written by `Display`.
    ///
    /// # Errors
    /// [`InvalidId`] when the text is no UUID.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        Uuid::parse_str(text).map(Self).map_err(|_| InvalidId {
            kind: "id of an entry",
            given: shortened(text),
            pattern: "a UUID",
        })
    }

    /// Bytes that sort as the ids do.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

impl Default for EntryId {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One life of one host process: a restart is another incarnation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline, extend("format" = "uuid"))]
pub struct Incarnation(#[schemars(with = "String")] Uuid);

impl Incarnation {
    /// A new one, for a process that starts.
    #[must_use]
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }
}

impl Default for Incarnation {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A task's address: ids are unique within a space only.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskKey {
    /// The space.
    pub space: Space,
    /// The id in it.
    pub id: TaskId,
}

/// A schedule's address.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ScheduleKey {
    /// The space.
    pub space: Space,
    /// The id in it.
    pub id: ScheduleId,
}

/// A stream's address.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamKey {
    /// The space.
    pub space: Space,
    /// The name in it.
    pub name: StreamName,
}

fn is_name(text: &str) -> bool {
    text.len() <= 64
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b))
}

fn is_free_name(text: &str, length_max: usize) -> bool {
    text.len() <= length_max
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
}

fn shortened(text: &str) -> String {
    text.chars().take(80).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_the_promised_form() {
        for good in ["a", "default", "a-b_c9", &"x".repeat(64)] {
            assert!(Space::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "A", "9a", "a b", "a/b", "ä", "a\0", &"x".repeat(65)] {
            assert!(Space::parse(bad).is_err(), "{bad}");
        }
        for good in ["logs.nginx-default", "9", "A_b", &"x".repeat(200)] {
            assert!(StreamName::parse(good).is_ok(), "{good}");
        }
        for bad in ["", ".a", "-a", "a*", "a,b", "../x", &"x".repeat(201)] {
            assert!(StreamName::parse(bad).is_err(), "{bad}");
        }
        assert!(TaskId::parse("bulk").is_err());
        assert!(TaskId::parse(&"x".repeat(255)).is_ok());
        assert!(Digest::parse(&"0f".repeat(32)).is_ok());
        assert!(Digest::parse(&"0F".repeat(32)).is_err());
    }

    #[test]
    fn messages_cannot_carry_control_characters() {
        let error = Space::parse("\u{1b}[31m").unwrap_err();
        assert!(!error.to_string().contains('\u{1b}'));
    }

    #[test]
    fn run_ids_sort_by_time() {
        let first = RunId::new();
        let second = RunId::new();
        assert!(first < second);
        assert_eq!(RunId::parse(&first.to_string()).unwrap(), first);
    }
}

//! Conditions over documents: the words of Kibana's Streams, checked when parsed and evaluated
//! in memory here. Other evaluations (SQL, Elasticsearch) are held to [`Condition::matches`].
//!
//! # Semantics
//! A dotted field is the literal key first, then the nested path. `null` is a missing value.
//! Of an array any element may satisfy the test. `eq` compares the value or its text;
//! comparisons with a number are numeric (a text that reads as a number is one), with a text
//! they go by code points. `contains` looks through the whole value and ignores the case of
//! ASCII letters; `startsWith` and `endsWith` keep case. A missing field satisfies `neq` and
//! `exists: false` only.

mod evaluate;
mod parse;
mod schema;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};

/// The deepest nesting of `and`, `or` and `not`.
pub const DEPTH_MAX: usize = 32;
/// The longest name of a field.
pub const FIELD_BYTES_MAX: usize = 512;
/// How many tests and connectives one condition may have.
pub const NODES_MAX: usize = 1_000;

/// A checked condition.
///
/// ```
/// use taskhost_model::condition::Condition;
/// let condition = Condition::and(vec![
///     Condition::contains("message", "sshd["),
///     Condition::not(Condition::starts_with("message", "Jun")),
/// ]);
/// assert!(condition.matches(&serde_json::json!({"message": "Dec 10 LabSZ SSHD[1]: hello"})));
/// let text = serde_json::to_string(&condition).unwrap();
/// assert_eq!(serde_json::from_str::<Condition>(&text).unwrap(), condition);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// Every document.
    Always,
    /// No document.
    Never,
    /// All of them; an empty list is every document.
    And(Vec<Self>),
    /// Any of them; an empty list is no document.
    Or(Vec<Self>),
    /// Not this.
    Not(Box<Self>),
    /// A test of one field.
    Field {
        /// The field's name.
        field: String,
        /// What its value has to be.
        test: Test,
    },
}

/// One test of a field's value.
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    /// Equal to it, or of the same text.
    Eq(Value),
    /// Not `eq`.
    Neq(Value),
    /// Less than.
    Lt(Value),
    /// Less than or equal to.
    Lte(Value),
    /// Greater than.
    Gt(Value),
    /// Greater than or equal to.
    Gte(Value),
    /// Within all bounds that are given.
    Range(Range),
    /// Has this text within it, ASCII case ignored.
    Contains(String),
    /// Begins with this text.
    StartsWith(String),
    /// Ends with this text.
    EndsWith(String),
    /// Has a value, or has none.
    Exists(bool),
}

/// Bounds, each a text or a number; at least one is given.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Range {
    /// Greater than.
    pub gt: Option<Value>,
    /// Greater than or equal to.
    pub gte: Option<Value>,
    /// Less than.
    pub lt: Option<Value>,
    /// Less than or equal to.
    pub lte: Option<Value>,
}

/// Why a JSON value is no condition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct InvalidCondition {
    /// Where, from the condition's root: `and[1].not`; `condition` for the root itself.
    pub path: String,
    /// What is wrong, and what is accepted.
    pub problem: String,
}

impl Condition {
    /// Every document.
    #[must_use]
    pub fn always() -> Self {
        Self::Always
    }

    /// No document.
    #[must_use]
    pub fn never() -> Self {
        Self::Never
    }

    /// All of them.
    #[must_use]
    pub fn and(all: Vec<Self>) -> Self {
        Self::And(all)
    }

    /// Any of them.
    #[must_use]
    pub fn or(any: Vec<Self>) -> Self {
        Self::Or(any)
    }

    /// Not this.
    #[must_use]
    #[expect(
        clippy::should_implement_trait,
        reason = "a constructor beside `and` and `or`"
    )]
    pub fn not(condition: Self) -> Self {
        Self::Not(Box::new(condition))
    }

    /// A test of one field.
    #[must_use]
    pub fn field(field: impl Into<String>, test: Test) -> Self {
        Self::Field {
            field: field.into(),
            test,
        }
    }

    /// `field` equals `value`.
    #[must_use]
    pub fn eq(field: impl Into<String>, value: impl Into<Value>) -> Self {
        Self::field(field, Test::Eq(value.into()))
    }

    /// `field` has `text` within it, ASCII case ignored.
    #[must_use]
    pub fn contains(field: impl Into<String>, text: impl Into<String>) -> Self {
        Self::field(field, Test::Contains(text.into()))
    }

    /// `field` begins with `text`.
    #[must_use]
    pub fn starts_with(field: impl Into<String>, text: impl Into<String>) -> Self {
        Self::field(field, Test::StartsWith(text.into()))
    }

    /// `field` ends with `text`.
    #[must_use]
    pub fn ends_with(field: impl Into<String>, text: impl Into<String>) -> Self {
        Self::field(field, Test::EndsWith(text.into()))
    }

    /// `field` has a value, or has none.
    #[must_use]
    pub fn exists(field: impl Into<String>, exists: bool) -> Self {
        Self::field(field, Test::Exists(exists))
    }

    /// Reads a condition from JSON.
    ///
    /// # Errors
    /// [`InvalidCondition`] with the path to the first mistake.
    pub fn from_json(value: &Value) -> Result<Self, InvalidCondition> {
        parse::condition(value)
    }

    /// The condition as JSON, as [`Self::from_json`] reads it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match self {
            Self::Always => json!({"always": {}}),
            Self::Never => json!({"never": {}}),
            Self::And(all) => json!({"and": all.iter().map(Self::to_json).collect::<Vec<_>>()}),
            Self::Or(any) => json!({"or": any.iter().map(Self::to_json).collect::<Vec<_>>()}),
            Self::Not(inner) => json!({"not": inner.to_json()}),
            Self::Field { field, test } => {
                let (operator, operand) = test.to_json();
                json!({"field": field, operator: operand})
            }
        }
    }

    /// Whether `document` satisfies the condition.
    #[must_use]
    pub fn matches(&self, document: &Value) -> bool {
        evaluate::matches(self, document)
    }
}

impl Test {
    fn to_json(&self) -> (&'static str, Value) {
        match self {
            Self::Eq(value) => ("eq", value.clone()),
            Self::Neq(value) => ("neq", value.clone()),
            Self::Lt(value) => ("lt", value.clone()),
            Self::Lte(value) => ("lte", value.clone()),
            Self::Gt(value) => ("gt", value.clone()),
            Self::Gte(value) => ("gte", value.clone()),
            Self::Contains(text) => ("contains", json!(text)),
            Self::StartsWith(text) => ("startsWith", json!(text)),
            Self::EndsWith(text) => ("endsWith", json!(text)),
            Self::Exists(exists) => ("exists", json!(exists)),
            Self::Range(range) => {
                let bounds = [
                    ("gt", &range.gt),
                    ("gte", &range.gte),
                    ("lt", &range.lt),
                    ("lte", &range.lte),
                ];
                let given = bounds
                    .into_iter()
                    .filter_map(|(name, bound)| Some((name.to_owned(), bound.clone()?)));
                ("range", Value::Object(given.collect()))
            }
        }
    }
}

impl Serialize for Condition {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Condition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Self::from_json(&value).map_err(serde::de::Error::custom)
    }
}

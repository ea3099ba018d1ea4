//! Which documents of a stream, and how many of them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use taskhost_model::condition::Condition;

/// A moment, as requests and params write it: milliseconds since 1970, or RFC 3339.
///
/// It can be a field of a task's params, and then takes either.
///
/// ```
/// use taskhost_sdk::Moment;
///
/// assert_eq!(Moment::from(1_700_000_000_000), Moment::Ms(1_700_000_000_000));
/// let moment: Moment = serde_json::from_str(r#""2026-11-24T08:00:00Z""#).unwrap();
/// assert_eq!(moment, Moment::from("2026-11-24T08:00:00Z"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Moment {
    /// Milliseconds since 1970-01-01 UTC.
    Ms(i64),
    /// RFC 3339 with any offset: `2026-11-24T08:00:00Z`.
    Rfc3339(String),
}

impl From<i64> for Moment {
    fn from(ms: i64) -> Self {
        Self::Ms(ms)
    }
}

impl From<&str> for Moment {
    fn from(text: &str) -> Self {
        Self::Rfc3339(text.to_owned())
    }
}

impl From<String> for Moment {
    fn from(text: String) -> Self {
        Self::Rfc3339(text)
    }
}

/// Order by `@timestamp`, then by arrival.
///
/// ```
/// use taskhost_sdk::{Query, Sort};
/// let query = Query::new(0, 1_000).sort(Sort::Asc);
/// assert_eq!(query.to_json()["sort"], "asc");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Sort {
    /// Oldest first.
    Asc,
    /// Newest first, the host's default.
    Desc,
}

/// Which documents of a stream, and how many of them. What a function has no use for has no
/// effect there.
///
/// ```
/// use taskhost_sdk::{Condition, Query};
///
/// let query = Query::new("2026-11-24T00:00:00Z", "2026-11-25T00:00:00Z")
///     .matching(Condition::contains("message", "sshd"))
///     .size(10_000)
///     .fields(["@timestamp", "message"])
///     .seed(42)
///     .max_bytes(4 << 20)
///     .max_values(5)
///     .cursor(None);
/// assert_eq!(query.to_json()["where"]["contains"], "sshd");
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Query {
    from: Moment,
    to: Moment,
    #[serde(rename = "where", skip_serializing_if = "Option::is_none")]
    condition: Option<Condition>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fields: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sort: Option<Sort>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_values: Option<u32>,
}

impl Query {
    /// All documents in [`from`, `to`).
    pub fn new(from: impl Into<Moment>, to: impl Into<Moment>) -> Self {
        Self {
            from: from.into(),
            to: to.into(),
            condition: None,
            size: None,
            fields: None,
            seed: None,
            sort: None,
            cursor: None,
            max_bytes: None,
            max_values: None,
        }
    }

    /// Only those that satisfy the condition.
    #[must_use]
    pub fn matching(mut self, condition: Condition) -> Self {
        self.condition = Some(condition);
        self
    }

    /// At most so many: up to 10,000, by default 100 (field statistics look at 10,000).
    #[must_use]
    pub fn size(mut self, size: u32) -> Self {
        self.size = Some(size);
        self
    }

    /// Only these top-level fields of each; at most 100.
    #[must_use]
    pub fn fields<T: Into<String>>(mut self, fields: impl IntoIterator<Item = T>) -> Self {
        self.fields = Some(fields.into_iter().map(Into::into).collect());
        self
    }

    /// The same seed draws the same sample from the same documents.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Which end of the range comes first in a search.
    #[must_use]
    pub fn sort(mut self, sort: Sort) -> Self {
        self.sort = Some(sort);
        self
    }

    /// Where a search goes on: `next` of the batch before.
    #[must_use]
    pub fn cursor(mut self, cursor: Option<String>) -> Self {
        self.cursor = cursor;
        self
    }

    /// At most so many bytes of documents; 16 MiB and a quarter of the run's memory hold as well.
    #[must_use]
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = Some(bytes);
        self
    }

    /// How many of the most frequent values field statistics list: up to 100, by default 10.
    #[must_use]
    pub fn max_values(mut self, values: u32) -> Self {
        self.max_values = Some(values);
        self
    }

    /// What the host reads.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}

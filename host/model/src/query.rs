//! What is asked of a stream: a time range, a condition, and how much of what matches.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::condition::{Condition, FIELD_BYTES_MAX};
use crate::time::Timestamp;

/// Rows of one answer when the request does not say.
pub const SIZE_DEFAULT: u64 = 100;
/// The most rows that one answer may have.
pub const SIZE_MAX: u64 = 10_000;

/// More than any cursor has.
const CURSOR_BYTES_MAX: usize = 1024;

/// A request for stream data. The range is `[from, to)`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Query {
    /// First instant of the range.
    pub from: Timestamp,
    /// First instant after the range.
    pub to: Timestamp,
    /// Which documents; all when it is left out.
    #[serde(default, rename = "where", skip_serializing_if = "Option::is_none")]
    pub condition: Option<Condition>,
    /// Rows, at most [`SIZE_MAX`]; [`SIZE_DEFAULT`] when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 10_000))]
    pub size: Option<u64>,
    /// Only these top-level fields of each document; all when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 100), inner(length(min = 1, max = 512)))]
    pub fields: Option<Vec<String>>,
    /// For samples: with the same seed over the same documents, the same sample.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// For searches: by time, `desc` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sort: Option<Sort>,
    /// For searches: where the last answer ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// The most bytes of documents in the answer; the host's own cap holds as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<u64>,
    /// For field statistics: how many values of each field are listed, at most 100; 10 when
    /// left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 100))]
    pub max_values: Option<u64>,
}

/// Order by `@timestamp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Sort {
    /// Oldest first.
    Asc,
    /// Newest first.
    Desc,
}

/// Why a query makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` {problem}")]
pub struct InvalidQuery {
    /// The offending key.
    pub field: &'static str,
    /// What is wrong, and what is accepted.
    pub problem: String,
}

impl Query {
    /// A query over a range, with everything else left out.
    #[must_use]
    pub fn range(from: Timestamp, to: Timestamp) -> Self {
        Self {
            from,
            to,
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

    /// Checks what the types alone cannot say.
    ///
    /// # Errors
    /// [`InvalidQuery`] for an empty range, and for sizes out of bounds.
    pub fn check(&self) -> Result<(), InvalidQuery> {
        let wrong = |field, problem: String| Err(InvalidQuery { field, problem });
        if self.from >= self.to {
            return wrong("from", "has to be before `to`".to_owned());
        }
        if self.size.is_some_and(|size| size > SIZE_MAX) {
            return wrong("size", format!("is more than {SIZE_MAX}"));
        }
        if self.max_values.is_some_and(|values| values > 100) {
            return wrong("max_values", "is more than 100".to_owned());
        }
        let fields = self.fields.as_deref().unwrap_or_default();
        if fields.len() > 100 {
            return wrong("fields", "names more than 100 fields".to_owned());
        }
        let is_name = |field: &String| (1..=FIELD_BYTES_MAX).contains(&field.len());
        if !fields.iter().all(is_name) {
            let problem = format!("has to name fields of 1 to {FIELD_BYTES_MAX} bytes");
            return wrong("fields", problem);
        }
        let cursor = self.cursor.as_deref().unwrap_or_default();
        if cursor.len() > CURSOR_BYTES_MAX {
            return wrong("cursor", "is not one that a former answer gave".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn read_from_json() {
        let text = r#"{"from":0,"to":"2026-11-24T00:00:00Z","where":{"always":{}},"size":5}"#;
        let query: Query = serde_json::from_str(text).unwrap();
        assert_eq!(query.check(), Ok(()));
        assert_eq!(query.condition, Some(Condition::Always));
        for bad in [
            r#"{"from":0}"#,
            r#"{"from":0,"to":1,"limit":3}"#,
            r#"{"from":-1.5,"to":1}"#,
        ] {
            assert!(serde_json::from_str::<Query>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn ranges_and_sizes_are_checked() {
        let at = Timestamp::from_ms;
        assert_eq!(
            Query::range(at(5), at(5)).check().unwrap_err().field,
            "from"
        );
        let mut query = Query::range(at(0), at(1));
        query.size = Some(SIZE_MAX + 1);
        assert_eq!(query.check().unwrap_err().field, "size");
        query.size = None;
        query.cursor = Some("x".repeat(CURSOR_BYTES_MAX + 1));
        assert_eq!(query.check().unwrap_err().field, "cursor");
        for name in ["", &"x".repeat(FIELD_BYTES_MAX + 1)] {
            query.fields = Some(vec!["a".to_owned(), name.to_owned()]);
            assert_eq!(query.check().unwrap_err().field, "fields");
        }
    }
}

//! Reads the query of a request.

use std::borrow::Cow;
use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use axum::extract::Query;
use axum::http::Uri;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::{Problem, shortened};

/// The query string; what nobody has taken is refused.
#[derive(Debug)]
pub(crate) struct QueryParams(Vec<(String, String)>);

impl QueryParams {
    pub(crate) fn of(uri: &Uri) -> Result<Self, Problem> {
        let pairs = Query::try_from_uri(uri);
        pairs
            .map(|Query(pairs)| Self(pairs))
            .map_err(|e| Problem::invalid("query", e.body_text()))
    }

    pub(crate) fn take_all(&mut self, key: &str) -> Vec<String> {
        let (taken, rest) = std::mem::take(&mut self.0)
            .into_iter()
            .partition(|(of, _)| of == key);
        self.0 = rest;
        let taken: Vec<(String, String)> = taken;
        taken.into_iter().map(|(_, value)| value).collect()
    }

    /// The value of `key`; given twice, the last one.
    pub(crate) fn take(&mut self, key: &str) -> Option<String> {
        self.take_all(key).pop()
    }

    pub(crate) fn parse<T>(&mut self, key: &str) -> Result<Option<T>, Problem>
    where
        T: FromStr,
        T::Err: Display,
    {
        let Some(text) = self.take(key) else {
            return Ok(None);
        };
        let invalid = |error: T::Err| Problem::invalid(key, error.to_string());
        text.parse().map(Some).map_err(invalid)
    }

    /// A whole number.
    pub(crate) fn number(&mut self, key: &str) -> Result<Option<u64>, Problem> {
        let Some(text) = self.take(key) else {
            return Ok(None);
        };
        let number = text.parse();
        number
            .map(Some)
            .map_err(|_| Problem::invalid(key, "has to be a whole number"))
    }

    pub(crate) fn finish(self) -> Result<(), Problem> {
        match self.0.first() {
            None => Ok(()),
            Some((key, _)) => {
                let key = shortened(key.clone());
                Err(Problem::invalid(key, "is no parameter of this route"))
            }
        }
    }
}

/// A span of time as people write it: `30s`, `500ms`, `1m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span(pub(crate) Duration);

impl FromStr for Span {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wanted = "has to be a number with ms, s or m, such as 30s, 500ms or 1m";
        let end = text.find(|c: char| !c.is_ascii_digit()).ok_or(wanted)?;
        let number: u64 = text[..end].parse().map_err(|_| wanted)?;
        let ms = match &text[end..] {
            "ms" => number,
            "s" => number.saturating_mul(1_000),
            "m" => number.saturating_mul(60_000),
            _ => return Err(wanted),
        };
        Ok(Self(Duration::from_millis(ms)))
    }
}

impl JsonSchema for Span {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^[0-9]{1,9}(ms|s|m)$",
            "examples": ["30s", "500ms", "1m"],
        })
    }
}

/// How many on a page, as descriptions say it: each verb checks it.
pub(crate) struct PageSize;

impl JsonSchema for PageSize {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "PageSize".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "integer", "minimum": 1, "maximum": 1000})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_as_people_write_them() {
        for (text, ms) in [("30s", 30_000), ("500ms", 500), ("1m", 60_000), ("0s", 0)] {
            assert_eq!(text.parse(), Ok(Span(Duration::from_millis(ms))), "{text}");
        }
        for bad in ["", "s", "30", "-1s", "1.5s", "1h", "99999999999999999999s"] {
            assert!(bad.parse::<Span>().is_err(), "{bad}");
        }
    }
}

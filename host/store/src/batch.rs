//! Gathers documents for one answer and keeps it to the rows and bytes that were asked for.

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer as _;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;
use taskhost_model::query::{Query, SIZE_DEFAULT, SIZE_MAX};

use crate::streams::Batch;

/// An answer that grows.
#[derive(Debug)]
pub(crate) struct Gathering<'a> {
    rows_max: u64,
    bytes_max: u64,
    bytes: u64,
    fields: Option<&'a [String]>,
    batch: Batch,
}

/// What became of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It is in the answer, or left out for good.
    Yes,
    /// The answer has all its rows.
    RowsFull,
    /// The answer has no room for it; a later one has.
    BytesFull,
}

impl<'a> Gathering<'a> {
    pub(crate) fn new(query: &'a Query, bytes_max: u64) -> Self {
        Self {
            rows_max: rows(query, SIZE_DEFAULT),
            bytes_max: bytes_max.min(query.max_bytes.unwrap_or(u64::MAX)),
            bytes: 0,
            fields: query.fields.as_deref(),
            batch: Batch::default(),
        }
    }

    /// Adds a document, if there is room for it.
    pub(crate) fn take(&mut self, body: &str) -> Taken {
        if self.batch.documents.len() as u64 >= self.rows_max {
            return Taken::RowsFull;
        }
        let document = match self.fields {
            Some(fields) => Cow::Owned(only(fields, body)),
            None => Cow::Borrowed(body),
        };
        let size = document.len() as u64;
        if size > self.bytes_max {
            self.batch.left_out += 1;
            return Taken::Yes;
        }
        if self.bytes + size > self.bytes_max {
            self.batch.truncated = true;
            return Taken::BytesFull;
        }
        self.bytes += size;
        self.batch.documents.push(document.into_owned());
        Taken::Yes
    }

    pub(crate) fn finish(self) -> Batch {
        self.batch
    }
}

/// How many rows a query asks for.
pub(crate) fn rows(query: &Query, default: u64) -> u64 {
    query.size.unwrap_or(default).min(SIZE_MAX)
}

/// The document with these top-level fields only, each value to the letter. A text that is no
/// object stays as it is.
fn only(fields: &[String], body: &str) -> String {
    let mut reader = serde_json::Deserializer::from_str(body);
    reader
        .deserialize_map(Only(fields))
        .unwrap_or_else(|_| body.to_owned())
}

struct Only<'a>(&'a [String]);

impl<'de> Visitor<'de> for Only<'_> {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<String, A::Error> {
        let mut text = String::from("{");
        while let Some((key, value)) = entries.next_entry::<Cow<'de, str>, &'de RawValue>()? {
            if self.0.iter().any(|field| *field == key) {
                if text.len() > 1 {
                    text.push(',');
                }
                let key = serde_json::to_string(&key).map_err(serde::de::Error::custom)?;
                text.extend([key.as_str(), ":", value.get()]);
            }
        }
        text.push('}');
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use taskhost_model::time::Timestamp;

    fn query() -> Query {
        Query::range(Timestamp::from_ms(0), Timestamp::from_ms(1))
    }

    #[test]
    fn fields_are_cut_to_the_letter() {
        let body = r#"{"a":1e400,"b":{"c":1},"x\"":  [ 1, 2 ],"d":"\u0000"}"#;
        let fields = ["x\"".to_owned(), "a".to_owned(), "none".to_owned()];
        assert_eq!(only(&fields, body), r#"{"a":1e400,"x\"":[ 1, 2 ]}"#);
        assert_eq!(only(&[], body), "{}");
        assert_eq!(only(&fields, "[1]"), "[1]");
    }

    #[test]
    fn rows_and_bytes_are_kept_and_what_was_cut_is_said() {
        let mut asked = query();
        asked.size = Some(2);
        let mut gathering = Gathering::new(&asked, 10);
        assert_eq!(gathering.take("0123456789a"), Taken::Yes);
        assert_eq!(gathering.take("01234"), Taken::Yes);
        assert_eq!(gathering.take("012345"), Taken::BytesFull);
        assert_eq!(gathering.take("01234"), Taken::Yes);
        assert_eq!(gathering.take("1"), Taken::RowsFull);
        let batch = gathering.finish();
        assert_eq!(
            (batch.documents.len(), batch.left_out, batch.truncated),
            (2, 1, true)
        );
        asked.max_bytes = Some(3);
        let mut gathering = Gathering::new(&asked, 10);
        assert_eq!(gathering.take("1234"), Taken::Yes);
        assert_eq!(gathering.finish().left_out, 1);
    }
}

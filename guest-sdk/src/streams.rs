//! The documents of the stream that the task was scheduled on.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::bindings::ask_host;
use crate::bindings::taskhost::task::{context, streams};
use crate::error::Error;
use crate::json::{answer, encode};
use crate::query::Query;

/// Reads stream data, with the rights of whoever asked for the run. Reached as `clients.streams`.
///
/// ```no_run
/// # fn run(clients: &taskhost_sdk::Clients) -> Result<(), taskhost_sdk::Error> {
/// let stream = clients.streams.own()?;
/// assert_eq!(clients.streams.named("logs").name(), "logs");
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct Streams;

impl Streams {
    /// The stream that the task was scheduled on.
    ///
    /// # Errors
    /// `no-stream` when it was scheduled without one.
    pub fn own(&self) -> Result<Stream, Error> {
        ask_host("streams.own");
        context::stream()
            .map(|name| Stream { name })
            .ok_or_else(|| {
                Error::failed(
                    "no-stream",
                    "the task was scheduled without a stream: give it one",
                )
            })
    }

    /// A stream by name; calls on another one than the run's own are answered `denied`.
    #[must_use]
    pub fn named(&self, name: &str) -> Stream {
        Stream {
            name: name.to_owned(),
        }
    }
}

/// One stream.
///
/// All calls fail with `denied` for another stream than the run's own, `not-found`, `invalid` with
/// the field, `canceled`, `deadline`, and with `unavailable`, which is retryable.
///
/// ```no_run
/// # fn run(clients: &taskhost_sdk::Clients) -> Result<(), taskhost_sdk::Error> {
/// use taskhost_sdk::{Condition, Query};
///
/// #[derive(serde::Deserialize)]
/// struct Line {
///     message: String,
/// }
///
/// let stream = clients.streams.own()?;
/// let about = stream.describe()?;
/// let day = Query::new("2026-11-24T00:00:00Z", "2026-11-25T00:00:00Z");
///
/// let errors = day.clone().matching(Condition::contains("message", "error"));
/// taskhost_sdk::info!("{} of {}", stream.count(&errors)?.value, about.documents);
///
/// let lines: Vec<Line> = stream.sample(&day.clone().size(1_000).seed(1))?.parse()?;
/// for batch in stream.sample_many(&[day.clone(), errors])? {
///     taskhost_sdk::info!("{} documents", batch?.documents.len());
/// }
/// for field in stream.field_stats(&day)?.fields {
///     taskhost_sdk::info!("{} has {} values", field.field, field.distinct);
/// }
///
/// // Everything, page by page.
/// let mut page = day.size(5_000);
/// loop {
///     let batch = stream.search(&page)?;
///     // … work through batch.documents …
///     if batch.next.is_none() {
///         break;
///     }
///     page = page.cursor(batch.next);
/// }
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    name: String,
}

impl Stream {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is and holds.
    ///
    /// # Errors
    /// See [`Stream`].
    pub fn describe(&self) -> Result<StreamDescription, Error> {
        ask_host("stream.describe");
        answer(&streams::describe(&self.name)?, "the stream's description")
    }

    /// How many documents match.
    ///
    /// # Errors
    /// See [`Stream`].
    pub fn count(&self, query: &Query) -> Result<Count, Error> {
        ask_host("stream.count");
        answer(
            &streams::count(&self.name, &encode(query, "the query")?)?,
            "the count",
        )
    }

    /// A random sample without repetition, in random order.
    ///
    /// # Errors
    /// See [`Stream`].
    pub fn sample(&self, query: &Query) -> Result<Batch, Error> {
        ask_host("stream.sample");
        Batch::read(streams::sample(&self.name, &encode(query, "the query")?)?)
    }

    /// Several samples at once (at most 64), in order; their bytes together are limited as those
    /// of one are.
    ///
    /// # Errors
    /// See [`Stream`]; and each sample for itself.
    pub fn sample_many(&self, queries: &[Query]) -> Result<Vec<Result<Batch, Error>>, Error> {
        ask_host("stream.sample_many");
        let encoded = queries.iter().map(|query| encode(query, "a query"));
        let requests = encoded.collect::<Result<Vec<_>, _>>()?;
        let batches = streams::sample_many(&self.name, &requests)?;
        Ok(batches
            .into_iter()
            .map(|batch| Batch::read(batch?))
            .collect())
    }

    /// Which fields the documents have, of what types, and their most frequent values.
    ///
    /// # Errors
    /// See [`Stream`].
    pub fn field_stats(&self, query: &Query) -> Result<FieldStats, Error> {
        ask_host("stream.field_stats");
        let stats = streams::field_stats(&self.name, &encode(query, "the query")?)?;
        answer(&stats, "the field statistics")
    }

    /// Documents in order of time; [`Batch::next`] says where the next ones are.
    ///
    /// # Errors
    /// See [`Stream`].
    pub fn search(&self, query: &Query) -> Result<Batch, Error> {
        ask_host("stream.search");
        Batch::read(streams::search(&self.name, &encode(query, "the query")?)?)
    }
}

/// Documents, and what had to stay out.
///
/// ```
/// use taskhost_sdk::Batch;
///
/// let mut batch = Batch::default();
/// batch.documents.push(r#"{"message": "hello"}"#.to_owned());
/// let values: Vec<serde_json::Value> = batch.parse().unwrap();
/// assert_eq!(values[0]["message"], "hello");
/// assert!(batch.matched.is_none() && !batch.truncated && batch.left_out == 0);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Batch {
    /// Each a JSON object as text.
    pub documents: Vec<String>,
    /// How many match in all, where the host knows it exactly.
    pub matched: Option<u64>,
    /// A limit of bytes cut it: there are fewer than asked for, though more match.
    pub truncated: bool,
    /// Where a search goes on, for [`Query::cursor`]; none at the end.
    pub next: Option<String>,
    /// How many documents stayed out because each is above the limit of bytes by itself.
    pub left_out: u64,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Details {
    left_out: u64,
}

impl Batch {
    /// The documents as values of your own type.
    ///
    /// # Errors
    /// `unexpected-answer` where one of them is not of that type.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<Vec<T>, Error> {
        self.documents
            .iter()
            .map(|text| answer(text, "a document"))
            .collect()
    }

    fn read(batch: streams::Batch) -> Result<Self, Error> {
        let details = match &batch.details {
            Some(text) => answer(text, "the batch's details")?,
            None => Details::default(),
        };
        Ok(Self {
            documents: batch.documents,
            matched: batch.matched,
            truncated: batch.truncated,
            next: batch.next,
            left_out: details.left_out,
        })
    }
}

/// What a stream is and holds.
///
/// ```
/// use taskhost_sdk::StreamDescription;
/// let about: StreamDescription =
///     serde_json::from_str(r#"{"name": "logs", "documents": 0, "bytes": 0}"#).unwrap();
/// assert!(about.description.is_none() && about.first_ms.is_none() && about.last_ms.is_none());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct StreamDescription {
    /// Its name.
    pub name: String,
    /// What people wrote about it.
    pub description: Option<String>,
    /// How many documents it holds.
    pub documents: u64,
    /// The time of its oldest document, in milliseconds since 1970.
    pub first_ms: Option<i64>,
    /// The time of its newest document, in milliseconds since 1970.
    pub last_ms: Option<i64>,
    /// The size of its documents as JSON.
    pub bytes: u64,
}

/// How many documents match.
///
/// ```
/// use taskhost_sdk::{Count, Relation};
/// let count: Count = serde_json::from_str(r#"{"value": 7, "relation": "eq"}"#).unwrap();
/// assert_eq!((count.value, count.relation), (7, Relation::Eq));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Count {
    /// The number.
    pub value: u64,
    /// How exact it is.
    pub relation: Relation,
}

/// How exact a count is.
///
/// ```
/// use taskhost_sdk::Relation;
/// assert_eq!(serde_json::from_str::<Relation>(r#""gte""#).unwrap(), Relation::Gte);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Relation {
    /// Exactly so many.
    Eq,
    /// At least so many: counting stopped there.
    Gte,
    /// About so many; also what a newer host says and this kit does not know.
    #[serde(other)]
    Estimate,
}

/// Which fields documents have.
///
/// ```
/// use taskhost_sdk::FieldStats;
/// let stats: FieldStats = serde_json::from_str(r#"{"documents": 0, "fields": []}"#).unwrap();
/// assert_eq!((stats.documents, stats.fields_left_out), (0, 0));
/// ```
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct FieldStats {
    /// How many documents were looked at.
    pub documents: u64,
    /// The fields, most frequent first; at most 1,000.
    pub fields: Vec<FieldSummary>,
    /// How many more fields occur.
    #[serde(default)]
    pub fields_left_out: u64,
}

/// What values a field has.
///
/// ```
/// use taskhost_sdk::FieldSummary;
/// let summary: FieldSummary = serde_json::from_str(
///     r#"{"field": "level", "present": 3, "types": {"string": 3}, "distinct": 2,
///         "distinct_exact": true, "top": [{"value": "info", "count": 2}]}"#,
/// )
/// .unwrap();
/// assert_eq!((summary.types["string"], summary.top[0].count), (3, 2));
/// ```
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct FieldSummary {
    /// Its name; of a nested one the path, with dots.
    pub field: String,
    /// How many of the documents have it.
    pub present: u64,
    /// How many have it as `string`, `number`, `boolean`, `array`, `object` or `null`.
    pub types: BTreeMap<String, u64>,
    /// How many different values it has, at least.
    pub distinct: u64,
    /// Whether it has exactly so many.
    pub distinct_exact: bool,
    /// The most frequent values, most frequent first.
    pub top: Vec<ValueCount>,
}

/// One of a field's most frequent values.
///
/// ```
/// use taskhost_sdk::ValueCount;
/// let top: ValueCount = serde_json::from_str(r#"{"value": "info", "count": 2}"#).unwrap();
/// assert_eq!(top.value, "info");
/// ```
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ValueCount {
    /// A text (above 256 characters it is cut), a number, true or false.
    pub value: Value,
    /// How many of the documents have it.
    pub count: u64,
}

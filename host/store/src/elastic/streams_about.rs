//! What is known of streams, as far as the requester may know it.

use serde::Deserialize;
use serde_json::{Value, json};
use taskhost_model::ids::StreamName;
use taskhost_model::query::Query;
use taskhost_model::requester::Requester;
use taskhost_model::time::Timestamp;

use super::client::{Client, Request};
use super::query::TIMESTAMP;
use super::streams_reader::{Reader, SEARCH_TIME};
use super::streams_scan::{Order, Scan};
use crate::error::StoreError;
use crate::streams::{Stream, StreamSettings};

/// More streams are not listed.
const LISTED_MAX: usize = 1_000;
/// So many documents tell how large all are.
const WEIGHED: u64 = 100;
/// So many are asked about in one request.
const ASKED_AT_ONCE: usize = 100;

/// What a search tells of a stream.
#[derive(Debug, Deserialize)]
struct Told {
    hits: Option<Hits>,
    aggregations: Option<Ends>,
}

#[derive(Debug, Deserialize)]
struct Hits {
    total: Total,
}

#[derive(Debug, Deserialize)]
struct Total {
    value: u64,
}

#[derive(Debug, Deserialize)]
struct Ends {
    first: Value,
    last: Value,
}

#[derive(Debug, Deserialize)]
struct Resolved {
    #[serde(default)]
    indices: Vec<Named>,
    #[serde(default)]
    aliases: Vec<Named>,
    #[serde(default)]
    data_streams: Vec<Named>,
}

#[derive(Debug, Deserialize)]
struct Named {
    name: String,
    /// Of an index: the data stream that it belongs to.
    data_stream: Option<String>,
    /// Of an alias: what it stands for.
    #[serde(default)]
    indices: Vec<String>,
}

/// One stream.
pub(super) async fn one(reader: &Reader, name: &StreamName) -> Result<Option<Stream>, StoreError> {
    match about(reader, name).await {
        Ok(stream) => Ok(Some(stream)),
        Err(StoreError::UnknownStream { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn about(reader: &Reader, name: &StreamName) -> Result<Stream, StoreError> {
    reader.capabilities(&[]).await?;
    let request = reader
        .post("_search")
        .with("allow_partial_search_results", "false")
        .json(&question());
    let told: Told = reader.answer(request).await?.json()?;
    let mut stream = told.stream(name.clone());
    let settings = reader.creation().await?;
    stream.created_at = settings.as_ref().and_then(made_at);
    stream.bytes = Some(bytes(reader, stream.documents).await?);
    Ok(stream)
}

/// The size of so many documents, by some of them: Elasticsearch counts what it needs for them,
/// and tells that to whoever may watch it.
async fn bytes(reader: &Reader, documents: u64) -> Result<u64, StoreError> {
    let always = Timestamp::from_ms;
    let plan = reader
        .plan(&Query::range(always(i64::MIN), always(i64::MAX)))
        .await?;
    let Some(mut scan) = Scan::begin(reader, &plan, Order::random(0), WEIGHED).await? else {
        return Ok(0);
    };
    let (mut number, mut bytes) = (0, 0);
    let end = scan.each(|found| {
        number += 1;
        bytes += found.body.len() as u64;
        number < WEIGHED
    });
    end.await?;
    Ok(bytes * documents / number.max(1))
}

/// All streams, by name.
pub(super) async fn all(client: &Client, requester: &Requester) -> Result<Vec<Stream>, StoreError> {
    let any = StreamName::parse("any").map_err(|_| StoreError::InvalidCursor)?;
    let reader = Reader::new(client, requester, &any)?;
    // Hidden ones are not open to a wildcard.
    let request = Request::get("_resolve/index/*").with("expand_wildcards", "open");
    let Some(resolved) = reader.permitted(request).await? else {
        return Ok(Vec::new());
    };
    let resolved: Resolved = serde_json::from_value(resolved).map_err(|error| {
        super::client::unavailable(&format!("Elasticsearch names its indices oddly: {error}"))
    })?;
    let mut streams = Vec::new();
    for names in resolved.names().chunks(ASKED_AT_ONCE) {
        streams.extend(several(&reader, names).await?);
    }
    Ok(streams)
}

/// Those of these streams that can be read.
async fn several(reader: &Reader, names: &[StreamName]) -> Result<Vec<Stream>, StoreError> {
    #[derive(Deserialize)]
    struct Answers {
        responses: Vec<Told>,
    }
    let question = question().to_string();
    let mut lines = String::new();
    for name in names {
        let header = json!({
            "index": name, "expand_wildcards": "none", "allow_no_indices": false,
            "allow_partial_search_results": false,
        });
        lines.push_str(&format!("{header}\n{question}\n"));
    }
    let request = Request::post("_msearch").lines(lines);
    // Refused as a whole to whoever may search in nothing, though they may know the names.
    let Some(answers) = reader.permitted(request).await? else {
        return Ok(Vec::new());
    };
    let answers: Answers = serde_json::from_value(answers).map_err(|error| {
        super::client::unavailable(&format!("Elasticsearch tells oddly of streams: {error}"))
    })?;
    let told = names.iter().zip(answers.responses);
    // Of one that is gone or cannot be read nothing is told.
    let told = told.filter(|(_, told)| told.hits.is_some());
    Ok(told.map(|(name, told)| told.stream(name.clone())).collect())
}

fn question() -> Value {
    json!({
        "size": 0,
        "track_total_hits": true,
        "timeout": SEARCH_TIME,
        "aggs": {
            "first": {"min": {"field": TIMESTAMP}},
            "last": {"max": {"field": TIMESTAMP}},
        },
    })
}

impl Told {
    fn stream(self, name: StreamName) -> Stream {
        let at = |end: &Value| {
            // A float of milliseconds.
            let ms = end["value"].as_f64()?.round();
            format!("{ms:.0}").parse().ok().map(Timestamp::from_ms)
        };
        let ends = self.aggregations.as_ref();
        Stream {
            name,
            created_at: None,
            // What goes when is the cluster's affair.
            settings: StreamSettings {
                description: None,
                retention_days: u32::MAX,
                max_bytes: u64::MAX,
            },
            documents: self.hits.map_or(0, |hits| hits.total.value),
            bytes: None,
            first_at: ends.and_then(|ends| at(&ends.first)),
            last_at: ends.and_then(|ends| at(&ends.last)),
        }
    }
}

impl Resolved {
    /// What can be a stream, by name. Of a data stream its own name alone, not its indices'.
    fn names(self) -> Vec<StreamName> {
        let is_hidden = |name: &String| name.starts_with('.');
        let indices = self.indices.into_iter();
        let indices = indices.filter(|index| index.data_stream.is_none());
        let aliases = self.aliases.into_iter();
        let aliases = aliases.filter(|alias| !alias.indices.iter().any(is_hidden));
        let all = indices.chain(aliases).chain(self.data_streams);
        let names = all.filter_map(|named| StreamName::parse(&named.name).ok());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names.dedup();
        names.truncate(LISTED_MAX);
        names
    }
}

/// When the oldest of the indices was made.
fn made_at(settings: &Value) -> Option<Timestamp> {
    let each = settings.as_object()?.values();
    let made = each.filter_map(|index| {
        let text = index["settings"]["index.creation_date"].as_str()?;
        text.parse().ok().map(Timestamp::from_ms)
    });
    made.min()
}

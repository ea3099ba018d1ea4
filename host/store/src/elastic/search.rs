//! Searches. What they show may be a second old: whoever needs more refreshes before, or reads what
//! was found again by its id.

use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use taskhost_model::ids::TypeId;
use taskhost_model::time::Timestamp;

use super::Elastic;
use super::client::{Answer, Request, unavailable};
use super::group::Seen;
use super::hot::{Current, Hot};
use super::names::Index;
use super::recent::Turn;
use crate::error::StoreError;

/// So many hits a search has at most, as Elasticsearch is set up by itself.
pub(super) const HITS_MAX: usize = 10_000;
/// So many hits are asked for at once where all are wanted.
pub(super) const PAGE: usize = 1_000;

/// Something found.
#[derive(Debug)]
pub(super) struct Hit {
    pub(super) id: String,
    pub(super) seen: Option<Seen>,
    pub(super) source: Bytes,
    pub(super) sort: Vec<Value>,
}

#[derive(Deserialize)]
struct Answered<'a> {
    #[serde(borrow)]
    hits: Option<Hits<'a>>,
    error: Option<super::client::Cause>,
    status: Option<u16>,
}

#[derive(Deserialize)]
struct Hits<'a> {
    #[serde(borrow, default)]
    hits: Vec<RawHit<'a>>,
}

#[derive(Deserialize)]
struct RawHit<'a> {
    #[serde(rename = "_id")]
    id: String,
    #[serde(rename = "_seq_no")]
    number: Option<u64>,
    #[serde(rename = "_primary_term")]
    term: Option<u64>,
    #[serde(borrow, rename = "_source")]
    source: Option<&'a RawValue>,
    #[serde(default)]
    sort: Vec<Value>,
}

impl Elastic {
    /// What was found.
    pub(super) async fn search(&self, index: Index, body: &Value) -> Result<Vec<Hit>, StoreError> {
        let answer = self.ask(index, body).await?;
        let answered: Answered<'_> = read(&answer)?;
        hits(&answer, answered)
    }

    /// Everything that this query finds, a page at a time, sorted by a field that no two have in
    /// common; until `each` answers false. With these fields of the source, or without any of it.
    pub(super) async fn search_all(
        &self,
        index: Index,
        query: &Value,
        (unique_field, fields): (&str, &[&str]),
        mut each: impl FnMut(Hit) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError> {
        // A list of no fields would mean all of them.
        let source = if fields.is_empty() {
            json!(false)
        } else {
            json!(fields)
        };
        let mut body = json!({
            "query": query, "size": PAGE, "sort": [{ unique_field: "asc" }],
            "track_total_hits": false, "seq_no_primary_term": true, "_source": source,
        });
        loop {
            let hits = self.search(index, &body).await?;
            let is_last = hits.len() < PAGE;
            if let Some(last) = hits.last() {
                body["search_after"] = Value::Array(last.sort.clone());
            }
            for hit in hits {
                if !each(hit)? {
                    return Ok(());
                }
            }
            if is_last {
                return Ok(());
            }
        }
    }

    /// The answer to a search.
    pub(super) async fn ask(&self, index: Index, body: &Value) -> Result<Answer, StoreError> {
        let path = format!("{}/_search", self.names.alias(index));
        self.client
            .expect(&Request::post(path).json(body), &[200])
            .await
    }

    /// From now on searches show what was written before.
    pub(super) async fn refresh(&self, index: Index) -> Result<(), StoreError> {
        let path = format!("{}/_refresh", self.names.alias(index));
        self.client
            .expect(&Request::post(path), &[200])
            .await
            .map(drop)
    }

    /// For each of these the first runs that are due, after a place in the queue.
    pub(super) async fn search_due(
        &self,
        wanted: &[Due<'_>],
        now: Timestamp,
        size: usize,
    ) -> Result<Vec<Vec<Current>>, StoreError> {
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let alias = self.names.alias(Index::Tasks);
        let mut lines = String::new();
        for due in wanted {
            lines.push_str(&json!({ "index": alias }).to_string());
            lines.push('\n');
            lines.push_str(&due.body(now, size).to_string());
            lines.push('\n');
        }
        let answer = self
            .client
            .expect(&Request::post("_msearch").lines(lines), &[200])
            .await?;
        #[derive(Deserialize)]
        struct All<'a> {
            #[serde(borrow)]
            responses: Vec<Answered<'a>>,
        }
        let all: All<'_> = read(&answer)?;
        let each = all.responses.into_iter().map(|answered| {
            let hits = hits(&answer, answered)?.into_iter();
            hits.filter_map(|hit| hit.task().transpose())
                .collect::<Result<Vec<_>, _>>()
        });
        each.collect()
    }
}

/// What is looked for in the queue.
#[derive(Debug)]
pub(super) struct Due<'a> {
    pub(super) type_id: &'a TypeId,
    /// Lanes in which there is no room.
    pub(super) without: Vec<String>,
    pub(super) after: Option<Turn>,
}

impl Due<'_> {
    fn body(&self, now: Timestamp, size: usize) -> Value {
        let mut query = json!({ "bool": { "filter": [
            { "terms": { "place": ["ready", "waiting"] } },
            { "term": { "type": self.type_id } },
            { "range": { "run.due_at": { "lte": now } } },
        ] } });
        if !self.without.is_empty() {
            query["bool"]["must_not"] = json!({ "bool": { "filter": [
                { "terms": { "lane": self.without } },
                { "term": { "holds_key": false } },
            ] } });
        }
        let mut body = json!({
            "query": query, "size": size, "track_total_hits": false,
            "seq_no_primary_term": true,
            "sort": [{ "run.rank": "asc" }, { "created_at": "asc" }, { "run.id": "asc" }],
        });
        if let Some((rank, created_ms, run)) = self.after {
            body["search_after"] = json!([rank, created_ms, run]);
        }
        body
    }
}

impl Hit {
    /// It as a task's document, if it can be read.
    pub(super) fn task(self) -> Result<Option<Current>, StoreError> {
        let seen = self
            .seen
            .ok_or_else(|| unavailable("a hit has no version"))?;
        let hot = Hot::readable(&self.source).map(Arc::new);
        Ok(hot.map(|hot| Current { seen, hot }))
    }
}

fn read<'a, T: Deserialize<'a>>(answer: &'a Answer) -> Result<T, StoreError> {
    serde_json::from_slice(&answer.body)
        .map_err(|error| unavailable(&format!("Elasticsearch has answered oddly: {error}")))
}

fn hits(answer: &Answer, answered: Answered<'_>) -> Result<Vec<Hit>, StoreError> {
    if let Some(cause) = answered.error {
        return Err(cause.error(answered.status.unwrap_or(500)));
    }
    let hits = answered.hits.map(|hits| hits.hits).unwrap_or_default();
    let each = hits.into_iter().map(|hit| Hit {
        id: hit.id,
        seen: hit
            .number
            .zip(hit.term)
            .map(|(number, term)| Seen { term, number }),
        source: hit
            .source
            .map(|raw| answer.body.slice_ref(raw.get().as_bytes()))
            .unwrap_or_default(),
        sort: hit.sort,
    });
    Ok(each.collect())
}

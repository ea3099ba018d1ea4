//! Documents in an order, page after page, all from one point in time.
//!
//! # Bounds
//! A page has some MiB, as far as can be told from the pages before it. A scan ends after
//! [`TIME_MAX`] or [`DOCUMENTS_MAX`], and says so.

use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::client::Request;
use super::query::{Bound, in_range};
use super::streams_reader::{Plan, Reader, SEARCH_TIME};
use crate::error::StoreError;
use crate::sample::place;

/// A scan ends after so long.
const TIME_MAX: Duration = Duration::from_secs(20);
/// A scan ends after so many documents.
pub(super) const DOCUMENTS_MAX: u64 = 200_000;
/// A page is meant to be so large.
const PAGE_BYTES: u64 = 8 * 1024 * 1024;
/// The first page, before it is known how large documents are.
const FIRST_PAGE: u64 = 100;
/// The largest page: half of what an index gives by default. Each costs a look at all documents.
const PAGE_MAX: u64 = 5_000;
/// Elasticsearch keeps the point in time for so long after each page.
const KEPT_FOR: &str = "1m";

/// How a scan came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// There are no more documents.
    All,
    /// Its visitor wanted no more.
    Stopped,
    /// There are more than [`Scan::total_max`]; none was shown.
    TooMany,
    /// The time or the documents that one scan has were used up.
    Bounds,
}

/// In which order documents come.
#[derive(Debug, Clone)]
pub(super) struct Order {
    /// Elasticsearch's `sort`; it ends with `_shard_doc`.
    pub(super) sort: Value,
    /// Documents are given places by chance, by this seed.
    pub(super) seed: Option<i32>,
    /// Where it begins, as values of `sort`.
    pub(super) after: Option<Value>,
}

impl Order {
    /// The order that costs nothing.
    pub(super) fn any() -> Self {
        Self {
            sort: json!(["_shard_doc"]),
            seed: None,
            after: None,
        }
    }

    /// The random order of a seed.
    pub(super) fn random(seed: u64) -> Self {
        // Documents with one place are told apart by what stays the same.
        Self {
            sort: json!([{"_score": "desc"}, {"_seq_no": "asc"}, {"_shard_doc": "asc"}]),
            seed: Some(folded(seed)),
            after: None,
        }
    }
}

/// Elasticsearch takes seeds of 32 bits.
fn folded(seed: u64) -> i32 {
    let mixed = place(seed, 0).to_le_bytes();
    i32::from_le_bytes([mixed[0], mixed[1], mixed[2], mixed[3]])
}

/// A document that was found.
#[derive(Debug)]
pub(super) struct Found<'a> {
    /// Its JSON text, as it was written.
    pub(super) body: &'a str,
    /// Its values of `sort`.
    pub(super) place: &'a [Value],
}

/// A scan.
#[derive(Debug)]
pub(super) struct Scan<'a> {
    reader: &'a Reader,
    plan: &'a Plan,
    order: Order,
    moment: PointInTime,
    /// The query that Elasticsearch takes was found.
    bound: Bound,
    /// So many matching documents are wanted.
    wanted: u64,
    looked_at: u64,
    bytes: u64,
    until: Instant,
    /// How many documents there are in all; known after the first page.
    pub(super) total: u64,
    /// With more it does not begin.
    pub(super) total_max: u64,
}

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    hits: Hits<'a>,
    pit_id: Option<String>,
    timed_out: bool,
}

#[derive(Deserialize)]
struct Hits<'a> {
    total: Option<Total>,
    #[serde(borrow)]
    hits: Vec<Hit<'a>>,
}

#[derive(Deserialize)]
struct Total {
    value: u64,
}

#[derive(Deserialize)]
struct Hit<'a> {
    #[serde(borrow, rename = "_source")]
    source: Option<&'a RawValue>,
    sort: Vec<Value>,
}

impl<'a> Scan<'a> {
    /// Opens a point in time; none where no document can match.
    pub(super) async fn begin(
        reader: &'a Reader,
        plan: &'a Plan,
        order: Order,
        wanted: u64,
    ) -> Result<Option<Self>, StoreError> {
        if plan.bound == Bound::None {
            return Ok(None);
        }
        Ok(Some(Self {
            reader,
            plan,
            order,
            moment: PointInTime::open(reader).await?,
            bound: plan.bound.clone(),
            wanted,
            looked_at: 0,
            bytes: 0,
            until: Instant::now() + TIME_MAX,
            total: 0,
            total_max: u64::MAX,
        }))
    }

    /// Shows every document to `visit`, until that answers false.
    pub(super) async fn each(
        &mut self,
        mut visit: impl FnMut(&Found<'_>) -> bool + Send,
    ) -> Result<End, StoreError> {
        loop {
            let size = self.page_size();
            let answer = self.page(size).await?;
            let page: Page<'_> = serde_json::from_slice(&answer).map_err(|error| {
                super::client::unavailable(&format!("Elasticsearch's page is odd: {error}"))
            })?;
            if page.timed_out {
                return Ok(End::Bounds);
            }
            if let Some(id) = page.pit_id {
                self.moment.id = id;
            }
            if let Some(total) = page.hits.total {
                self.total = total.value;
                if self.total > self.total_max {
                    return Ok(End::TooMany);
                }
            }
            let is_last = (page.hits.hits.len() as u64) < size;
            for hit in page.hits.hits {
                let Some(source) = hit.source else {
                    return Err(self.reader.unfit("its documents keep no `_source`"));
                };
                self.looked_at += 1;
                self.bytes += source.get().len() as u64;
                let found = Found {
                    body: source.get(),
                    place: &hit.sort,
                };
                if !visit(&found) {
                    return Ok(End::Stopped);
                }
                self.order.after = Some(Value::Array(hit.sort));
            }
            if is_last {
                return Ok(End::All);
            }
            if self.looked_at >= DOCUMENTS_MAX || Instant::now() >= self.until {
                return Ok(End::Bounds);
            }
        }
    }

    fn page_size(&self) -> u64 {
        let fitting = match self.looked_at {
            0 => FIRST_PAGE,
            looked_at => PAGE_BYTES * looked_at / self.bytes.max(1),
        };
        // Of what is found not every document may match: then nobody knows how many it takes.
        let wanted = match self.plan.exact {
            true => self.wanted.saturating_sub(self.looked_at),
            false => u64::MAX,
        };
        let left = DOCUMENTS_MAX.saturating_sub(self.looked_at);
        fitting.min(wanted).min(left).clamp(1, PAGE_MAX)
    }

    /// One page. A query that Elasticsearch refuses (some clusters allow no patterns) is asked
    /// without the condition, which is evaluated here in any case.
    async fn page(&mut self, size: u64) -> Result<Bytes, StoreError> {
        if let Bound::Some(_) = &self.bound
            && self.looked_at == 0
        {
            let narrow = self
                .reader
                .answer_unless_refused(self.request(size))
                .await?;
            if let Some(answer) = narrow {
                return Ok(answer.body);
            }
            tracing::debug!(
                "Elasticsearch refuses a condition; documents are looked at one by one"
            );
            self.bound = Bound::All;
        }
        let answer = self.reader.answer(self.request(size)).await?;
        Ok(answer.body)
    }

    fn request(&self, size: u64) -> Request {
        let mut filter = in_range(self.plan.times, &self.bound);
        if let Some(seed) = self.order.seed {
            let random = json!({"seed": seed, "field": "_seq_no"});
            filter = json!({"function_score": {
                "query": filter, "random_score": random, "boost_mode": "replace",
            }});
        }
        let mut body = json!({
            "query": filter,
            "sort": self.order.sort,
            "size": size,
            "pit": {"id": self.moment.id, "keep_alive": KEPT_FOR},
            "track_total_hits": self.looked_at == 0,
            "timeout": SEARCH_TIME,
        });
        if let Some(after) = &self.order.after {
            body["search_after"] = after.clone();
        }
        Request::post("_search")
            .with("allow_partial_search_results", "false")
            .json(&body)
    }
}

/// A point in time, which is given back when it is no longer needed, also where whoever reads
/// goes away in the middle.
#[derive(Debug)]
struct PointInTime {
    reader: Reader,
    id: String,
}

impl PointInTime {
    async fn open(reader: &Reader) -> Result<Self, StoreError> {
        #[derive(Deserialize)]
        struct Opened {
            id: String,
        }
        let request = reader.post("_pit").with("keep_alive", KEPT_FOR);
        let opened: Opened = reader.answer(request).await?.json()?;
        Ok(Self {
            reader: reader.clone(),
            id: opened.id,
        })
    }
}

impl Drop for PointInTime {
    fn drop(&mut self) {
        let request = Request::delete("_pit").json(&json!({"id": self.id}));
        let reader = self.reader.clone();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            // Elasticsearch ends it by itself where this fails.
            runtime.spawn(async move { reader.answer(request).await.map(drop) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_that_differ_in_any_bit_draw_otherwise() {
        let seeds = (0..64).map(|bit| folded(1 << bit));
        let different: std::collections::BTreeSet<_> = seeds.chain([folded(0)]).collect();
        assert_eq!(different.len(), 65);
    }
}

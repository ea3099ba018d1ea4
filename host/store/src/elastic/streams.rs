//! Streams on Elasticsearch: an index, an alias or a data stream that the requester may read.
//!
//! # What belongs to whom
//! Streams belong to the cluster: they are made, filled and removed there, and the host reads
//! them with the requester's own credential, so that it can show nothing else. They belong to no
//! space. What the requester may not read is as if it were not there.
//!
//! # Samples
//! Elasticsearch gives each document a number by chance, by the seed and by the document's own
//! `_seq_no`; a sample is the first documents, by these, that match. A document that is written
//! again is another one.
//!
//! # Cursors
//! Documents of one millisecond come in the order of `_seq_no`, which each shard counts by
//! itself: a cursor is the time, that number, and how many documents with both were seen.

use async_trait::async_trait;
use serde_json::json;
use taskhost_model::ids::{Space, StreamKey};
use taskhost_model::query::{Query, SIZE_DEFAULT, Sort};
use taskhost_model::requester::Requester;
use taskhost_model::time::Timestamp;

use super::client::{Client, unavailable};
use super::query::TIMESTAMP;
use super::streams_about;
use super::streams_count;
use super::streams_reader::Reader;
use super::streams_scan::{DOCUMENTS_MAX, End, Found, Order, Scan};
use super::streams_turns::SearchTurns;
use crate::batch::{Gathering, Taken, rows};
use crate::cursor;
use crate::error::StoreError;
use crate::fields;
use crate::sample::random_seed;
use crate::streams::{
    Batch, Count, FieldStats, Stream, StreamDocument, StreamSettings, StreamStore,
};

/// Stream data in a cluster.
#[derive(Debug)]
pub(crate) struct Streams {
    client: Client,
    turns: SearchTurns,
}

impl Streams {
    pub(crate) fn new(client: Client) -> Self {
        let turns = SearchTurns::default();
        Self { client, turns }
    }

    fn reader(&self, requester: &Requester, key: &StreamKey) -> Result<Reader, StoreError> {
        Reader::new(&self.client, requester, &key.name)
    }
}

#[async_trait]
impl StreamStore for Streams {
    async fn put(&self, _key: &StreamKey, _: &StreamSettings) -> Result<bool, StoreError> {
        Err(embedded_only("making a stream"))
    }

    async fn get(
        &self,
        requester: &Requester,
        key: &StreamKey,
    ) -> Result<Option<Stream>, StoreError> {
        let _turn = self.turns.turn(&requester.credential).await?;
        streams_about::one(&self.reader(requester, key)?, &key.name).await
    }

    async fn list(&self, requester: &Requester, _: &Space) -> Result<Vec<Stream>, StoreError> {
        let _turn = self.turns.turn(&requester.credential).await?;
        streams_about::all(&self.client, requester).await
    }

    async fn delete(&self, _key: &StreamKey) -> Result<bool, StoreError> {
        Err(embedded_only("removing a stream"))
    }

    async fn ingest(&self, _: &StreamKey, _: Vec<StreamDocument>) -> Result<(), StoreError> {
        Err(embedded_only("adding documents to a stream"))
    }

    async fn count(
        &self,
        requester: &Requester,
        key: &StreamKey,
        query: &Query,
    ) -> Result<Count, StoreError> {
        let _turn = self.turns.turn(&requester.credential).await?;
        let reader = self.reader(requester, key)?;
        let plan = reader.plan(query).await?;
        streams_count::count(&reader, &plan, DOCUMENTS_MAX).await
    }

    async fn sample(
        &self,
        requester: &Requester,
        key: &StreamKey,
        query: &Query,
        bytes_max: u64,
    ) -> Result<Batch, StoreError> {
        let mut gathering = Gathering::new(query, bytes_max);
        let size = rows(query, SIZE_DEFAULT);
        let take = |body: &str| gathering.take(body) == Taken::Yes;
        let drawn = self.draw(requester, key, query, size, take).await?;
        let batch = gathering.finish();
        Ok(Batch {
            matched: drawn.matched,
            truncated: batch.truncated || drawn.cut,
            ..batch
        })
    }

    async fn search(
        &self,
        requester: &Requester,
        key: &StreamKey,
        query: &Query,
        bytes_max: u64,
    ) -> Result<Batch, StoreError> {
        let (kind, begin) = match query.sort {
            Some(Sort::Asc) => ("asc", i64::MIN),
            Some(Sort::Desc) | None => ("desc", i64::MAX),
        };
        let after = query.cursor.as_deref();
        let mut last = after.map(|text| Place::decode(kind, text)).transpose()?;
        let _turn = self.turns.turn(&requester.credential).await?;
        let reader = self.reader(requester, key)?;
        let plan = reader.plan(query).await?;
        let mut gathering = Gathering::new(query, bytes_max);
        let order = Order {
            sort: json!([
                {TIMESTAMP: {"order": kind, "numeric_type": "date", "unmapped_type": "date"}},
                {"_seq_no": kind}, {"_shard_doc": kind},
            ]),
            seed: None,
            // Before every document of that time and number.
            after: last.map(|last| json!([last.at_ms, last.number, begin])),
        };
        let size = rows(query, SIZE_DEFAULT);
        let scan = match size {
            0 => None,
            // One more tells whether there is a further page.
            _ => Scan::begin(&reader, &plan, order, size + 1).await?,
        };
        let Some(mut scan) = scan else {
            return Ok(gathering.finish());
        };
        let mut skipping = last.map_or(0, |last| last.seen);
        let mut odd = false;
        let end = scan.each(|found| {
            let Some(place) = Place::of(found, last) else {
                odd = true;
                return false;
            };
            let is_seen = skipping > 0 && last.is_some_and(|last| last.is_beside(&place));
            if is_seen {
                skipping -= 1;
                return true;
            }
            skipping = 0;
            if plan.matches(found.body) && gathering.take(found.body) != Taken::Yes {
                return false;
            }
            last = Some(place);
            true
        });
        let end = end.await?;
        if odd {
            return Err(unavailable("Elasticsearch has sorted by something else"));
        }
        let batch = gathering.finish();
        let next = last.filter(|_| end != End::All);
        Ok(Batch {
            next: next.map(|last| last.encode(kind)),
            truncated: batch.truncated || end == End::Bounds,
            ..batch
        })
    }

    async fn field_stats(
        &self,
        requester: &Requester,
        key: &StreamKey,
        query: &Query,
    ) -> Result<FieldStats, StoreError> {
        let size = rows(query, fields::SAMPLE_DEFAULT);
        let mut stats = fields::Gathering::new(query);
        self.draw(requester, key, query, size, |body| stats.take(body))
            .await?;
        Ok(stats.finish())
    }

    async fn enforce_retention(&self, _now: Timestamp) -> Result<u64, StoreError> {
        Err(embedded_only("letting old documents of streams go"))
    }
}

/// What is known after documents were drawn.
struct Drawn {
    /// How many match, where every document was looked at.
    matched: Option<u64>,
    /// There may be more than were drawn, and fewer were than wanted.
    cut: bool,
}

impl Streams {
    /// Hands over up to `size` documents that match, in random order, until `take` says no.
    async fn draw(
        &self,
        requester: &Requester,
        key: &StreamKey,
        query: &Query,
        size: u64,
        mut take: impl FnMut(&str) -> bool + Send,
    ) -> Result<Drawn, StoreError> {
        let _turn = self.turns.turn(&requester.credential).await?;
        let reader = self.reader(requester, key)?;
        let plan = reader.plan(query).await?;
        let seed = query.seed.unwrap_or_else(random_seed);
        let Some(mut scan) = Scan::begin(&reader, &plan, Order::random(seed), size).await? else {
            return Ok(Drawn {
                matched: Some(0),
                cut: false,
            });
        };
        let mut matched = 0;
        let end = scan.each(|found| {
            if matched < size && plan.matches(found.body) {
                matched += 1;
                return take(found.body) && matched < size;
            }
            matched < size
        });
        let end = end.await?;
        let all = if plan.exact { Some(scan.total) } else { None };
        Ok(Drawn {
            matched: all.or((end == End::All).then_some(matched)),
            cut: end == End::Bounds && matched < size,
        })
    }
}

/// A document's place in the order of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    at_ms: i64,
    /// Its `_seq_no`.
    number: i64,
    /// The how-manieth it is of that time and number.
    seen: i64,
}

impl Place {
    fn of(found: &Found<'_>, last: Option<Self>) -> Option<Self> {
        let mut place = Self {
            at_ms: found.place.first()?.as_i64()?,
            number: found.place.get(1)?.as_i64()?,
            seen: 1,
        };
        if let Some(last) = last.filter(|last| last.is_beside(&place)) {
            place.seen += last.seen;
        }
        Some(place)
    }

    fn is_beside(&self, other: &Self) -> bool {
        (self.at_ms, self.number) == (other.at_ms, other.number)
    }

    fn encode(self, kind: &str) -> String {
        let place = cursor::encode(kind, self.at_ms, self.number);
        format!("{place}.{:x}", self.seen)
    }

    fn decode(kind: &str, text: &str) -> Result<Self, StoreError> {
        let (place, seen) = text.rsplit_once('.').ok_or(StoreError::InvalidCursor)?;
        let (at_ms, number) = cursor::decode(kind, place)?;
        let seen = i64::from_str_radix(seen, 16).ok();
        let seen = seen
            .filter(|seen| *seen > 0)
            .ok_or(StoreError::InvalidCursor)?;
        Ok(Self {
            at_ms,
            number,
            seen,
        })
    }
}

fn embedded_only(what: &'static str) -> StoreError {
    StoreError::EmbeddedOnly { what }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_written_and_nothing_else() {
        let place = Place {
            at_ms: -5,
            number: 7,
            seen: 2,
        };
        let cursor = place.encode("asc");
        assert_eq!(Place::decode("asc", &cursor).unwrap(), place);
        assert!(Place::decode("desc", &cursor).is_err());
        for bad in [
            "",
            ".",
            "asc.1.2",
            "asc.1.2.0",
            "asc.1.2.-1",
            "asc.1.2.x",
            "asc.1.2.3.4",
        ] {
            assert!(Place::decode("asc", bad).is_err(), "{bad}");
        }
    }
}

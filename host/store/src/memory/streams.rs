//! Streams in memory.

use std::sync::Arc;

use async_trait::async_trait;
use taskhost_model::ids::{Space, StreamKey, StreamName};
use taskhost_model::query::{Query, SIZE_DEFAULT, Sort};
use taskhost_model::requester::Requester;
use taskhost_model::time::Timestamp;

use super::{Content, Memory, StreamEntry};
use crate::batch::{self, Taken};
use crate::cursor;
use crate::error::StoreError;
use crate::fields;
use crate::limits::within;
use crate::matching::{Matcher, all_or_matching};
use crate::sample::{self, First};
use crate::streams::{
    Batch, Count, FieldStats, Stream, StreamDocument, StreamSettings, StreamStore, retained_since,
};

#[async_trait]
impl StreamStore for Memory {
    async fn put(&self, key: &StreamKey, settings: &StreamSettings) -> Result<bool, StoreError> {
        let mut content = self.content()?;
        if let Some(entry) = content.streams.get_mut(key) {
            entry.stream.settings = settings.clone();
            return Ok(false);
        }
        let stream = Stream {
            name: key.name.clone(),
            created_at: Some(self.clock.now()),
            settings: settings.clone(),
            documents: 0,
            bytes: Some(0),
            first_at: None,
            last_at: None,
        };
        let entry = StreamEntry {
            stream,
            bytes: 0,
            last_number: 0,
            documents: Default::default(),
            arrivals: Default::default(),
        };
        content.streams.insert(key.clone(), entry);
        Ok(true)
    }

    async fn get(
        &self,
        requester: &Requester,
        key: &StreamKey,
    ) -> Result<Option<Stream>, StoreError> {
        if !self.readable(requester)?(&key.name) {
            return Ok(None);
        }
        let content = self.content()?;
        Ok(content.streams.get(key).map(|entry| entry.stream.clone()))
    }

    async fn list(&self, requester: &Requester, space: &Space) -> Result<Vec<Stream>, StoreError> {
        let is_readable = self.readable(requester)?;
        let content = self.content()?;
        let streams = content.streams.iter();
        let streams = streams.filter(|(key, _)| key.space == *space && is_readable(&key.name));
        Ok(streams.map(|(_, entry)| entry.stream.clone()).collect())
    }

    async fn delete(&self, key: &StreamKey) -> Result<bool, StoreError> {
        Ok(self.content()?.streams.remove(key).is_some())
    }

    async fn ingest(
        &self,
        key: &StreamKey,
        documents: Vec<StreamDocument>,
    ) -> Result<(), StoreError> {
        for document in &documents {
            let bytes_max = self.limits.stream_document_bytes_max;
            within("document", document.body.len(), bytes_max)?;
        }
        let arrived_ms = self.clock.now().as_ms();
        let mut content = self.content()?;
        let entry = content.streams.get_mut(key).ok_or_else(|| unknown(key))?;
        for document in documents {
            entry.last_number += 1;
            let place = (document.at.as_ms(), entry.last_number);
            entry.documents.insert(place, document.body);
            entry.arrivals.push_back((arrived_ms, place));
        }
        entry.recount();
        Ok(())
    }

    async fn count(
        &self,
        requester: &Requester,
        key: &StreamKey,
        query: &Query,
    ) -> Result<Count, StoreError> {
        self.must_read(requester, key)?;
        let content = self.content()?;
        let matching = content.stream(key)?.matching(query).len() as u64;
        Ok(Count::exactly(matching))
    }

    async fn sample(
        &self,
        requester: &Requester,
        key: &StreamKey,
        query: &Query,
        bytes_max: u64,
    ) -> Result<Batch, StoreError> {
        self.must_read(requester, key)?;
        let content = self.content()?;
        let mut found = batch::Gathering::new(query, bytes_max);
        let matching = content.stream(key)?.matching(query);
        for body in drawn(&matching, query, batch::rows(query, SIZE_DEFAULT)) {
            if found.take(body) == Taken::BytesFull {
                break;
            }
        }
        let matched = Some(matching.len() as u64);
        Ok(Batch {
            matched,
            ..found.finish()
        })
    }

    async fn search(
        &self,
        requester: &Requester,
        key: &StreamKey,
        query: &Query,
        bytes_max: u64,
    ) -> Result<Batch, StoreError> {
        self.must_read(requester, key)?;
        let content = self.content()?;
        let kind = match query.sort {
            Some(Sort::Asc) => "asc",
            Some(Sort::Desc) | None => "desc",
        };
        let after = query.cursor.as_deref();
        let mut last = after.map(|text| cursor::decode(kind, text)).transpose()?;
        let mut matching = content.stream(key)?.matching(query);
        if kind == "desc" {
            matching.reverse();
        }
        let mut found = batch::Gathering::new(query, bytes_max);
        let mut next = None;
        for (place, body) in matching {
            let place = (place.0, place.1.cast_signed());
            let seen = |last| {
                if kind == "asc" {
                    place <= last
                } else {
                    place >= last
                }
            };
            if last.is_some_and(seen) {
                continue;
            }
            if found.take(body) != Taken::Yes {
                next = last.map(|(at_ms, number)| cursor::encode(kind, at_ms, number));
                break;
            }
            last = Some(place);
        }
        Ok(Batch {
            next,
            ..found.finish()
        })
    }

    async fn field_stats(
        &self,
        requester: &Requester,
        key: &StreamKey,
        query: &Query,
    ) -> Result<FieldStats, StoreError> {
        self.must_read(requester, key)?;
        let content = self.content()?;
        let matching = content.stream(key)?.matching(query);
        let mut stats = fields::Gathering::new(query);
        for body in drawn(&matching, query, batch::rows(query, fields::SAMPLE_DEFAULT)) {
            if !stats.take(body) {
                break;
            }
        }
        Ok(stats.finish())
    }

    async fn enforce_retention(&self, now: Timestamp) -> Result<u64, StoreError> {
        let mut content = self.content()?;
        let mut gone = 0;
        for entry in content.streams.values_mut() {
            let since_ms = retained_since(now, &entry.stream.settings).as_ms();
            while let Some((arrived_ms, place)) = entry.arrivals.front().copied() {
                if arrived_ms >= since_ms && entry.bytes <= entry.stream.settings.max_bytes {
                    break;
                }
                entry.arrivals.pop_front();
                entry.documents.remove(&place);
                entry.recount();
                gone += 1;
            }
        }
        Ok(gone)
    }
}

impl Memory {
    /// Which streams whoever asks may read, should they be there.
    fn readable(
        &self,
        requester: &Requester,
    ) -> Result<impl Fn(&StreamName) -> bool + use<>, StoreError> {
        let people = self.people.as_ref();
        let rights = people
            .map(|people| people.rights_of(requester))
            .transpose()?;
        let rights = rights.flatten();
        Ok(move |name: &StreamName| rights.as_ref().is_none_or(|rights| rights.may_read(name)))
    }

    /// What they may not read is as if it were not there.
    fn must_read(&self, requester: &Requester, key: &StreamKey) -> Result<(), StoreError> {
        if self.readable(requester)?(&key.name) {
            Ok(())
        } else {
            Err(unknown(key))
        }
    }
}

impl Content {
    fn stream(&self, key: &StreamKey) -> Result<&StreamEntry, StoreError> {
        self.streams.get(key).ok_or_else(|| unknown(key))
    }
}

impl StreamEntry {
    fn recount(&mut self) {
        let bytes = self.documents.values().map(|body| body.len() as u64);
        let at = |entry: Option<(&(i64, u64), _)>| entry.map(|(key, _)| Timestamp::from_ms(key.0));
        self.bytes = bytes.sum();
        self.stream.bytes = Some(self.bytes);
        self.stream.documents = self.documents.len() as u64;
        self.stream.first_at = at(self.documents.first_key_value());
        self.stream.last_at = at(self.documents.last_key_value());
    }

    fn matching(&self, query: &Query) -> Vec<((i64, u64), &Arc<str>)> {
        if query.from >= query.to {
            return Vec::new();
        }
        let matcher = query.condition.clone().map(Matcher::new);
        let range = (query.from.as_ms(), 0)..(query.to.as_ms(), 0);
        let documents = self.documents.range(range);
        let matching = documents.filter(|(_, body)| all_or_matching(matcher.as_ref(), body));
        matching.map(|(place, body)| (*place, body)).collect()
    }
}

/// The first `size` documents in the sample's order.
fn drawn<'a>(matching: &[((i64, u64), &'a Arc<str>)], query: &Query, size: u64) -> Vec<&'a str> {
    let seed = query.seed.unwrap_or_else(sample::random_seed);
    let mut first = First::new(usize::try_from(size).unwrap_or(usize::MAX));
    for ((_, number), body) in matching {
        first.offer(sample::place(seed, *number), &***body);
    }
    first.into_ordered()
}

fn unknown(key: &StreamKey) -> StoreError {
    StoreError::UnknownStream {
        name: key.name.to_string(),
    }
}

//! Streams in SQLite.

use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::{Connection, params};
use taskhost_model::ids::{Space, StreamKey};
use taskhost_model::query::{Query, SIZE_DEFAULT};
use taskhost_model::requester::Requester;
use taskhost_model::time::Timestamp;

use super::range::{self, Range};
use super::retention::{self, DELETED_AT_A_TIME};
use super::stream_row::{self, by_key, existing};
use super::{Sqlite, drawing, ingest, search};
use crate::batch::{Gathering, Taken, rows};
use crate::crash::Step;
use crate::error::StoreError;
use crate::fields;
use crate::limits::within;
use crate::sample::random_seed;
use crate::streams::{
    Batch, Count, FieldStats, Stream, StreamDocument, StreamSettings, StreamStore,
};

#[async_trait]
impl StreamStore for Sqlite {
    async fn put(&self, key: &StreamKey, settings: &StreamSettings) -> Result<bool, StoreError> {
        let (key, settings, clock) = (key.clone(), settings.clone(), self.clock.clone());
        let work = move |connection: &Connection| put(connection, &key, &settings, clock.now());
        self.streams.writer.write(Step::Other, work).await
    }

    async fn get(
        &self,
        _requester: &Requester,
        key: &StreamKey,
    ) -> Result<Option<Stream>, StoreError> {
        let key = key.clone();
        let read = move |connection: &Connection| {
            Ok(by_key(connection, &key)?.map(|stored| stored.stream))
        };
        self.streams.readers.read(read).await
    }

    async fn list(&self, _requester: &Requester, space: &Space) -> Result<Vec<Stream>, StoreError> {
        let space = space.clone();
        let read = move |connection: &Connection| {
            let columns = stream_row::COLUMNS;
            let sql = format!("SELECT {columns} FROM streams WHERE space = ?1 ORDER BY name");
            let mut statement = connection.prepare_cached(&sql)?;
            let mut rows = statement.query([space.as_str()])?;
            let mut streams = Vec::new();
            while let Some(row) = rows.next()? {
                streams.push(stream_row::read(row)?.stream);
            }
            Ok(streams)
        };
        self.streams.readers.read(read).await
    }

    async fn delete(&self, key: &StreamKey) -> Result<bool, StoreError> {
        let key = key.clone();
        let work = move |connection: &Connection| {
            let Some(stored) = by_key(connection, &key)? else {
                return Ok(false);
            };
            // It is gone for every reader; its documents go bit by bit with the next retention.
            for sql in [
                "INSERT INTO deleted_streams (number) VALUES (?1)",
                "DELETE FROM streams WHERE number = ?1",
            ] {
                connection.prepare_cached(sql)?.execute([stored.number])?;
            }
            Ok(true)
        };
        self.streams.writer.write(Step::Other, work).await
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
        let (documents, mut done) = (Arc::new(documents), 0);
        loop {
            let (key, documents) = (key.clone(), Arc::clone(&documents));
            let (clock, reserve) = (self.clock.clone(), self.reserve.clone());
            let length = documents.len();
            let work = move |connection: &Connection| {
                ingest::add_some(connection, &reserve, &key, &documents[done..], clock.now())
            };
            done += self.streams.writer.write(Step::Ingest, work).await?;
            if done >= length {
                return Ok(());
            }
        }
    }

    async fn count(
        &self,
        _requester: &Requester,
        key: &StreamKey,
        query: &Query,
    ) -> Result<Count, StoreError> {
        self.over(key, query, |connection, range, _| {
            range::count(connection, range).map(Count::exactly)
        })
        .await
    }

    async fn sample(
        &self,
        _requester: &Requester,
        key: &StreamKey,
        query: &Query,
        bytes_max: u64,
    ) -> Result<Batch, StoreError> {
        let read = move |connection: &Connection, range: &Range, query: &Query| {
            let seed = query.seed.unwrap_or_else(random_seed);
            let drawn = drawing::draw(connection, range, seed, rows(query, SIZE_DEFAULT))?;
            let mut found = Gathering::new(query, bytes_max);
            let take = |body: &str| found.take(body) == Taken::Yes;
            drawing::bodies(connection, &drawn.numbers, take)?;
            let matched = drawn.matched;
            Ok(Batch {
                matched,
                ..found.finish()
            })
        };
        self.over(key, query, read).await
    }

    async fn search(
        &self,
        _requester: &Requester,
        key: &StreamKey,
        query: &Query,
        bytes_max: u64,
    ) -> Result<Batch, StoreError> {
        let read = move |connection: &Connection, range: &Range, query: &Query| {
            search::page(connection, range, query, bytes_max)
        };
        self.over(key, query, read).await
    }

    async fn field_stats(
        &self,
        _requester: &Requester,
        key: &StreamKey,
        query: &Query,
    ) -> Result<FieldStats, StoreError> {
        let read = |connection: &Connection, range: &Range, query: &Query| {
            let seed = query.seed.unwrap_or_else(random_seed);
            let size = rows(query, fields::SAMPLE_DEFAULT);
            let drawn = drawing::draw(connection, range, seed, size)?;
            let mut stats = fields::Gathering::new(query);
            drawing::bodies(connection, &drawn.numbers, |body| stats.take(body))?;
            Ok(stats.finish())
        };
        self.over(key, query, read).await
    }

    async fn enforce_retention(&self, now: Timestamp) -> Result<u64, StoreError> {
        let writer = &self.streams.writer;
        while writer.write(Step::Other, retention::purge_some).await? {}
        let mut gone = 0;
        for stream in self.streams.readers.read(retention::streams).await? {
            loop {
                let trim =
                    move |connection: &Connection| retention::trim_some(connection, stream, now);
                let some = writer.write(Step::Other, trim).await?;
                gone += some;
                if some < DELETED_AT_A_TIME {
                    break;
                }
            }
        }
        Ok(gone)
    }
}

impl Sqlite {
    /// Reads the documents of a stream that a query means, all from one snapshot.
    async fn over<T, F>(&self, key: &StreamKey, query: &Query, read: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection, &Range, &Query) -> Result<T, StoreError> + Send + 'static,
    {
        let (key, query) = (key.clone(), query.clone());
        let read = move |connection: &Connection| {
            let snapshot = connection.unchecked_transaction()?;
            let stored = existing(&snapshot, &key)?;
            read(&snapshot, &Range::of(&stored, &query), &query)
        };
        self.streams.readers.read_long(read).await
    }
}

fn put(
    connection: &Connection,
    key: &StreamKey,
    settings: &StreamSettings,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let days = settings.retention_days;
    let bytes_max = i64::try_from(settings.max_bytes).unwrap_or(i64::MAX);
    let description = settings.description.as_deref();
    if let Some(stored) = by_key(connection, key)? {
        let sql = "UPDATE streams SET description = ?2, retention_days = ?3, bytes_max = ?4 \
                   WHERE number = ?1";
        let values = (stored.number, description, days, bytes_max);
        connection.prepare_cached(sql)?.execute(values)?;
        return Ok(false);
    }
    let sql = "INSERT INTO streams (space, name, created_ms, description, retention_days, \
               bytes_max) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let (space, name) = (key.space.as_str(), key.name.as_str());
    let values = params![space, name, now.as_ms(), description, days, bytes_max];
    connection.prepare_cached(sql)?.execute(values)?;
    Ok(true)
}

//! The suite's cases of reads, over streams that are filled as a cluster's are.

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use async_trait::async_trait;
use serde_json::json;
use std::sync::Arc;
use taskhost_model::ids::{Space, StreamKey};
use taskhost_model::time::Timestamp;

use crate::conformance::{Subject, given, of_stream_reads};
use crate::error::StoreError;
use crate::limits::Limits;
use crate::open::{Stores, in_memory};
use crate::streams::{
    Batch, Count, FieldStats, Stream, StreamDocument, StreamSettings, StreamStore,
};

/// Streams of a cluster, made and filled past the store that reads them.
#[derive(Debug)]
struct Brought {
    server: Server,
    streams: Streams,
    number: u64,
}

impl Brought {
    fn new(server: Server) -> Self {
        static MADE: AtomicU64 = AtomicU64::new(0);
        Self {
            streams: server.streams(),
            server,
            number: MADE.fetch_add(1, Ordering::Relaxed),
        }
    }

    fn key(&self, key: &StreamKey) -> StreamKey {
        let name = format!("{}.{}", self.number, key.name);
        self.server.stream(&name)
    }
}

/// An error names the stream as it was asked for.
fn renamed<T>(answer: Result<T, StoreError>, key: &StreamKey) -> Result<T, StoreError> {
    answer.map_err(|error| match error {
        StoreError::UnknownStream { .. } => StoreError::UnknownStream {
            name: key.name.to_string(),
        },
        error => error,
    })
}

#[async_trait]
impl StreamStore for Brought {
    async fn put(&self, key: &StreamKey, _: &StreamSettings) -> Result<bool, StoreError> {
        let name = self.key(key).name;
        // Some of the suite's documents have numbers that no field holds; and by default a number
        // of four digits is a year.
        let time = json!({"type": "date", "format": "epoch_millis"});
        let mapping = json!({"dynamic": false, "properties": {"@timestamp": time}});
        let settings = json!({"number_of_shards": 1, "number_of_replicas": 0});
        let about = json!({"mappings": mapping, "settings": settings});
        let request = Request::put(name.as_str()).json(&about);
        let answer = self.server.client.send(&request).await?;
        Ok(answer.status == 200)
    }

    async fn get(&self, by: &Requester, key: &StreamKey) -> Result<Option<Stream>, StoreError> {
        self.streams.get(by, &self.key(key)).await
    }

    async fn list(&self, by: &Requester, space: &Space) -> Result<Vec<Stream>, StoreError> {
        self.streams.list(by, space).await
    }

    async fn delete(&self, key: &StreamKey) -> Result<bool, StoreError> {
        self.streams.delete(&self.key(key)).await
    }

    async fn ingest(
        &self,
        key: &StreamKey,
        documents: Vec<StreamDocument>,
    ) -> Result<(), StoreError> {
        let own = self.key(key);
        if self.get(&given::reader(), key).await?.is_none() {
            let name = key.name.to_string();
            return Err(StoreError::UnknownStream { name });
        }
        let bodies = documents.iter().map(|document| document.body.to_string());
        let bodies: Vec<_> = bodies.collect();
        let taken = self.server.write(&own, &bodies).await;
        assert_eq!(taken, vec![true; bodies.len()]);
        Ok(())
    }

    async fn count(
        &self,
        by: &Requester,
        key: &StreamKey,
        query: &Query,
    ) -> Result<Count, StoreError> {
        renamed(self.streams.count(by, &self.key(key), query).await, key)
    }

    async fn sample(
        &self,
        by: &Requester,
        key: &StreamKey,
        query: &Query,
        bytes_max: u64,
    ) -> Result<Batch, StoreError> {
        let own = self.key(key);
        renamed(self.streams.sample(by, &own, query, bytes_max).await, key)
    }

    async fn search(
        &self,
        by: &Requester,
        key: &StreamKey,
        query: &Query,
        bytes_max: u64,
    ) -> Result<Batch, StoreError> {
        let own = self.key(key);
        renamed(self.streams.search(by, &own, query, bytes_max).await, key)
    }

    async fn field_stats(
        &self,
        by: &Requester,
        key: &StreamKey,
        query: &Query,
    ) -> Result<FieldStats, StoreError> {
        let own = self.key(key);
        renamed(self.streams.field_stats(by, &own, query).await, key)
    }

    async fn enforce_retention(&self, now: Timestamp) -> Result<u64, StoreError> {
        self.streams.enforce_retention(now).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_pass_the_suites_reads() {
    let Some(server) = Server::find() else {
        return;
    };
    of_stream_reads(&async || {
        let clock = given::clock();
        let others = in_memory(Limits::default(), clock.clone());
        let streams = Arc::new(Brought::new(server.clone()));
        let stores = Stores::of_parts(
            others.tasks,
            others.checkpoints,
            others.recordings,
            others.documents,
            streams,
            others.components,
        );
        Subject { stores, clock }
    })
    .await;
}

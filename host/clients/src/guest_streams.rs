//! Stream data as guests are handed it: what they read of documents together leaves one read to
//! people (`crate::turns`). What the streams are anybody may ask meanwhile.

use std::sync::Arc;

use async_trait::async_trait;
use taskhost_model::ids::{Space, StreamKey};
use taskhost_model::query::Query;
use taskhost_model::requester::Requester;
use taskhost_model::time::Timestamp;
use taskhost_store::error::StoreError;
use taskhost_store::streams::{
    Batch, FieldStats, Stream, StreamDocument, StreamSettings, StreamStore,
};

use crate::turns::Turns;

/// A store of streams for guests: made once, for all runs of a host.
#[derive(Debug)]
pub struct GuestStreams {
    store: Arc<dyn StreamStore>,
    turns: Turns,
}

impl GuestStreams {
    /// Guests' share of a store.
    #[must_use]
    pub fn new(store: Arc<dyn StreamStore>) -> Self {
        Self {
            store,
            turns: Turns::new(),
        }
    }
}

#[async_trait]
impl StreamStore for GuestStreams {
    async fn put(&self, key: &StreamKey, settings: &StreamSettings) -> Result<bool, StoreError> {
        self.store.put(key, settings).await
    }

    async fn get(&self, key: &StreamKey) -> Result<Option<Stream>, StoreError> {
        self.store.get(key).await
    }

    async fn list(&self, space: &Space) -> Result<Vec<Stream>, StoreError> {
        self.store.list(space).await
    }

    async fn delete(&self, key: &StreamKey) -> Result<bool, StoreError> {
        self.store.delete(key).await
    }

    async fn ingest(
        &self,
        key: &StreamKey,
        documents: Vec<StreamDocument>,
    ) -> Result<(), StoreError> {
        self.store.ingest(key, documents).await
    }

    async fn count(
        &self,
        requester: &Requester,
        key: &StreamKey,
        query: &Query,
    ) -> Result<u64, StoreError> {
        let _turn = self.turns.turn().await;
        self.store.count(requester, key, query).await
    }

    async fn sample(
        &self,
        requester: &Requester,
        key: &StreamKey,
        query: &Query,
        bytes_max: u64,
    ) -> Result<Batch, StoreError> {
        let _turn = self.turns.turn().await;
        self.store.sample(requester, key, query, bytes_max).await
    }

    async fn search(
        &self,
        requester: &Requester,
        key: &StreamKey,
        query: &Query,
        bytes_max: u64,
    ) -> Result<Batch, StoreError> {
        let _turn = self.turns.turn().await;
        self.store.search(requester, key, query, bytes_max).await
    }

    async fn field_stats(
        &self,
        requester: &Requester,
        key: &StreamKey,
        query: &Query,
    ) -> Result<FieldStats, StoreError> {
        let _turn = self.turns.turn().await;
        self.store.field_stats(requester, key, query).await
    }

    async fn enforce_retention(&self, now: Timestamp) -> Result<u64, StoreError> {
        self.store.enforce_retention(now).await
    }
}

//! Stream data behind a policy.

use async_trait::async_trait;
use taskhost_model::ids::{Space, StreamKey};
use taskhost_model::query::Query;
use taskhost_model::requester::Requester;
use taskhost_model::time::Timestamp;

use super::Faulty;
use crate::error::StoreError;
use crate::streams::{
    Batch, Count, FieldStats, Stream, StreamDocument, StreamSettings, StreamStore,
};

#[async_trait]
impl StreamStore for Faulty<dyn StreamStore> {
    async fn put(&self, key: &StreamKey, settings: &StreamSettings) -> Result<bool, StoreError> {
        let work = self.inner.put(key, settings);
        self.write("streams.put", work).await
    }

    async fn get(
        &self,
        requester: &Requester,
        key: &StreamKey,
    ) -> Result<Option<Stream>, StoreError> {
        self.read("streams.get", self.inner.get(requester, key))
            .await
    }

    async fn list(&self, requester: &Requester, space: &Space) -> Result<Vec<Stream>, StoreError> {
        let work = self.inner.list(requester, space);
        self.read("streams.list", work).await
    }

    async fn delete(&self, key: &StreamKey) -> Result<bool, StoreError> {
        self.write("streams.delete", self.inner.delete(key)).await
    }

    async fn ingest(
        &self,
        key: &StreamKey,
        documents: Vec<StreamDocument>,
    ) -> Result<(), StoreError> {
        let work = self.inner.ingest(key, documents);
        self.write("streams.ingest", work).await
    }

    async fn count(
        &self,
        requester: &Requester,
        key: &StreamKey,
        query: &Query,
    ) -> Result<Count, StoreError> {
        let work = self.inner.count(requester, key, query);
        self.read("streams.count", work).await
    }

    async fn sample(
        &self,
        requester: &Requester,
        key: &StreamKey,
        query: &Query,
        bytes_max: u64,
    ) -> Result<Batch, StoreError> {
        let work = self.inner.sample(requester, key, query, bytes_max);
        self.read("streams.sample", work).await
    }

    async fn search(
        &self,
        requester: &Requester,
        key: &StreamKey,
        query: &Query,
        bytes_max: u64,
    ) -> Result<Batch, StoreError> {
        let work = self.inner.search(requester, key, query, bytes_max);
        self.read("streams.search", work).await
    }

    async fn field_stats(
        &self,
        requester: &Requester,
        key: &StreamKey,
        query: &Query,
    ) -> Result<FieldStats, StoreError> {
        let work = self.inner.field_stats(requester, key, query);
        self.read("streams.field_stats", work).await
    }

    async fn enforce_retention(&self, now: Timestamp) -> Result<u64, StoreError> {
        let work = self.inner.enforce_retention(now);
        self.write("streams.enforce_retention", work).await
    }
}

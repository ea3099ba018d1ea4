//! Stream data of the embedded store for people: each read is made as whoever asks, and what they
//! may not read is as if it were not there.

use std::sync::Arc;

use async_trait::async_trait;
use taskhost_model::ids::{Space, StreamKey};
use taskhost_model::query::Query;
use taskhost_model::requester::Requester;
use taskhost_model::time::Timestamp;

use super::Sqlite;
use super::tokens::Tokens;
use crate::error::StoreError;
use crate::streams::{
    Batch, Count, FieldStats, Stream, StreamDocument, StreamSettings, StreamStore,
};

/// The streams of a folder, for its people.
#[derive(Debug)]
pub(crate) struct Peopled {
    sqlite: Arc<Sqlite>,
    people: Arc<Tokens>,
}

impl Peopled {
    pub(crate) fn new(sqlite: &Arc<Sqlite>, people: &Arc<Tokens>) -> Self {
        Self {
            sqlite: Arc::clone(sqlite),
            people: Arc::clone(people),
        }
    }

    fn may_read(&self, by: &Requester, key: &StreamKey) -> Result<bool, StoreError> {
        Ok(self.people.rights_of(by)?.may_read(&key.name))
    }

    fn must_read(&self, by: &Requester, key: &StreamKey) -> Result<(), StoreError> {
        match self.may_read(by, key)? {
            true => Ok(()),
            false => Err(StoreError::UnknownStream {
                name: key.name.to_string(),
            }),
        }
    }
}

#[async_trait]
impl StreamStore for Peopled {
    async fn put(&self, key: &StreamKey, settings: &StreamSettings) -> Result<bool, StoreError> {
        StreamStore::put(&*self.sqlite, key, settings).await
    }

    async fn get(&self, by: &Requester, key: &StreamKey) -> Result<Option<Stream>, StoreError> {
        match self.may_read(by, key)? {
            true => StreamStore::get(&*self.sqlite, by, key).await,
            false => Ok(None),
        }
    }

    async fn list(&self, by: &Requester, space: &Space) -> Result<Vec<Stream>, StoreError> {
        let rights = self.people.rights_of(by)?;
        let mut streams = StreamStore::list(&*self.sqlite, by, space).await?;
        streams.retain(|stream| rights.may_read(&stream.name));
        Ok(streams)
    }

    async fn delete(&self, key: &StreamKey) -> Result<bool, StoreError> {
        StreamStore::delete(&*self.sqlite, key).await
    }

    async fn ingest(
        &self,
        key: &StreamKey,
        documents: Vec<StreamDocument>,
    ) -> Result<(), StoreError> {
        self.sqlite.ingest(key, documents).await
    }

    async fn count(
        &self,
        by: &Requester,
        key: &StreamKey,
        query: &Query,
    ) -> Result<Count, StoreError> {
        self.must_read(by, key)?;
        self.sqlite.count(by, key, query).await
    }

    async fn sample(
        &self,
        by: &Requester,
        key: &StreamKey,
        query: &Query,
        bytes_max: u64,
    ) -> Result<Batch, StoreError> {
        self.must_read(by, key)?;
        self.sqlite.sample(by, key, query, bytes_max).await
    }

    async fn search(
        &self,
        by: &Requester,
        key: &StreamKey,
        query: &Query,
        bytes_max: u64,
    ) -> Result<Batch, StoreError> {
        self.must_read(by, key)?;
        self.sqlite.search(by, key, query, bytes_max).await
    }

    async fn field_stats(
        &self,
        by: &Requester,
        key: &StreamKey,
        query: &Query,
    ) -> Result<FieldStats, StoreError> {
        self.must_read(by, key)?;
        self.sqlite.field_stats(by, key, query).await
    }

    async fn enforce_retention(&self, now: Timestamp) -> Result<u64, StoreError> {
        self.sqlite.enforce_retention(now).await
    }
}

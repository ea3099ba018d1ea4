//! Collections as runs write them: only while this host's lease is sure to be respected.
//!
//! On a cluster nothing fences a write to a collection in the unit that writes it. So the host
//! sends none with little of its lease left, and gives up what takes longer than that. A request
//! that was sent in time may still arrive late, if this process is stopped just then; each stored
//! document says whose it is.

use std::sync::Arc;

use async_trait::async_trait;
use taskhost_model::condition::Condition;
use taskhost_model::ids::{DocumentId, Label, StreamKey, TypeId};
use taskhost_store::documents::{
    Change, ChangeRefused, Document, DocumentPage, DocumentStore, Scope, Writer,
};
use taskhost_store::error::StoreError;

use crate::lease::Lease;

/// A store of collections behind this host's lease.
#[derive(Debug)]
pub(crate) struct Leased {
    pub(crate) inner: Arc<dyn DocumentStore>,
    pub(crate) lease: Arc<Lease>,
}

#[async_trait]
impl DocumentStore for Leased {
    async fn take_label(&self, label: &Label, owner: &TypeId) -> Result<TypeId, StoreError> {
        self.inner.take_label(label, owner).await
    }

    async fn label_owner(&self, label: &Label) -> Result<Option<TypeId>, StoreError> {
        self.inner.label_owner(label).await
    }

    async fn get(&self, scope: &Scope, id: &DocumentId) -> Result<Option<Document>, StoreError> {
        self.inner.get(scope, id).await
    }

    async fn query(
        &self,
        scope: &Scope,
        condition: Option<&Condition>,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<DocumentPage, StoreError> {
        self.inner.query(scope, condition, cursor, limit).await
    }

    async fn apply(
        &self,
        scope: &Scope,
        writer: &Writer,
        changes: Vec<Change>,
    ) -> Result<Vec<Result<String, ChangeRefused>>, StoreError> {
        if !self.lease.is_safe() {
            return Err(unsafe_now());
        }
        let left = self.lease.left();
        let write = self.inner.apply(scope, writer, changes);
        let written = tokio::time::timeout(left, write).await;
        written.unwrap_or_else(|_| Err(unsafe_now()))
    }

    async fn delete_stream(&self, key: &StreamKey) -> Result<u64, StoreError> {
        self.inner.delete_stream(key).await
    }
}

fn unsafe_now() -> StoreError {
    StoreError::Unavailable {
        reason: "this host could not tell the others for some time that it is alive, and they may \
                 have given its runs to somebody else"
            .to_owned(),
    }
}

//! Collections as guests are handed them: their queries together leave one read to people
//! (`crate::turns`). What finds or changes documents by their ids waits for nobody.

use std::sync::Arc;

use async_trait::async_trait;
use taskhost_model::condition::Condition;
use taskhost_model::ids::{DocumentId, Label, StreamKey, TypeId};
use taskhost_store::documents::{
    Change, ChangeRefused, Document, DocumentPage, DocumentStore, Scope, Writer,
};
use taskhost_store::error::StoreError;

use crate::turns::Turns;

/// A store of collections for guests: made once, for all runs of a host.
#[derive(Debug)]
pub struct GuestDocuments {
    store: Arc<dyn DocumentStore>,
    turns: Turns,
}

impl GuestDocuments {
    /// Guests' share of a store.
    #[must_use]
    pub fn new(store: Arc<dyn DocumentStore>) -> Self {
        Self {
            store,
            turns: Turns::new(),
        }
    }
}

#[async_trait]
impl DocumentStore for GuestDocuments {
    async fn take_label(&self, label: &Label, owner: &TypeId) -> Result<TypeId, StoreError> {
        self.store.take_label(label, owner).await
    }

    async fn label_owner(&self, label: &Label) -> Result<Option<TypeId>, StoreError> {
        self.store.label_owner(label).await
    }

    async fn get(&self, scope: &Scope, id: &DocumentId) -> Result<Option<Document>, StoreError> {
        self.store.get(scope, id).await
    }

    async fn query(
        &self,
        scope: &Scope,
        condition: Option<&Condition>,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<DocumentPage, StoreError> {
        let _turn = self.turns.turn().await;
        self.store.query(scope, condition, cursor, limit).await
    }

    async fn apply(
        &self,
        scope: &Scope,
        writer: &Writer,
        changes: Vec<Change>,
    ) -> Result<Vec<Result<String, ChangeRefused>>, StoreError> {
        self.store.apply(scope, writer, changes).await
    }

    async fn delete_stream(&self, key: &StreamKey) -> Result<u64, StoreError> {
        self.store.delete_stream(key).await
    }
}

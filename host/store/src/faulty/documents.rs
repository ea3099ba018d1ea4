//! Collections behind a policy.

use async_trait::async_trait;
use taskhost_model::condition::Condition;
use taskhost_model::ids::{DocumentId, Label, StreamKey, TypeId};

use super::{Fate, Faulty, call, failed};
use crate::documents::{
    Change, ChangeRefused, Document, DocumentPage, DocumentStore, Scope, Writer,
};
use crate::error::StoreError;

#[async_trait]
impl DocumentStore for Faulty<dyn DocumentStore> {
    async fn take_label(&self, label: &Label, owner: &TypeId) -> Result<TypeId, StoreError> {
        let work = self.inner.take_label(label, owner);
        self.write("documents.take_label", work).await
    }

    async fn label_owner(&self, label: &Label) -> Result<Option<TypeId>, StoreError> {
        let work = self.inner.label_owner(label);
        self.read("documents.label_owner", work).await
    }

    async fn get(&self, scope: &Scope, id: &DocumentId) -> Result<Option<Document>, StoreError> {
        self.read("documents.get", self.inner.get(scope, id)).await
    }

    async fn query(
        &self,
        scope: &Scope,
        condition: Option<&Condition>,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<DocumentPage, StoreError> {
        let work = self.inner.query(scope, condition, cursor, limit);
        self.read("documents.query", work).await
    }

    async fn apply(
        &self,
        scope: &Scope,
        writer: &Writer,
        changes: Vec<Change>,
    ) -> Result<Vec<Result<String, ChangeRefused>>, StoreError> {
        let call = call("documents.apply", true);
        let fate = self.policy.before(call).await;
        let answer = match fate {
            Fate::Done | Fate::DoneButFailed => self.inner.apply(scope, writer, changes).await,
            Fate::Conflict if changes.iter().all(may_conflict) => Ok(changes
                .iter()
                .map(|_| Err(ChangeRefused::Conflict))
                .collect()),
            Fate::Rejected | Fate::Conflict => Err(failed(fate)),
        };
        self.policy.after(call).await;
        if fate == Fate::DoneButFailed {
            Err(failed(fate))
        } else {
            answer
        }
    }

    async fn delete_stream(&self, key: &StreamKey) -> Result<u64, StoreError> {
        let work = self.inner.delete_stream(key);
        self.write("documents.delete_stream", work).await
    }
}

fn may_conflict(change: &Change) -> bool {
    match change {
        Change::Create { .. } => true,
        Change::Put { if_version, .. } | Change::Delete { if_version, .. } => if_version.is_some(),
    }
}

//! Many tasks at a time, and former runs, behind a policy. A batch is as many calls.

use async_trait::async_trait;
use taskhost_model::former::FormerRun;
use taskhost_model::ids::{RunId, TaskKey, TypeId};
use taskhost_model::receipt::Receipt;
use taskhost_model::status::Status;
use taskhost_model::time::Timestamp;

use super::Faulty;
use crate::error::StoreError;
use crate::event::{Applied, Event};
use crate::history::TaskHistory;
use crate::lists::ListRequest;
use crate::many::ManyTasks;
use crate::tasks::TaskStore;

#[async_trait]
impl ManyTasks for Faulty<dyn TaskStore> {
    async fn apply_all(&self, events: Vec<(TaskKey, Event)>) -> Vec<Result<Applied, StoreError>> {
        let mut answers = Vec::with_capacity(events.len());
        for (key, event) in events {
            answers.push(TaskStore::apply(self, &key, event).await);
        }
        answers
    }

    async fn expired(
        &self,
        unmarked_before: Timestamp,
        limit: usize,
    ) -> Result<Vec<TaskKey>, StoreError> {
        let expired = self.inner.expired(unmarked_before, limit);
        Faulty::read(self, "tasks.expired", expired).await
    }

    async fn overdue(
        &self,
        type_id: &TypeId,
        due_before: Timestamp,
        limit: usize,
    ) -> Result<Vec<TaskKey>, StoreError> {
        let overdue = self.inner.overdue(type_id, due_before, limit);
        Faulty::read(self, "tasks.overdue", overdue).await
    }

    async fn counts(&self, request: &ListRequest) -> Result<Vec<(Status, u64)>, StoreError> {
        Faulty::read(self, "tasks.counts", self.inner.counts(request)).await
    }
}

#[async_trait]
impl TaskHistory for Faulty<dyn TaskStore> {
    async fn former_runs(&self, key: &TaskKey) -> Result<Vec<FormerRun>, StoreError> {
        Faulty::read(self, "tasks.former_runs", self.inner.former_runs(key)).await
    }

    async fn receipt(&self, key: &TaskKey) -> Result<Option<Receipt>, StoreError> {
        Faulty::read(self, "tasks.receipt", self.inner.receipt(key)).await
    }

    async fn former_log(&self, key: &TaskKey, run: RunId) -> Result<Option<String>, StoreError> {
        Faulty::read(self, "tasks.former_log", self.inner.former_log(key, run)).await
    }
}

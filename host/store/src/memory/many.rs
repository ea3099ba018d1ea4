//! Many tasks at a time, and former runs, in memory.

use std::collections::BTreeMap;

use async_trait::async_trait;
use taskhost_model::former::FormerRun;
use taskhost_model::ids::{RunId, TaskKey, TypeId};
use taskhost_model::receipt::Receipt;
use taskhost_model::status::{Phase, Status};
use taskhost_model::time::Timestamp;

use super::Memory;
use crate::error::StoreError;
use crate::event::{Applied, Event};
use crate::history::TaskHistory;
use crate::lists::ListRequest;
use crate::many::ManyTasks;
use crate::tasks::TaskStore;

#[async_trait]
impl ManyTasks for Memory {
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
        let now = self.clock.now();
        let content = self.content()?;
        let tasks = content.tasks.values().map(|entry| &entry.task);
        let expired = tasks.filter(|task| match (task.expires_at, task.ended_at()) {
            (Some(at), _) => at <= now,
            (None, ended_at) => ended_at.is_some_and(|at| at < unmarked_before),
        });
        Ok(expired.take(limit).map(|task| task.key()).collect())
    }

    async fn overdue(
        &self,
        type_id: &TypeId,
        due_before: Timestamp,
        limit: usize,
    ) -> Result<Vec<TaskKey>, StoreError> {
        let content = self.content()?;
        let tasks = content.tasks.values().map(|entry| &entry.task);
        let overdue = tasks.filter(|task| {
            let is_of_type = task.type_id == *type_id;
            is_of_type && task.phase() == Phase::Queued && task.run.due_at < due_before
        });
        Ok(overdue.take(limit).map(|task| task.key()).collect())
    }

    async fn counts(&self, request: &ListRequest) -> Result<Vec<(Status, u64)>, StoreError> {
        let all = ListRequest {
            statuses: Vec::new(),
            ..request.clone()
        };
        let content = self.content()?;
        let mut counts = BTreeMap::new();
        for entry in content.tasks.values().filter(|it| all.wants(&it.task)) {
            let status = entry.task.status;
            counts.entry(status.as_str()).or_insert((status, 0)).1 += 1;
        }
        Ok(counts.into_values().collect())
    }
}

#[async_trait]
impl TaskHistory for Memory {
    async fn former_runs(&self, key: &TaskKey) -> Result<Vec<FormerRun>, StoreError> {
        let content = self.content()?;
        let former = content.visible(key).map(|entry| entry.former.iter());
        Ok(former
            .into_iter()
            .flatten()
            .map(|it| it.0.clone())
            .collect())
    }

    async fn receipt(&self, key: &TaskKey) -> Result<Option<Receipt>, StoreError> {
        let content = self.content()?;
        let entry = content.tasks.get(key);
        Ok(entry.and_then(|entry| entry.task.receipt.clone()))
    }

    async fn former_log(&self, key: &TaskKey, run: RunId) -> Result<Option<String>, StoreError> {
        let content = self.content()?;
        let former = content.visible(key).map(|entry| entry.former.iter());
        let mut former = former.into_iter().flatten();
        Ok(former.find(|it| it.0.id == run).map(|it| it.1.clone()))
    }
}

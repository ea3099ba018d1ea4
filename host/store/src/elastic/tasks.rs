//! Tasks on Elasticsearch: the traits over what the modules beside this one do.

use std::sync::{Arc, PoisonError};

use async_trait::async_trait;
use taskhost_model::ids::{RunId, Space, TaskKey, TypeId};
use taskhost_model::task::Task;
use taskhost_model::time::Timestamp;

use super::Elastic;
use super::client::unavailable;
use super::hot::Current;
use super::names::lane_id;
use crate::error::StoreError;
use crate::event::{Applied, Event};
use crate::queue::{ClaimRequest, Claimer, RunQueue, StoredTask};
use crate::tasks::{Children, ListRequest, TaskPage, TaskStore, Unfinished};

/// So often a document is read anew whose texts were replaced while they were read.
pub(super) const TRIES_MAX: usize = 10;

#[async_trait]
impl RunQueue for Elastic {
    async fn claim(&self, request: &ClaimRequest) -> Result<Vec<StoredTask>, StoreError> {
        self.is_open()?;
        self.claim_due(request).await
    }

    fn claim_along(&self, claimer: Arc<dyn Claimer>) {
        *self.claimer.lock().unwrap_or_else(PoisonError::into_inner) = Some(claimer);
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        self.is_open()?;
        self.earliest_due().await
    }

    async fn holders(
        &self,
        space: &Space,
        type_id: &TypeId,
        concurrency_key: &str,
    ) -> Result<Vec<TaskKey>, StoreError> {
        self.is_open()?;
        let lane = lane_id(space, type_id, concurrency_key);
        Ok(self.lane(&lane).await?.holders)
    }
}

#[async_trait]
impl TaskStore for Elastic {
    async fn apply(&self, key: &TaskKey, event: Event) -> Result<Applied, StoreError> {
        self.is_open()?;
        self.limits.check(&event)?;
        self.apply_event(key, &event).await
    }

    async fn get(&self, key: &TaskKey) -> Result<Option<Task>, StoreError> {
        Ok(self
            .visible(key)
            .await?
            .map(|current| current.hot.task.clone()))
    }

    async fn read(&self, key: &TaskKey) -> Result<Option<StoredTask>, StoreError> {
        for _ in 0..TRIES_MAX {
            let Some(current) = self.visible(key).await? else {
                return Ok(None);
            };
            if let Some(found) = self.with_texts(&current.hot).await? {
                return Ok(Some(found));
            }
        }
        Err(unavailable("the task keeps changing"))
    }

    async fn log(&self, key: &TaskKey, run: RunId) -> Result<Option<String>, StoreError> {
        for _ in 0..TRIES_MAX {
            let current = self.visible(key).await?;
            let Some(current) = current.filter(|it| it.hot.task.run.id == run) else {
                return Ok(None);
            };
            if let Some(found) = self.whole_log(&current.hot.texts.log).await? {
                return Ok(Some(found));
            }
        }
        Err(unavailable("the task keeps changing"))
    }

    async fn list(&self, request: &ListRequest) -> Result<TaskPage, StoreError> {
        self.is_open()?;
        self.list_tasks(request).await
    }

    async fn held(&self, limit: usize) -> Result<Vec<Task>, StoreError> {
        self.is_open()?;
        self.list_held(limit).await
    }

    async fn remove_tombstones(&self) -> Result<u64, StoreError> {
        self.is_open()?;
        self.remove_all_tombstones().await
    }

    async fn children(&self, run: RunId) -> Result<Children, StoreError> {
        self.is_open()?;
        self.children_of(run).await
    }

    async fn parents(&self) -> Result<Vec<(TaskKey, RunId)>, StoreError> {
        self.is_open()?;
        self.list_parents().await
    }

    async fn unfinished(&self) -> Result<Unfinished, StoreError> {
        self.is_open()?;
        self.count_unfinished().await
    }
}

impl Elastic {
    pub(super) async fn visible(&self, key: &TaskKey) -> Result<Option<Current>, StoreError> {
        self.is_open()?;
        let current = self.current(key).await?;
        if let Some(current) = &current {
            // Another host may have named it, for this one to claim: no search shows it yet.
            self.recent.put(key, current.seen, &current.hot);
        }
        Ok(current.filter(|current| current.hot.task.deleted_at.is_none()))
    }
}

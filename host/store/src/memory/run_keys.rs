//! Keys of runs in memory.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use taskhost_model::ids::RunKeyId;
use taskhost_model::status::Status;

use super::Memory;
use crate::error::StoreError;
use crate::run_keys::{RunKey, RunKeyStore};

/// The keys, and the check of the hosts' key.
#[derive(Debug, Default)]
pub(super) struct Keys {
    /// Oldest first: an id begins with the time when it was made.
    all: BTreeMap<RunKeyId, RunKey>,
    check: Option<Vec<u8>>,
}

#[async_trait]
impl RunKeyStore for Memory {
    async fn put(&self, key: &RunKey) -> Result<(), StoreError> {
        let keys = &mut self.content()?.keys.all;
        keys.entry(key.id).or_insert_with(|| key.clone());
        Ok(())
    }

    async fn reseal(&self, id: RunKeyId, sealed: Vec<u8>) -> Result<(), StoreError> {
        if let Some(key) = self.content()?.keys.all.get_mut(&id) {
            key.sealed = sealed;
        }
        Ok(())
    }

    async fn get(&self, id: RunKeyId) -> Result<Option<RunKey>, StoreError> {
        Ok(self.content()?.keys.all.get(&id).cloned())
    }

    async fn list(&self, limit: usize) -> Result<Vec<RunKey>, StoreError> {
        let content = self.content()?;
        Ok(content.keys.all.values().take(limit).cloned().collect())
    }

    async fn held(&self, ids: &[RunKeyId]) -> Result<Vec<RunKeyId>, StoreError> {
        let content = self.content()?;
        let mut held = BTreeSet::new();
        for task in content.tasks.values().map(|entry| &entry.task) {
            let is_unfinished = matches!(task.status, Status::InProgress | Status::BeingCanceled);
            if is_unfinished && task.deleted_at.is_none() {
                held.extend(task.run.key);
            }
            held.extend(task.previous.iter().filter_map(|lease| lease.key));
        }
        held.extend(content.schedules.values().filter_map(|it| it.key));
        Ok(ids.iter().copied().filter(|id| held.contains(id)).collect())
    }

    async fn remove(&self, ids: &[RunKeyId]) -> Result<(), StoreError> {
        let keys = &mut self.content()?.keys.all;
        keys.retain(|id, _| !ids.contains(id));
        Ok(())
    }

    async fn check(&self, ours: &[u8]) -> Result<Vec<u8>, StoreError> {
        let check = &mut self.content()?.keys.check;
        Ok(check.get_or_insert_with(|| ours.to_vec()).clone())
    }

    async fn replace_check(&self, old: &[u8], new: &[u8]) -> Result<bool, StoreError> {
        let check = &mut self.content()?.keys.check;
        if check.as_deref() == Some(old) {
            *check = Some(new.to_vec());
        }
        Ok(check.as_deref() == Some(new))
    }
}

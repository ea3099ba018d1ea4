//! Checkpoints in memory.

use async_trait::async_trait;
use taskhost_model::task::Task;

use super::{Content, Entry, Memory};
use crate::checkpoints::{Checkpoint, CheckpointStore, RunOfTask, VALUE_BYTES_MAX, counted_bytes};
use crate::documents::may_write;
use crate::error::StoreError;
use crate::limits::within;

#[async_trait]
impl CheckpointStore for Memory {
    async fn save(
        &self,
        run: &RunOfTask,
        key: &str,
        checkpoint: Checkpoint,
    ) -> Result<(), StoreError> {
        within("checkpoint", checkpoint.value.len(), VALUE_BYTES_MAX)?;
        let mut content = self.content()?;
        let entry = entry_of(&mut content, run)?;
        let others = entry.checkpoints.iter().filter(|(other, _)| *other != key);
        let others: u64 = others
            .map(|(key, kept)| counted_bytes(key, kept.value.len() as u64))
            .sum();
        let all = others + counted_bytes(key, checkpoint.value.len() as u64);
        let all = usize::try_from(all).unwrap_or(usize::MAX);
        within(
            "checkpoints of the task",
            all,
            self.limits.checkpoints_bytes_max,
        )?;
        entry.checkpoints.insert(key.to_owned(), checkpoint);
        Ok(())
    }

    async fn load(&self, run: &RunOfTask, key: &str) -> Result<Option<Checkpoint>, StoreError> {
        let mut content = self.content()?;
        Ok(entry_of(&mut content, run)?.checkpoints.get(key).cloned())
    }

    async fn forget(&self, run: &RunOfTask, key: &str) -> Result<(), StoreError> {
        let mut content = self.content()?;
        entry_of(&mut content, run)?.checkpoints.remove(key);
        Ok(())
    }
}

fn entry_of<'a>(content: &'a mut Content, run: &RunOfTask) -> Result<&'a mut Entry, StoreError> {
    let entry = content.tasks.get_mut(&run.task);
    let task: Option<&Task> = entry.as_ref().map(|entry| &entry.task);
    if !may_write(task, run.fence) {
        return Err(StoreError::Fenced);
    }
    entry.ok_or(StoreError::Fenced)
}

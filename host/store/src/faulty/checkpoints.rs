//! Checkpoints behind a policy.

use async_trait::async_trait;

use super::Faulty;
use crate::checkpoints::{Checkpoint, CheckpointStore, RunOfTask};
use crate::error::StoreError;

#[async_trait]
impl CheckpointStore for Faulty<dyn CheckpointStore> {
    async fn save(
        &self,
        run: &RunOfTask,
        key: &str,
        checkpoint: Checkpoint,
    ) -> Result<(), StoreError> {
        let work = self.inner.save(run, key, checkpoint);
        self.write("checkpoints.save", work).await
    }

    async fn load(&self, run: &RunOfTask, key: &str) -> Result<Option<Checkpoint>, StoreError> {
        self.read("checkpoints.load", self.inner.load(run, key))
            .await
    }

    async fn forget(&self, run: &RunOfTask, key: &str) -> Result<(), StoreError> {
        self.write("checkpoints.forget", self.inner.forget(run, key))
            .await
    }
}

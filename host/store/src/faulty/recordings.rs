//! Recordings behind a policy.

use async_trait::async_trait;
use taskhost_model::ids::{RunId, TaskKey};
use taskhost_model::time::Timestamp;

use super::Faulty;
use crate::checkpoints::RunOfTask;
use crate::error::StoreError;
use crate::recordings::{Recorded, RecordingStore};

#[async_trait]
impl RecordingStore for Faulty<dyn RecordingStore> {
    async fn append(
        &self,
        run: &RunOfTask,
        attempt: u32,
        piece: Vec<u8>,
    ) -> Result<(), StoreError> {
        let work = self.inner.append(run, attempt, piece);
        self.write("recordings.append", work).await
    }

    async fn recorded(&self, task: &TaskKey, run: RunId) -> Result<Vec<Recorded>, StoreError> {
        let work = self.inner.recorded(task, run);
        self.read("recordings.recorded", work).await
    }

    async fn piece(&self, recorded: Recorded, piece: u32) -> Result<Option<Vec<u8>>, StoreError> {
        let work = self.inner.piece(recorded, piece);
        self.read("recordings.piece", work).await
    }

    async fn forget_ended(&self, before: Timestamp) -> Result<u64, StoreError> {
        let work = self.inner.forget_ended(before);
        self.write("recordings.forget_ended", work).await
    }
}

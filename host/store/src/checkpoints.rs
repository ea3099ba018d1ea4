//! The store of checkpoints: what a task keeps from one attempt of its run to the next.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use taskhost_model::ids::TaskKey;
use taskhost_model::task::Fence;

use crate::error::StoreError;

/// The largest value of one checkpoint, in bytes.
pub const VALUE_BYTES_MAX: u64 = 1024 * 1024;

/// However small, a checkpoint counts as so many bytes of what a task may keep: so there are not
/// very many of them.
pub(crate) const CHECKPOINT_BYTES_MIN: u64 = 1024;

/// Checkpoints of tasks.
///
/// # Guarantees
/// 1. A run reads and writes the checkpoints of its own task, and only while its fence is the
///    task's and its guest may be alive, checked in the unit that writes; else
///    [`StoreError::Fenced`].
/// 2. What was saved is there, exactly, for every later attempt of the task's run, whatever
///    became of the former one or its host.
/// 3. Scheduling the task anew, its completion and its deletion end all of them, in the unit that
///    writes those.
/// 4. A save that goes beyond a limit changes nothing.
#[async_trait]
pub trait CheckpointStore: Send + Sync + Debug {
    /// Keeps a value under a key, in place of the former one.
    async fn save(
        &self,
        run: &RunOfTask,
        key: &str,
        checkpoint: Checkpoint,
    ) -> Result<(), StoreError>;

    /// The value under a key.
    async fn load(&self, run: &RunOfTask, key: &str) -> Result<Option<Checkpoint>, StoreError>;

    /// Forgets the value under a key, if there is one.
    async fn forget(&self, run: &RunOfTask, key: &str) -> Result<(), StoreError>;
}

/// A run, by its task and its lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunOfTask {
    /// The task.
    pub task: TaskKey,
    /// The run's fence.
    pub fence: Fence,
}

/// What is kept under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The task type's own bytes.
    pub value: Arc<[u8]>,
    /// What the task type says of their form.
    pub schema_version: u32,
}

/// What a checkpoint counts.
pub(crate) fn counted_bytes(key: &str, value_bytes: u64) -> u64 {
    (key.len() as u64 + value_bytes).max(CHECKPOINT_BYTES_MIN)
}

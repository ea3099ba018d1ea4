//! The store of recordings: what a run has asked the host and was answered, sealed by whoever
//! writes it.

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;
use taskhost_model::ids::{RunId, TaskKey};
use taskhost_model::task::Task;
use taskhost_model::time::Timestamp;

use crate::checkpoints::RunOfTask;
use crate::error::StoreError;

/// How long after its run's end a recording is kept.
pub const KEPT_AFTER_END: Duration = Duration::from_secs(24 * 60 * 60);

/// The largest piece, in bytes.
pub const PIECE_BYTES_MAX: u64 = 256 * 1024 + 64;

/// Recordings, one of each attempt of a task's current run, in pieces.
///
/// # Guarantees
/// 1. A run appends to recordings of its own task, and only while its fence is the task's and its
///    guest may be alive, checked in the unit that writes; else [`StoreError::Fenced`].
/// 2. What was appended is read exactly, in order, by the lease that wrote it.
/// 3. An attempt begun again under another lease is recorded anew: its first piece ends what the
///    former lease has written of it.
/// 4. Scheduling the task anew and its deletion end its recordings, in the unit that writes those.
/// 5. `forget_ended` ends those of runs that have ended before, and no others.
#[async_trait]
pub trait RecordingStore: Send + Sync + Debug {
    /// Adds a piece to the recording of an attempt.
    async fn append(&self, run: &RunOfTask, attempt: u32, piece: Vec<u8>)
    -> Result<(), StoreError>;

    /// What is recorded of a run, by attempt; nothing of a run that is not the task's latest.
    async fn recorded(&self, task: &TaskKey, run: RunId) -> Result<Vec<Recorded>, StoreError>;

    /// A piece of a recording, from 0; none beyond its end, or when the recording has ended.
    async fn piece(&self, recorded: Recorded, piece: u32) -> Result<Option<Vec<u8>>, StoreError>;

    /// Ends the recordings of runs that have ended before `before`; how many.
    async fn forget_ended(&self, before: Timestamp) -> Result<u64, StoreError>;
}

/// What there is of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recorded {
    /// The store's own name for it, never given twice.
    pub id: i64,
    /// The attempt.
    pub attempt: u32,
    /// The lease that wrote it.
    pub lease_number: u64,
    /// How many pieces it has.
    pub pieces: u32,
    /// Bytes of its pieces.
    pub bytes: u64,
}

/// When the task's run has ended, if it has.
#[must_use]
pub fn ended_at(task: &Task) -> Option<Timestamp> {
    let ends = [
        task.last_completed_at,
        task.last_failed_at,
        task.last_canceled_at,
    ];
    let is_over = task.deleted_at.is_some() || task.status.is_terminal();
    is_over.then(|| ends.into_iter().flatten().max().unwrap_or(task.created_at))
}

//! The former runs of tasks.

use std::fmt::Debug;

use async_trait::async_trait;
use taskhost_model::former::FormerRun;
use taskhost_model::ids::{RunId, TaskKey};
use taskhost_model::receipt::Receipt;

use crate::error::StoreError;

/// Runs of which another one has taken the place.
///
/// # Guarantees
/// 1. A run that another one takes the place of is kept with its log, in the unit that writes the
///    new one; of one task as many as `Limits::runs_kept` says, the latest among them, and the
///    oldest go first.
/// 2. They go with their task.
/// 3. What was promised by a key that may be repeated is told as long as that counts, also when
///    its task was deleted.
#[async_trait]
pub trait TaskHistory: Send + Sync + Debug {
    /// The former runs of a task, newest first.
    async fn former_runs(&self, key: &TaskKey) -> Result<Vec<FormerRun>, StoreError>;

    /// What was promised by a key of which this task was made.
    async fn receipt(&self, key: &TaskKey) -> Result<Option<Receipt>, StoreError>;

    /// What one of them has logged; `None` when it is none of them.
    async fn former_log(&self, key: &TaskKey, run: RunId) -> Result<Option<String>, StoreError>;
}

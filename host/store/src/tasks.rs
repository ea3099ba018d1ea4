//! The store of task documents.

use std::fmt::Debug;

use async_trait::async_trait;
use taskhost_model::ids::{Digest, RunId, TaskKey, TypeId};
use taskhost_model::task::Task;
use taskhost_model::time::Timestamp;

use crate::error::StoreError;
use crate::event::{Applied, Event};
use crate::history::TaskHistory;
pub use crate::lists::{ListRequest, TaskPage};
use crate::many::ManyTasks;
use crate::queue::{RunQueue, StoredTask};

/// Task documents, their params, payloads and logs; what of them is to be run is [`RunQueue`]'s.
///
/// # Guarantees
/// 1. `apply` writes what [`crate::apply::decide`] says, or nothing, in one atomic unit; of two
///    writers that read the same document one sees the other's write.
/// 2. When `apply` has answered, the write is on disk.
/// 3. `get`, `read` and `list` see every write that was answered before they were called, and
///    no tombstone.
/// 4. `list` is newest first and complete over a cursor: what exists throughout is listed once.
///    A task that is scheduled again counts as a new one.
/// 5. `children` and `parents` see every write that was answered before they were called.
/// 6. Texts are stored exactly, or refused; of a log that reaches its limit the whole lines
///    before it.
#[async_trait]
pub trait TaskStore: RunQueue + ManyTasks + TaskHistory {
    /// Applies an event to one task.
    async fn apply(&self, key: &TaskKey, event: Event) -> Result<Applied, StoreError>;

    /// The document.
    async fn get(&self, key: &TaskKey) -> Result<Option<Task>, StoreError>;

    /// The document with its params and, once there is one, its payload.
    async fn read(&self, key: &TaskKey) -> Result<Option<StoredTask>, StoreError>;

    /// What the run has logged, as it was appended; `None` when `run` is not the latest run.
    async fn log(&self, key: &TaskKey, run: RunId) -> Result<Option<String>, StoreError>;

    /// A page of documents.
    async fn list(&self, request: &ListRequest) -> Result<TaskPage, StoreError>;

    /// Documents, tombstones included, under a lease or with a `previous` run: those that a
    /// lost host may have left behind. At most `limit`; with fewer these are all that can be
    /// read.
    async fn held(&self, limit: usize) -> Result<Vec<Task>, StoreError>;

    /// Removes tombstones without a `previous` run; returns how many.
    async fn remove_tombstones(&self) -> Result<u64, StoreError>;

    /// The tasks that a run has spawned.
    async fn children(&self, run: RunId) -> Result<Children, StoreError>;

    /// Runs with children that have not ended, and the tasks of these runs.
    async fn parents(&self) -> Result<Vec<(TaskKey, RunId)>, StoreError>;

    /// How many unfinished runs are pinned to each component, and how many of each type are
    /// unfinished.
    async fn unfinished(&self) -> Result<Unfinished, StoreError>;
}

/// The tasks that a run has spawned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Children {
    /// How many there are, those that have ended among them.
    pub count: u64,
    /// Those that are `in_progress`.
    pub living: Vec<TaskKey>,
}

/// Counts of unfinished runs.
#[derive(Debug, Clone, Default)]
pub struct Unfinished {
    /// Pinned to a component.
    pub by_digest: Vec<(Digest, u64)>,
    /// Of a type.
    pub by_type: Vec<(TypeId, u64)>,
    /// Those that are due and that nobody has claimed, by type.
    pub waiting: Vec<Waiting>,
}

/// Runs of a type that are due and that nobody has claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The type.
    pub type_id: TypeId,
    /// How many; those among them that wait for others of their concurrency key.
    pub runs: u64,
    /// The longest of them: since when it is due. A backend may leave out those that wait for
    /// others of their key; none: all do.
    pub oldest_due_at: Option<Timestamp>,
}

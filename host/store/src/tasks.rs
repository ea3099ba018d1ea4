//! The store of task documents.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use taskhost_model::ids::{Digest, Incarnation, RunId, Space, StreamName, TaskKey, TypeId};
use taskhost_model::status::Status;
use taskhost_model::task::Task;
use taskhost_model::time::Timestamp;

use crate::error::StoreError;
use crate::event::{Applied, Event};

/// Task documents, their params, payloads and logs.
///
/// # Guarantees
/// 1. `apply` writes what [`crate::apply::decide`] says, or nothing, in one atomic unit; of two
///    writers that read the same document one sees the other's write.
/// 2. When `apply` or `claim` has answered, the write is on disk.
/// 3. `claim` never gives one run to two callers, gives due runs only, of the wanted types
///    only, none whose task has a `previous` run, and within a type in order of rank, then of
///    `created_at`. It takes the types in turn, one run each (starting with the first in the
///    request), so that a type with a long queue starves no other.
/// 4. A claim costs the same however many tasks are finished, not yet due or of other types.
/// 5. `get`, `read` and `list` see every write that was answered before they were called, and
///    no tombstone.
/// 6. `list` is newest first and complete over a cursor: what exists throughout is listed once.
///    A task that is scheduled again counts as a new one.
/// 7. Texts are stored exactly, or refused; of a log that reaches its limit the whole lines
///    before it.
/// 8. What a [`Claimer`] is given was claimed as `claim` claims, and is on disk.
#[async_trait]
pub trait TaskStore: Send + Sync + Debug {
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

    /// Takes due runs.
    async fn claim(&self, request: &ClaimRequest) -> Result<Vec<StoredTask>, StoreError>;

    /// From now on a task that is scheduled is claimed for this one in the same atomic unit,
    /// where the store can do that. It spares a commit; nobody may rely on it.
    fn claim_along(&self, claimer: Arc<dyn Claimer>);

    /// When the next run of any type becomes due, of those that were not due at the last claim;
    /// so nothing that becomes due between a claim and this call is missed.
    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError>;

    /// Documents, tombstones included, under a lease or with a `previous` run: those that a
    /// lost host may have left behind. At most `limit`.
    async fn held(&self, limit: usize) -> Result<Vec<Task>, StoreError>;

    /// Removes tombstones without a `previous` run; returns how many.
    async fn remove_tombstones(&self) -> Result<u64, StoreError>;

    /// How many unfinished runs are pinned to each component, and how many of each type are
    /// unfinished.
    async fn unfinished(&self) -> Result<Unfinished, StoreError>;
}

/// Somebody who takes runs as soon as there are some.
pub trait Claimer: Send + Sync + Debug {
    /// Room for runs, if there is any at this moment. Called on a thread of the store, which
    /// waits meanwhile.
    fn reserve(&self) -> Option<Box<dyn Reservation>>;
}

/// Room for runs. When it is dropped, nothing was claimed, and nobody knows whether there is
/// something to claim.
pub trait Reservation: Send + Debug {
    /// What may be claimed.
    fn request(&self) -> &ClaimRequest;

    /// Takes what was claimed, maybe nothing. Called on a thread of the store.
    fn start(self: Box<Self>, claimed: Vec<StoredTask>);
}

/// A document with what lies apart from it.
#[derive(Debug, Clone)]
pub struct StoredTask {
    /// The document.
    pub task: Task,
    /// JSON text.
    pub params: Arc<str>,
    /// JSON text, of a completed or acknowledged task.
    pub payload: Option<Arc<str>>,
}

/// Which documents to list.
#[derive(Debug, Clone)]
pub struct ListRequest {
    /// In this space.
    pub space: Space,
    /// Of any of these stored statuses; all when empty.
    pub statuses: Vec<Status>,
    /// Of this type.
    pub type_id: Option<TypeId>,
    /// On this stream.
    pub stream: Option<StreamName>,
    /// Scheduled by.
    pub requested_by: Option<String>,
    /// Scheduled after, exclusive.
    pub created_after: Option<Timestamp>,
    /// With this text in the id, ASCII case ignored.
    pub id_contains: Option<String>,
    /// Where the last page ended.
    pub cursor: Option<String>,
    /// At most so many, 1 to 1,000.
    pub limit: usize,
}

impl ListRequest {
    /// Everything in a space, 100 a page.
    #[must_use]
    pub fn all(space: Space) -> Self {
        Self {
            space,
            statuses: Vec::new(),
            type_id: None,
            stream: None,
            requested_by: None,
            created_after: None,
            id_contains: None,
            cursor: None,
            limit: 100,
        }
    }
}

/// One page of a list.
#[derive(Debug, Clone)]
pub struct TaskPage {
    /// Newest first.
    pub tasks: Vec<Task>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<String>,
}

/// Who claims what.
#[derive(Debug, Clone)]
pub struct ClaimRequest {
    /// The host's name.
    pub host: String,
    /// Its life.
    pub incarnation: Incarnation,
    /// Types that the host can run now, each with the component for runs that have none yet.
    pub types: Vec<ClaimableType>,
    /// At most so many runs.
    pub limit: usize,
}

/// A type that can be claimed.
#[derive(Debug, Clone)]
pub struct ClaimableType {
    /// The type.
    pub type_id: TypeId,
    /// Its active component.
    pub digest: Digest,
    /// Its wall-clock limit.
    pub wall_ms: u64,
}

/// Counts of unfinished runs.
#[derive(Debug, Clone, Default)]
pub struct Unfinished {
    /// Pinned to a component.
    pub by_digest: Vec<(Digest, u64)>,
    /// Of a type.
    pub by_type: Vec<(TypeId, u64)>,
}

//! Which runs are due, and who gets them.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use taskhost_model::ids::{Digest, Incarnation, Space, TaskKey, TypeId};
use taskhost_model::task::Task;
use taskhost_model::time::Timestamp;

use crate::error::StoreError;

/// The runs that wait, of all tasks in the store.
///
/// # Guarantees
/// 1. What `claim` has answered, or a [`Claimer`] was given, is on disk.
/// 2. No run is given twice, only due runs are, of the wanted types only, none whose task has a
///    `previous` run, and within a type in order of rank, then of `created_at`. The types are
///    taken in turn, one run each (starting with the first in the request), so that a type with
///    a long queue starves no other.
/// 3. No run is pinned to a component that is not there, since it was deleted after the request was
///    made: the type's runs wait for a request that names another one.
/// 4. Where a type has a bound on its runs with the same concurrency key, no run is given beyond
///    it; those that hold the key are told by their documents ([`Task::holds_key`]). A run that
///    was suspended holds it already, and is given whatever others do. Those that wait for a key
///    keep nobody else from their turn.
/// 5. A claim costs the same however many tasks are finished, not yet due, of other types, or
///    known to wait for a key.
#[async_trait]
pub trait RunQueue: Send + Sync + Debug {
    /// Takes due runs; [`StoreError::DiskReserved`] while there is no room for what they bring.
    async fn claim(&self, request: &ClaimRequest) -> Result<Vec<StoredTask>, StoreError>;

    /// From now on a task that is scheduled and due is claimed for this one in the same atomic
    /// unit, where the store can do that, with what else is due. It spares a commit; nobody may
    /// rely on it, and more may be due than is given.
    fn claim_along(&self, claimer: Arc<dyn Claimer>);

    /// When the next run of any type becomes due, of those that were not due at the last claim;
    /// so nothing that becomes due between a claim and this call is missed.
    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError>;

    /// The tasks of the type in the space whose runs hold this concurrency key.
    async fn holders(
        &self,
        space: &Space,
        type_id: &TypeId,
        concurrency_key: &str,
    ) -> Result<Vec<TaskKey>, StoreError>;
}

/// Somebody who takes runs as soon as there are some.
pub trait Claimer: Send + Sync + Debug {
    /// Room for runs, if there is any at this moment. Called on a thread of the store, which
    /// waits meanwhile, and only where a run has just become claimable.
    fn reserve(&self) -> Option<Box<dyn Reservation>>;

    /// Room for one run: for a store that holds it while a request is on its way, so that whoever
    /// comes meanwhile finds the rest.
    fn reserve_one(&self) -> Option<Box<dyn Reservation>> {
        self.reserve()
    }
}

/// Room for runs. When it is dropped, nothing was claimed, and nobody knows whether there is
/// something to claim.
pub trait Reservation: Send + Debug {
    /// What may be claimed.
    fn request(&self) -> &ClaimRequest;

    /// Takes what was claimed, maybe nothing, before whoever scheduled it is answered. Called
    /// on a thread of the store.
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
    /// So many of its runs with the same concurrency key at once; none: as many as there are.
    pub runs_per_key: Option<u64>,
}

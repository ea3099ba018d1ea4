//! Many tasks at a time: what a batch writes, what is counted, and what goes by itself.

use std::fmt::Debug;

use async_trait::async_trait;
use taskhost_model::ids::{TaskKey, TypeId};
use taskhost_model::status::Status;
use taskhost_model::time::Timestamp;

use crate::error::StoreError;
use crate::event::{Applied, Event};
use crate::lists::ListRequest;

/// Tasks, many at a time.
///
/// # Guarantees
/// 1. `apply_all` does to each task what `TaskStore::apply` does, in their order where one task is
///    among them more than once, and answers as many as it was given. One that is refused or fails
///    keeps none of the others from being done. When it has answered, all that is done is on disk.
/// 2. `expired` and `overdue` tell of tasks that an [`Event::Expire`] or [`Event::Overdue`] of the
///    same time changes; on a cluster they may be a second late. With fewer than `limit` these are
///    all.
/// 3. `counts` counts what `list` would show over all pages, whatever statuses are asked for.
#[async_trait]
pub trait ManyTasks: Send + Sync + Debug {
    /// Applies each event to its task.
    async fn apply_all(&self, events: Vec<(TaskKey, Event)>) -> Vec<Result<Applied, StoreError>>;

    /// Tasks that have to go by now. What does not say when goes if it has ended before that.
    async fn expired(
        &self,
        unmarked_before: Timestamp,
        limit: usize,
    ) -> Result<Vec<TaskKey>, StoreError>;

    /// Queued tasks of a type that have been due since before that.
    async fn overdue(
        &self,
        type_id: &TypeId,
        due_before: Timestamp,
        limit: usize,
    ) -> Result<Vec<TaskKey>, StoreError>;

    /// How many tasks there are of each status; of those that a list with the same filters shows.
    async fn counts(&self, request: &ListRequest) -> Result<Vec<(Status, u64)>, StoreError>;
}

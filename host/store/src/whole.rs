//! Everything that is kept, one after the other, for whoever takes it to another store.

use async_trait::async_trait;
use taskhost_model::ids::{Space, StreamName, TaskKey};

use crate::documents::Scope;
use crate::error::StoreError;
use crate::streams::StreamSettings;

/// # Guarantees
/// What is there during the whole time of the reading is told once; what comes or goes meanwhile
/// may be told or not.
#[async_trait]
pub trait WholeStore: Send + Sync + std::fmt::Debug {
    /// The keys of tasks, at most `limit`, in the order of space and id, from after that one.
    async fn tasks_after(
        &self,
        after: Option<&TaskKey>,
        limit: usize,
    ) -> Result<Vec<TaskKey>, StoreError>;

    /// All collections with documents.
    async fn collections(&self) -> Result<Vec<Scope>, StoreError>;

    /// All streams with their settings; none where streams belong to a cluster.
    async fn streams(&self) -> Result<Vec<(Space, StreamName, StreamSettings)>, StoreError>;
}

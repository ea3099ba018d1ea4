//! The store of components: every host on one store sees the same task types.

use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use taskhost_model::ids::{Digest, TypeId};
use taskhost_model::time::Timestamp;

use crate::error::StoreError;

/// The largest component, in bytes.
pub const COMPONENT_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Components with what they said of themselves.
///
/// # Guarantees
/// 1. A component is known by its digest and never changes.
/// 2. Of each type at most one version is active. Making one active, by `activate` or by a
///    `put` whose state is `Active`, makes the former `Draining` in the same write.
/// 3. When a write has answered, it is on disk.
/// 4. What an unfinished run is pinned to stays.
#[async_trait]
pub trait ComponentStore: Send + Sync + std::fmt::Debug {
    /// Keeps a component. One that is known already changes nothing: false.
    async fn put(&self, version: &Version, bytes: Arc<[u8]>) -> Result<bool, StoreError>;

    /// One version.
    async fn get(&self, digest: &Digest) -> Result<Option<Version>, StoreError>;

    /// The component itself.
    async fn bytes(&self, digest: &Digest) -> Result<Option<Arc<[u8]>>, StoreError>;

    /// All versions, by type, newest upload first.
    async fn list(&self) -> Result<Vec<Version>, StoreError>;

    /// Makes a version the active one of its type; the former becomes `draining`. A digest that
    /// is not known changes nothing.
    async fn activate(&self, digest: &Digest, at: Timestamp) -> Result<(), StoreError>;

    /// Moves a `draining` version to `retired`.
    async fn retire(&self, digest: &Digest) -> Result<(), StoreError>;

    /// Removes a version and its component; false when there was none, or when an unfinished run
    /// is pinned to it. With a type's last version its labels are free again.
    async fn delete(&self, digest: &Digest) -> Result<bool, StoreError>;
}

/// One version of a task type.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Version {
    /// The component's sha256.
    pub digest: Digest,
    /// The type, from its descriptor.
    pub type_id: TypeId,
    /// JSON text, as `describe()` gave it.
    pub descriptor: String,
    /// Where it is in its life.
    pub state: VersionState,
    /// Size of the component in bytes.
    pub bytes: u64,
    /// When it was accepted.
    pub uploaded_at: Timestamp,
    /// When it was last made the active one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activated_at: Option<Timestamp>,
}

/// Where a version is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VersionState {
    /// New runs use it.
    Active,
    /// Only runs that are pinned to it use it.
    Draining,
    /// Nothing uses it.
    Retired,
}

//! The store of components: every host on one store sees the same task types.

use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use taskhost_model::capabilities::Capabilities;
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
/// 4. What an unfinished run is pinned to stays, and the active version as long as a task of its
///    type has not ended.
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

    /// Makes a version the active one of its type; the former becomes `draining`. With an
    /// approval, that is kept with the version in the same write, in place of an earlier one. A
    /// digest that is not known changes nothing.
    async fn activate(
        &self,
        digest: &Digest,
        at: Timestamp,
        approval: Option<&Approval>,
    ) -> Result<(), StoreError>;

    /// Keeps whose signature a component has turned out to have.
    async fn sign(&self, digest: &Digest, signed_by: &str) -> Result<(), StoreError>;

    /// Moves a `draining` version to `retired`.
    async fn retire(&self, digest: &Digest) -> Result<(), StoreError>;

    /// Removes a version and its component; false when there was none, or when it has to stay
    /// (guarantee 4), which is looked at in the unit that removes it. With a type's last version
    /// its labels are free again, and it is not paused any more.
    async fn delete(&self, digest: &Digest) -> Result<bool, StoreError>;

    /// Pauses a type, or with `None` lets it go on. The type need not have any version.
    async fn set_paused(&self, type_id: &TypeId, paused: Option<&Paused>)
    -> Result<(), StoreError>;

    /// All types that are paused, by id.
    async fn paused(&self) -> Result<Vec<(TypeId, Paused)>, StoreError>;
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
    /// What an operator has allowed this very version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approval>,
    /// The minisign public key whose signature it came with, if the host trusts that key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed_by: Option<String>,
}

/// What somebody has allowed a version beyond the operator's policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Approval {
    /// Who.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// What.
    pub allowed: Capabilities,
}

/// Why nothing of a type is claimed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Paused {
    /// Who wanted it.
    pub by: String,
    /// Since when.
    pub at: Timestamp,
    /// In words of whoever did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Where a version is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum VersionState {
    /// It wants more than the policy allows; nothing uses it until an operator approves.
    PendingApproval,
    /// New runs use it.
    Active,
    /// Only runs that are pinned to it use it.
    Draining,
    /// Nothing uses it.
    Retired,
}

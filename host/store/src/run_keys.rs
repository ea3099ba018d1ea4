//! The keys with which runs read streams: sealed by whoever writes them.
//!
//! # How long a key lives
//! Runs of one credential share one for some minutes. It is ended when no unfinished run holds it
//! and nobody shares it any more; a host that dies leaves its keys to the sweepers of others.

use std::fmt::Debug;

use async_trait::async_trait;
use taskhost_model::ids::{Incarnation, RunKeyId};
use taskhost_model::time::Timestamp;

use crate::error::StoreError;

/// Keys of runs, and the store's check that all hosts seal alike.
///
/// # Guarantees
/// 1. What was answered is on disk, and `get` sees it at once.
/// 2. `held` sees every run and every schedule that was written before, in all spaces.
/// 3. Whoever sets the check first has set it; everybody reads the same one.
#[async_trait]
pub trait RunKeyStore: Send + Sync + Debug {
    /// Writes a key, once.
    async fn put(&self, key: &RunKey) -> Result<(), StoreError>;

    /// Replaces what is sealed, as it is sealed anew under another key of the hosts. A key that is
    /// gone stays gone.
    async fn reseal(&self, id: RunKeyId, sealed: Vec<u8>) -> Result<(), StoreError>;

    /// One key.
    async fn get(&self, id: RunKeyId) -> Result<Option<RunKey>, StoreError>;

    /// At most `limit` keys, the oldest first; may miss the last second's.
    async fn list(&self, limit: usize) -> Result<Vec<RunKey>, StoreError>;

    /// Which of these unfinished runs hold (queued, at work, waiting or being ended), or schedules.
    async fn held(&self, ids: &[RunKeyId]) -> Result<Vec<RunKeyId>, StoreError>;

    /// Removes keys; what is gone is no error.
    async fn remove(&self, ids: &[RunKeyId]) -> Result<(), StoreError>;

    /// The text by which a host sees that it has the others' key, written if there was none.
    async fn check(&self, ours: &[u8]) -> Result<Vec<u8>, StoreError>;

    /// Replaces that text, if it is still `old`; whether it is `new` now.
    async fn replace_check(&self, old: &[u8], new: &[u8]) -> Result<bool, StoreError>;
}

/// A key of runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunKey {
    /// As runs name it.
    pub id: RunKeyId,
    /// The authority's name for it, where it was granted; none where it is the person's own, which
    /// is not the host's to end.
    pub granted: Option<String>,
    /// Whose it is, as in `requested_by`.
    pub person: String,
    /// The life of the host that may still give it to further runs.
    pub shared_by: Incarnation,
    /// Until then it may.
    pub shared_until: Timestamp,
    /// When it ends by itself.
    pub expires_at: Timestamp,
    /// The secret, sealed.
    pub sealed: Vec<u8>,
}

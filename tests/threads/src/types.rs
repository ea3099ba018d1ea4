//! Task types, as far as claims and the sweeper know of them: there is one, once it is pushed.

use std::sync::Arc;

use taskhost_model::ids::{Digest, TypeId};
use taskhost_model::time::Timestamp;
use taskhost_store::components::{Version, VersionState};
use taskhost_store::queue::ClaimableType;

use crate::error::ServiceError;
use crate::sync::Mutex;

#[derive(Debug, Clone, Default)]
pub(crate) struct TaskTypes(Arc<Mutex<Vec<ClaimableType>>>);

impl TaskTypes {
    /// Whoever does this has to wake the scheduler.
    pub(crate) fn push(&self) {
        let version = ClaimableType {
            type_id: type_id(),
            digest: version().digest,
            wall_ms: 1_000,
            runs_per_key: None,
        };
        self.0.lock().unwrap().push(version);
    }

    pub(crate) fn claimable(&self) -> Vec<ClaimableType> {
        self.0.lock().unwrap().clone()
    }

    #[expect(clippy::unused_async, reason = "the real one reads the store")]
    pub(crate) async fn retire_unused(&self) -> Result<(), ServiceError> {
        Ok(())
    }
}

/// The component of the type, which the store has.
pub(crate) fn version() -> Version {
    Version {
        digest: Digest::parse(&"0".repeat(64)).unwrap(),
        type_id: type_id(),
        descriptor: String::new(),
        state: VersionState::Active,
        bytes: 0,
        uploaded_at: Timestamp::from_ms(0),
        activated_at: None,
        approval: None,
        signed_by: None,
    }
}

pub(crate) fn type_id() -> TypeId {
    TypeId::parse("worker").unwrap()
}

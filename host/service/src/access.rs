//! Who asks, and what they may do.

use taskhost_model::requester::{Authorization, Requester};

use crate::error::ServiceError;
use crate::service::Service;

impl Service {
    /// Who comes with this. Where the store has no people of its own it is the one user.
    ///
    /// # Errors
    /// [`ServiceError::Unauthorized`] when it is missing or not accepted.
    #[expect(clippy::unused_async, reason = "a store with people has to be asked")]
    pub async fn recognize(
        &self,
        _authorization: Option<&Authorization>,
    ) -> Result<Requester, ServiceError> {
        Ok(Requester::single_user())
    }

    /// Whether they may see what belongs to no space: hosts, metrics.
    ///
    /// # Errors
    /// [`ServiceError::Forbidden`] when they may not.
    #[expect(clippy::unused_async, reason = "a store with people has to be asked")]
    pub async fn may_know_all(&self, _by: &Requester) -> Result<(), ServiceError> {
        Ok(())
    }
}

//! Deletes a task, in any status: gone for every reader at once; a live run is fenced and
//! interrupted and cannot bring it back.

use taskhost_model::ids::TaskKey;
use taskhost_model::requester::Requester;
use taskhost_store::event::{Event, Outcome};

use crate::core::Tasks;
use crate::error::ServiceError;

impl Tasks {
    /// Deletes the task.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], [`ServiceError::VersionMismatch`], or what the store says.
    pub async fn delete(
        &self,
        _by: &Requester,
        key: &TaskKey,
        if_version: Option<u64>,
    ) -> Result<(), ServiceError> {
        let applied = self.0.apply_wish(key, Event::Delete { if_version }).await?;
        match applied.outcome {
            Outcome::Changed => Ok(()),
            Outcome::VersionMismatch => Err(ServiceError::VersionMismatch),
            Outcome::Unchanged | Outcome::Repeated | Outcome::Refused(_) | Outcome::Fenced => {
                Err(ServiceError::NotFound {
                    what: format!("task `{}`", key.id),
                })
            }
        }
    }
}

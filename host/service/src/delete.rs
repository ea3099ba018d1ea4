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
    /// [`ServiceError::NotFound`], [`ServiceError::VersionMismatch`],
    /// [`ServiceError::Forbidden`], or what the store says.
    pub async fn delete(
        &self,
        by: &Requester,
        key: &TaskKey,
        if_version: Option<u64>,
    ) -> Result<(), ServiceError> {
        let event = |if_version| Event::Delete { if_version };
        let applied = self.0.change(by, key, if_version, event).await?;
        match applied.map(|applied| applied.outcome) {
            Some(Outcome::Changed) => Ok(()),
            _ => Err(ServiceError::NotFound {
                what: format!("task `{}`", key.id),
            }),
        }
    }
}

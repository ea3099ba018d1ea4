//! Cancels a task: stored first, then the guest is asked, then it is stopped.

use taskhost_model::ids::TaskKey;
use taskhost_model::requester::Requester;
use taskhost_store::event::{Event, Outcome};

use crate::core::{Core, Tasks};
use crate::error::ServiceError;
use crate::view::TaskView;

/// It stands in the task's hot row.
const REASON_BYTES_MAX: usize = 1024;

impl Tasks {
    /// Cancels what is in progress; anything else stays, and the answer says its true status.
    ///
    /// # Errors
    /// [`ServiceError::VersionMismatch`], or what the store says.
    pub async fn cancel(
        &self,
        by: &Requester,
        key: &TaskKey,
        reason: Option<String>,
        if_version: Option<u64>,
    ) -> Result<TaskView, ServiceError> {
        if reason
            .as_ref()
            .is_some_and(|reason| reason.len() > REASON_BYTES_MAX)
        {
            let problem = format!("has more than {REASON_BYTES_MAX} bytes");
            return Err(ServiceError::invalid("reason", problem));
        }
        let event = Event::Cancel {
            by: by.name.clone(),
            reason,
            if_version,
        };
        let applied = self.0.apply_wish(key, event).await?;
        if applied.outcome == Outcome::VersionMismatch {
            return Err(ServiceError::VersionMismatch);
        }
        let changed = applied.outcome == Outcome::Changed;
        if changed {
            let task = Core::visible(applied);
            return Ok(task.map_or_else(|| TaskView::not_started(key.clone()), TaskView::of));
        }
        self.get(by, key).await
    }
}

//! Cancels a task: stored first, then the guest is asked, then it is stopped.

use taskhost_clients::stop::StopReason;
use taskhost_model::ids::TaskKey;
use taskhost_model::requester::Requester;
use taskhost_model::status::Phase;
use taskhost_store::event::{Event, Outcome};

use crate::core::{Core, Tasks};
use crate::error::ServiceError;
use crate::view::TaskView;

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
        let event = Event::Cancel {
            by: by.name.clone(),
            reason,
            if_version,
        };
        let applied = self.0.apply(key, event).await?;
        if applied.outcome == Outcome::VersionMismatch {
            return Err(ServiceError::VersionMismatch);
        }
        let changed = applied.outcome == Outcome::Changed;
        let task = Core::visible(applied);
        if let Some(task) = task
            .as_ref()
            .filter(|task| task.phase() == Phase::BeingCanceled)
        {
            self.0.live.ask(task.fence(), StopReason::User);
        }
        if changed {
            return Ok(task.map_or_else(|| TaskView::not_started(key.clone()), TaskView::of));
        }
        self.get(by, key).await
    }
}

//! Acknowledges a result: the user has acted on it.

use taskhost_model::ids::TaskKey;
use taskhost_model::requester::Requester;
use taskhost_model::status::Status;
use taskhost_model::task::Task;
use taskhost_store::event::{Event, Outcome};
use taskhost_store::tasks::StoredTask;

use crate::core::Tasks;
use crate::error::ServiceError;
use crate::view::TaskView;

impl Tasks {
    /// Moves a completed task to `acknowledged` and answers it with its payload.
    ///
    /// # Errors
    /// [`ServiceError::NotCompleted`] with the true status, [`ServiceError::VersionMismatch`],
    /// or what the store says.
    pub async fn acknowledge(
        &self,
        by: &Requester,
        key: &TaskKey,
        if_version: Option<u64>,
    ) -> Result<TaskView, ServiceError> {
        let event = Event::Acknowledge {
            by: by.name.clone(),
            if_version,
        };
        // Read before: a schedule that follows at once takes the payload away.
        let read = self.0.tasks.read(key).await?;
        let applied = self.0.apply_wish(key, event).await?;
        match applied.outcome {
            Outcome::Changed => self.acknowledged(by, key, applied.task, read).await,
            Outcome::VersionMismatch => Err(ServiceError::VersionMismatch),
            Outcome::Unchanged | Outcome::Repeated | Outcome::Refused(_) | Outcome::Fenced => {
                let task = applied.task.filter(|task| task.deleted_at.is_none());
                let status = task.map_or(Status::NotStarted, |task| task.phase().status());
                Err(ServiceError::NotCompleted { status })
            }
        }
    }

    async fn acknowledged(
        &self,
        by: &Requester,
        key: &TaskKey,
        task: Option<Task>,
        read: Option<StoredTask>,
    ) -> Result<TaskView, ServiceError> {
        match (task, read) {
            (Some(task), Some(read))
                if read.payload.is_some() && read.task.run.id == task.run.id =>
            {
                Ok(TaskView::with_payload(StoredTask { task, ..read }))
            }
            // It was completed between the two: the payload is there now.
            _ => self.get(by, key).await,
        }
    }
}

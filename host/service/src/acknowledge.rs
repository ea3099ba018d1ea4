//! Acknowledges a result: the user has acted on it.

use taskhost_model::ids::TaskKey;
use taskhost_model::requester::Requester;
use taskhost_model::status::Status;
use taskhost_model::task::Task;
use taskhost_store::event::{Event, Outcome};
use taskhost_store::queue::StoredTask;

use crate::core::Tasks;
use crate::error::ServiceError;
use crate::view::TaskView;

impl Tasks {
    /// Moves a completed task to `acknowledged` and answers it with its payload.
    ///
    /// # Errors
    /// [`ServiceError::NotCompleted`] with the true status, [`ServiceError::VersionMismatch`],
    /// [`ServiceError::Forbidden`], or what the store says.
    pub async fn acknowledge(
        &self,
        by: &Requester,
        key: &TaskKey,
        if_version: Option<u64>,
    ) -> Result<TaskView, ServiceError> {
        let caller = self.0.caller(by);
        if !caller.may_change(&key.space).await? {
            return Err(not_completed(None));
        }
        loop {
            let read = match self.0.tasks.read(key).await? {
                Some(read) if caller.sees(&read.task).await? => read,
                _ => return Err(not_completed(None)),
            };
            // The version that was read holds the payload that is answered; a schedule or a
            // deletion in between is seen, and then the task is read anew.
            let version = read.task.version;
            if if_version.is_some_and(|wanted| wanted != version) {
                return Err(ServiceError::VersionMismatch);
            }
            let event = Event::Acknowledge {
                by: by.name.clone(),
                if_version: Some(version),
            };
            let applied = self.0.apply_kept(by, key, event).await?;
            match (applied.outcome, applied.task) {
                (Outcome::Changed, Some(task)) => {
                    return Ok(TaskView::with_payload(StoredTask { task, ..read }));
                }
                (Outcome::VersionMismatch, _) => {}
                // It is the version that was looked at, or gone.
                (_, task) => return Err(not_completed(task)),
            }
        }
    }
}

fn not_completed(task: Option<Task>) -> ServiceError {
    let task = task.filter(|task| task.deleted_at.is_none());
    let status = task.map_or(Status::NotStarted, |task| task.phase().status());
    ServiceError::NotCompleted { status }
}

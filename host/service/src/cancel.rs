//! Cancels a task: stored first, then the guest is asked, then it is stopped.

use taskhost_model::ids::TaskKey;
use taskhost_model::requester::Requester;
use taskhost_model::status::{Next, Phase, Trigger};
use taskhost_model::task::Task;
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
    /// [`ServiceError::VersionMismatch`], [`ServiceError::Forbidden`], or what the store says.
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
        let event = |if_version| Event::Cancel {
            by: by.name.clone(),
            reason: reason.clone(),
            if_version,
        };
        loop {
            let Some(applied) = self.0.change(by, key, if_version, event).await? else {
                return Ok(TaskView::not_started(key.clone()));
            };
            if applied.outcome == Outcome::Changed {
                let task = Core::visible(applied);
                return Ok(task.map_or_else(|| TaskView::not_started(key.clone()), TaskView::of));
            }
            let view = self.get(by, key).await?;
            // Scheduled since: nobody is told of a run in progress that his cancel has spared.
            if !is_to_cancel(&view) {
                return Ok(view);
            }
        }
    }
}

fn is_to_cancel(view: &TaskView) -> bool {
    let phase = view.task.as_ref().map_or(Phase::Absent, Task::phase);
    matches!(phase.next(Trigger::Cancel), Next::To(_))
}

//! Reads a task, at once or when it changes.

use std::time::Duration;

use taskhost_model::ids::{RunId, TaskKey};
use taskhost_model::requester::Requester;

use crate::core::Tasks;
use crate::error::ServiceError;
use crate::view::TaskView;

impl Tasks {
    /// The task with its payload; an unknown id is `not_started`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn get(&self, by: &Requester, key: &TaskKey) -> Result<TaskView, ServiceError> {
        let caller = self.0.caller(by);
        // Of what somebody may not see no more is read than of what is not there.
        if caller.is_asked() && self.0.seen(caller, key).await?.is_none() {
            return Ok(TaskView::not_started(key.clone()));
        }
        let stored = match self.0.tasks.read(key).await? {
            Some(stored) if caller.sees(&stored.task).await? => stored,
            _ => return Ok(TaskView::not_started(key.clone())),
        };
        let waiting_for = self.waiting_for(caller, &stored.task).await?;
        Ok(TaskView {
            waiting_for,
            ..TaskView::with_payload(stored)
        })
    }

    /// The task as soon as its revision is not `since`, waiting at most `wait`; `None` when it
    /// is still the same.
    ///
    /// # Errors
    /// [`ServiceError::Stopping`] when the host stops, or what the store says.
    pub async fn wait(
        &self,
        by: &Requester,
        key: &TaskKey,
        since: u64,
        wait: Duration,
    ) -> Result<Option<TaskView>, ServiceError> {
        // Watched before it is read: a change between the two is seen.
        let mut watch = self.0.changes.watch(key);
        let deadline = tokio::time::Instant::now() + wait;
        loop {
            let view = self.get(by, key).await?;
            if view.revision() != since {
                return Ok(Some(view));
            }
            tokio::select! {
                _changed_or_lagged = watch.next() => {}
                () = tokio::time::sleep_until(deadline) => return Ok(None),
                () = self.0.stopping.cancelled() => return Err(ServiceError::Stopping),
            }
        }
    }

    /// What the task's latest run has logged: one JSON object a line.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] when `run` is not the task's latest run.
    pub async fn log(
        &self,
        by: &Requester,
        key: &TaskKey,
        run: RunId,
    ) -> Result<String, ServiceError> {
        let none = || ServiceError::NotFound {
            what: format!("log of the run {run}"),
        };
        let seen = self.0.seen(self.0.caller(by), key).await?;
        if seen.is_none_or(|task| task.run.id != run) {
            return Err(none());
        }
        self.0.tasks.log(key, run).await?.ok_or_else(none)
    }
}

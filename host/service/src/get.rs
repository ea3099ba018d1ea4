//! Reads a task, at once or when it changes.

use std::sync::Arc;
use std::time::Duration;

use taskhost_model::ids::TaskKey;
use taskhost_model::requester::Requester;
use taskhost_model::stale::shown_status;
use taskhost_model::status::Status;
use taskhost_model::task::Task;

use crate::access::Caller;
use crate::changes::{Change, Feed};
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
        let Some(task) = self.shown(caller, key).await? else {
            return Ok(TaskView::not_started(key.clone()));
        };
        let waiting_for = match &task.task {
            Some(task) => self.waiting_for(caller, task).await?,
            None => None,
        };
        let status = task.task.as_ref();
        Ok(TaskView {
            status: status.map_or(task.status, |task| self.status(task)),
            waiting_for,
            ..task
        })
    }

    /// The status of a document as readers are shown it: `stale` where a run's host has been lost
    /// for longer than its type's `stale_after_s`, and nobody has taken the run over. On the
    /// embedded store it never is: what an earlier process ran is queued again before anybody
    /// reads.
    #[must_use]
    pub fn status(&self, task: &Task) -> Status {
        let core = &self.0;
        let lease = task.lease();
        let lost_for = lease.and_then(|lease| core.peers.lost_for(lease.incarnation));
        let Some((lost_for, stale_after)) = lost_for.zip(core.types.stale_after(&task.type_id))
        else {
            return task.phase().status();
        };
        let now = core.clock.now();
        shown_status(task, Some(now.minus(lost_for)), stale_after, now)
    }

    /// The task, if they see it. Where that is asked, no more is read of one that they do not see
    /// than of one that is not there, and a payload only where there is one.
    async fn shown(
        &self,
        caller: Caller<'_>,
        key: &TaskKey,
    ) -> Result<Option<TaskView>, ServiceError> {
        if caller.is_asked() {
            match self.0.seen(caller, key).await? {
                Some(task) if matches!(task.status, Status::Completed | Status::Acknowledged) => {}
                seen => return Ok(seen.map(TaskView::of)),
            }
        }
        match self.0.tasks.read(key).await? {
            // It may be another task by now.
            Some(stored) if caller.sees(&stored.task).await? => {
                Ok(Some(TaskView::with_payload(stored)))
            }
            _ => Ok(None),
        }
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
        let caller = self.0.caller(by);
        let deadline = tokio::time::Instant::now() + wait;
        loop {
            let view = self.get(by, key).await?;
            if view.revision() != since {
                return Ok(Some(view));
            }
            tokio::select! {
                changed = changed(&mut watch, since) => {
                    let view = changed.and_then(|change| told_whole(&change));
                    if let Some(view) = view
                        && let Some(task) = &view.task
                        && caller.sees(task).await?
                    {
                        return Ok(Some(view));
                    }
                }
                () = tokio::time::sleep_until(deadline) => return Ok(None),
                () = self.0.stopping.cancelled() => return Err(ServiceError::Stopping),
            }
        }
    }
}

/// The next change that readers see; none where it has to be read what has changed.
///
/// One of a later revision than what was read came after that: its document was the latest then.
/// Any other may have been overtaken.
async fn changed(watch: &mut Feed, since: u64) -> Option<Arc<Change>> {
    loop {
        let change = watch.next().await.ok()?;
        if change.task.revision != since {
            return Some(change).filter(|change| change.task.revision > since);
        }
    }
}

/// What a change tells of the task, where that is all that is shown of it.
fn told_whole(change: &Change) -> Option<TaskView> {
    let view = TaskView {
        payload: change.payload.clone(),
        ..TaskView::of(change.task.clone())
    };
    let is_whole = match view.status {
        Status::Completed | Status::Acknowledged => view.payload.is_some(),
        // Why it waits has to be looked for.
        _ => !change.task.phase().is_waiting(),
    };
    (is_whole && change.task.deleted_at.is_none()).then_some(view)
}

//! Runs a task again with the params that it has, on the version of its type that is active now.

use taskhost_model::ids::TaskKey;
use taskhost_model::requester::Requester;
use taskhost_model::status::Next;
use taskhost_model::status::Trigger;
use taskhost_model::task::Task;
use taskhost_model::trace::TraceParent;
use taskhost_store::event::WriteCondition;
use taskhost_store::queue::StoredTask;

use crate::access::Caller;
use crate::core::Tasks;
use crate::error::ServiceError;
use crate::schedule::{ScheduleRequest, Scheduled};
use crate::wishes::Asker;

/// How a task is run again.
#[derive(Debug, Clone, Copy, Default)]
pub struct RetryRequest {
    /// Without the checkpoints that its former run has left.
    pub fresh: bool,
    /// Only in this version.
    pub if_version: Option<u64>,
    /// What the request is part of.
    pub trace: Option<TraceParent>,
}

impl Tasks {
    /// Schedules what is not at work anew, in the name of whoever asks. A live run stays.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], [`ServiceError::VersionMismatch`], and those of a schedule: the
    /// params may not fit the active version.
    pub async fn retry(
        &self,
        by: &Requester,
        key: &TaskKey,
        wanted: RetryRequest,
    ) -> Result<Scheduled, ServiceError> {
        self.check_running()?;
        let caller = self.0.caller(by);
        if !caller.may_change(&key.space).await? {
            return Err(none(key));
        }
        loop {
            let stored = self.seen_whole(caller, key).await?;
            let stored = stored.ok_or_else(|| none(key))?;
            let version = stored.task.version;
            if wanted.if_version.is_some_and(|it| it != version) {
                return Err(ServiceError::VersionMismatch);
            }
            self.check_parent(&stored.task).await?;
            let request = self.request_of(&stored, wanted.trace);
            match self.schedule_again(by, key, request, wanted.fresh).await {
                // Somebody was faster: it may be another task by now, or at work.
                Err(ServiceError::VersionMismatch) if wanted.if_version.is_none() => {}
                done => return done,
            }
        }
    }

    async fn schedule_again(
        &self,
        by: &Requester,
        key: &TaskKey,
        mut request: ScheduleRequest,
        fresh: bool,
    ) -> Result<Scheduled, ServiceError> {
        let mut wish = self.checked(by, key, &mut request, Asker::Person).await?;
        wish.keeps_checkpoints = !fresh;
        let write = self.write_as("task.retry", by, key, &request, &wish);
        let applied = write.await?;
        self.scheduled(by, key, &request, applied).await
    }

    /// The task with its params, if they see it.
    async fn seen_whole(
        &self,
        caller: Caller<'_>,
        key: &TaskKey,
    ) -> Result<Option<StoredTask>, ServiceError> {
        if caller.is_asked() && self.0.seen(caller, key).await?.is_none() {
            return Ok(None);
        }
        match self.0.tasks.read(key).await? {
            // It may be another task by now.
            Some(stored) if caller.sees(&stored.task).await? => Ok(Some(stored)),
            _ => Ok(None),
        }
    }

    fn request_of(&self, stored: &StoredTask, trace: Option<TraceParent>) -> ScheduleRequest {
        let task = &stored.task;
        ScheduleRequest {
            type_id: task.type_id.clone(),
            stream: task.stream.clone(),
            params: stored.params.clone(),
            priority: Some(task.run.priority),
            run_at: None,
            timeout_ms: task.run.timeout_ms,
            record: task.record && self.0.settings.policy.may_record(&task.type_id),
            trace,
            condition: Some(WriteCondition::Version(task.version)),
        }
    }

    /// A child whose parent goes on is the parent's affair, which may have counted on its end.
    async fn check_parent(&self, task: &Task) -> Result<(), ServiceError> {
        let is_over = matches!(task.phase().next(Trigger::Schedule), Next::To(_));
        let Some((parent, run)) = task.parent_run().filter(|_| is_over) else {
            return Ok(());
        };
        let parent = self.0.tasks.get(&parent).await?;
        let goes_on = |it: &Task| it.run.id == run && !it.phase().status().is_terminal();
        if parent.as_ref().is_some_and(goes_on) {
            let problem = "is a child of a task that goes on, and that alone spawns it again: wait \
                           until that has ended, or cancel it";
            return Err(ServiceError::invalid("id", problem));
        }
        Ok(())
    }
}

fn none(key: &TaskKey) -> ServiceError {
    ServiceError::NotFound {
        what: format!("task `{}`", key.id),
    }
}

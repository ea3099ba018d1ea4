//! The runs of a task, and what each has logged.

use taskhost_model::former::FormerRun;
use taskhost_model::ids::{RunId, Space, TaskKey};
use taskhost_model::requester::Requester;

use crate::access::Caller;
use crate::core::Tasks;
use crate::error::ServiceError;

/// What a run has logged so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunLog {
    /// One JSON object a line.
    pub lines: String,
    /// Nothing will be added.
    pub is_whole: bool,
}

impl Tasks {
    /// The task's runs, newest first: the latest one, and the former ones that are kept, as far as
    /// whoever asks may see them.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], or what the store says.
    pub async fn runs(
        &self,
        by: &Requester,
        key: &TaskKey,
    ) -> Result<Vec<FormerRun>, ServiceError> {
        let caller = self.0.caller(by);
        let task = self.0.seen(caller, key).await?;
        let task = task.ok_or_else(|| ServiceError::NotFound {
            what: format!("task `{}`", key.id),
        })?;
        let mut runs = vec![FormerRun {
            status: self.status(&task),
            ..FormerRun::of(&task)
        }];
        for run in self.0.tasks.former_runs(key).await? {
            // It may have been scheduled again between the two looks.
            if run.id != task.run.id && sees(caller, &key.space, &run).await? {
                runs.push(run);
            }
        }
        Ok(runs)
    }

    /// What one of the task's runs has logged.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] when it is none of those that are kept.
    pub async fn log(
        &self,
        by: &Requester,
        key: &TaskKey,
        run: RunId,
    ) -> Result<RunLog, ServiceError> {
        let none = || ServiceError::NotFound {
            what: format!("log of the run {run}"),
        };
        let caller = self.0.caller(by);
        let task = self.0.seen(caller, key).await?.ok_or_else(none)?;
        if task.run.id == run
            && let Some(lines) = self.0.tasks.log(key, run).await?
        {
            let is_whole = task.phase().status().is_terminal();
            return Ok(RunLog { lines, is_whole });
        }
        let former = self.0.tasks.former_runs(key).await?;
        let former = former.iter().find(|it| it.id == run).ok_or_else(none)?;
        if !sees(caller, &key.space, former).await? {
            return Err(none());
        }
        let lines = self.0.tasks.former_log(key, run).await?;
        Ok(RunLog {
            lines: lines.ok_or_else(none)?,
            is_whole: true,
        })
    }
}

/// A task may have worked on another stream before.
async fn sees(caller: Caller<'_>, space: &Space, run: &FormerRun) -> Result<bool, ServiceError> {
    if !caller.may_read(space, run.stream.as_ref()).await? {
        return Ok(false);
    }
    for stream in &run.also_reads {
        if !caller.may_read(space, Some(stream)).await? {
            return Ok(false);
        }
    }
    Ok(true)
}

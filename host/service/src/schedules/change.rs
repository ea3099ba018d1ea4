//! Pauses, resumes, fires now, and removes a schedule.

use taskhost_model::audit::Act;
use taskhost_model::ids::{ScheduleKey, TaskId};
use taskhost_model::requester::Requester;
use taskhost_model::schedule::{PastOutcome, Schedule, StillRunning};

use super::{ScheduleView, Schedules, not_found};
use crate::error::ServiceError;

/// It stands in the schedule's document.
const REASON_BYTES_MAX: usize = 1024;

/// A fire that somebody wanted.
#[derive(Debug, Clone)]
pub struct RunNow {
    /// Its task.
    pub task: TaskId,
    /// It waits for the task of an older one to end.
    pub is_waiting: bool,
    /// The schedule, as it is now.
    pub view: ScheduleView,
}

impl Schedules {
    /// Fires nothing until it is resumed; what runs goes on.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], [`ServiceError::Forbidden`], [`ServiceError::Invalid`],
    /// [`ServiceError::VersionMismatch`], or what the store says.
    pub async fn pause(
        &self,
        by: &Requester,
        key: &ScheduleKey,
        reason: Option<&str>,
        if_version: Option<u64>,
    ) -> Result<ScheduleView, ServiceError> {
        if reason.is_some_and(|reason| reason.len() > REASON_BYTES_MAX) {
            let problem = format!("has more than {REASON_BYTES_MAX} bytes");
            return Err(ServiceError::invalid("reason", problem));
        }
        let now = self.0.clock.now();
        let change = |schedule: &mut Schedule| {
            schedule.pause(Some(&by.name), reason, now);
            Ok(())
        };
        let act = Act::in_space("schedule.pause", &key.space, &key.id);
        let (schedule, ()) = self.change(by, key, if_version, act, change).await?;
        self.shown(schedule).await
    }

    /// Goes on, with the first time that is due from now on.
    ///
    /// # Errors
    /// As [`Self::pause`].
    pub async fn resume(
        &self,
        by: &Requester,
        key: &ScheduleKey,
        if_version: Option<u64>,
    ) -> Result<ScheduleView, ServiceError> {
        let now = self.0.clock.now();
        let change = |schedule: &mut Schedule| {
            let wrong = |problem: String| ServiceError::Internal { reason: problem };
            let times = schedule.timing.due_times();
            let times = times.map_err(|it| wrong(format!("{} {}", it.field, it.problem)))?;
            let resumed = schedule.resume(&times, now);
            resumed.map_err(|error| wrong(error.to_string()))
        };
        let act = Act::in_space("schedule.resume", &key.space, &key.id);
        let (schedule, ()) = self.change(by, key, if_version, act, change).await?;
        self.shown(schedule).await
    }

    /// Fires at once, whatever is due, and also while it is paused.
    ///
    /// # Errors
    /// As [`Self::pause`], and [`ServiceError::StillRunning`], [`ServiceError::NotFired`].
    pub async fn run_now(
        &self,
        by: &Requester,
        key: &ScheduleKey,
        if_version: Option<u64>,
    ) -> Result<RunNow, ServiceError> {
        let core = &self.0;
        core.lease.must_be_safe()?;
        let (now, own) = (core.clock.now(), core.lease.incarnation());
        let change = |schedule: &mut Schedule| {
            let fired = schedule.run_now(now, own, &by.name);
            fired.map_err(|StillRunning { task }| ServiceError::StillRunning { task })
        };
        let act = Act::in_space("schedule.run", &key.space, &key.id);
        let (_, task) = self.change(by, key, if_version, act, change).await?;
        if let Err(error) = self.attend(key).await {
            // It is decided, and will be carried out.
            tracing::warn!(schedule = %key.id, %error, "a fire is carried out a little later");
        }
        let schedule = core.schedules.get(key).await?;
        let view = self.shown(schedule.ok_or_else(|| not_found(key))?).await?;
        let stored = &view.schedule;
        let is_waiting = stored.waiting.iter().any(|it| stored.task_of(it) == task);
        let is_active = stored.active.iter().any(|it| it.task == task);
        let is_fired = stored.past.iter().any(|it| it.task.as_ref() == Some(&task));
        if !is_waiting && !is_active && !is_fired {
            let mut past = stored.past.iter().rev();
            let failed = past.find(|it| it.outcome == PastOutcome::Failed);
            let reason = failed.and_then(|it| it.reason.clone());
            return Err(ServiceError::NotFired {
                reason: reason.unwrap_or_else(|| "somebody has paused it meanwhile".to_owned()),
            });
        }
        Ok(RunNow {
            task,
            is_waiting,
            view,
        })
    }

    /// Removes a schedule; the tasks that it has fired go on.
    ///
    /// # Errors
    /// As [`Self::pause`].
    pub async fn delete(
        &self,
        by: &Requester,
        key: &ScheduleKey,
        if_version: Option<u64>,
    ) -> Result<(), ServiceError> {
        let first = self.changeable(by, key, if_version).await?;
        let remove = async {
            let mut schedule = first;
            while !self.0.schedules.remove(key, schedule.version).await? {
                schedule = self.changeable(by, key, if_version).await?;
            }
            Ok(())
        };
        let act = Act::in_space("schedule.delete", &key.space, &key.id);
        self.0.audit.kept(by, act, remove).await
    }

    /// Replaces a schedule by what `change` makes of it.
    async fn change<T>(
        &self,
        by: &Requester,
        key: &ScheduleKey,
        if_version: Option<u64>,
        act: Act,
        change: impl Fn(&mut Schedule) -> Result<T, ServiceError>,
    ) -> Result<(Schedule, T), ServiceError> {
        let first = self.changed(by, key, if_version, &change).await?;
        let write = async {
            let mut changed = first;
            loop {
                let (schedule, over, made) = changed;
                if self.0.schedules.put(&schedule, Some(over)).await? {
                    return Ok((schedule, made));
                }
                changed = self.changed(by, key, if_version, &change).await?;
            }
        };
        let written = self.0.audit.kept(by, act, write).await?;
        self.0.timekeeping.notify_one();
        Ok(written)
    }

    /// What `change` makes of it, the version that it was made of, and what else it says.
    async fn changed<T>(
        &self,
        by: &Requester,
        key: &ScheduleKey,
        if_version: Option<u64>,
        change: impl Fn(&mut Schedule) -> Result<T, ServiceError>,
    ) -> Result<(Schedule, u64, T), ServiceError> {
        let mut schedule = self.changeable(by, key, if_version).await?;
        let version = schedule.version;
        let over = self.ended(&schedule).await?;
        // What has ended stands in nobody's way.
        schedule.forget_ended(|fire| over.contains(&fire.run));
        let made = change(&mut schedule)?;
        let now = self.0.clock.now();
        schedule.updated_at = now;
        schedule.stamp(now);
        Ok((schedule, version, made))
    }

    /// A schedule that they may change, in the version that they want.
    async fn changeable(
        &self,
        by: &Requester,
        key: &ScheduleKey,
        if_version: Option<u64>,
    ) -> Result<Schedule, ServiceError> {
        let caller = self.0.caller(by);
        caller.must_manage(&key.space).await?;
        let schedule = self.seen(caller, key).await?;
        let schedule = schedule.ok_or_else(|| not_found(key))?;
        match if_version.is_none_or(|wanted| wanted == schedule.version) {
            true => Ok(schedule),
            false => Err(ServiceError::VersionMismatch),
        }
    }
}

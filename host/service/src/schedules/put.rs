//! Makes a schedule, or gives it another form: what it has fired, and what waits, stays.

use std::sync::Arc;
use std::time::Duration;

use taskhost_model::audit::Act;
use taskhost_model::ids::{RunId, ScheduleKey, StreamName, TaskKey};
use taskhost_model::requester::Requester;
use taskhost_model::schedule::{
    CatchUp, Counts, DueTimes, FiredTask, Overlap, Rule, Schedule, Timing, TooFar, Waiting,
};
use taskhost_model::time::Timestamp;
use taskhost_store::event::WriteCondition;

use super::{ScheduleView, Schedules};
use crate::access::Caller;
use crate::core::Tasks;
use crate::error::ServiceError;
use crate::run_keys::{InUse, RunKeys, Wanted};
use crate::seen::taken;
use crate::wishes::{Asker, ScheduleRequest};

/// So long the key of a schedule lasts. Whoever puts the schedule again gives it a new one.
const KEY_FOR: Duration = Duration::from_secs(366 * 24 * 60 * 60);
/// A schedule fires within so many years, or it is a mistake.
const NEVER: &str = "names no time that is still to come, within a hundred years";

/// What somebody wants of a schedule.
#[derive(Debug, Clone)]
pub struct ScheduleWish {
    /// When it is due.
    pub timing: TimingWish,
    /// What becomes of a fire while an older one has not ended.
    pub overlap: Overlap,
    /// What becomes of due times that nobody could fire.
    pub catch_up: CatchUp,
    /// What is fired.
    pub task: FiredTask,
    /// Only when the schedule is absent, or has a version.
    pub condition: Option<WriteCondition>,
}

/// When a schedule is to be due.
#[derive(Debug, Clone)]
pub struct TimingWish {
    /// What says when.
    pub rule: Rule,
    /// A name of the IANA database; left out: UTC.
    pub time_zone: Option<String>,
    /// Left out: now, or, of a rule that stays, as before.
    pub starts_at: Option<Timestamp>,
    /// Nothing is due after.
    pub ends_at: Option<Timestamp>,
    /// Each fire comes later than it is due, by less than this.
    pub jitter: Duration,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Put {
    /// There was none before.
    pub is_new: bool,
    /// As it is now.
    pub view: ScheduleView,
}

/// A schedule to be written.
struct Form {
    schedule: Schedule,
    /// The version that it replaces, if there is one.
    over: Option<u64>,
}

impl TimingWish {
    fn timing(&self, stored: Option<&Schedule>, now: Timestamp) -> Timing {
        let time_zone = self.time_zone.clone();
        let time_zone = time_zone.unwrap_or_else(|| "UTC".to_owned());
        // What counts from its start goes on counting.
        let same = stored
            .map(|it| &it.timing)
            .filter(|it| it.rule == self.rule && it.time_zone.eq_ignore_ascii_case(&time_zone));
        let starts_at = self.starts_at.or(same.map(|it| it.starts_at));
        let second = now.as_ms().div_euclid(1_000) * 1_000;
        Timing {
            rule: self.rule.clone(),
            time_zone,
            starts_at: starts_at.unwrap_or(Timestamp::from_ms(second)),
            ends_at: self.ends_at,
            jitter_ms: u64::try_from(self.jitter.as_millis()).unwrap_or(u64::MAX),
        }
    }

    fn field(&self) -> &'static str {
        match self.rule {
            Rule::Interval(_) => "interval",
            Rule::Cron(_) => "cron",
            Rule::Rrule(_) => "rrule",
        }
    }
}

impl Schedules {
    /// Makes a schedule or replaces it; when it answers, it is on disk.
    ///
    /// # Errors
    /// [`ServiceError::Forbidden`], [`ServiceError::Invalid`], [`ServiceError::UnknownTaskType`],
    /// [`ServiceError::UnknownStream`], [`ServiceError::VersionMismatch`],
    /// [`ServiceError::IdNotAvailable`], or what the store says.
    pub async fn put(
        &self,
        by: &Requester,
        key: &ScheduleKey,
        mut wish: ScheduleWish,
    ) -> Result<Put, ServiceError> {
        let core = &self.0;
        let caller = core.caller(by);
        caller.must_manage(&key.space).await?;
        self.check_task(by, key, &mut wish).await?;
        let in_use = self.key_for(caller, &wish).await?;
        let first = self.form(by, key, &wish, in_use.as_ref()).await?;
        let write = async {
            let mut form = first;
            loop {
                in_use.iter().for_each(InUse::sent);
                let is_written = core.schedules.put(&form.schedule, form.over).await?;
                in_use.iter().for_each(InUse::answered);
                if is_written {
                    return Ok(form);
                }
                form = self.form(by, key, &wish, in_use.as_ref()).await?;
            }
        };
        let act = Act::in_space("schedule.put", &key.space, &key.id);
        let act = act.with(format!("type {}", wish.task.type_id));
        let Form { schedule, over } = core.audit.kept(by, act, write).await?;
        core.timekeeping.notify_one();
        Ok(Put {
            is_new: over.is_none(),
            view: self.shown(schedule).await?,
        })
    }

    /// As it is to be, given what it is.
    async fn form(
        &self,
        by: &Requester,
        key: &ScheduleKey,
        wish: &ScheduleWish,
        in_use: Option<&InUse>,
    ) -> Result<Form, ServiceError> {
        let core = &self.0;
        let stored = self.replaceable(core.caller(by), key, wish.condition);
        let stored = stored.await?;
        Ok(Form {
            schedule: made(key, wish, stored.as_ref(), by, in_use, core.clock.now())?,
            over: stored.map(|stored| stored.version),
        })
    }

    /// What a person who schedules the task would be told.
    async fn check_task(
        &self,
        by: &Requester,
        key: &ScheduleKey,
        wish: &mut ScheduleWish,
    ) -> Result<(), ServiceError> {
        let mut request = request(&wish.task);
        // Any of the ids that its tasks will have.
        let sample = Schedule::task_id(
            &key.id,
            &Waiting {
                due_at: self.0.clock.now(),
                run: RunId::new(),
                wanted_by: None,
            },
        );
        let task = TaskKey {
            space: key.space.clone(),
            id: sample,
        };
        let tasks = Tasks(Arc::clone(&self.0));
        let checked = tasks.checked(by, &task, &mut request, Asker::Person);
        let checked = checked.await?;
        wish.task.params = request.params;
        wish.task.also_reads = checked.also_reads;
        Ok(())
    }

    /// What is to be replaced, where they see it and it is as they want it.
    async fn replaceable(
        &self,
        caller: Caller<'_>,
        key: &ScheduleKey,
        condition: Option<WriteCondition>,
    ) -> Result<Option<Schedule>, ServiceError> {
        let stored = match self.seen(caller, key).await? {
            None if self.0.schedules.get(key).await?.is_some() => return Err(taken()),
            stored => stored,
        };
        let version = stored.as_ref().map(|stored| stored.version);
        let holds = match condition {
            None => true,
            Some(WriteCondition::Absent) => version.is_none(),
            Some(WriteCondition::Version(wanted)) => version.unwrap_or_default() == wanted,
        };
        match holds {
            true => Ok(stored),
            false => Err(ServiceError::VersionMismatch),
        }
    }

    /// With what its runs are to be made, and to read their stream.
    async fn key_for(
        &self,
        caller: Caller<'_>,
        wish: &ScheduleWish,
    ) -> Result<Option<InUse>, ServiceError> {
        let core = &self.0;
        let streams: Vec<StreamName> = wish.task.streams().cloned().collect();
        let needs_one = |keys: &&Arc<RunKeys>| !streams.is_empty() || keys.is_for_all_runs();
        let Some(keys) = core.run_keys.as_ref().filter(needs_one) else {
            return Ok(None);
        };
        let Some(own) = caller.own()?.cloned() else {
            return Ok(None);
        };
        let until = core.clock.now().plus(KEY_FOR);
        let wanted = Wanted {
            own,
            streams,
            until,
        };
        Ok(Some(keys.take_alone(wanted).await?))
    }
}

/// What a fire asks for.
pub(super) fn request(task: &FiredTask) -> ScheduleRequest {
    ScheduleRequest {
        type_id: task.type_id.clone(),
        stream: task.stream.clone(),
        params: Arc::clone(&task.params),
        priority: task.priority,
        run_at: None,
        timeout_ms: task.timeout_ms,
        record: false,
        trace: None,
        condition: Some(WriteCondition::Absent),
    }
}

/// The schedule as it is to be stored.
fn made(
    key: &ScheduleKey,
    wish: &ScheduleWish,
    stored: Option<&Schedule>,
    by: &Requester,
    in_use: Option<&InUse>,
    now: Timestamp,
) -> Result<Schedule, ServiceError> {
    let mut timing = wish.timing.timing(stored, now);
    let times = timing.due_times();
    let times = times.map_err(|it| ServiceError::invalid(it.field, it.problem))?;
    times.time_zone().clone_into(&mut timing.time_zone);
    let next = first_due(wish, &timing, &times, stored, now)?;
    // Versions start at the time: one that was removed and made again repeats none.
    let first = u64::try_from(now.as_ms()).unwrap_or(1);
    let former = stored.cloned();
    let mut schedule = Schedule {
        id: key.id.clone(),
        space: key.space.clone(),
        timing,
        overlap: wish.overlap,
        catch_up: wish.catch_up,
        task: wish.task.clone(),
        author: by.name.clone(),
        key: in_use.map(InUse::id),
        key_expires_at: in_use.map(|_| now.plus(KEY_FOR)),
        created_at: stored.map_or(now, |stored| stored.created_at),
        updated_at: now,
        // What the host has paused it for may be over: it looks again.
        paused: stored
            .and_then(|stored| stored.paused.clone())
            .filter(|paused| paused.by.is_some()),
        next,
        waiting: Vec::new(),
        active: Vec::new(),
        past: Vec::new(),
        counts: Counts::default(),
        act_at: None,
        version: stored.map_or(first, |stored| stored.version),
    };
    if let Some(former) = former {
        schedule.waiting = former.waiting;
        schedule.active = former.active;
        schedule.past = former.past;
        schedule.counts = former.counts;
    }
    schedule.stamp(now);
    Ok(schedule)
}

/// The first due time of which nothing is decided. A timing that stays goes on where it was.
fn first_due(
    wish: &ScheduleWish,
    timing: &Timing,
    times: &DueTimes,
    stored: Option<&Schedule>,
    now: Timestamp,
) -> Result<Option<Timestamp>, ServiceError> {
    if let Some(stored) = stored.filter(|stored| stored.timing == *timing) {
        // What was due while the host kept it paused is not made up for.
        if stored.paused.as_ref().is_none_or(|it| it.by.is_some()) {
            return Ok(stored.next);
        }
    }
    // A clock that has gone back brings no due time again.
    let decided = stored.iter().flat_map(|stored| &stored.past);
    let decided = decided.filter(|past| past.wanted_by.is_none());
    let last = decided.map(|past| past.due_at).max();
    let next = times.next_after(last.map_or(now, |last| last.max(now)));
    match next {
        Ok(Some(next)) => Ok(Some(next)),
        Ok(None) => Err(ServiceError::invalid(wish.timing.field(), NEVER)),
        Err(TooFar) => Err(ServiceError::invalid(
            wish.timing.field(),
            TooFar.to_string(),
        )),
    }
}

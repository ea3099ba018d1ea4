//! Carries out what the model decides of one schedule. Whatever fails here is done again: see
//! [`taskhost_model::schedule`] for why nothing is lost then, and nothing done twice.

use std::collections::HashSet;
use std::sync::Arc;

use taskhost_model::ids::{RunId, ScheduleKey, TaskKey};
use taskhost_model::schedule::{Active, Schedule};
use taskhost_model::time::Timestamp;
use taskhost_store::event::{Event, NewRun, Outcome};

use super::Schedules;
use super::put::request;
use crate::core::{Tasks, is_end};
use crate::error::ServiceError;
use crate::identity;
use crate::wishes::Asker;

/// What came of a try to write the task of a fire.
enum Tried {
    /// The store has it, or had it.
    Written,
    /// It never will, for this reason.
    Failed(String),
    /// Nor will any other one of this schedule, as long as its key is what it is.
    NoIdentity(String),
}

/// Decisions about a schedule in one go; what is left is done in the next round.
const STEPS_MAX: usize = 8;

impl Schedules {
    /// Does what is to be done about a schedule now; when somebody has to look at it again.
    pub(super) async fn attend(
        &self,
        key: &ScheduleKey,
    ) -> Result<Option<Timestamp>, ServiceError> {
        let core = &self.0;
        for _ in 0..STEPS_MAX {
            let Some(schedule) = core.schedules.get(key).await? else {
                return Ok(None);
            };
            let is_due = |schedule: &Schedule| schedule.act_at.filter(|at| *at <= core.clock.now());
            if is_due(&schedule).is_none() {
                return Ok(schedule.act_at);
            }
            let Some(schedule) = self.decide(schedule).await? else {
                // Somebody else was quicker.
                continue;
            };
            let mut has_noted = false;
            for fire in &schedule.active {
                if fire.is_written {
                    self.cancel_old(&schedule, fire).await?;
                } else if self.is_ours(fire).await? {
                    let tried = self.write_task(&schedule, fire).await?;
                    self.note(key, fire.run, tried).await?;
                    has_noted = true;
                }
            }
            if !has_noted {
                return Ok(schedule.act_at);
            }
        }
        let schedule = core.schedules.get(key).await?;
        Ok(schedule.and_then(|schedule| schedule.act_at))
    }

    /// The schedule as it is once everything that is due is decided; none where it has changed
    /// meanwhile.
    async fn decide(&self, schedule: Schedule) -> Result<Option<Schedule>, ServiceError> {
        let core = &self.0;
        let over = self.ended(&schedule).await?;
        let (now, own) = (core.clock.now(), core.lease.incarnation());
        let mut next = schedule.clone();
        let mut is_changed = next.forget_ended(|fire| over.contains(&fire.run));
        let decided = match next.timing.due_times() {
            Ok(times) => next
                .decide(&times, now, own)
                .map_err(|error| error.to_string()),
            Err(mistake) => Err(format!("its `{}` {}", mistake.field, mistake.problem)),
        };
        match decided {
            Ok(is_decided) => is_changed |= is_decided,
            Err(why) => {
                next.pause(None, Some(&why), now);
                is_changed = true;
            }
        }
        if !is_changed {
            return Ok(Some(schedule));
        }
        next.stamp(now);
        let is_written = core.schedules.put(&next, Some(schedule.version)).await?;
        Ok(is_written.then_some(next))
    }

    /// Runs of fires that have ended.
    pub(super) async fn ended(&self, schedule: &Schedule) -> Result<HashSet<RunId>, ServiceError> {
        let mut ended = HashSet::new();
        for fire in schedule.active.iter().filter(|fire| fire.is_written) {
            let task = self.0.tasks.get(&task_key(schedule, fire)).await?;
            let task = task.filter(|task| task.run.id == fire.run);
            if task.is_none_or(|task| is_end(task.phase()) || task.status.is_terminal()) {
                ended.insert(fire.run);
            }
        }
        Ok(ended)
    }

    /// Whether it is for this host to write the task of a fire.
    async fn is_ours(&self, fire: &Active) -> Result<bool, ServiceError> {
        let core = &self.0;
        core.lease.must_be_safe()?;
        match &core.hosts {
            Some(hosts) if !core.lease.is_of(fire.by) => {
                Ok(core.is_over(&**hosts, fire.by).await?)
            }
            // Where no other process can use the store, every other life is over.
            _ => Ok(true),
        }
    }

    /// A later fire wants this one to end. It is asked again until it has.
    async fn cancel_old(&self, schedule: &Schedule, fire: &Active) -> Result<(), ServiceError> {
        if !fire.is_to_cancel {
            return Ok(());
        }
        let key = task_key(schedule, fire);
        let task = self.0.tasks.get(&key).await?;
        let Some(task) = task.filter(|task| task.run.id == fire.run) else {
            return Ok(());
        };
        let cancel = Event::Cancel {
            by: schedule.author.clone(),
            reason: Some(format!("the schedule `{}` fires anew", schedule.id)),
            if_version: Some(task.version),
        };
        self.0.apply_wish(&key, cancel).await.map(drop)
    }

    async fn write_task(&self, schedule: &Schedule, fire: &Active) -> Result<Tried, ServiceError> {
        let stored = self.0.tasks.get(&task_key(schedule, fire)).await?;
        if stored.is_some_and(|task| task.run.id == fire.run) {
            return Ok(Tried::Written);
        }
        let mut tried = self.try_write(schedule, fire).await;
        if matches!(tried, Err(ServiceError::UnknownTaskType { .. })) && self.0.hosts.is_some() {
            // Another host may have loaded it a moment ago.
            self.0.types.read_again().await?;
            tried = self.try_write(schedule, fire).await;
        }
        match tried {
            Err(
                error @ (ServiceError::Unavailable { .. }
                | ServiceError::Stopping
                | ServiceError::DiskFull
                | ServiceError::DiskReserved),
            ) => Err(error),
            Err(ServiceError::Unauthorized { reason }) => Ok(Tried::NoIdentity(reason)),
            Err(error) => Ok(Tried::Failed(error.to_string())),
            Ok(tried) => Ok(tried),
        }
    }

    async fn try_write(&self, schedule: &Schedule, fire: &Active) -> Result<Tried, ServiceError> {
        let by = match identity::of_schedule(&self.0, schedule).await? {
            Ok(by) => by,
            Err(why) => return Ok(Tried::NoIdentity(why)),
        };
        let key = task_key(schedule, fire);
        let mut request = request(&schedule.task);
        let tasks = Tasks(Arc::clone(&self.0));
        let wish = tasks
            .checked(&by, &key, &mut request, Asker::Schedule)
            .await?;
        let mut named = wish.also_reads.iter();
        if let Some(new) = named.find(|name| schedule.task.streams().all(|it| it != *name)) {
            return Ok(Tried::Failed(format!(
                "its type reads the stream `{new}` by now, which it did not when the schedule was \
                 made: put the schedule again, which asks for the right to read it"
            )));
        }
        let run = NewRun {
            // As it was decided: a second try is known by it.
            id: fire.run,
            ..wish.run(&request, &by, schedule.key)
        };
        self.0.lease.must_be_safe()?;
        let applied = self
            .0
            .apply_wish(&key, Event::Schedule(Box::new(run)))
            .await?;
        Ok(match applied.outcome {
            // Fenced: it was there, and somebody has deleted it since.
            Outcome::Changed | Outcome::Repeated | Outcome::Fenced => Tried::Written,
            _ => Tried::Failed(format!("another task has the id `{}`", key.id)),
        })
    }

    /// Notes what came of a fire, in whatever form the schedule has by now.
    async fn note(&self, key: &ScheduleKey, run: RunId, tried: Tried) -> Result<(), ServiceError> {
        let core = &self.0;
        loop {
            let Some(stored) = core.schedules.get(key).await? else {
                return Ok(());
            };
            let now = core.clock.now();
            let mut next = stored.clone();
            let is_news = match &tried {
                Tried::Written => next.note_written(run, now),
                Tried::Failed(why) => next.note_failed(run, why, now),
                Tried::NoIdentity(why) => {
                    let why = format!(
                        "the key of its runs, granted to {}, is not accepted: {why}. Put the \
                         schedule again, which gives it a new one",
                        stored.author
                    );
                    let is_news = next.note_failed(run, &why, now);
                    if is_news {
                        next.pause(None, Some(&why), now);
                    }
                    is_news
                }
            };
            if !is_news {
                return Ok(());
            }
            next.stamp(now);
            if core.schedules.put(&next, Some(stored.version)).await? {
                tell(&next, &tried);
                return Ok(());
            }
        }
    }
}

fn tell(schedule: &Schedule, tried: &Tried) {
    let (id, space) = (&schedule.id, &schedule.space);
    match tried {
        Tried::Written => tracing::debug!(schedule = %id, %space, "fired"),
        Tried::Failed(why) => tracing::warn!(schedule = %id, %space, why, "a fire has failed"),
        Tried::NoIdentity(why) => {
            tracing::warn!(schedule = %id, %space, why, "a schedule is paused");
        }
    }
}

fn task_key(schedule: &Schedule, fire: &Active) -> TaskKey {
    TaskKey {
        space: schedule.space.clone(),
        id: fire.task.clone(),
    }
}

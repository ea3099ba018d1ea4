//! Shows schedules.

use std::collections::BTreeMap;

use taskhost_model::ids::{ScheduleId, ScheduleKey, Space, TaskId, TaskKey};
use taskhost_model::requester::Requester;
use taskhost_model::schedule::{PastOutcome, Schedule};
use taskhost_model::status::Status;
use taskhost_model::time::Timestamp;

use super::{Schedules, not_found};
use crate::error::ServiceError;

/// Fire times that are shown.
const NEXT_SHOWN: usize = 3;
/// The most schedules of one page.
const LIMIT_MAX: usize = 1_000;
/// Schedules that are looked at in one go for somebody who does not see all of them.
const LOOKED_AT: usize = 200;

/// A schedule, as it is shown.
#[derive(Debug, Clone)]
pub struct ScheduleView {
    /// As it is stored.
    pub schedule: Schedule,
    /// What it does.
    pub state: ScheduleState,
    /// The next times at which it fires.
    pub next_fires: Vec<Timestamp>,
    /// Its timing in English, where that can be said.
    pub words: Option<String>,
    /// What became of the latest due times, the newest first.
    pub fires: Vec<FireView>,
}

/// What a schedule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScheduleState {
    /// It fires.
    Active,
    /// It fires nothing for now.
    Paused,
    /// It will not be due again.
    Ended,
}

/// What became of a due time.
#[derive(Debug, Clone)]
pub struct FireView {
    /// When it was due.
    pub due_at: Timestamp,
    /// When that was noted.
    pub at: Timestamp,
    /// What became of it.
    pub outcome: PastOutcome,
    /// Its task.
    pub task: Option<TaskId>,
    /// That task's status, where it has been read.
    pub status: Option<Status>,
    /// Why it was not fired.
    pub reason: Option<String>,
    /// Who wanted it, where that was no due time.
    pub wanted_by: Option<String>,
}

/// Some schedules of a space.
#[derive(Debug, Clone)]
pub struct SchedulePage {
    /// In the order of their ids.
    pub schedules: Vec<ScheduleView>,
    /// Behind which the next page begins.
    pub next: Option<ScheduleId>,
}

impl ScheduleState {
    /// As people read it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Ended => "ended",
        }
    }
}

impl ScheduleView {
    /// Without the statuses of its tasks.
    pub(super) fn of(schedule: Schedule) -> Self {
        let times = schedule.timing.due_times().ok();
        let next_fires = times
            .as_ref()
            .map(|times| schedule.next_fires(times, NEXT_SHOWN));
        let state = match (&schedule.paused, schedule.next) {
            (Some(_), _) => ScheduleState::Paused,
            (None, Some(_)) => ScheduleState::Active,
            (None, None) => ScheduleState::Ended,
        };
        let fires = schedule.past.iter().rev().map(|past| FireView {
            due_at: past.due_at,
            at: past.at,
            outcome: past.outcome,
            task: past.task.clone(),
            status: None,
            reason: past.reason.clone(),
            wanted_by: past.wanted_by.clone(),
        });
        Self {
            state,
            next_fires: next_fires.unwrap_or_default(),
            words: times.and_then(|times| times.words().map(str::to_owned)),
            fires: fires.collect(),
            schedule,
        }
    }
}

impl Schedules {
    /// A schedule, with the statuses of the tasks that it has fired.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], or what the store says.
    pub async fn get(
        &self,
        by: &Requester,
        key: &ScheduleKey,
    ) -> Result<ScheduleView, ServiceError> {
        let schedule = self.seen(self.0.caller(by), key).await?;
        let schedule = schedule.ok_or_else(|| not_found(key))?;
        self.shown(schedule).await
    }

    pub(super) async fn shown(&self, schedule: Schedule) -> Result<ScheduleView, ServiceError> {
        let mut view = ScheduleView::of(schedule);
        let mut statuses = BTreeMap::new();
        for id in view.fires.iter().filter_map(|fire| fire.task.clone()) {
            let key = TaskKey {
                space: view.schedule.space.clone(),
                id,
            };
            let task = self.0.tasks.get(&key).await?;
            statuses.extend(task.map(|task| (key.id, task.status)));
        }
        for fire in &mut view.fires {
            fire.status = fire.task.as_ref().and_then(|id| statuses.get(id).copied());
        }
        Ok(view)
    }

    /// The schedules of a space that somebody sees, in the order of their ids.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`], [`ServiceError::Forbidden`], or what the store says.
    pub async fn list(
        &self,
        by: &Requester,
        space: &Space,
        after: Option<ScheduleId>,
        limit: usize,
    ) -> Result<SchedulePage, ServiceError> {
        if !(1..=LIMIT_MAX).contains(&limit) {
            let problem = format!("has to be between 1 and {LIMIT_MAX}");
            return Err(ServiceError::invalid("limit", problem));
        }
        let caller = self.0.caller(by);
        caller.must_read(space).await?;
        let mut schedules: Vec<ScheduleView> = Vec::new();
        let mut after = after;
        loop {
            let found = self
                .0
                .schedules
                .list(space, after.as_ref(), LOOKED_AT)
                .await?;
            // A damaged one is left out of a page that others follow.
            let is_last = found.is_empty();
            after = found.last().map(|schedule| schedule.id.clone());
            for schedule in found {
                if !self.sees(caller, &schedule).await? {
                    continue;
                }
                if schedules.len() == limit {
                    let last = schedules.last().map(|view| view.schedule.id.clone());
                    return Ok(SchedulePage {
                        schedules,
                        next: last,
                    });
                }
                schedules.push(ScheduleView::of(schedule));
            }
            if is_last {
                return Ok(SchedulePage {
                    schedules,
                    next: None,
                });
            }
        }
    }
}

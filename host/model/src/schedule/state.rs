//! A schedule as it is stored, and what becomes of it. See [`super`] for how a fire goes.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::TooFar;
use super::parts::{Active, Counts, FiredTask, Overlap, Past, PastOutcome, Pause, Waiting};
use super::passed::{CatchUp, passed};
use super::rule::{DueTimes, Timing};
use crate::ids::{Incarnation, RunId, RunKeyId, ScheduleId, ScheduleKey, Space, TaskId};
use crate::time::Timestamp;

/// Fires that are remembered.
const PAST_MAX: usize = 20;
/// Fires that wait for an older one at once.
const WAITING_MAX: usize = 100;

/// A schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// Its id.
    pub id: ScheduleId,
    /// Its space.
    pub space: Space,
    /// When it is due.
    pub timing: Timing,
    /// What becomes of a fire while an older one has not ended.
    pub overlap: Overlap,
    /// What becomes of due times that nobody could fire.
    pub catch_up: CatchUp,
    /// What is fired.
    pub task: FiredTask,
    /// In whose name.
    pub author: String,
    /// With what its runs read streams, where the store has people of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<RunKeyId>,
    /// When that ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_expires_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When somebody last changed it.
    pub updated_at: Timestamp,
    /// Why it fires nothing for now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<Pause>,
    /// The first due time of which nothing is decided; none: it will not be due again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Timestamp>,
    /// Fires that wait for an older one, the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiting: Vec<Waiting>,
    /// Fires whose tasks may not have ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub active: Vec<Active>,
    /// What became of the latest, the newest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub past: Vec<Past>,
    /// What became of all.
    #[serde(default)]
    pub counts: Counts,
    /// When somebody has to look at it; none: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub act_at: Option<Timestamp>,
    /// Grows with each write.
    pub version: u64,
}

/// A fire that nobody wants beside an older one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StillRunning {
    /// The older one's task.
    pub task: TaskId,
}

impl Schedule {
    /// Its address.
    #[must_use]
    pub fn key(&self) -> ScheduleKey {
        ScheduleKey {
            space: self.space.clone(),
            id: self.id.clone(),
        }
    }

    /// When what is due at a time is fired: a little later, as the jitter wants, which is the same
    /// on every host.
    #[must_use]
    pub fn fire_at(&self, due_at: Timestamp) -> Timestamp {
        match self.timing.jitter_ms {
            0 => due_at,
            jitter_ms => {
                let lot = lot(self.space.as_str(), self.id.as_str(), due_at);
                due_at.plus(Duration::from_millis(lot % jitter_ms))
            }
        }
    }

    /// The id of the task that is fired for a due time, or because somebody wants it.
    #[must_use]
    pub fn task_of(&self, fire: &Waiting) -> TaskId {
        Self::task_id(&self.id, fire)
    }

    /// The same, of a schedule that there need not be.
    #[must_use]
    pub fn task_id(schedule: &ScheduleId, fire: &Waiting) -> TaskId {
        let at = fire.due_at.to_string();
        let digits = at.split('.').next().unwrap_or_default();
        let compact: String = digits.chars().filter(|c| !"-:".contains(*c)).collect();
        let id = match fire.wanted_by {
            None => format!("{schedule}.{compact}Z"),
            Some(_) => {
                let run = fire.run.to_string();
                let lot = &run[run.len() - 12..];
                format!("{schedule}.{compact}Z-{lot}")
            }
        };
        // A schedule's id leaves room for the rest, and that is made of what ids are made of.
        TaskId::parse(&id).unwrap_or_else(|_| unreachable!("{id} is no id of a task"))
    }

    /// Decides about everything that has become due, and starts what may start; whether anything
    /// changed.
    ///
    /// # Errors
    /// [`TooFar`]: nothing changed.
    pub fn decide(
        &mut self,
        times: &DueTimes,
        now: Timestamp,
        by: Incarnation,
    ) -> Result<bool, TooFar> {
        let before = (self.next, self.waiting.clone(), self.active.clone());
        if let Some(first) = self.next.filter(|_| self.paused.is_none())
            && self.fire_at(first) <= now
        {
            let fire_at = |due| self.fire_at(due);
            let passed = passed(times, first, now, self.catch_up, fire_at)?;
            self.next = passed.next;
            if let Some(due_at) = passed.last_missed {
                self.counts.missed += passed.missed;
                let reason = match passed.missed {
                    1 => "nobody could fire it in time".to_owned(),
                    many => format!("nobody could fire it, and {} before it, in time", many - 1),
                };
                self.note(Past {
                    reason: Some(reason),
                    ..Past::of(due_at, now, PastOutcome::Missed)
                });
            }
            self.waiting
                .extend(passed.fires.into_iter().map(|due_at| Waiting {
                    due_at,
                    run: RunId::new(),
                    wanted_by: None,
                }));
        }
        self.start(now, by);
        let is_changed = before != (self.next, self.waiting.clone(), self.active.clone());
        Ok(is_changed)
    }

    /// Fires because somebody wants it, whatever is due and also while it is paused. The id of the
    /// task.
    ///
    /// # Errors
    /// [`StillRunning`], where the overlap policy leaves it out.
    pub fn run_now(
        &mut self,
        now: Timestamp,
        by: Incarnation,
        person: &str,
    ) -> Result<TaskId, StillRunning> {
        if let (Overlap::Skip, Some(active)) = (self.overlap, self.active.first()) {
            let task = active.task.clone();
            return Err(StillRunning { task });
        }
        let fire = Waiting {
            due_at: now,
            run: RunId::new(),
            wanted_by: Some(person.to_owned()),
        };
        let task = self.task_of(&fire);
        self.waiting.push(fire);
        self.start(now, by);
        Ok(task)
    }

    /// Forgets fires whose tasks have ended; whether there were any.
    pub fn forget_ended(&mut self, is_over: impl Fn(&Active) -> bool) -> bool {
        let before = self.active.len();
        self.active.retain(|active| !is_over(active));
        before != self.active.len()
    }

    /// Notes that the task of a fire is written; whether that is news.
    pub fn note_written(&mut self, run: RunId, now: Timestamp) -> bool {
        let found = self.active.iter_mut().find(|active| active.run == run);
        let Some(active) = found.filter(|active| !active.is_written) else {
            return false;
        };
        active.is_written = true;
        let fire = active.clone();
        self.counts.fired += 1;
        self.note(Past {
            task: Some(fire.task),
            wanted_by: fire.wanted_by,
            ..Past::of(fire.due_at, now, PastOutcome::Fired)
        });
        true
    }

    /// Notes that the task of a fire will never be written; whether that is news.
    pub fn note_failed(&mut self, run: RunId, reason: &str, now: Timestamp) -> bool {
        let found = self.active.iter().position(|active| active.run == run);
        let Some(index) = found.filter(|index| !self.active[*index].is_written) else {
            return false;
        };
        let fire = self.active.remove(index);
        self.counts.failed += 1;
        self.note(Past {
            reason: Some(reason.to_owned()),
            wanted_by: fire.wanted_by,
            ..Past::of(fire.due_at, now, PastOutcome::Failed)
        });
        true
    }

    /// Fires nothing for now; what waits for an older fire is left out.
    pub fn pause(&mut self, by: Option<&str>, reason: Option<&str>, now: Timestamp) {
        self.paused = Some(Pause {
            by: by.map(str::to_owned),
            reason: reason.map(str::to_owned),
            at: now,
        });
        let (kept, left_out) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|fire| fire.wanted_by.is_some());
        self.waiting = kept;
        let left_out: Vec<Waiting> = left_out;
        for fire in left_out {
            self.skip(fire, now, "the schedule was paused while it waited");
        }
    }

    /// Goes on with the first time that is due from now on: what was due meanwhile was not missed.
    ///
    /// # Errors
    /// [`TooFar`]: nothing changed.
    pub fn resume(&mut self, times: &DueTimes, now: Timestamp) -> Result<(), TooFar> {
        // Of a clock that has gone back, nothing comes a second time.
        if self.next.is_some_and(|next| next <= now) {
            self.next = times.next_after(now)?;
        }
        self.paused = None;
        Ok(())
    }

    /// The next times at which it fires, at most `count`; none while it is paused.
    #[must_use]
    pub fn next_fires(&self, times: &DueTimes, count: usize) -> Vec<Timestamp> {
        let mut fires = Vec::new();
        let mut next = self.next.filter(|_| self.paused.is_none());
        while let Some(due) = next.filter(|_| fires.len() < count) {
            fires.push(self.fire_at(due));
            next = times.next_after(due).unwrap_or_default();
        }
        fires
    }

    /// Says when somebody has to look, and that this is another version.
    pub fn stamp(&mut self, now: Timestamp) {
        let is_at_work = !self.waiting.is_empty() || self.active.iter().any(|it| !it.is_written);
        self.act_at = match self.next {
            _ if is_at_work => Some(now),
            Some(next) if self.paused.is_none() => Some(self.fire_at(next)),
            _ => None,
        };
        self.version += 1;
    }

    fn start(&mut self, now: Timestamp, by: Incarnation) {
        while !self.waiting.is_empty() {
            let Some(active) = self.active.first() else {
                let fire = self.waiting.remove(0);
                self.active.push(Active {
                    due_at: fire.due_at,
                    task: self.task_of(&fire),
                    run: fire.run,
                    by,
                    is_written: false,
                    is_to_cancel: false,
                    wanted_by: fire.wanted_by,
                });
                continue;
            };
            match self.overlap {
                Overlap::Skip => {
                    let reason = format!("the task `{}` had not ended", active.task);
                    let fire = self.waiting.remove(0);
                    self.skip(fire, now, &reason);
                }
                Overlap::Queue => {
                    for fire in self.waiting.split_off(WAITING_MAX.min(self.waiting.len())) {
                        let reason = format!("{WAITING_MAX} fires waited already");
                        self.skip(fire, now, &reason);
                    }
                    return;
                }
                Overlap::CancelOld => {
                    let last = self.waiting.pop();
                    for fire in std::mem::replace(&mut self.waiting, last.into_iter().collect()) {
                        self.skip(fire, now, "a later fire has taken its place");
                    }
                    self.active.iter_mut().for_each(|it| it.is_to_cancel = true);
                    return;
                }
            }
        }
    }

    fn skip(&mut self, fire: Waiting, now: Timestamp, reason: &str) {
        self.counts.skipped += 1;
        self.note(Past {
            reason: Some(reason.to_owned()),
            wanted_by: fire.wanted_by,
            ..Past::of(fire.due_at, now, PastOutcome::Skipped)
        });
    }

    fn note(&mut self, past: Past) {
        self.past.push(past);
        if self.past.len() > PAST_MAX {
            self.past.remove(0);
        }
    }
}

/// A number that a due time of a schedule draws, wherever it is drawn (FNV-1a).
fn lot(space: &str, id: &str, due_at: Timestamp) -> u64 {
    let number = due_at.as_ms().to_le_bytes();
    let bytes = space
        .bytes()
        .chain([0])
        .chain(id.bytes())
        .chain([0])
        .chain(number);
    let start = 0xcbf2_9ce4_8422_2325_u64;
    let hash = bytes.fold(start, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    // Its low bits alone would follow each other.
    hash ^ (hash >> 32)
}

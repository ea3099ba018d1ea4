//! Tasks in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use async_trait::async_trait;
use taskhost_model::ids::{RunId, Space, TaskKey, TypeId};
use taskhost_model::status::Status;
use taskhost_model::task::Task;
use taskhost_model::time::Timestamp;

use super::{Content, Entry, Memory};
use crate::apply::{Decision, TextChange, Write, decide};
use crate::cursor;
use crate::error::StoreError;
use crate::event::{Applied, Claim, Event, Outcome};
use crate::limits::Limits;
use crate::place::{self, Place};
use crate::queue::{ClaimRequest, Claimer, Reservation, RunQueue, StoredTask};
use crate::tasks::{Children, ListRequest, TaskPage, TaskStore, Unfinished, Waiting};

#[async_trait]
impl RunQueue for Memory {
    async fn claim(&self, request: &ClaimRequest) -> Result<Vec<StoredTask>, StoreError> {
        let now = self.clock.now();
        Ok(self.content()?.claim(request, &self.limits, now))
    }

    fn claim_along(&self, claimer: Arc<dyn Claimer>) {
        *self.claimer.lock().unwrap_or_else(PoisonError::into_inner) = Some(claimer);
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        let content = self.content()?;
        let waiting = content.at(Place::Waiting);
        Ok(waiting.map(|entry| entry.task.run.due_at).min())
    }

    async fn holders(
        &self,
        space: &Space,
        type_id: &TypeId,
        concurrency_key: &str,
    ) -> Result<Vec<TaskKey>, StoreError> {
        let content = self.content()?;
        let holders = content.holders((space, type_id, concurrency_key));
        Ok(holders.map(Task::key).collect())
    }
}

#[async_trait]
impl TaskStore for Memory {
    async fn apply(&self, key: &TaskKey, event: Event) -> Result<Applied, StoreError> {
        self.limits.check(&event)?;
        let now = self.clock.now();
        let mut content = self.content()?;
        let applied = content.apply(key, &event, &self.limits, now);
        let reservation = place::is_made_ready(&event, &applied, now).then(|| self.reserve());
        if let Some(reservation) = reservation.flatten() {
            let claimed = content.claim(reservation.request(), &self.limits, now);
            drop(content);
            reservation.start(claimed);
        }
        Ok(applied)
    }

    async fn get(&self, key: &TaskKey) -> Result<Option<Task>, StoreError> {
        let content = self.content()?;
        Ok(content.visible(key).map(|entry| entry.task.clone()))
    }

    async fn read(&self, key: &TaskKey) -> Result<Option<StoredTask>, StoreError> {
        Ok(self.content()?.visible(key).map(Entry::stored))
    }

    async fn log(&self, key: &TaskKey, run: RunId) -> Result<Option<String>, StoreError> {
        let content = self.content()?;
        let entry = content
            .visible(key)
            .filter(|entry| entry.task.run.id == run);
        Ok(entry.map(|entry| entry.log.clone()))
    }

    async fn list(&self, request: &ListRequest) -> Result<TaskPage, StoreError> {
        let after = request.cursor.as_deref();
        let after = after
            .map(|text| cursor::decode("tasks", text))
            .transpose()?;
        let content = self.content()?;
        let order = |entry: &Entry| (entry.task.created_at.as_ms(), entry.number);
        let mut found: Vec<&Entry> = content
            .tasks
            .values()
            .filter(|entry| request.wants(&entry.task))
            .filter(|entry| after.is_none_or(|after| order(entry) < after))
            .collect();
        found.sort_by_key(|entry| std::cmp::Reverse(order(entry)));
        let limit = request.limit.clamp(1, 1_000);
        let more = found.len() > limit;
        found.truncate(limit);
        let after = |entry: &&Entry| {
            let (created_ms, number) = order(entry);
            cursor::encode("tasks", created_ms, number)
        };
        let cursors: Vec<String> = found.iter().map(after).collect();
        Ok(TaskPage {
            tasks: found.iter().map(|entry| entry.task.clone()).collect(),
            next: cursors.last().filter(|_| more).cloned(),
            cursors,
        })
    }

    async fn held(&self, limit: usize) -> Result<Vec<Task>, StoreError> {
        let content = self.content()?;
        let held = content.at(Place::Held).take(limit);
        Ok(held.map(|entry| entry.task.clone()).collect())
    }

    async fn remove_tombstones(&self) -> Result<u64, StoreError> {
        let mut content = self.content()?;
        let before = content.tasks.len();
        content
            .tasks
            .retain(|_, entry| entry.place != Place::Tombstone);
        Ok((before - content.tasks.len()) as u64)
    }

    async fn children(&self, run: RunId) -> Result<Children, StoreError> {
        let content = self.content()?;
        let tasks = content.tasks.values().map(|entry| &entry.task);
        let is_child = |task: &&Task| {
            let parent = task.parent.as_ref().map(|parent| parent.run);
            parent == Some(run) && task.deleted_at.is_none()
        };
        let children: Vec<&Task> = tasks.filter(is_child).collect();
        let living = children.iter().filter(|task| is_living(task));
        Ok(Children {
            count: children.len() as u64,
            living: living.map(|task| task.key()).collect(),
        })
    }

    async fn parents(&self) -> Result<Vec<(TaskKey, RunId)>, StoreError> {
        let content = self.content()?;
        let living = content.tasks.values().filter(|entry| {
            let places = [Place::Ready, Place::Waiting, Place::Held];
            places.contains(&entry.place)
        });
        let parents: BTreeMap<RunId, TaskKey> = living
            .filter_map(|entry| entry.task.parent_run())
            .map(|(key, run)| (run, key))
            .collect();
        Ok(parents.into_iter().map(|(run, key)| (key, run)).collect())
    }

    async fn unfinished(&self) -> Result<Unfinished, StoreError> {
        let content = self.content()?;
        let (mut by_digest, mut by_type) = (BTreeMap::new(), BTreeMap::new());
        for task in content.unfinished() {
            *by_type.entry(task.type_id.clone()).or_default() += 1;
            if let Some(digest) = &task.run.digest {
                *by_digest.entry(digest.clone()).or_default() += 1;
            }
        }
        let mut waiting: BTreeMap<TypeId, (u64, Timestamp)> = BTreeMap::new();
        for entry in content.at(Place::Ready).chain(content.at(Place::Behind)) {
            let (task, due_at) = (&entry.task, entry.task.run.due_at);
            let of_type = waiting.entry(task.type_id.clone()).or_insert((0, due_at));
            *of_type = (of_type.0 + 1, of_type.1.min(due_at));
        }
        let waiting = waiting
            .into_iter()
            .map(|(type_id, (runs, due_at))| Waiting {
                type_id,
                runs,
                oldest_due_at: Some(due_at),
            });
        Ok(Unfinished {
            by_digest: by_digest.into_iter().collect(),
            by_type: by_type.into_iter().collect(),
            waiting: waiting.collect(),
        })
    }
}

impl Memory {
    fn reserve(&self) -> Option<Box<dyn Reservation>> {
        let claimer = self.claimer.lock().unwrap_or_else(PoisonError::into_inner);
        claimer.as_ref()?.reserve()
    }
}

impl Content {
    fn claim(
        &mut self,
        request: &ClaimRequest,
        limits: &Limits,
        now: Timestamp,
    ) -> Vec<StoredTask> {
        for entry in self.tasks.values_mut() {
            // Also what is not due any more, where the clock went back: it is not to keep others
            // from the room that they would have.
            if matches!(entry.place, Place::Waiting | Place::Ready) {
                entry.place = place::of(&entry.task, now);
            }
        }
        let mut claimed = Vec::new();
        for (key, claim) in self.in_turn(request) {
            if claimed.len() >= request.limit {
                break;
            }
            let applied = self.apply(&key, &Event::Claim(claim), limits, now);
            if applied.outcome == Outcome::Changed {
                claimed.extend(self.visible(&key).map(Entry::stored));
            }
        }
        claimed
    }

    pub(super) fn visible(&self, key: &TaskKey) -> Option<&Entry> {
        self.tasks
            .get(key)
            .filter(|entry| entry.task.deleted_at.is_none())
    }

    pub(super) fn unfinished(&self) -> impl Iterator<Item = &Task> {
        let tasks = self.tasks.values().map(|entry| &entry.task);
        tasks.filter(|task| task.deleted_at.is_none() && !task.status.is_terminal())
    }

    pub(super) fn at(&self, place: Place) -> impl Iterator<Item = &Entry> {
        self.tasks
            .values()
            .filter(move |entry| entry.place == place)
    }

    pub(super) fn apply(
        &mut self,
        key: &TaskKey,
        event: &Event,
        limits: &Limits,
        now: Timestamp,
    ) -> Applied {
        let current = self.tasks.get(key).map(|entry| &entry.task);
        let outcome = match decide(key, current, event, now) {
            Decision::Nothing(outcome) => outcome,
            Decision::Write(write) => {
                self.write(key, *write, limits, now);
                Outcome::Changed
            }
        };
        let task = self.tasks.get(key).map(|entry| entry.task.clone());
        Applied { outcome, task }
    }

    fn write(&mut self, key: &TaskKey, write: Write, limits: &Limits, now: Timestamp) {
        let place = place::of(&write.task, now);
        self.last_write += 1;
        let last_task = &mut self.last_task;
        let entry = self.tasks.entry(key.clone()).or_insert_with(|| {
            *last_task += 1;
            Entry {
                number: *last_task,
                write: 0,
                place,
                task: write.task.clone(),
                params: None,
                payload: None,
                log: String::new(),
                checkpoints: BTreeMap::new(),
                recordings: Vec::new(),
                former: Vec::new(),
            }
        });
        entry.place = place;
        entry.write = self.last_write;
        entry.task = write.task;
        entry.task.expires_at = limits.expires_at(&entry.task);
        if let Some(former) = write.former {
            entry.former.insert(0, (*former, entry.log.clone()));
            entry.former.truncate(limits.former_runs_kept());
        }
        if write.ends_history {
            entry.former.clear();
        }
        change(&mut entry.params, write.params);
        change(&mut entry.payload, write.payload);
        if write.ends_checkpoints {
            entry.checkpoints.clear();
        }
        if write.ends_recordings {
            entry.recordings.clear();
        }
        match write.log {
            TextChange::Keep => {}
            TextChange::Clear => entry.log.clear(),
            TextChange::Set(text) | TextChange::Append(text) => {
                let fits = limits.log_that_fits(entry.log.len() as u64, &text);
                entry.log.push_str(fits);
            }
        }
    }

    fn holders<'a>(
        &'a self,
        (space, type_id, key): (&'a Space, &'a TypeId, &'a str),
    ) -> impl Iterator<Item = &'a Task> {
        let tasks = self.tasks.values().map(|entry| &entry.task);
        tasks.filter(move |task| {
            let is_of_key = task.concurrency_key.as_deref() == Some(key);
            is_of_key && task.space == *space && task.type_id == *type_id && task.holds_key()
        })
    }

    /// Of those in order, as many of each concurrency key stay as it allows.
    fn leave_out_blocked(&self, ready: &mut Vec<&Entry>, most: u64) {
        let mut room = BTreeMap::new();
        ready.retain(|entry| {
            let task = &entry.task;
            let Some(key) = task
                .concurrency_key
                .as_deref()
                .filter(|_| !task.holds_key())
            else {
                return true;
            };
            let of_key = (&task.space, &task.type_id, key);
            let left = room
                .entry(of_key)
                .or_insert_with(|| most.saturating_sub(self.holders(of_key).count() as u64));
            let fits = *left > 0;
            *left = left.saturating_sub(1);
            fits
        });
    }

    /// What can be claimed: one of each type in turn, within a type in order.
    fn in_turn(&self, request: &ClaimRequest) -> Vec<(TaskKey, Claim)> {
        let mut found = Vec::new();
        for (turn, wanted) in request.types.iter().enumerate() {
            if self.is_gone(wanted) {
                continue;
            }
            let of_type = self
                .at(Place::Ready)
                .filter(|entry| entry.task.type_id == wanted.type_id);
            let mut ready: Vec<&Entry> = of_type.collect();
            ready.sort_by_key(|e| (e.task.run.rank, e.task.created_at, e.number));
            if let Some(most) = wanted.runs_per_key {
                self.leave_out_blocked(&mut ready, most);
            }
            for (round, entry) in ready.into_iter().enumerate() {
                let claim = Claim {
                    host: request.host.clone(),
                    incarnation: request.incarnation,
                    digest: wanted.digest.clone(),
                    wall_ms: wanted.wall_ms,
                };
                found.push(((round, turn), entry.task.key(), claim));
            }
        }
        found.sort_by_key(|(order, ..)| *order);
        found
            .into_iter()
            .map(|(_, key, claim)| (key, claim))
            .collect()
    }
}

impl Entry {
    fn stored(&self) -> StoredTask {
        let has_result = matches!(self.task.status, Status::Completed | Status::Acknowledged);
        StoredTask {
            task: self.task.clone(),
            params: self.params.clone().unwrap_or_else(|| Arc::from("")),
            payload: self.payload.clone().filter(|_| has_result),
        }
    }
}

fn is_living(task: &Task) -> bool {
    task.deleted_at.is_none() && task.status == Status::InProgress
}

fn change(text: &mut Option<Arc<str>>, change: TextChange) {
    match change {
        TextChange::Keep => {}
        TextChange::Clear => *text = None,
        TextChange::Set(new) | TextChange::Append(new) => *text = Some(new),
    }
}

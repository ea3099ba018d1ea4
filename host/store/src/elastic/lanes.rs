//! Concurrency keys: the runs of a type in a space with the same key are a lane, in which so many
//! may be at work at once, over all hosts.
//!
//! # How it works
//! Each lane has a document that names the tasks that hold the key or are about to be claimed. A
//! claim first enters the lane by compare-and-set, then claims the task by compare-and-set. Nobody
//! takes an entry out when a run ends: whoever enters reads the tasks that are named, and leaves
//! out those that do not hold the key any more.
//!
//! # Why an entry names a version
//! Whoever has entered claims the task in just that version, or not at all. So while the task has
//! it, the claim may still come, and the entry counts; once the task has another one, its document
//! alone tells. If the host that has entered is gone, whoever comes next claims that very run: an
//! entry keeps nobody out for longer than that takes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use taskhost_model::ids::TaskKey;
use tokio::time::Instant;

use super::Elastic;
use super::group::Seen;
use super::hot::{Current, Hot, lane_of};
use super::names::{Index, task_id};
use crate::error::StoreError;

/// After so long a lane without room is looked at again, since another host may have ended a run.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Who holds a key, or is about to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    task: TaskKeyText,
    /// The version in which it is about to be claimed.
    seen: Option<Seen>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct TaskKeyText(String);

#[derive(Debug, Default, Serialize, Deserialize)]
struct Content {
    entries: Vec<Entry>,
}

/// A lane as it is at this moment.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) seen: Option<Seen>,
    entries: Vec<Entry>,
    is_pruned: bool,
    /// How many tasks hold the key.
    holding: u64,
    /// Those that have entered and are not claimed yet.
    pub(super) entered: Vec<Current>,
}

impl Lane {
    /// So many more may enter.
    pub(super) fn room(&self, most: Option<u64>) -> u64 {
        most.map_or(u64::MAX, |most| {
            most.saturating_sub(self.entries.len() as u64)
        })
    }

    /// Whether nobody is in it.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn has(&self, current: &Current) -> bool {
        let key = TaskKeyText(task_id(&current.hot.key()));
        let seen = Some(current.seen);
        self.entries
            .iter()
            .any(|entry| entry.task == key && entry.seen == seen)
    }
}

impl Elastic {
    /// How many tasks hold the key.
    pub(super) async fn holding_in(&self, lane: &str) -> Result<u64, StoreError> {
        Ok(self.lane(lane).await?.holding)
    }

    pub(super) async fn lane(&self, lane: &str) -> Result<Lane, StoreError> {
        let (seen, content) = self.shared::<Content>(lane).await?;
        let ids: Vec<String> = content.entries.iter().map(|it| it.task.0.clone()).collect();
        let tasks = self.group.read_all(Index::Tasks, &ids).await?;
        let (mut entries, mut entered, mut holding) = (Vec::new(), Vec::new(), 0);
        for (entry, stored) in content.entries.into_iter().zip(tasks) {
            let Some(stored) = stored else {
                // A task that is not there yet may be about to be made.
                if entry.seen.is_none() {
                    entries.push(entry);
                }
                continue;
            };
            let hot = Arc::new(Hot::from_json(&stored.source)?);
            let holds = hot.task.holds_key() && lane_of(&hot.task).as_deref() == Some(lane);
            holding += u64::from(holds);
            let is_about_to = entry.seen == Some(stored.seen);
            if holds || is_about_to {
                entries.push(entry);
            }
            if !holds && is_about_to {
                let seen = stored.seen;
                entered.push(Current { seen, hot });
            }
        }
        Ok(Lane {
            seen,
            is_pruned: entries.len() < ids.len(),
            entries,
            holding,
            entered,
        })
    }

    /// Enters these into a lane, as far as there is room; answers those that have entered.
    pub(super) async fn enter(
        &self,
        lane: &str,
        most: Option<u64>,
        wanted: Vec<Current>,
    ) -> Result<Vec<Current>, StoreError> {
        loop {
            let mut now = self.lane(lane).await?;
            let (mut room, mut has_changed) = (now.room(most), now.is_pruned);
            let mut admitted = Vec::new();
            for current in &wanted {
                if now.has(current) {
                    admitted.push(current.clone());
                } else if room > 0 {
                    room -= 1;
                    now.put(&current.hot.key(), Some(current.seen));
                    admitted.push(current.clone());
                    has_changed = true;
                }
            }
            if !has_changed || self.write_lane(lane, now).await? {
                return Ok(admitted);
            }
        }
    }

    /// Enters a task whose next write holds the key whatever others do.
    pub(super) async fn enter_lane(
        &self,
        lane: &str,
        key: &TaskKey,
        seen: Option<Seen>,
    ) -> Result<(), StoreError> {
        loop {
            let mut now = self.lane(lane).await?;
            now.put(key, seen);
            if self.write_lane(lane, now).await? {
                return Ok(());
            }
        }
    }

    /// False: somebody else was quicker.
    async fn write_lane(&self, lane: &str, now: Lane) -> Result<bool, StoreError> {
        let content = Content {
            entries: now.entries,
        };
        self.share("lane", lane, now.seen, &content).await
    }
}

impl Lane {
    fn put(&mut self, key: &TaskKey, seen: Option<Seen>) {
        let task = TaskKeyText(task_id(key));
        self.entries.retain(|entry| entry.task != task);
        self.entries.push(Entry { task, seen });
    }
}

/// Lanes that had no room when they were last looked at: claims do not look at what waits there.
/// There are never more than runs that are at work.
#[derive(Debug, Default)]
pub(super) struct Blocked(Mutex<HashMap<String, (u64, Instant)>>);

impl Blocked {
    /// The lane has no room where so many may be at work.
    pub(super) fn put(&self, lane: &str, most: u64) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(lane.to_owned(), (most, Instant::now() + LOOK_AGAIN));
    }

    /// Somebody may have left the lane.
    pub(super) fn look_again(&self, lane: &str) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(lane);
    }

    /// The lanes without room where so many may be at work.
    pub(super) fn of(&self, most: u64) -> Vec<String> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        all.retain(|_, (_, until)| now < *until);
        let blocked = all.iter().filter(|(_, (of, _))| *of == most);
        blocked.map(|(lane, _)| lane.clone()).collect()
    }
}

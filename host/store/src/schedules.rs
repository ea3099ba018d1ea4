//! Where schedules live. What becomes of one is decided in [`taskhost_model::schedule`]; a store
//! keeps documents, and replaces them in the version that was looked at.

use std::fmt::Debug;

use async_trait::async_trait;
use taskhost_model::ids::{ScheduleId, ScheduleKey, Space};
use taskhost_model::schedule::Schedule;
use taskhost_model::time::Timestamp;

use crate::error::StoreError;

/// Schedules.
///
/// # Guarantees
/// 1. When a write has answered, it is on disk; `get` sees it at once.
/// 2. Of two writers that have looked at the same version one writes, and the other is told that it
///    did not. Whoever repeats a write whose answer was lost is told that it is written.
/// 3. `list` is in the order of the ids, and complete over `after`; `due` is in the order of
///    [`Schedule::act_at`], and complete over `after`. On a cluster both may miss the last second's
///    writes: what they show is read again by its key before anything is decided.
/// 4. `due` costs the same however many schedules are not due.
#[async_trait]
pub trait ScheduleStore: Send + Sync + Debug {
    /// One schedule.
    async fn get(&self, key: &ScheduleKey) -> Result<Option<Schedule>, StoreError>;

    /// Writes a schedule over the version `over`, or where there is none; whether it is written.
    async fn put(&self, schedule: &Schedule, over: Option<u64>) -> Result<bool, StoreError>;

    /// Removes a schedule, if it has this version; whether it did.
    async fn remove(&self, key: &ScheduleKey, version: u64) -> Result<bool, StoreError>;

    /// The schedules of a space, in the order of their ids, after this one; at most `limit`.
    async fn list(
        &self,
        space: &Space,
        after: Option<&ScheduleId>,
        limit: usize,
    ) -> Result<Vec<Schedule>, StoreError>;

    /// Those that somebody has to look at by now, in all spaces, after this one; at most `limit`.
    async fn due(
        &self,
        now: Timestamp,
        after: Option<&DuePlace>,
        limit: usize,
    ) -> Result<Vec<Schedule>, StoreError>;
}

/// The place of a schedule among those that are due.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DuePlace {
    /// When somebody had to look at it.
    pub act_at: Timestamp,
    /// Its address.
    pub key: ScheduleKey,
}

impl DuePlace {
    /// The place of one that has to be looked at at some time.
    #[must_use]
    pub fn of(schedule: &Schedule) -> Option<Self> {
        Some(Self {
            act_at: schedule.act_at?,
            key: schedule.key(),
        })
    }
}

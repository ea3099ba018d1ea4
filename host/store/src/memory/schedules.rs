//! Schedules in memory.

use async_trait::async_trait;
use taskhost_model::ids::{ScheduleId, ScheduleKey, Space};
use taskhost_model::schedule::Schedule;
use taskhost_model::time::Timestamp;

use super::Memory;
use crate::error::StoreError;
use crate::schedules::{DuePlace, ScheduleStore};

#[async_trait]
impl ScheduleStore for Memory {
    async fn get(&self, key: &ScheduleKey) -> Result<Option<Schedule>, StoreError> {
        Ok(self.content()?.schedules.get(key).cloned())
    }

    async fn put(&self, schedule: &Schedule, over: Option<u64>) -> Result<bool, StoreError> {
        let schedules = &mut self.content()?.schedules;
        let stored = schedules.get(&schedule.key());
        if stored == Some(schedule) {
            return Ok(true);
        }
        if stored.map(|stored| stored.version) != over {
            return Ok(false);
        }
        schedules.insert(schedule.key(), schedule.clone());
        Ok(true)
    }

    async fn remove(&self, key: &ScheduleKey, version: u64) -> Result<bool, StoreError> {
        let schedules = &mut self.content()?.schedules;
        let is_it = schedules.get(key).is_some_and(|it| it.version == version);
        if is_it {
            schedules.remove(key);
        }
        Ok(is_it)
    }

    async fn list(
        &self,
        space: &Space,
        after: Option<&ScheduleId>,
        limit: usize,
    ) -> Result<Vec<Schedule>, StoreError> {
        let content = self.content()?;
        let of_space = content.schedules.values().filter(|it| it.space == *space);
        let found = of_space.filter(|it| after.is_none_or(|after| it.id > *after));
        Ok(found.take(limit).cloned().collect())
    }

    async fn due(
        &self,
        now: Timestamp,
        after: Option<&DuePlace>,
        limit: usize,
    ) -> Result<Vec<Schedule>, StoreError> {
        let content = self.content()?;
        let placed = content.schedules.values();
        let placed = placed.filter_map(|it| Some((DuePlace::of(it)?, it)));
        let mut due: Vec<_> = placed
            .filter(|(place, _)| place.act_at <= now && after.is_none_or(|after| place > after))
            .collect();
        due.sort_by(|(one, _), (other, _)| one.cmp(other));
        Ok(due
            .into_iter()
            .take(limit)
            .map(|(_, it)| it.clone())
            .collect())
    }
}

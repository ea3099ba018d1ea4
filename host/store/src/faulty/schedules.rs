//! Schedules behind a policy.

use async_trait::async_trait;
use taskhost_model::ids::{ScheduleId, ScheduleKey, Space};
use taskhost_model::schedule::Schedule;
use taskhost_model::time::Timestamp;

use super::Faulty;
use crate::error::StoreError;
use crate::schedules::{DuePlace, ScheduleStore};

#[async_trait]
impl ScheduleStore for Faulty<dyn ScheduleStore> {
    async fn get(&self, key: &ScheduleKey) -> Result<Option<Schedule>, StoreError> {
        self.read("schedules.get", self.inner.get(key)).await
    }

    async fn put(&self, schedule: &Schedule, over: Option<u64>) -> Result<bool, StoreError> {
        let work = self.inner.put(schedule, over);
        self.write("schedules.put", work).await
    }

    async fn remove(&self, key: &ScheduleKey, version: u64) -> Result<bool, StoreError> {
        let work = self.inner.remove(key, version);
        self.write("schedules.remove", work).await
    }

    async fn list(
        &self,
        space: &Space,
        after: Option<&ScheduleId>,
        limit: usize,
    ) -> Result<Vec<Schedule>, StoreError> {
        let work = self.inner.list(space, after, limit);
        self.read("schedules.list", work).await
    }

    async fn due(
        &self,
        now: Timestamp,
        after: Option<&DuePlace>,
        limit: usize,
    ) -> Result<Vec<Schedule>, StoreError> {
        let work = self.inner.due(now, after, limit);
        self.read("schedules.due", work).await
    }
}

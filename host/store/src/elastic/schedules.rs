//! Schedules on Elasticsearch: a document each, in an index of their own.

use std::collections::BTreeSet;

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::{Value, json};
use taskhost_model::ids::{RunKeyId, ScheduleId, ScheduleKey, Space};
use taskhost_model::schedule::Schedule;
use taskhost_model::time::Timestamp;

use super::Elastic;
use super::group::{Op, Seen, Write, Written};
use super::names::Index;
use super::search::HITS_MAX;
use super::shared::content;
use crate::error::StoreError;
use crate::schedules::{DuePlace, ScheduleStore};

const INDEX: Index = Index::Schedules;

#[async_trait]
impl ScheduleStore for Elastic {
    async fn get(&self, key: &ScheduleKey) -> Result<Option<Schedule>, StoreError> {
        self.is_open()?;
        Ok(self.schedule(key).await?.map(|(_, schedule)| schedule))
    }

    async fn put(&self, schedule: &Schedule, over: Option<u64>) -> Result<bool, StoreError> {
        self.is_open()?;
        let key = schedule.key();
        let stored = self.schedule(&key).await?;
        if stored
            .as_ref()
            .is_some_and(|(_, stored)| stored == schedule)
        {
            return Ok(true);
        }
        if stored.as_ref().map(|(_, stored)| stored.version) != over {
            return Ok(false);
        }
        let source = source(schedule)?;
        let op = match stored {
            Some((seen, _)) => Op::Replace(seen, source),
            None => Op::Create(source),
        };
        if self.write_schedule(&key, op).await? {
            return Ok(true);
        }
        // The answer to this very write may have been lost, and the write repeated.
        let stored = self.schedule(&key).await?;
        Ok(stored.is_some_and(|(_, stored)| stored == *schedule))
    }

    async fn remove(&self, key: &ScheduleKey, version: u64) -> Result<bool, StoreError> {
        self.is_open()?;
        match self.schedule(key).await? {
            Some((seen, stored)) if stored.version == version => {
                self.write_schedule(key, Op::Delete(seen)).await
            }
            _ => Ok(false),
        }
    }

    async fn list(
        &self,
        space: &Space,
        after: Option<&ScheduleId>,
        limit: usize,
    ) -> Result<Vec<Schedule>, StoreError> {
        let mut body = json!({
            "query": { "term": { "space": space } }, "sort": [{ "id": "asc" }],
        });
        if let Some(after) = after {
            body["search_after"] = json!([after]);
        }
        self.found_schedules(body, limit).await
    }

    async fn due(
        &self,
        now: Timestamp,
        after: Option<&DuePlace>,
        limit: usize,
    ) -> Result<Vec<Schedule>, StoreError> {
        let mut body = json!({
            "query": { "range": { "act_at": { "lte": now } } },
            "sort": [{ "act_at": "asc" }, { "space": "asc" }, { "id": "asc" }],
        });
        if let Some(after) = after {
            let key = &after.key;
            body["search_after"] = json!([after.act_at.as_ms(), key.space, key.id]);
        }
        self.found_schedules(body, limit).await
    }
}

impl Elastic {
    /// Which of these keys schedules hold.
    pub(super) async fn held_by_schedules(
        &self,
        ids: &[RunKeyId],
        held: &mut BTreeSet<RunKeyId>,
    ) -> Result<(), StoreError> {
        self.refresh(INDEX).await?;
        let query = json!({ "terms": { "key": ids } });
        self.search_all(INDEX, &query, ("name", &["content"]), |hit| {
            let schedule: Schedule = content(&hit.id, &hit.source)?;
            held.extend(schedule.key);
            Ok(true)
        })
        .await
    }

    async fn schedule(&self, key: &ScheduleKey) -> Result<Option<(Seen, Schedule)>, StoreError> {
        let id = name(key);
        let stored = self.group.read(INDEX, &id).await?;
        let read = stored.map(|stored| Ok((stored.seen, content(&id, &stored.source)?)));
        read.transpose()
    }

    async fn write_schedule(&self, key: &ScheduleKey, op: Op) -> Result<bool, StoreError> {
        let write = Write {
            index: INDEX,
            id: name(key),
            op,
        };
        Ok(matches!(self.group.write(write).await?, Written::Done(_)))
    }

    /// What one of them says that cannot be read keeps no other from being read.
    async fn found_schedules(
        &self,
        mut body: Value,
        limit: usize,
    ) -> Result<Vec<Schedule>, StoreError> {
        self.is_open()?;
        body["size"] = json!(limit.min(HITS_MAX));
        body["track_total_hits"] = json!(false);
        body["_source"] = json!(["content"]);
        let mut found = Vec::new();
        for hit in self.search(INDEX, &body).await? {
            match content(&hit.id, &hit.source) {
                Ok(schedule) => found.push(schedule),
                Err(error) => tracing::error!(%error, "a schedule is damaged, and left out"),
            }
        }
        Ok(found)
    }
}

/// Neither part has a slash in it.
fn name(key: &ScheduleKey) -> String {
    format!("{}/{}", key.space, key.id)
}

fn source(schedule: &Schedule) -> Result<Bytes, StoreError> {
    let mut source = json!({
        "name": name(&schedule.key()), "space": schedule.space, "id": schedule.id,
    });
    source["act_at"] = json!(schedule.act_at);
    source["key"] = json!(schedule.key);
    source["content"] = serde_json::to_value(schedule).map_err(|error| StoreError::Corrupt {
        reason: format!("{}: {error}", schedule.id),
    })?;
    Ok(Bytes::from(source.to_string()))
}

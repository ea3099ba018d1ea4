//! Many tasks at a time on Elasticsearch: what goes out together does so by itself, in `group.rs`.

use std::collections::HashMap;

use async_trait::async_trait;
use futures_util::stream::{self, StreamExt as _};
use serde::Deserialize;
use serde_json::{Value, json};
use taskhost_model::ids::{TaskKey, TypeId};
use taskhost_model::status::Status;
use taskhost_model::time::Timestamp;

use super::Elastic;
use super::list;
use super::names::Index;
use super::shared::task_key;
use crate::error::StoreError;
use crate::event::{Applied, Event};
use crate::lists::ListRequest;
use crate::many::ManyTasks;
use crate::tasks::TaskStore;

/// Events that are under way at once.
const AT_ONCE: usize = 500;

#[async_trait]
impl ManyTasks for Elastic {
    async fn apply_all(&self, events: Vec<(TaskKey, Event)>) -> Vec<Result<Applied, StoreError>> {
        // Those of one task go one after another.
        let mut of_tasks: HashMap<TaskKey, Vec<(usize, Event)>> = HashMap::new();
        let count = events.len();
        for (number, (key, event)) in events.into_iter().enumerate() {
            of_tasks.entry(key).or_default().push((number, event));
        }
        let each = of_tasks.into_iter().map(|(key, events)| async move {
            let mut answers = Vec::with_capacity(events.len());
            for (number, event) in events {
                answers.push((number, TaskStore::apply(self, &key, event).await));
            }
            answers
        });
        let answers: Vec<_> = stream::iter(each).buffer_unordered(AT_ONCE).collect().await;
        let mut answers: Vec<_> = answers.into_iter().flatten().collect();
        answers.sort_by_key(|(number, _)| *number);
        debug_assert_eq!(answers.len(), count);
        answers.into_iter().map(|(_, answer)| answer).collect()
    }

    async fn expired(
        &self,
        unmarked_before: Timestamp,
        limit: usize,
    ) -> Result<Vec<TaskKey>, StoreError> {
        self.is_open()?;
        let terminal = Status::ALL.map(|status| status.is_terminal().then_some(status));
        let terminal: Vec<Status> = terminal.into_iter().flatten().collect();
        let query = json!({ "bool": { "minimum_should_match": 1, "should": [
            { "range": { "expires_at": { "lte": self.clock.now() } } },
            { "bool": {
                "filter": [
                    { "terms": { "status": terminal } },
                    { "range": { "created_at": { "lt": unmarked_before } } },
                ],
                "must_not": [
                    { "exists": { "field": "expires_at" } },
                    { "exists": { "field": "deleted_at" } },
                ],
            } },
        ] } });
        self.keys_of(&query, limit).await
    }

    async fn overdue(
        &self,
        type_id: &TypeId,
        due_before: Timestamp,
        limit: usize,
    ) -> Result<Vec<TaskKey>, StoreError> {
        self.is_open()?;
        let query = json!({ "bool": {
            "filter": [
                { "term": { "type": type_id } },
                { "term": { "run.state": "queued" } },
                { "range": { "run.due_at": { "lt": due_before } } },
            ],
            "must_not": [{ "exists": { "field": "deleted_at" } }],
        } });
        self.keys_of(&query, limit).await
    }

    async fn counts(&self, request: &ListRequest) -> Result<Vec<(Status, u64)>, StoreError> {
        #[derive(Deserialize)]
        struct Answered {
            aggregations: Statuses,
        }
        #[derive(Deserialize)]
        struct Statuses {
            statuses: list::Buckets<String>,
        }
        self.is_open()?;
        let all = ListRequest {
            statuses: Vec::new(),
            ..request.clone()
        };
        let body = json!({
            "size": 0, "query": { "bool": list::query(&all) }, "track_total_hits": false,
            "aggs": { "statuses": { "terms": { "field": "status", "size": 16 } } },
        });
        let answered: Answered = self.ask(Index::Tasks, &body).await?.json()?;
        let counts = answered.aggregations.statuses.sorted().into_iter();
        Ok(counts
            .filter_map(|(status, count)| Some((Status::parse(&status)?, count)))
            .collect())
    }
}

impl Elastic {
    async fn keys_of(&self, query: &Value, limit: usize) -> Result<Vec<TaskKey>, StoreError> {
        let body = json!({
            "query": query, "size": limit, "_source": false, "track_total_hits": false,
        });
        let hits = self.search(Index::Tasks, &body).await?;
        Ok(hits.iter().filter_map(|hit| task_key(&hit.id)).collect())
    }
}

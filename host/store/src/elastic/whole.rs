//! Everything that is kept on Elasticsearch; streams belong to the cluster.

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Value, json};
use taskhost_model::ids::{Space, StreamName, TaskId, TaskKey};

use super::Elastic;
use super::names::Index;
use crate::documents::Scope;
use crate::error::StoreError;
use crate::streams::StreamSettings;
use crate::whole::WholeStore;

/// Collections of one answer.
const COLLECTIONS_AT_ONCE: usize = 1_000;

#[derive(Deserialize)]
struct Key {
    space: Space,
    id: TaskId,
}

#[derive(Deserialize)]
struct Answered {
    aggregations: Scopes,
}

#[derive(Deserialize)]
struct Scopes {
    scopes: Buckets,
}

#[derive(Deserialize)]
struct Buckets {
    #[serde(default)]
    after_key: Option<Value>,
    buckets: Vec<Bucket>,
}

#[derive(Deserialize)]
struct Bucket {
    key: Named,
}

#[derive(Deserialize)]
struct Named {
    scope: String,
}

#[async_trait]
impl WholeStore for Elastic {
    async fn tasks_after(
        &self,
        after: Option<&TaskKey>,
        limit: usize,
    ) -> Result<Vec<TaskKey>, StoreError> {
        self.is_open()?;
        if after.is_none() {
            self.refresh(Index::Tasks).await?;
        }
        let mut body = json!({
            "query": { "bool": { "must_not": [{ "exists": { "field": "deleted_at" } }] } },
            "sort": [{ "space": "asc" }, { "id": "asc" }], "size": limit,
            "track_total_hits": false, "seq_no_primary_term": true, "_source": ["space", "id"],
        });
        if let Some(key) = after {
            body["search_after"] = json!([key.space, key.id]);
        }
        let hits = self.search(Index::Tasks, &body).await?;
        let keys = hits.iter().map(|hit| {
            let key: Key = serde_json::from_slice(&hit.source).map_err(|error| corrupt(&error))?;
            Ok(TaskKey {
                space: key.space,
                id: key.id,
            })
        });
        keys.collect()
    }

    async fn collections(&self) -> Result<Vec<Scope>, StoreError> {
        self.is_open()?;
        self.refresh(Index::Documents).await?;
        let mut scopes = Vec::new();
        let mut after: Option<Value> = None;
        loop {
            let mut composite = json!({
                "size": COLLECTIONS_AT_ONCE,
                "sources": [{ "scope": { "terms": { "field": "scope" } } }],
            });
            if let Some(after) = after.take() {
                composite["after"] = after;
            }
            let body = json!({ "size": 0, "aggs": { "scopes": { "composite": composite } } });
            let answered: Answered = self.ask(Index::Documents, &body).await?.json()?;
            let found = answered.aggregations.scopes;
            for bucket in found.buckets {
                scopes.push(scope(&bucket.key.scope)?);
            }
            match found.after_key {
                Some(key) => after = Some(key),
                None => return Ok(scopes),
            }
        }
    }

    async fn streams(&self) -> Result<Vec<(Space, StreamName, StreamSettings)>, StoreError> {
        Ok(Vec::new())
    }
}

/// As `names::scope_id` writes it.
fn scope(name: &str) -> Result<Scope, StoreError> {
    let parts: Vec<&str> = name.split('/').collect();
    let [space, stream, label] = parts[..] else {
        return Err(corrupt(&format!(
            "the collection `{name}` has no such name"
        )));
    };
    let stream = (!stream.is_empty()).then(|| stream.parse());
    Ok(Scope {
        space: space.parse().map_err(|error| corrupt(&error))?,
        stream: stream.transpose().map_err(|error| corrupt(&error))?,
        label: label.parse().map_err(|error| corrupt(&error))?,
    })
}

fn corrupt(problem: &impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt {
        reason: problem.to_string(),
    }
}

//! Keys of runs on Elasticsearch: a document each, in an index of their own, and one more with the
//! check of the hosts' key.

use std::collections::BTreeSet;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::json;
use taskhost_model::ids::{Incarnation, RunKeyId};
use taskhost_model::task::Lease;
use taskhost_model::time::Timestamp;

use super::Elastic;
use super::checkpoints::decoded;
use super::client::unavailable;
use super::group::{Op, Seen, Write, Written};
use super::names::Index;
use super::search::PAGE;
use super::shared::content;
use crate::error::StoreError;
use crate::run_keys::{RunKey, RunKeyStore};

/// The kind of a key's document.
const KEY: &str = "key";
/// The kind and the name of the check.
const CHECK: &str = "check";
/// So often somebody else may be quicker.
const TRIES_MAX: usize = 10;

/// A key as it is kept.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    id: RunKeyId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    granted: Option<String>,
    person: String,
    shared_by: Incarnation,
    shared_until: Timestamp,
    expires_at: Timestamp,
    /// In base64.
    sealed: String,
}

/// The check, in base64.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Check {
    text: String,
}

#[derive(Deserialize)]
struct Found {
    aggregations: Aggregations,
}

#[derive(Deserialize)]
struct Aggregations {
    held: Buckets,
}

#[derive(Deserialize)]
struct Buckets {
    buckets: Vec<Bucket>,
}

#[derive(Deserialize)]
struct Bucket {
    key: RunKeyId,
}

/// A task whose former runs may be alive.
#[derive(Deserialize)]
struct Former {
    #[serde(default)]
    previous: Vec<Lease>,
}

#[async_trait]
impl RunKeyStore for Elastic {
    async fn put(&self, key: &RunKey) -> Result<(), StoreError> {
        self.is_open()?;
        // Nobody else makes one of this id: who is told of a conflict has written it before.
        let op = Op::Create(source(KEY, &key.id.to_string(), &Kept::of(key)));
        self.write_key(key.id.to_string(), op).await.map(drop)
    }

    async fn reseal(&self, id: RunKeyId, sealed: Vec<u8>) -> Result<(), StoreError> {
        self.is_open()?;
        for _ in 0..TRIES_MAX {
            let Some((seen, kept)) = self.kept(id).await? else {
                return Ok(());
            };
            let kept = Kept {
                sealed: STANDARD.encode(&sealed),
                ..kept
            };
            let op = Op::Replace(seen, source(KEY, &id.to_string(), &kept));
            if self.write_key(id.to_string(), op).await? {
                return Ok(());
            }
        }
        Err(keeps_changing())
    }

    async fn get(&self, id: RunKeyId) -> Result<Option<RunKey>, StoreError> {
        self.is_open()?;
        let kept = self.kept(id).await?;
        kept.map(|(_, kept)| kept.key()).transpose()
    }

    async fn list(&self, limit: usize) -> Result<Vec<RunKey>, StoreError> {
        self.is_open()?;
        let mut keys = Vec::new();
        if limit == 0 {
            return Ok(keys);
        }
        let query = json!({ "term": { "kind": KEY } });
        // An id begins with the time when it was made.
        self.search_all(Index::Keys, &query, ("name", &["content"]), |hit| {
            keys.push(content::<Kept>(&hit.id, &hit.source)?.key()?);
            Ok(keys.len() < limit)
        })
        .await?;
        Ok(keys)
    }

    async fn held(&self, ids: &[RunKeyId]) -> Result<Vec<RunKeyId>, StoreError> {
        self.is_open()?;
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        self.refresh(Index::Tasks).await?;
        let mut held = BTreeSet::new();
        for ids in ids.chunks(PAGE) {
            let body = json!({
                "query": { "bool": {
                    "filter": [
                        { "terms": { "run.key": ids } },
                        { "terms": { "status": ["in_progress", "being_canceled"] } },
                    ],
                    "must_not": { "exists": { "field": "deleted_at" } },
                } },
                "size": 0, "track_total_hits": false,
                "aggs": { "held": { "terms": { "field": "run.key", "size": ids.len() } } },
            });
            let found: Found = self.ask(Index::Tasks, &body).await?.json()?;
            let buckets = found.aggregations.held.buckets.into_iter();
            held.extend(buckets.map(|bucket| bucket.key));
        }
        self.held_by_former_runs(&mut held).await?;
        for ids in ids.chunks(PAGE) {
            self.held_by_schedules(ids, &mut held).await?;
        }
        Ok(ids.iter().copied().filter(|id| held.contains(id)).collect())
    }

    async fn remove(&self, ids: &[RunKeyId]) -> Result<(), StoreError> {
        self.is_open()?;
        let writes = ids.iter().map(|id| Write {
            index: Index::Keys,
            id: id.to_string(),
            op: Op::Remove,
        });
        for answer in self.group.write_all(writes.collect()).await {
            answer?;
        }
        Ok(())
    }

    async fn check(&self, ours: &[u8]) -> Result<Vec<u8>, StoreError> {
        self.is_open()?;
        if let Some((_, stored)) = self.stored_check().await? {
            return Ok(stored);
        }
        self.write_check(None, ours).await?;
        // Whoever was quicker has set it.
        let stored = self.stored_check().await?;
        stored.map(|(_, stored)| stored).ok_or_else(keeps_changing)
    }

    async fn replace_check(&self, old: &[u8], new: &[u8]) -> Result<bool, StoreError> {
        self.is_open()?;
        for _ in 0..TRIES_MAX {
            match self.stored_check().await? {
                // As it is too where the answer to such a write was lost.
                Some((_, stored)) if stored == new => return Ok(true),
                Some((seen, stored)) if stored == old => {
                    if self.write_check(Some(seen), new).await? {
                        return Ok(true);
                    }
                }
                _ => return Ok(false),
            }
        }
        Err(keeps_changing())
    }
}

impl Elastic {
    async fn kept(&self, id: RunKeyId) -> Result<Option<(Seen, Kept)>, StoreError> {
        let id = id.to_string();
        let stored = self.group.read(Index::Keys, &id).await?;
        let kept = stored.map(|stored| Ok((stored.seen, content(&id, &stored.source)?)));
        kept.transpose()
    }

    async fn stored_check(&self) -> Result<Option<(Seen, Vec<u8>)>, StoreError> {
        let Some(stored) = self.group.read(Index::Keys, CHECK).await? else {
            return Ok(None);
        };
        let check: Check = content(CHECK, &stored.source)?;
        Ok(Some((stored.seen, decoded(CHECK, &check.text)?)))
    }

    async fn write_check(&self, seen: Option<Seen>, text: &[u8]) -> Result<bool, StoreError> {
        let text = STANDARD.encode(text);
        let source = source(CHECK, CHECK, &Check { text });
        let op = match seen {
            Some(seen) => Op::Replace(seen, source),
            None => Op::Create(source),
        };
        self.write_key(CHECK.to_owned(), op).await
    }

    /// Whether it is written over the version that the operation names.
    async fn write_key(&self, id: String, op: Op) -> Result<bool, StoreError> {
        let index = Index::Keys;
        let written = self.group.write(Write { index, id, op }).await?;
        Ok(matches!(written, Written::Done(_)))
    }

    /// Keys of runs that were deleted or replaced before their guests were gone.
    async fn held_by_former_runs(&self, held: &mut BTreeSet<RunKeyId>) -> Result<(), StoreError> {
        // Nobody claims the run of a document that has such, so it has no host, or is deleted.
        let query = json!({ "bool": {
            "filter": { "term": { "place": "held" } },
            "minimum_should_match": 1,
            "should": [
                { "exists": { "field": "deleted_at" } },
                { "bool": { "must_not": { "exists": { "field": "run.incarnation" } } } },
            ],
        } });
        self.search_all(Index::Tasks, &query, ("run.id", &["previous"]), |hit| {
            let former: Former =
                serde_json::from_slice(&hit.source).map_err(|error| StoreError::Corrupt {
                    reason: format!("{}: {error}", hit.id),
                })?;
            held.extend(former.previous.iter().filter_map(|lease| lease.key));
            Ok(true)
        })
        .await
    }
}

impl Kept {
    fn of(key: &RunKey) -> Self {
        Self {
            id: key.id,
            granted: key.granted.clone(),
            person: key.person.clone(),
            shared_by: key.shared_by,
            shared_until: key.shared_until,
            expires_at: key.expires_at,
            sealed: STANDARD.encode(&key.sealed),
        }
    }

    fn key(self) -> Result<RunKey, StoreError> {
        Ok(RunKey {
            sealed: decoded(&self.id.to_string(), &self.sealed)?,
            id: self.id,
            granted: self.granted,
            person: self.person,
            shared_by: self.shared_by,
            shared_until: self.shared_until,
            expires_at: self.expires_at,
        })
    }
}

fn source<T: Serialize>(kind: &str, name: &str, content: &T) -> Bytes {
    let source = json!({ "kind": kind, "name": name, "content": content });
    Bytes::from(source.to_string())
}

fn keeps_changing() -> StoreError {
    unavailable("a document of keys keeps changing")
}

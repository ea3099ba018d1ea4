//! Hosts on Elasticsearch: a document for each life, changed by compare-and-set, and one more whose
//! version tells that task types have changed. They lie among what tasks share.

use std::sync::PoisonError;

use async_trait::async_trait;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use taskhost_model::ids::{Incarnation, Space};
use taskhost_model::task::{Lease, Task};

use super::Elastic;
use super::client::unavailable;
use super::group::{Op, Seen, Write, Written};
use super::hot::Hot;
use super::names::Index;
use super::search::PAGE;
use super::shared::content;
use crate::error::StoreError;
use crate::hosts::{Beat, Changed, Host, HostStore, Hosts, holders_of, is_to_stop};
use crate::place::Place;

/// The kind of a life's document.
const HOST: &str = "host";
/// The kind and the name of the one that is written when task types change.
const TYPES: &str = "types";
/// So often somebody else may be quicker.
const TRIES_MAX: usize = 10;
/// Lives that are told of.
const LIVES_MAX: usize = 1_000;
/// So many writes of a later number may be shown before one of an earlier number is.
const SHOWN_OUT_OF_ORDER: u64 = 200;

#[derive(Deserialize)]
struct Kind {
    kind: String,
}

/// Who holds something: by the run's own lease, and by those of `previous` runs alone.
#[derive(Deserialize)]
struct Holders {
    aggregations: Aggregations,
    hits: Hits,
}

#[derive(Deserialize)]
struct Aggregations {
    holders: Buckets,
}

#[derive(Deserialize)]
struct Buckets {
    buckets: Vec<Bucket>,
}

#[derive(Deserialize)]
struct Bucket {
    key: Incarnation,
}

#[derive(Deserialize)]
struct Hits {
    hits: Vec<Replaced>,
}

#[derive(Deserialize)]
struct Replaced {
    #[serde(rename = "_source")]
    source: Previous,
}

#[derive(Deserialize)]
struct Previous {
    #[serde(default)]
    previous: Vec<Lease>,
}

#[async_trait]
impl HostStore for Elastic {
    async fn beat(&self, host: &Host) -> Result<Beat, StoreError> {
        self.is_open()?;
        // Nobody else writes it, but to declare it lost.
        if let Some(seen) = self.last_beat(host.incarnation)
            && self.put_beat(host, Some(seen)).await?
        {
            return Ok(Beat::Written);
        }
        let name = name(host.incarnation);
        for _ in 0..TRIES_MAX {
            let (seen, stored) = self.shared::<Option<Host>>(&name).await?;
            match stored {
                Some(stored) if stored.is_lost => return Ok(Beat::Lost),
                // It was written, and the answer lost.
                Some(stored) if stored.beat >= host.beat => return Ok(Beat::Written),
                None if host.beat > 1 => return Ok(Beat::Lost),
                _ => {}
            }
            if self.put_beat(host, seen).await? {
                return Ok(Beat::Written);
            }
        }
        Err(unavailable("the host's document keeps changing"))
    }

    async fn list(&self) -> Result<Hosts, StoreError> {
        self.is_open()?;
        let body = json!({
            "query": { "terms": { "kind": [HOST, TYPES] } }, "size": LIVES_MAX,
            "seq_no_primary_term": true, "track_total_hits": false,
        });
        let mut hosts = Hosts::default();
        for hit in self.search(Index::Shared, &body).await? {
            let kind: Kind = serde_json::from_slice(&hit.source).map_err(|error| {
                let reason = format!("{}: {error}", hit.id);
                StoreError::Corrupt { reason }
            })?;
            match kind.kind.as_str() {
                HOST => hosts.lives.push(content(&hit.id, &hit.source)?),
                _ => hosts.types_version = hit.seen.map_or(0, |seen| seen.number + 1),
            }
        }
        hosts.lives.sort_by(|a, b| a.host.cmp(&b.host));
        let alive = hosts.lives.iter().filter(|host| !host.is_lost);
        let alive = alive.map(|host| host.incarnation).collect();
        *self.alive.lock().unwrap_or_else(PoisonError::into_inner) = alive;
        Ok(hosts)
    }

    async fn find(&self, incarnation: Incarnation) -> Result<Option<Host>, StoreError> {
        self.is_open()?;
        let (_, stored) = self.shared(&name(incarnation)).await?;
        Ok(stored)
    }

    async fn declare_lost(
        &self,
        incarnation: Incarnation,
        seen_beat: u64,
    ) -> Result<bool, StoreError> {
        self.is_open()?;
        let name = name(incarnation);
        for _ in 0..TRIES_MAX {
            let (seen, stored) = self.shared::<Option<Host>>(&name).await?;
            let Some(stored) = stored.filter(|stored| !stored.is_lost) else {
                return Ok(true);
            };
            if stored.beat != seen_beat {
                return Ok(false);
            }
            let lost = Host {
                is_lost: true,
                ..stored
            };
            if self.share(HOST, &name, seen, &lost).await? {
                return Ok(true);
            }
        }
        Err(unavailable("the host's document keeps changing"))
    }

    async fn remove(&self, incarnation: Incarnation) -> Result<(), StoreError> {
        self.is_open()?;
        let write = Write {
            index: Index::Shared,
            id: name(incarnation),
            op: Op::Remove,
        };
        self.group.write(write).await.map(drop)
    }

    async fn holders(&self) -> Result<Vec<Incarnation>, StoreError> {
        self.is_open()?;
        let body = json!({
            "query": { "term": { "place": "held" } },
            // Those whose run nobody has claimed yet, since a `previous` one may be alive.
            "post_filter": without_host(), "size": PAGE, "_source": ["previous"],
            "aggs": { "holders": {
                "terms": { "field": "run.incarnation", "size": LIVES_MAX },
            } },
            "track_total_hits": false,
        });
        let found: Holders = self.ask(Index::Tasks, &body).await?.json()?;
        let buckets = found.aggregations.holders.buckets.into_iter();
        let previous = found
            .hits
            .hits
            .into_iter()
            .flat_map(|hit| hit.source.previous);
        let mut holders: Vec<Incarnation> = buckets.map(|bucket| bucket.key).collect();
        for lease in previous {
            if !holders.contains(&lease.incarnation) {
                holders.push(lease.incarnation);
            }
        }
        Ok(holders)
    }

    async fn held_by(
        &self,
        incarnation: Incarnation,
        limit: usize,
    ) -> Result<Vec<Task>, StoreError> {
        self.is_open()?;
        let query = json!({ "bool": { "filter": [held_by(incarnation)] } });
        self.read_held(&query, limit, |task| {
            holders_of(task).any(|holder| holder == incarnation)
        })
        .await
    }

    async fn to_stop(
        &self,
        incarnation: Incarnation,
        limit: usize,
    ) -> Result<Vec<Task>, StoreError> {
        self.is_open()?;
        let query = json!({ "bool": { "filter": [held_by(incarnation), { "bool": { "should": [
            { "term": { "status": "being_canceled" } },
            { "exists": { "field": "deleted_at" } },
            without_host(),
        ] } }] } });
        self.read_held(&query, limit, |task| {
            is_to_stop(task) && holders_of(task).any(|holder| holder == incarnation)
        })
        .await
    }

    async fn changed(
        &self,
        spaces: &[Space],
        after: Option<u64>,
        limit: usize,
    ) -> Result<Changed, StoreError> {
        self.is_open()?;
        let Some(after) = after else {
            let body = json!({
                "query": { "match_all": {} }, "sort": [{ "_seq_no": "desc" }], "size": 1,
                "_source": false, "seq_no_primary_term": true, "track_total_hits": false,
            });
            let hits = self.search(Index::Tasks, &body).await?;
            let last = hits.first().and_then(|hit| hit.seen);
            return Ok(Changed {
                tasks: Vec::new(),
                last: last.map_or(0, |seen| seen.number),
            });
        };
        // Of writes at the same time the later one may be shown first.
        let from = after.saturating_sub(SHOWN_OUT_OF_ORDER);
        let body = json!({
            "query": { "bool": { "filter": [
                { "range": { "_seq_no": { "gt": from } } },
                { "terms": { "space": spaces } },
            ] } },
            "sort": [{ "_seq_no": "asc" }], "size": limit,
            "seq_no_primary_term": true, "track_total_hits": false,
        });
        let mut changed = Changed {
            tasks: Vec::new(),
            last: after,
        };
        for hit in self.search(Index::Tasks, &body).await? {
            let number = hit.seen.map_or(0, |seen| seen.number);
            changed.last = changed.last.max(number);
            changed
                .tasks
                .extend(hit.task()?.map(|it| it.hot.task.clone()));
        }
        Ok(changed)
    }

    async fn types_changed(&self) -> Result<(), StoreError> {
        self.is_open()?;
        let source = json!({ "kind": TYPES, "name": TYPES, "content": {} });
        let write = Write {
            index: Index::Shared,
            id: TYPES.to_owned(),
            op: Op::Put(Bytes::from(source.to_string())),
        };
        self.group.write(write).await?;
        // It is seldom, and whoever hears of it by looking is not to wait for a refresh too.
        self.refresh(Index::Shared).await
    }
}

impl Elastic {
    /// The version that this life's last beat has written.
    fn last_beat(&self, incarnation: Incarnation) -> Option<Seen> {
        let last = self
            .last_beat
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        last.filter(|(of, _)| *of == incarnation)
            .map(|(_, seen)| seen)
    }

    /// Whether it is written over this version.
    async fn put_beat(&self, host: &Host, seen: Option<Seen>) -> Result<bool, StoreError> {
        let name = name(host.incarnation);
        let source = json!({ "kind": HOST, "name": name, "content": host });
        let source = Bytes::from(source.to_string());
        let write = Write {
            index: Index::Shared,
            id: name,
            op: match seen {
                Some(seen) => Op::Replace(seen, source),
                None => Op::Create(source),
            },
        };
        let written = match self.group.write(write).await? {
            Written::Done(seen) => Some((host.incarnation, seen)),
            _ => None,
        };
        *self
            .last_beat
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = written;
        Ok(written.is_some())
    }

    /// What this query finds, read again by id, as far as it is held and wanted.
    async fn read_held(
        &self,
        query: &Value,
        limit: usize,
        is_wanted: impl Fn(&Task) -> bool,
    ) -> Result<Vec<Task>, StoreError> {
        let mut ids = Vec::new();
        self.search_all(Index::Tasks, query, ("run.id", &[]), |hit| {
            ids.push(hit.id);
            Ok(ids.len() < limit)
        })
        .await?;
        ids.truncate(limit);
        let mut held = Vec::new();
        for ids in ids.chunks(PAGE) {
            let stored = self.group.read_all(Index::Tasks, ids).await?;
            for stored in stored.into_iter().flatten() {
                let hot = Hot::readable(&stored.source);
                let hot = hot.filter(|hot| hot.place == Place::Held && is_wanted(&hot.task));
                held.extend(hot.map(|hot| hot.task));
            }
        }
        Ok(held)
    }
}

/// The name of a life's document.
fn name(incarnation: Incarnation) -> String {
    format!("{HOST}/{incarnation}")
}

/// Whether a life may hold a document.
fn held_by(incarnation: Incarnation) -> Value {
    json!({ "bool": { "filter": [
        { "term": { "place": "held" } },
        { "bool": { "should": [
            { "term": { "run.incarnation": incarnation } },
            without_host(),
        ] } },
    ] } })
}

/// Whether no host has claimed the document's run.
fn without_host() -> Value {
    json!({ "bool": { "must_not": { "exists": { "field": "run.incarnation" } } } })
}

//! Lists of tasks. A search tells which there are; each is read again by its id, so that no old
//! status is shown and nothing that was deleted.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};
use taskhost_model::ids::{Digest, RunId, TaskKey, TypeId};
use taskhost_model::task::{Parent, Task};
use taskhost_model::time::Timestamp;

use super::Elastic;
use super::group::{Op, Write, Written};
use super::hot::Hot;
use super::names::Index;
use super::search::{HITS_MAX, Hit, PAGE};
use crate::error::StoreError;
use crate::place::Place;
use crate::tasks::{ListRequest, TaskPage, Unfinished, Waiting};

/// So many kinds are counted apart.
const KINDS_MAX: usize = 10_000;

impl Elastic {
    pub(super) async fn list_tasks(&self, request: &ListRequest) -> Result<TaskPage, StoreError> {
        let limit = request.limit.clamp(1, 1_000);
        let mut body = json!({
            "query": { "bool": query(request) }, "size": limit + 1, "_source": false,
            "sort": [{ "created_at": "desc" }, { "run.id": "desc" }], "track_total_hits": false,
        });
        if let Some(cursor) = &request.cursor {
            let (created_ms, run) = read_cursor(cursor)?;
            body["search_after"] = json!([created_ms, run]);
        }
        let mut hits = self.search(Index::Tasks, &body).await?;
        let is_more = hits.len() > limit;
        hits.truncate(limit);
        let after = |hit: &Hit| Some(cursor(hit.sort.first()?.as_i64()?, hit.sort.get(1)?));
        let next = hits.last().filter(|_| is_more).and_then(after);
        let ids: Vec<String> = hits.iter().map(|hit| hit.id.clone()).collect();
        let (mut tasks, mut cursors) = (Vec::new(), Vec::new());
        for (hit, stored) in hits
            .iter()
            .zip(self.group.read_all(Index::Tasks, &ids).await?)
        {
            let Some(stored) = stored else { continue };
            let Some(Hot { task, .. }) = Hot::readable(&stored.source) else {
                continue;
            };
            // Scheduled again it counts as a new one, and stands at the beginning.
            let is_same = hit.sort.first().and_then(Value::as_i64) == Some(task.created_at.as_ms());
            if is_same && request.wants(&task) {
                tasks.push(task);
                cursors.push(after(hit).unwrap_or_default());
            }
        }
        Ok(TaskPage {
            tasks,
            cursors,
            next,
        })
    }

    pub(super) async fn list_held(&self, limit: usize) -> Result<Vec<Task>, StoreError> {
        self.refresh(Index::Tasks).await?;
        let mut ids = Vec::new();
        let query = json!({ "term": { "place": "held" } });
        self.search_all(Index::Tasks, &query, ("run.id", &[]), |hit| {
            ids.push(hit.id);
            Ok(ids.len() < limit)
        })
        .await?;
        ids.truncate(limit);
        let mut held = Vec::new();
        for ids in ids.chunks(PAGE) {
            for stored in self
                .group
                .read_all(Index::Tasks, ids)
                .await?
                .into_iter()
                .flatten()
            {
                let hot = Hot::readable(&stored.source);
                let hot = hot.filter(|hot| hot.place == Place::Held);
                held.extend(hot.map(|hot| hot.task));
            }
        }
        Ok(held)
    }

    pub(super) async fn remove_all_tombstones(&self) -> Result<u64, StoreError> {
        let mut removed = 0;
        loop {
            self.refresh(Index::Tasks).await?;
            let body = json!({
                "query": { "term": { "place": "tombstone" } }, "size": PAGE,
                "seq_no_primary_term": true, "track_total_hits": false,
            });
            let hits = self.search(Index::Tasks, &body).await?;
            let is_last = hits.len() < PAGE;
            let mut found = Vec::new();
            for hit in hits {
                found.extend(hit.task()?);
            }
            let writes = found.iter().map(|current| Write {
                index: Index::Tasks,
                id: super::names::task_id(&current.hot.key()),
                op: Op::Delete(current.seen),
            });
            let answers = self.group.write_all(writes.collect()).await;
            for (current, answer) in found.iter().zip(answers) {
                // Another one is there by now: it is no tombstone, or somebody else's affair.
                if let Written::Done(seen) = answer? {
                    self.recent.removed(&current.hot.key(), seen);
                    removed += 1;
                }
            }
            if is_last {
                self.sweep_sometimes().await?;
                return Ok(removed);
            }
        }
    }

    pub(super) async fn list_parents(&self) -> Result<Vec<(TaskKey, RunId)>, StoreError> {
        #[derive(Deserialize)]
        struct Child {
            space: taskhost_model::ids::Space,
            parent: Parent,
        }
        self.refresh(Index::Tasks).await?;
        let query = json!({ "bool": { "filter": [
            { "terms": { "place": ["ready", "waiting", "held"] } },
            { "exists": { "field": "parent.run" } },
        ] } });
        let mut parents = BTreeMap::new();
        self.search_all(
            Index::Tasks,
            &query,
            ("run.id", &["space", "parent"]),
            |hit| {
                let child: Child =
                    serde_json::from_slice(&hit.source).map_err(|error| StoreError::Corrupt {
                        reason: format!("the task {}: {error}", hit.id),
                    })?;
                let (space, id) = (child.space, child.parent.task);
                parents.insert(child.parent.run, TaskKey { space, id });
                Ok(true)
            },
        )
        .await?;
        Ok(parents.into_iter().map(|(run, key)| (key, run)).collect())
    }

    pub(super) async fn count_unfinished(&self) -> Result<Unfinished, StoreError> {
        #[derive(Deserialize)]
        struct Answered {
            aggregations: Kinds,
        }
        #[derive(Deserialize)]
        struct Kinds {
            types: Buckets<TypeId>,
            digests: Buckets<Digest>,
            waiting: Due,
        }
        #[derive(Deserialize)]
        struct Due {
            types: Buckets<TypeId>,
        }
        self.refresh(Index::Tasks).await?;
        let body = json!({
            "size": 0, "query": unfinished(&[]),
            "aggs": {
                "types": { "terms": { "field": "type", "size": KINDS_MAX } },
                "digests": { "terms": { "field": "run.digest", "size": KINDS_MAX } },
                "waiting": {
                    "filter": { "bool": { "filter": [
                        { "terms": { "place": ["ready", "waiting"] } },
                        { "range": { "run.due_at": { "lte": self.clock.now() } } },
                    ] } },
                    "aggs": { "types": {
                        "terms": { "field": "type", "size": KINDS_MAX },
                        "aggs": { "oldest": { "min": { "field": "run.due_at" } } },
                    } },
                },
            },
        });
        let answered: Answered = self.ask(Index::Tasks, &body).await?.json()?;
        Ok(Unfinished {
            by_digest: answered.aggregations.digests.sorted(),
            by_type: answered.aggregations.types.sorted(),
            waiting: answered.aggregations.waiting.types.waiting(),
        })
    }

    /// Whether there is an unfinished task of which this holds too, after a refresh.
    pub(super) async fn is_any_unfinished(&self, also: Value) -> Result<bool, StoreError> {
        self.refresh(Index::Tasks).await?;
        let body = json!({ "query": unfinished(&[also]), "size": 1, "_source": false });
        Ok(!self.search(Index::Tasks, &body).await?.is_empty())
    }

    /// The earliest time at which something becomes due that was not at the last claim.
    pub(super) async fn earliest_due(&self) -> Result<Option<Timestamp>, StoreError> {
        let now = self.clock.now();
        let last = self
            .last_claim_ms
            .load(std::sync::atomic::Ordering::Relaxed);
        let last = Timestamp::from_ms(last);
        let body = json!({
            "query": { "bool": { "filter": [{ "bool": { "should": [
                { "bool": { "filter": [
                    { "term": { "place": "waiting" } },
                    { "range": { "run.due_at": { "gt": last } } },
                ] } },
                { "bool": { "filter": [
                    { "term": { "place": "ready" } },
                    { "range": { "run.due_at": { "gt": now.max(last) } } },
                ] } },
            ] } }] } },
            "size": 64, "sort": [{ "run.due_at": "asc" }], "track_total_hits": false,
            "seq_no_primary_term": true,
        });
        let mut found = None;
        for hit in self.search(Index::Tasks, &body).await? {
            let Some(current) = hit.task()? else { continue };
            let known = self.recent.knows(&current.hot.key(), current.seen);
            if matches!(known, super::recent::Known::Nothing) {
                found = Some(current.hot.task.run.due_at);
                break;
            }
        }
        let own = self.recent.next_due(|hot| {
            let due_at = hot.task.run.due_at;
            due_at > last && (hot.place == Place::Waiting || due_at > now)
        });
        Ok(found.into_iter().chain(own).min())
    }
}

#[derive(Deserialize)]
pub(super) struct Buckets<T> {
    buckets: Vec<Bucket<T>>,
}

#[derive(Deserialize)]
struct Bucket<T> {
    key: T,
    doc_count: u64,
    #[serde(default)]
    oldest: Option<Oldest>,
}

/// In milliseconds since the epoch.
#[derive(Deserialize)]
struct Oldest {
    value: Option<f64>,
}

impl Buckets<TypeId> {
    fn waiting(self) -> Vec<Waiting> {
        #[expect(clippy::cast_possible_truncation, reason = "it is a whole number")]
        let time = |ms: f64| Timestamp::from_ms(ms as i64);
        let each = self.buckets.into_iter().map(|it| Waiting {
            type_id: it.key,
            runs: it.doc_count,
            oldest_due_at: it.oldest.and_then(|it| it.value).map(time),
        });
        let mut all: Vec<Waiting> = each.collect();
        all.sort_unstable_by(|a, b| a.type_id.cmp(&b.type_id));
        all
    }
}

impl<T: Ord> Buckets<T> {
    pub(super) fn sorted(self) -> Vec<(T, u64)> {
        let each = self.buckets.into_iter().map(|it| (it.key, it.doc_count));
        let all: BTreeMap<T, u64> = each.collect();
        all.into_iter().collect()
    }
}

fn unfinished(also: &[Value]) -> Value {
    let mut filter = vec![json!({ "terms": { "status": ["in_progress", "being_canceled"] } })];
    filter.extend_from_slice(also);
    json!({ "bool": {
        "filter": filter,
        "must_not": [{ "exists": { "field": "deleted_at" } }],
    } })
}

pub(super) fn query(request: &ListRequest) -> Value {
    let mut filter = vec![json!({ "term": { "space": request.space } })];
    if !request.statuses.is_empty() {
        filter.push(json!({ "terms": { "status": request.statuses } }));
    }
    if let Some(type_id) = &request.type_id {
        filter.push(json!({ "term": { "type": type_id } }));
    }
    if let Some(stream) = &request.stream {
        filter.push(json!({ "term": { "stream": stream } }));
    }
    if let Some(by) = &request.requested_by {
        filter.push(json!({ "term": { "requested_by": by } }));
    }
    if let Some(after) = request.created_after {
        filter.push(json!({ "range": { "created_at": { "gt": after } } }));
    }
    if let Some(before) = request.created_before {
        filter.push(json!({ "range": { "created_at": { "lt": before } } }));
    }
    if !request.error_kinds.is_empty() {
        filter.push(json!({ "terms": { "error_kind": request.error_kinds } }));
    }
    if let Some(part) = &request.id_contains {
        let mut pattern = "*".to_owned();
        for letter in part.chars() {
            if matches!(letter, '*' | '?' | '\\') {
                pattern.push('\\');
            }
            pattern.push(letter);
        }
        pattern.push('*');
        let wanted = json!({ "value": pattern, "case_insensitive": true });
        filter.push(json!({ "wildcard": { "id": wanted } }));
    }
    json!({ "filter": filter, "must_not": [{ "exists": { "field": "deleted_at" } }] })
}

fn cursor(created_ms: i64, run: &Value) -> String {
    let run = run.as_str().unwrap_or_default();
    format!("tasks.{created_ms:x}.{run}")
}

fn read_cursor(cursor: &str) -> Result<(i64, RunId), StoreError> {
    let read = || {
        let (created, run) = cursor.strip_prefix("tasks.")?.split_once('.')?;
        let is_ours = created.bytes().all(|byte| byte.is_ascii_hexdigit());
        let bits = u64::from_str_radix(created, 16).ok().filter(|_| is_ours)?;
        Some((bits.cast_signed(), RunId::parse(run).ok()?))
    };
    read().ok_or(StoreError::InvalidCursor)
}

/// What is asked for at once is less than a search can have.
const _: () = assert!(PAGE < HITS_MAX);

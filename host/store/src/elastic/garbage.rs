//! Removes what nobody can read any more: texts of runs that were replaced, checkpoints of tasks
//! that are done, lanes that nobody is in, pieces of components that no version has.
//!
//! # Why not at once
//! What ends them is the write of one document. To remove the rest in the same breath would take
//! more requests for each task than all else together, and a host may be gone in between.

use std::collections::HashMap;
use std::sync::PoisonError;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use taskhost_model::ids::RunId;
use taskhost_model::status::Status;
use tokio::time::Instant;

use super::Elastic;
use super::checkpoints;
use super::family;
use super::group::{Op, Write, Written};
use super::names::Index;
use super::shared::task_key;
use super::texts::wall_clock;
use crate::error::StoreError;

/// A host sweeps so long after its start for the first time: hosts may live for a short time only.
const FIRST_AFTER: Duration = Duration::from_secs(5 * 60);
/// A host sweeps so often.
const EVERY: Duration = Duration::from_secs(60 * 60);
/// What is younger may be about to be named by a document.
const AGE_MIN: Duration = Duration::from_secs(60 * 60);
/// So many are removed at once.
const BATCH: usize = 500;

#[derive(Deserialize)]
struct Text {
    task: String,
    run: RunId,
    kind: String,
}

#[derive(Deserialize)]
struct Shared {
    kind: String,
}

impl Elastic {
    /// Sweeps, if this host has not done so lately.
    pub(super) async fn sweep_sometimes(&self) -> Result<(), StoreError> {
        {
            let mut next = self.sweep_at.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            if now < *next.get_or_insert(now + FIRST_AFTER) {
                return Ok(());
            }
            *next = Some(now + EVERY);
        }
        self.sweep(AGE_MIN).await.map(drop)
    }

    /// Removes what is older and of no use; how many documents.
    pub(crate) async fn sweep(&self, age_min: Duration) -> Result<u64, StoreError> {
        let texts = self.sweep_texts(age_min).await?;
        let shared = self.sweep_shared().await?;
        Ok(texts + shared + self.sweep_pieces(age_min).await?)
    }

    /// Pieces of components that an upload has left behind which came to nothing: no version named
    /// them at an earlier sweep, and none does now.
    async fn sweep_pieces(&self, age_min: Duration) -> Result<u64, StoreError> {
        let query = json!({ "terms": { "kind": ["piece", "descriptor"] } });
        let mut found = Vec::new();
        self.search_all(Index::Components, &query, ("_seq_no", &[]), |hit| {
            found.push(hit.id);
            Ok(true)
        })
        .await?;
        // Read afterwards: what is found was written before.
        let catalog = self.catalog_now().await?;
        let now = Instant::now();
        let (mut gone, mut nameless) = (Vec::new(), HashMap::new());
        {
            let mut known = self.nameless.lock().unwrap_or_else(PoisonError::into_inner);
            for id in found {
                if catalog.names(&id) {
                    continue;
                }
                let since = known.get(&id).copied().unwrap_or(now);
                if now >= since + age_min {
                    gone.push(id);
                } else {
                    nameless.insert(id, since);
                }
            }
            *known = nameless;
        }
        let writes = gone.iter().map(|id| Write {
            index: Index::Components,
            id: id.clone(),
            op: Op::Remove,
        });
        for answer in self.group.write_all(writes.collect()).await {
            answer?;
        }
        Ok(gone.len() as u64)
    }

    async fn sweep_texts(&self, age_min: Duration) -> Result<u64, StoreError> {
        let before = wall_clock().minus(age_min);
        let query = json!({ "range": { "at": { "lte": before } } });
        let fields = ("name", &["task", "run", "kind"][..]);
        let mut found = Vec::new();
        self.search_all(Index::Texts, &query, fields, |hit| {
            // What cannot be read is left to somebody who can.
            found.extend(serde_json::from_slice::<Text>(&hit.source).map(|text| (hit.id, text)));
            Ok(true)
        })
        .await?;
        let mut gone = 0;
        for found in found.chunks(BATCH) {
            let useful = found.iter().map(|(_, text)| self.is_useful(text));
            let useful = futures_util::future::join_all(useful).await;
            let mut useless = Vec::new();
            for ((id, _), is_useful) in found.iter().zip(useful) {
                if !is_useful? {
                    useless.push(id.clone());
                }
            }
            self.remove_apart(&useless).await?;
            gone += useless.len() as u64;
        }
        Ok(gone)
    }

    async fn is_useful(&self, text: &Text) -> Result<bool, StoreError> {
        let Some(key) = task_key(&text.task) else {
            return Ok(false);
        };
        let current = self.current(&key).await?;
        Ok(current.is_some_and(|current| {
            let task = &current.hot.task;
            let is_over = matches!(task.status, Status::Completed | Status::Acknowledged);
            let former = &current.hot.texts.former;
            let is_named = match text.kind.as_str() {
                "checkpoint" => task.run.keeper() == text.run && !is_over,
                "run" | "log" => {
                    task.run.id == text.run || former.iter().any(|it| it.run == text.run)
                }
                _ => task.run.id == text.run,
            };
            is_named && task.deleted_at.is_none()
        }))
    }

    async fn sweep_shared(&self) -> Result<u64, StoreError> {
        let query = json!({ "terms": { "kind": ["lane", "family", "checkpoints"] } });
        let mut found = Vec::new();
        self.search_all(Index::Shared, &query, ("name", &["kind"]), |hit| {
            let shared = serde_json::from_slice::<Shared>(&hit.source);
            found.extend(shared.map(|shared| (hit.id, shared.kind)));
            Ok(true)
        })
        .await?;
        let mut gone = 0;
        for (name, kind) in found {
            // The version first: whoever writes it after this look keeps it.
            let Some(seen) = self.group.look(Index::Shared, &name).await? else {
                continue;
            };
            let is_useful = match kind.as_str() {
                "lane" => !self.lane(&name).await?.is_empty(),
                "family" => self.has_children(&name).await?,
                _ => self.has_checkpoints(&name).await?,
            };
            if !is_useful {
                let write = Write {
                    index: Index::Shared,
                    id: name,
                    op: Op::Delete(seen),
                };
                let is_gone = matches!(self.group.write(write).await?, Written::Done(_));
                gone += u64::from(is_gone);
            }
        }
        Ok(gone)
    }

    /// Whether the run may have children, or has some.
    async fn has_children(&self, name: &str) -> Result<bool, StoreError> {
        let (_, content) = self.shared::<family::Content>(name).await?;
        let run = name
            .strip_prefix("family/")
            .and_then(|run| RunId::parse(run).ok());
        let (Some(run), Some(parent)) = (run, task_key(&content.parent)) else {
            return Ok(false);
        };
        let current = self.current(&parent).await?;
        let is_alive = current.is_some_and(|current| {
            let task = &current.hot.task;
            task.run.id == run && task.deleted_at.is_none() && !task.status.is_terminal()
        });
        Ok(is_alive || self.children_of(run).await?.count > 0)
    }

    async fn has_checkpoints(&self, name: &str) -> Result<bool, StoreError> {
        let (_, content) = self.shared::<checkpoints::Content>(name).await?;
        let run = name
            .strip_prefix("checkpoints/")
            .and_then(|run| RunId::parse(run).ok());
        let Some(run) = run else {
            return Ok(false);
        };
        let text = Text {
            task: content.task,
            run,
            kind: "checkpoint".to_owned(),
        };
        self.is_useful(&text).await
    }
}

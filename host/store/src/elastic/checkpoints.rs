//! Checkpoints on Elasticsearch. A run's checkpoints are named in one document of the run, and lie
//! apart from it.
//!
//! # How a late host is kept out
//! A run that has begun again writes its lease into that document before it reads there. Whoever
//! has an older lease and was looked at just before that finds the document changed.
//!
//! # Why nothing is removed when they end
//! They belong to the run: another run, and one that has ended, does not come near them. What
//! nobody can read any more is swept out later.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use taskhost_model::ids::RunId;

use super::Elastic;
use super::group::{Op, Seen, Write};
use super::names::{Index, task_id, unique};
use crate::checkpoints::{Checkpoint, CheckpointStore, RunOfTask, VALUE_BYTES_MAX, counted_bytes};
use crate::documents::may_write;
use crate::error::StoreError;
use crate::limits::within;

/// The checkpoints of a run, by key.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Content {
    /// The id of the task's document.
    pub(super) task: String,
    kept: BTreeMap<String, Kept>,
    /// The number of the latest lease under which somebody has come here, unless it was the first.
    #[serde(default)]
    lease: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    /// Among the texts.
    id: String,
    bytes: u64,
    schema_version: u32,
}

#[async_trait]
impl CheckpointStore for Elastic {
    async fn save(
        &self,
        run: &RunOfTask,
        key: &str,
        checkpoint: Checkpoint,
    ) -> Result<(), StoreError> {
        within("checkpoint", checkpoint.value.len(), VALUE_BYTES_MAX)?;
        let bytes = checkpoint.value.len() as u64;
        let mut put = None;
        loop {
            let (keeper, seen, mut content) = self.checkpoints(run).await?;
            let others = content.kept.iter().filter(|(other, _)| *other != key);
            let others: u64 = others
                .map(|(key, kept)| counted_bytes(key, kept.bytes))
                .sum();
            let all = usize::try_from(others + counted_bytes(key, bytes)).unwrap_or(usize::MAX);
            within(
                "checkpoints of the task",
                all,
                self.limits.checkpoints_bytes_max,
            )?;
            let id = match put.take() {
                Some(id) => id,
                None => {
                    let id = format!("{keeper}.checkpoint.{}", unique());
                    let value = STANDARD.encode(&checkpoint.value);
                    self.put_apart(&run.task, keeper, "checkpoint", &id, &value)
                        .await?;
                    id
                }
            };
            put = Some(id.clone());
            let kept = Kept {
                id,
                bytes,
                schema_version: checkpoint.schema_version,
            };
            content.task = task_id(&run.task);
            let former = content.kept.insert(key.to_owned(), kept);
            if self
                .share("checkpoints", &name(keeper), seen, &content)
                .await?
            {
                return self
                    .remove_apart(former.map(|kept| kept.id).as_slice())
                    .await;
            }
        }
    }

    async fn load(&self, run: &RunOfTask, key: &str) -> Result<Option<Checkpoint>, StoreError> {
        loop {
            let (_, _, content) = self.checkpoints(run).await?;
            let Some(kept) = content.kept.get(key) else {
                return Ok(None);
            };
            // None: it was replaced since.
            if let Some(text) = self.apart(&kept.id).await? {
                let value = decoded(&kept.id, &text)?;
                return Ok(Some(Checkpoint {
                    value: Arc::from(value),
                    schema_version: kept.schema_version,
                }));
            }
        }
    }

    async fn forget(&self, run: &RunOfTask, key: &str) -> Result<(), StoreError> {
        loop {
            let (keeper, seen, mut content) = self.checkpoints(run).await?;
            let Some(kept) = content.kept.remove(key) else {
                return Ok(());
            };
            if self
                .share("checkpoints", &name(keeper), seen, &content)
                .await?
            {
                return self.remove_apart(&[kept.id]).await;
            }
        }
    }
}

impl Elastic {
    /// The checkpoints of a run that may have some now, and under whose name they are kept.
    async fn checkpoints(
        &self,
        run: &RunOfTask,
    ) -> Result<(RunId, Option<Seen>, Content), StoreError> {
        let own = run.fence.lease_number;
        loop {
            self.is_open()?;
            let keeper = self.keeper(run).await?;
            let name = name(keeper);
            let (seen, mut content) = self.shared::<Content>(&name).await?;
            if content.lease > own {
                return Err(StoreError::Fenced);
            }
            if content.lease == own || own <= 1 {
                return Ok((keeper, seen, content));
            }
            content.task = task_id(&run.task);
            content.lease = own;
            // Written or not, what stands there now is what counts.
            self.share("checkpoints", &name, seen, &content).await?;
        }
    }

    /// Whether a run may write now.
    pub(super) async fn check_fence(&self, run: &RunOfTask) -> Result<(), StoreError> {
        self.keeper(run).await.map(drop)
    }

    /// Under whose name a run keeps its checkpoints, if it may write now.
    async fn keeper(&self, run: &RunOfTask) -> Result<RunId, StoreError> {
        let current = self.current(&run.task).await?;
        let task = current.as_ref().map(|current| &current.hot.task);
        match task.filter(|task| may_write(Some(task), run.fence)) {
            Some(task) => Ok(task.run.keeper()),
            None => Err(StoreError::Fenced),
        }
    }

    /// Removes documents among the texts that nobody reads any more.
    pub(super) async fn remove_apart(&self, ids: &[String]) -> Result<(), StoreError> {
        let writes = ids.iter().map(|id| Write {
            index: Index::Texts,
            id: id.clone(),
            op: Op::Remove,
        });
        for answer in self.group.write_all(writes.collect()).await {
            answer?;
        }
        Ok(())
    }
}

fn name(run: RunId) -> String {
    format!("checkpoints/{run}")
}

/// The bytes that were kept as text.
pub(super) fn decoded(id: &str, text: &str) -> Result<Vec<u8>, StoreError> {
    STANDARD.decode(text).map_err(|error| StoreError::Corrupt {
        reason: format!("{id}: {error}"),
    })
}

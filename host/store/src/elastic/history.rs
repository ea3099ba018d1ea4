//! Former runs on Elasticsearch: each in a document among the texts, with its log or where that is,
//! which is written before the one that names it.

use async_trait::async_trait;
use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};
use taskhost_model::former::FormerRun;
use taskhost_model::ids::{RunId, TaskKey};
use taskhost_model::receipt::Receipt;

use super::Elastic;
use super::client::unavailable;
use super::hot::{Former, Log, Texts};
use super::tasks::TRIES_MAX;
use super::texts::PutApart;
use crate::apply;
use crate::error::StoreError;
use crate::history::TaskHistory;

/// What is kept of one.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    run: FormerRun,
    #[serde(default)]
    log: Log,
}

#[async_trait]
impl TaskHistory for Elastic {
    async fn former_runs(&self, key: &TaskKey) -> Result<Vec<FormerRun>, StoreError> {
        let Some(current) = self.visible(key).await? else {
            return Ok(Vec::new());
        };
        let former = &current.hot.texts.former;
        let kept = former.iter().map(|former| self.kept_run(former));
        // One that is gone was let go since.
        let kept = try_join_all(kept).await?.into_iter().flatten();
        Ok(kept.map(|kept| kept.run).collect())
    }

    async fn receipt(&self, key: &TaskKey) -> Result<Option<Receipt>, StoreError> {
        self.is_open()?;
        let current = self.current(key).await?;
        Ok(current.and_then(|current| current.hot.task.receipt.clone()))
    }

    async fn former_log(&self, key: &TaskKey, run: RunId) -> Result<Option<String>, StoreError> {
        for _ in 0..TRIES_MAX {
            let Some(current) = self.visible(key).await? else {
                return Ok(None);
            };
            let mut former = current.hot.texts.former.iter();
            let Some(former) = former.find(|former| former.run == run) else {
                return Ok(None);
            };
            let Some(kept) = self.kept_run(former).await? else {
                continue;
            };
            if let Some(log) = self.whole_log(&kept.log).await? {
                return Ok(Some(log));
            }
        }
        Err(unavailable("the task keeps changing"))
    }
}

impl Elastic {
    async fn kept_run(&self, former: &Former) -> Result<Option<Kept>, StoreError> {
        let Some(text) = self.apart(&former.id).await? else {
            return Ok(None);
        };
        let kept = serde_json::from_str(&text).map_err(|error| StoreError::Corrupt {
            reason: format!("the former run {}: {error}", former.id),
        })?;
        Ok(Some(kept))
    }

    /// The former runs of a document that is to be written. What is new of them is on disk then.
    pub(super) async fn former_after(
        &self,
        key: &TaskKey,
        texts: &Texts,
        write: &apply::Write,
        written: &str,
        put_apart: &mut PutApart,
    ) -> Result<Vec<Former>, StoreError> {
        if write.ends_history {
            return Ok(Vec::new());
        }
        let most = self.limits.former_runs_kept();
        let Some(run) = write.former.as_ref().filter(|_| most > 0) else {
            return Ok(texts.former.clone());
        };
        let is_put = put_apart.former.as_ref().is_some_and(|it| it.run == run.id);
        if !is_put {
            let kept = Kept {
                run: (**run).clone(),
                log: texts.log.clone(),
            };
            let content = serde_json::to_string(&kept).map_err(|error| StoreError::Corrupt {
                reason: format!("the former run {}: {error}", run.id),
            })?;
            let id = format!("{}.run.{written}", run.id);
            self.put_apart(key, run.id, "run", &id, &content).await?;
            put_apart.former = Some(Former { run: run.id, id });
        }
        let newest = put_apart.former.iter();
        let all = newest.chain(&texts.former).take(most);
        Ok(all.cloned().collect())
    }
}

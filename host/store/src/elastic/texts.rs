//! Texts of a task: short ones in its document, longer ones in documents of their own, which are
//! written before the one that names them.
//!
//! # Why no late writer can change another run's
//! The id of each carries the run and a name that nobody has given before.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;
use taskhost_model::ids::{RunId, TaskKey};
use taskhost_model::time::Timestamp;

use super::Elastic;
use super::client::unavailable;
use super::group::{Op, Write, Written};
use super::hot::{Former, HERE_BYTES_MAX, Hot, Log, Text, Texts};
use super::names::{Index, task_id};
use crate::apply::{self, TextChange};
use crate::error::StoreError;
use crate::queue::StoredTask;
use taskhost_model::status::Status;

/// What was put apart already, on an earlier try of the same write.
#[derive(Debug, Default)]
pub(super) struct PutApart {
    params: Option<Text>,
    payload: Option<Text>,
    pub(super) former: Option<Former>,
}

#[derive(Deserialize)]
struct Apart {
    content: String,
}

impl Elastic {
    /// The texts of a document that is to be written. What is long is on disk then.
    pub(super) async fn texts_after(
        &self,
        key: &TaskKey,
        former: Option<&Hot>,
        write: &apply::Write,
        written: &str,
        put_apart: &mut PutApart,
    ) -> Result<Texts, StoreError> {
        let former = former.map(|hot| hot.texts.clone()).unwrap_or_default();
        let run = write.task.run.id;
        let runs = self
            .former_after(key, &former, write, written, put_apart)
            .await?;
        let params = match &write.params {
            TextChange::Keep => former.params,
            TextChange::Clear => None,
            TextChange::Set(text) | TextChange::Append(text) => {
                if put_apart.params.is_none() {
                    let text = self.put_text(key, run, "params", text, written).await?;
                    put_apart.params = Some(text);
                }
                put_apart.params.clone()
            }
        };
        let payload = match &write.payload {
            TextChange::Keep => former.payload,
            TextChange::Clear => None,
            TextChange::Set(text) | TextChange::Append(text) => {
                if put_apart.payload.is_none() {
                    let text = self.put_text(key, run, "payload", text, written).await?;
                    put_apart.payload = Some(text);
                }
                put_apart.payload.clone()
            }
        };
        let mut log = former.log;
        match &write.log {
            TextChange::Keep => {}
            TextChange::Clear => log = Log::default(),
            TextChange::Set(text) | TextChange::Append(text) => {
                self.append(key, run, &mut log, text, written).await?;
            }
        }
        Ok(Texts {
            params,
            payload,
            log,
            former: runs,
        })
    }

    async fn append(
        &self,
        key: &TaskKey,
        run: RunId,
        log: &mut Log,
        text: &str,
        written: &str,
    ) -> Result<(), StoreError> {
        let fits = self.limits.log_that_fits(log.bytes, text);
        log.bytes += fits.len() as u64;
        log.here.push_str(fits);
        if log.here.len() > HERE_BYTES_MAX {
            let piece = std::mem::take(&mut log.here);
            let id = format!("{run}.log.{written}");
            self.put_apart(key, run, "log", &id, &piece).await?;
            log.apart.push(id);
        }
        Ok(())
    }

    async fn put_text(
        &self,
        key: &TaskKey,
        run: RunId,
        kind: &str,
        text: &Arc<str>,
        written: &str,
    ) -> Result<Text, StoreError> {
        if text.len() <= HERE_BYTES_MAX {
            return Ok(Text::Here(Arc::clone(text)));
        }
        let id = format!("{run}.{kind}.{written}");
        self.put_apart(key, run, kind, &id, text).await?;
        Ok(Text::Apart(id))
    }

    /// Writes a document among the texts, which belongs to a run.
    pub(super) async fn put_apart(
        &self,
        key: &TaskKey,
        run: RunId,
        kind: &str,
        id: &str,
        content: &str,
    ) -> Result<(), StoreError> {
        let source = json!({
            "name": id, "task": task_id(key), "run": run, "kind": kind, "at": wall_clock(),
            "content": content,
        });
        let write = Write {
            index: Index::Texts,
            id: id.to_owned(),
            op: Op::Put(Bytes::from(source.to_string())),
        };
        match self.group.write(write).await? {
            Written::Done(_) => Ok(()),
            _ => Err(unavailable("a text was not taken")),
        }
    }

    /// What [`Self::put_apart`] has written; none when it is gone.
    pub(super) async fn apart(&self, id: &str) -> Result<Option<String>, StoreError> {
        let Some(stored) = self.group.read(Index::Texts, id).await? else {
            return Ok(None);
        };
        let apart: Apart =
            serde_json::from_slice(&stored.source).map_err(|error| StoreError::Corrupt {
                reason: format!("the text {id}: {error}"),
            })?;
        Ok(Some(apart.content))
    }

    async fn text(&self, text: &Text) -> Result<Option<Arc<str>>, StoreError> {
        match text {
            Text::Here(text) => Ok(Some(Arc::clone(text))),
            Text::Apart(id) => Ok(self.apart(id).await?.map(Arc::from)),
        }
    }

    /// The document with its texts; none when it was replaced while they were read.
    pub(super) async fn with_texts(&self, hot: &Hot) -> Result<Option<StoredTask>, StoreError> {
        let params = match &hot.texts.params {
            Some(text) => self.text(text).await?,
            None => Some(Arc::from("")),
        };
        let has_result = matches!(hot.task.status, Status::Completed | Status::Acknowledged);
        let payload = match hot.texts.payload.as_ref().filter(|_| has_result) {
            Some(text) => self.text(text).await?.map(Some),
            None => Some(None),
        };
        Ok(params.zip(payload).map(|(params, payload)| StoredTask {
            task: hot.task.clone(),
            params,
            payload,
        }))
    }

    /// The log; none when it was replaced while it was read.
    pub(super) async fn whole_log(&self, log: &Log) -> Result<Option<String>, StoreError> {
        let pieces = log.apart.iter().map(|id| self.apart(id));
        let mut whole = String::new();
        for piece in futures_util::future::join_all(pieces).await {
            match piece? {
                Some(piece) => whole.push_str(&piece),
                None => return Ok(None),
            }
        }
        whole.push_str(&log.here);
        Ok(Some(whole))
    }
}

/// The time by the machine's clock, whatever clock the store was given: it says how old something
/// is that nobody may need any more.
pub(super) fn wall_clock() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let ms = since.map_or(0, |since| since.as_millis());
    Timestamp::from_ms(i64::try_from(ms).unwrap_or(i64::MAX))
}

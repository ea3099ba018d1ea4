//! Recordings on Elasticsearch. What there is of a run is named in one document of the run; the
//! pieces lie apart.

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::json;
use taskhost_model::ids::{RunId, TaskKey};
use taskhost_model::task::Task;
use taskhost_model::time::Timestamp;

use super::Elastic;
use super::checkpoints::decoded;
use super::group::{Op, Write, Written};
use super::names::{Index, task_id};
use super::shared::{content, task_key};
use crate::checkpoints::RunOfTask;
use crate::error::StoreError;
use crate::limits::within;
use crate::recordings::{PIECE_BYTES_MAX, Recorded, RecordingStore, ended_at};

const KIND: &str = "recordings";

/// What is recorded of a run.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Content {
    /// The id of the task's document.
    task: String,
    run: Option<RunId>,
    attempts: Vec<Attempt>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Attempt {
    id: i64,
    attempt: u32,
    lease_number: u64,
    pieces: u32,
    bytes: u64,
}

/// A piece, as it says whose it is.
#[derive(Deserialize)]
struct Piece {
    task: String,
    run: RunId,
    content: String,
}

#[async_trait]
impl RecordingStore for Elastic {
    async fn append(
        &self,
        run: &RunOfTask,
        attempt: u32,
        piece: Vec<u8>,
    ) -> Result<(), StoreError> {
        within("piece of a recording", piece.len(), PIECE_BYTES_MAX)?;
        let lease_number = run.fence.lease_number;
        let text = STANDARD.encode(&piece);
        loop {
            self.is_open()?;
            self.check_fence(run).await?;
            let (seen, mut all) = self.shared::<Content>(&name(run.fence.run)).await?;
            (all.task, all.run) = (task_id(&run.task), Some(run.fence.run));
            let is_former =
                |one: &Attempt| one.attempt == attempt && one.lease_number != lease_number;
            let former: Vec<Attempt> = all.attempts.iter().copied().filter(is_former).collect();
            all.attempts.retain(|one| !is_former(one));
            let number = all.attempts.iter().position(|one| one.attempt == attempt);
            let number = number.unwrap_or_else(|| {
                all.attempts.push(Attempt {
                    id: rand::random::<i64>() & i64::MAX,
                    attempt,
                    lease_number,
                    pieces: 0,
                    bytes: 0,
                });
                all.attempts.len() - 1
            });
            let one = &mut all.attempts[number];
            // Only this lease writes under this name, one piece after the other.
            let id = piece_id(one.id, one.pieces);
            self.put_apart(&run.task, run.fence.run, "recording", &id, &text)
                .await?;
            one.pieces += 1;
            one.bytes += piece.len() as u64;
            if self.share(KIND, &name(run.fence.run), seen, &all).await? {
                return self.remove_pieces(&former).await;
            }
        }
    }

    async fn recorded(&self, task: &TaskKey, run: RunId) -> Result<Vec<Recorded>, StoreError> {
        self.is_open()?;
        let current = self.current(task).await?;
        if !current.is_some_and(|it| is_of(&it.hot.task, run)) {
            return Ok(Vec::new());
        }
        let (_, all) = self.shared::<Content>(&name(run)).await?;
        let mut all: Vec<Recorded> = all.attempts.into_iter().map(Attempt::recorded).collect();
        all.sort_by_key(|one| one.attempt);
        Ok(all)
    }

    async fn piece(&self, recorded: Recorded, piece: u32) -> Result<Option<Vec<u8>>, StoreError> {
        self.is_open()?;
        let id = piece_id(recorded.id, piece);
        let Some(stored) = self.group.read(Index::Texts, &id).await? else {
            return Ok(None);
        };
        let found: Piece =
            serde_json::from_slice(&stored.source).map_err(|error| StoreError::Corrupt {
                reason: format!("{id}: {error}"),
            })?;
        let Some(task) = task_key(&found.task) else {
            return Ok(None);
        };
        let all = self.recorded(&task, found.run).await?;
        let one = all.iter().find(|one| one.id == recorded.id);
        if one.is_none_or(|one| piece >= one.pieces) {
            return Ok(None);
        }
        decoded(&id, &found.content).map(Some)
    }

    async fn forget_ended(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.is_open()?;
        self.refresh(Index::Shared).await?;
        let mut found = Vec::new();
        let query = json!({ "term": { "kind": KIND } });
        self.search_all(Index::Shared, &query, ("name", &["content"]), |hit| {
            found.push((hit.seen, content::<Content>(&hit.id, &hit.source)?));
            Ok(true)
        })
        .await?;
        let mut gone = 0;
        for (seen, all) in found {
            let (Some(seen), Some(run), Some(key)) = (seen, all.run, task_key(&all.task)) else {
                continue;
            };
            let current = self.current(&key).await?;
            let task = current.as_ref().map(|it| &it.hot.task);
            let own = task.filter(|task| is_of(task, run));
            let has_ended = own.is_none_or(|task| ended_at(task).is_some_and(|at| at < before));
            if !has_ended {
                continue;
            }
            let write = Write {
                index: Index::Shared,
                id: name(run),
                op: Op::Delete(seen),
            };
            if matches!(self.group.write(write).await?, Written::Done(_)) {
                // Of another run nothing could be read any more.
                gone += own.map_or(0, |_| all.attempts.len() as u64);
                self.remove_pieces(&all.attempts).await?;
            }
        }
        Ok(gone)
    }
}

impl Elastic {
    async fn remove_pieces(&self, attempts: &[Attempt]) -> Result<(), StoreError> {
        let ids = attempts.iter().flat_map(|one| {
            let pieces = 0..one.pieces;
            pieces.map(|piece| piece_id(one.id, piece))
        });
        let ids: Vec<String> = ids.collect();
        self.remove_apart(&ids).await
    }
}

impl Attempt {
    fn recorded(self) -> Recorded {
        Recorded {
            id: self.id,
            attempt: self.attempt,
            lease_number: self.lease_number,
            pieces: self.pieces,
            bytes: self.bytes,
        }
    }
}

/// Whether it is the task's latest run, and the task is there.
fn is_of(task: &Task, run: RunId) -> bool {
    task.run.id == run && task.deleted_at.is_none()
}

fn name(run: RunId) -> String {
    format!("recordings/{run}")
}

fn piece_id(recording: i64, piece: u32) -> String {
    format!("recording.{recording}.{piece}")
}

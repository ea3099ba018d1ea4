//! Reads a recording, for whoever asked for the run and may still read its stream.

use std::sync::Arc;

use taskhost_model::ids::{RunId, StreamKey, TaskKey};
use taskhost_model::query::Query;
use taskhost_model::requester::Requester;
use taskhost_model::task::Task;
use taskhost_store::error::StoreError;
use taskhost_store::recordings::{KEPT_AFTER_END, Recorded, RecordingStore, ended_at};

use super::seal::{NotOpened, Place, Seal};
use super::{LastLine, host_key};
use crate::core::{Core, Tasks};
use crate::error::ServiceError;

/// Of a piece that does not open.
const CHANGED: &str = "it was sealed with another key than the host has now, or was changed since";

/// A recording that is being read, piece by piece.
#[derive(Debug)]
pub struct Recording {
    store: Arc<dyn RecordingStore>,
    seal: Seal,
    task: TaskKey,
    run: RunId,
    /// As it was when the reading began.
    recorded: Recorded,
    /// Whether more could be added to it then.
    was_alive: bool,
    next: u32,
    ends_line: bool,
    is_over: bool,
}

impl Tasks {
    /// What was recorded of an attempt of the task's latest run; without one, of the latest attempt
    /// that was recorded. The first piece is opened already.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] when there is none, or when it is not `by` who asked for the run
    /// and may read its stream; [`ServiceError::Internal`] when the host's key does not open it.
    pub async fn recording(
        &self,
        by: &Requester,
        key: &TaskKey,
        attempt: Option<u32>,
    ) -> Result<(Vec<u8>, Recording), ServiceError> {
        let core = &self.0;
        let none = || ServiceError::NotFound {
            what: match attempt {
                Some(attempt) => format!("recording of attempt {attempt} of the task"),
                None => "recording of the task".to_owned(),
            },
        };
        let task = core.tasks.get(key).await?.ok_or_else(none)?;
        // The sweeper ends it some time after that.
        let before = core.clock.now().minus(KEPT_AFTER_END);
        let is_over = ended_at(&task).is_some_and(|at| at < before);
        if is_over || !may_read(core, by, &task).await? {
            return Err(none());
        }
        let all = core.recordings.recorded(key, task.run.id).await?;
        let is_wanted = |one: &&Recorded| attempt.is_none_or(|attempt| one.attempt == attempt);
        let found = all.iter().rev().find(is_wanted);
        let recorded = *found.ok_or_else(|| match task.record {
            true => none(),
            false => ServiceError::NotFound {
                what: "recording of the task: it was scheduled without `record: true`".to_owned(),
            },
        })?;
        let host_key = host_key(core, |key| key.to_open()).await;
        let host_key = host_key.map_err(|reason| not_opened(&reason))?;
        let place = Place {
            run: task.run.id,
            attempt: recorded.attempt,
            lease_number: recorded.lease_number,
        };
        let first = core.recordings.piece(recorded, 0).await?;
        let first = first.ok_or_else(none)?;
        let opened = Seal::of_first(&host_key, place, &first).and_then(|seal| {
            let opened = seal.open(0, &first)?;
            Ok((seal, opened))
        });
        let (seal, opened) = opened.map_err(|NotOpened| {
            let before = "put the file `host.key` of that time back into the data folder and start \
                          the host again, or schedule the task anew";
            not_opened(&format!("{CHANGED}: {before}"))
        })?;
        let recording = Recording {
            store: Arc::clone(&core.recordings),
            seal,
            run: task.run.id,
            recorded,
            was_alive: recorded.attempt == task.run.attempt && !task.status.is_terminal(),
            task: key.clone(),
            next: 1,
            ends_line: opened.text.ends_with(b"\n"),
            is_over: opened.is_last,
        };
        Ok((opened.text, recording))
    }
}

impl Recording {
    /// The next piece, opened; none at the end. Where the recording breaks off, the last one is a
    /// line that says why ([`LastLine::BrokenOff`]).
    pub async fn next(&mut self) -> Option<Vec<u8>> {
        if self.is_over {
            return None;
        }
        let piece = match self.piece().await {
            Ok(piece) => piece,
            Err(reason) => {
                self.is_over = true;
                self.broken_off(reason)
            }
        };
        self.ends_line = piece.ends_with(b"\n");
        Some(piece)
    }

    /// Why there is none.
    async fn piece(&mut self) -> Result<Vec<u8>, String> {
        let number = self.next;
        if number >= self.recorded.pieces {
            let ended = "it has no end: what came after this was never written, or is gone";
            let alive = "its run had not ended when it was read";
            return Err(if self.was_alive { alive } else { ended }.to_owned());
        }
        let unread = |error| self.damaged(number, &format!("the store cannot be read ({error})"));
        let sealed = self.store.piece(self.recorded, number).await;
        let Some(sealed) = sealed.map_err(unread)? else {
            let now = self.store.recorded(&self.task, self.run).await;
            return Err(
                match now
                    .map_err(unread)?
                    .iter()
                    .any(|one| one.id == self.recorded.id)
                {
                    true => self.damaged(number, "this piece of it is missing in the store"),
                    false => "it was deleted while it was read".to_owned(),
                },
            );
        };
        let opened = self.seal.open(number, &sealed);
        let opened = opened.map_err(|NotOpened| self.damaged(number, CHANGED))?;
        self.next += 1;
        self.is_over = opened.is_last;
        Ok(opened.text)
    }

    /// What an operator should know as well.
    fn damaged(&self, piece: u32, reason: &str) -> String {
        let (task, attempt) = (&self.task.id, self.recorded.attempt);
        tracing::warn!(%task, attempt, piece, "a recording breaks off: {reason}");
        reason.to_owned()
    }

    fn broken_off(&self, reason: String) -> Vec<u8> {
        let line = serde_json::to_string(&LastLine::BrokenOff(reason)).unwrap_or_default();
        let before = if self.ends_line { "" } else { "\n" };
        format!("{before}{line}\n").into_bytes()
    }
}

fn not_opened(reason: &str) -> ServiceError {
    ServiceError::Internal {
        reason: format!("the recording cannot be opened, since {reason}"),
    }
}

/// Whether somebody is who asked for the run, and may read its stream as the run did.
async fn may_read(core: &Core, by: &Requester, task: &Task) -> Result<bool, ServiceError> {
    if task.requested_by != by.name || !core.caller(by).sees(task).await? {
        return Ok(false);
    }
    let Some(name) = &task.stream else {
        return Ok(true);
    };
    let key = StreamKey {
        space: task.space.clone(),
        name: name.clone(),
    };
    // Another stream of the same name is not the one that was read.
    let stream = core.streams.get(by, &key).await?;
    if stream.is_none_or(|stream| stream.created_at > Some(task.created_at)) {
        return Ok(false);
    }
    let nothing = Query::range(task.created_at, task.created_at);
    match core.streams.count(by, &key, &nothing).await {
        Ok(_) => Ok(true),
        Err(StoreError::UnknownStream { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

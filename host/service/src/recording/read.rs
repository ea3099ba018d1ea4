//! Reads a recording, for whoever asked for the run and may still read its stream.

use std::sync::Arc;

use taskhost_model::ids::{StreamKey, TaskKey};
use taskhost_model::query::Query;
use taskhost_model::requester::Requester;
use taskhost_model::task::Task;
use taskhost_store::error::StoreError;
use taskhost_store::recordings::{KEPT_AFTER_END, Recorded, RecordingStore, ended_at};

use super::seal::Seal;
use crate::core::{Core, Tasks};
use crate::error::ServiceError;

/// A recording that is being read, piece by piece.
#[derive(Debug)]
pub struct Recording {
    store: Arc<dyn RecordingStore>,
    seal: Seal,
    recorded: Recorded,
    next: u32,
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
        let recorded = *all.iter().rev().find(is_wanted).ok_or_else(none)?;
        let host_key = core
            .host_key
            .to_open()
            .map_err(|reason| not_opened(&reason))?;
        let Recorded {
            attempt,
            lease_number,
            ..
        } = recorded;
        let mut recording = Recording {
            store: Arc::clone(&core.recordings),
            seal: Seal::of(&host_key, task.run.id, attempt, lease_number),
            recorded,
            next: 0,
        };
        let first = recording.next().await?.ok_or_else(none)?;
        Ok((first, recording))
    }
}

impl Recording {
    /// The next piece, opened; none at the end.
    ///
    /// # Errors
    /// When it cannot be read or opened.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, ServiceError> {
        let number = self.next;
        let Some(sealed) = self.store.piece(self.recorded, number).await? else {
            return Ok(None);
        };
        self.next += 1;
        let opened = self.seal.open(number, sealed);
        let other = "it was sealed with another key than the host has now";
        opened.map(Some).map_err(|_| not_opened(other))
    }
}

fn not_opened(reason: &str) -> ServiceError {
    ServiceError::Internal {
        reason: format!(
            "the recording cannot be opened, since {reason}: put the file `host.key` of that time \
             back into the data folder and start the host again, or schedule the task anew"
        ),
    }
}

/// Whether somebody is who asked for the run, and may read its stream as the run did.
async fn may_read(core: &Core, by: &Requester, task: &Task) -> Result<bool, ServiceError> {
    if task.requested_by != by.name {
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
    let stream = core.streams.get(&key).await?;
    if stream.is_none_or(|stream| stream.created_at > task.created_at) {
        return Ok(false);
    }
    let nothing = Query::range(task.created_at, task.created_at);
    match core.streams.count(by, &key, &nothing).await {
        Ok(_) => Ok(true),
        Err(StoreError::UnknownStream { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

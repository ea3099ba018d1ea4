//! Recordings in memory.

use async_trait::async_trait;
use taskhost_model::ids::{RunId, TaskKey};
use taskhost_model::time::Timestamp;

use super::{Content, Memory};
use crate::checkpoints::RunOfTask;
use crate::documents::may_write;
use crate::error::StoreError;
use crate::limits::within;
use crate::recordings::{PIECE_BYTES_MAX, Recorded, RecordingStore, ended_at};

/// A recording with its pieces.
#[derive(Debug)]
pub(super) struct Recording {
    about: Recorded,
    pieces: Vec<Vec<u8>>,
}

#[async_trait]
impl RecordingStore for Memory {
    async fn append(
        &self,
        run: &RunOfTask,
        attempt: u32,
        piece: Vec<u8>,
    ) -> Result<(), StoreError> {
        within("piece of a recording", piece.len(), PIECE_BYTES_MAX)?;
        let mut content = self.content()?;
        let Content {
            tasks,
            last_recording,
            ..
        } = &mut *content;
        let entry = tasks.get_mut(&run.task).ok_or(StoreError::Fenced)?;
        if !may_write(Some(&entry.task), run.fence) {
            return Err(StoreError::Fenced);
        }
        let lease_number = run.fence.lease_number;
        let is_former =
            |about: &Recorded| about.attempt == attempt && about.lease_number != lease_number;
        entry.recordings.retain(|one| !is_former(&one.about));
        let found = entry
            .recordings
            .iter()
            .position(|one| one.about.attempt == attempt);
        let index = found.unwrap_or_else(|| {
            *last_recording += 1;
            let about = Recorded {
                id: *last_recording,
                attempt,
                lease_number,
                pieces: 0,
                bytes: 0,
            };
            let pieces = Vec::new();
            entry.recordings.push(Recording { about, pieces });
            entry.recordings.len() - 1
        });
        let recording = &mut entry.recordings[index];
        recording.about.pieces += 1;
        recording.about.bytes += piece.len() as u64;
        recording.pieces.push(piece);
        Ok(())
    }

    async fn recorded(&self, task: &TaskKey, run: RunId) -> Result<Vec<Recorded>, StoreError> {
        let content = self.content()?;
        let entry = content.tasks.get(task);
        let entry = entry.filter(|entry| entry.task.run.id == run);
        let mut all: Vec<Recorded> = entry
            .iter()
            .flat_map(|entry| entry.recordings.iter().map(|one| one.about))
            .collect();
        all.sort_by_key(|one| one.attempt);
        Ok(all)
    }

    async fn piece(&self, recorded: Recorded, piece: u32) -> Result<Option<Vec<u8>>, StoreError> {
        let content = self.content()?;
        let mut all = content.tasks.values().flat_map(|entry| &entry.recordings);
        let found = all.find(|one| one.about.id == recorded.id);
        Ok(found.and_then(|one| one.pieces.get(piece as usize).cloned()))
    }

    async fn forget_ended(&self, before: Timestamp) -> Result<u64, StoreError> {
        let mut content = self.content()?;
        let mut gone = 0;
        for entry in content.tasks.values_mut() {
            if ended_at(&entry.task).is_some_and(|at| at < before) {
                gone += entry.recordings.drain(..).count() as u64;
            }
        }
        Ok(gone)
    }
}

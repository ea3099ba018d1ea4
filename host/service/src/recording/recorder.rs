//! Records a run: collects its lines, and writes them in sealed pieces while it goes on.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use serde::Serialize;
use taskhost_model::task::Task;
use taskhost_runtime::{ExitOutcome, Recorder, RunLimits, Tape};
use taskhost_store::checkpoints::RunOfTask;
use taskhost_store::error::StoreError;
use taskhost_store::queue::StoredTask;
use taskhost_store::recordings::RecordingStore;
use tokio::sync::Notify;

use super::seal::Seal;
use super::{BYTES_MAX, Context, End, EndLine, Head, Limits, Outcome};
use crate::core::Core;
use crate::types::LoadedVersion;

/// A piece before it is sealed.
const PIECE_BYTES: usize = 256 * 1024;
/// With so much that is not written yet a guest waits.
const WAITING_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The recording of a run, or that there is none.
#[derive(Debug, Default)]
pub(crate) struct RunRecording(Option<Arc<Lines>>);

/// What a recorded run has said, and where it goes.
#[derive(Debug)]
struct Lines {
    store: Arc<dyn RecordingStore>,
    run: RunOfTask,
    attempt: u32,
    seal: Seal,
    kept: Mutex<Kept>,
    /// There is a whole piece.
    full: Notify,
    /// Something was written, or never will be.
    room: Notify,
    finished: Notify,
}

#[derive(Debug)]
struct Kept {
    /// Not written yet.
    text: Vec<u8>,
    pieces: u32,
    bytes_left: u64,
    is_cut: bool,
    /// The store has refused a piece: nothing more is kept.
    is_lost: bool,
}

impl RunRecording {
    /// Begins to record a run, where that is wished. A run goes on without where it cannot be.
    pub(crate) async fn begin(
        core: &Core,
        claimed: &StoredTask,
        version: &LoadedVersion,
        limits: &RunLimits,
    ) -> Self {
        let task = &claimed.task;
        if !task.record {
            return Self(None);
        }
        let lines = match Lines::of(core, task).await {
            Ok(lines) => lines,
            Err(reason) => {
                tracing::warn!(reason, task = %task.id, "a run is not recorded");
                return Self(None);
            }
        };
        lines.push(&head(core, claimed, version, limits));
        // Written at once: it ends what a former lease has left of the attempt.
        lines.write(0).await;
        Self(Some(Arc::new(lines)))
    }

    /// For the run.
    pub(crate) fn tape(&self) -> Tape {
        match &self.0 {
            Some(lines) => Tape::Records(Arc::<Lines>::clone(lines)),
            None => Tape::Off,
        }
    }

    /// Writes what there is while the run goes on, until it is finished.
    pub(crate) async fn write_along(&self) {
        let Some(lines) = &self.0 else { return };
        loop {
            tokio::select! {
                () = lines.finished.notified() => return,
                () = lines.full.notified() => lines.write(PIECE_BYTES).await,
            }
        }
    }

    /// The run is over: [`Self::write_along`] ends.
    pub(crate) fn finish(&self) {
        if let Some(lines) = &self.0 {
            lines.finished.notify_one();
        }
    }

    /// Writes what is left, and how the component ended.
    pub(crate) async fn end(&self, outcome: &ExitOutcome) {
        let Some(lines) = &self.0 else { return };
        let end = End {
            outcome: Outcome::from(outcome),
            cut: lines.lock().is_cut,
        };
        lines.push(&EndLine { end });
        lines.write(0).await;
    }
}

impl Lines {
    async fn of(core: &Core, task: &Task) -> Result<Self, String> {
        let key = core.host_key.to_seal()?;
        let store = Arc::clone(&core.recordings);
        let recorded = store.recorded(&task.key(), task.run.id).await;
        let recorded = recorded.map_err(|error| error.to_string())?;
        let others = recorded
            .iter()
            .filter(|one| one.attempt != task.run.attempt);
        let bytes: u64 = others.map(|one| one.bytes).sum();
        let (fence, attempt) = (task.fence(), task.run.attempt);
        let run = RunOfTask {
            task: task.key(),
            fence,
        };
        Ok(Self {
            store,
            run,
            attempt,
            seal: Seal::of(&key, fence.run, attempt, fence.lease_number),
            kept: Mutex::new(Kept::new(BYTES_MAX.saturating_sub(bytes))),
            full: Notify::new(),
            room: Notify::new(),
            finished: Notify::new(),
        })
    }

    /// Adds a line that is kept whatever else is: the first or the last one.
    fn push(&self, line: &impl Serialize) {
        if let Ok(line) = serde_json::to_string(line) {
            self.lock().push(&line);
        }
    }

    /// Writes whole pieces as long as there is more than `rest` bytes; 0: all.
    async fn write(&self, rest: usize) {
        loop {
            let next = self.lock().next_piece(rest);
            let Some((number, piece)) = next else { return };
            let sealed = self.seal.seal(number, piece);
            let written = self.store.append(&self.run, self.attempt, sealed).await;
            if let Err(error) = written {
                // It may be written all the same, under a number that must not come again.
                self.lock().lose();
                if !matches!(error, StoreError::Fenced) {
                    tracing::warn!(%error, task = %self.run.task.id, "a recording is cut");
                }
            }
            self.room.notify_waiters();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Recorder for Lines {
    fn keep(&self, line: String) {
        let mut kept = self.lock();
        kept.push_within(&line);
        if kept.text.len() >= PIECE_BYTES {
            self.full.notify_one();
        }
    }

    async fn until_room(&self) {
        loop {
            // Made before it is looked at: what is written between the two is not missed.
            let room = self.room.notified();
            if self.lock().text.len() <= WAITING_BYTES_MAX {
                return;
            }
            room.await;
        }
    }
}

impl Kept {
    fn new(bytes_left: u64) -> Self {
        Self {
            text: Vec::new(),
            pieces: 0,
            bytes_left,
            is_cut: false,
            is_lost: false,
        }
    }

    /// A line for which there is no room is where the recording is cut: none after it is kept.
    fn push_within(&mut self, line: &str) {
        let bytes = line.len() as u64 + 1;
        self.is_cut |= bytes > self.bytes_left;
        if !self.is_cut {
            self.push(line);
        }
    }

    fn push(&mut self, line: &str) {
        if !self.is_lost {
            self.bytes_left = self.bytes_left.saturating_sub(line.len() as u64 + 1);
            self.text.extend_from_slice(line.as_bytes());
            self.text.push(b'\n');
        }
    }

    fn next_piece(&mut self, rest: usize) -> Option<(u32, Vec<u8>)> {
        if self.text.is_empty() || self.text.len() < rest {
            return None;
        }
        let after = self.text.split_off(PIECE_BYTES.min(self.text.len()));
        let piece = std::mem::replace(&mut self.text, after);
        let number = self.pieces;
        self.pieces += 1;
        Some((number, piece))
    }

    fn lose(&mut self) {
        self.is_lost = true;
        self.text = Vec::new();
    }
}

fn head(core: &Core, claimed: &StoredTask, version: &LoadedVersion, limits: &RunLimits) -> Head {
    let task = &claimed.task;
    Head {
        run: task.run.id,
        task: task.id.clone(),
        type_id: task.type_id.clone(),
        digest: version.version.digest.clone(),
        version: version.descriptor.version.clone(),
        space: task.space.clone(),
        stream: task.stream.clone(),
        attempt: task.run.attempt,
        params: claimed.params.to_string(),
        limits: Limits::of(limits, core.settings.log_bytes_max),
        context: Context {
            requested_by: task.requested_by.clone(),
            scheduled_at: task.created_at,
            deadline_at: task.run.deadline_at,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_is_cut_at_its_limit_and_its_end_is_kept() {
        let mut kept = Kept::new(20);
        kept.push_within("0123456789");
        kept.push_within("012345678");
        assert!(kept.is_cut, "the second one does not fit");
        kept.push_within("0");
        kept.push("end");
        assert_eq!(kept.text, b"0123456789\nend\n");
    }

    #[test]
    fn pieces_are_numbered_and_none_is_too_large() {
        let mut kept = Kept::new(BYTES_MAX);
        let line = "x".repeat(PIECE_BYTES);
        kept.push_within(&line);
        kept.push_within("y");
        let (number, piece) = kept.next_piece(PIECE_BYTES).unwrap();
        assert_eq!((number, piece.len()), (0, PIECE_BYTES));
        assert_eq!(kept.next_piece(PIECE_BYTES), None);
        assert_eq!(kept.next_piece(0), Some((1, b"\ny\n".to_vec())));
        assert_eq!(kept.next_piece(0), None);
        kept.push("z");
        kept.lose();
        kept.push("z");
        assert_eq!(kept.next_piece(0), None);
    }
}

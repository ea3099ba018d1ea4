//! Records a run: collects its lines, and writes them in sealed pieces while it goes on.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use taskhost_model::task::Task;
use taskhost_runtime::{ExitOutcome, Recorder, RunLimits, Tape};
use taskhost_store::checkpoints::RunOfTask;
use taskhost_store::error::StoreError;
use taskhost_store::queue::StoredTask;
use taskhost_store::recordings::{Recorded, RecordingStore};
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval};

use super::kept::{Kept, PIECE_BYTES, WAITING_BYTES_MAX};
use super::seal::{Place, Seal};
use super::{BYTES_MAX, Context, Head, Limits, Outcome, host_key};
use crate::core::Core;
use crate::types::LoadedVersion;

/// What a run has said waits no longer to be written: so much is lost with its host.
const WRITE_EVERY: Duration = Duration::from_secs(1);

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
        // An operator may have forbidden it since the task was scheduled.
        if !core.settings.policy.may_record(&task.type_id) {
            tracing::warn!(
                task = %task.id, type_id = %task.type_id,
                "a run is not recorded: the settings do not allow it to its type any more"
            );
            return Self(None);
        }
        let head = head(core, claimed, version, limits);
        let lines = match Lines::begin(core, task, &head).await {
            Ok(lines) => lines,
            Err(reason) => {
                tracing::warn!(reason, task = %task.id, "a run is not recorded");
                return Self(None);
            }
        };
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
        let mut due = interval(WRITE_EVERY);
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = lines.finished.notified() => return,
                () = lines.full.notified() => lines.write(PIECE_BYTES).await,
                _ = due.tick() => lines.write(0).await,
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
        if let Some(lines) = &self.0 {
            lines.end(outcome).await;
        }
    }
}

impl Lines {
    async fn begin(core: &Core, task: &Task, head: &Head) -> Result<Self, String> {
        let key = host_key(core, |key| key.to_seal()).await?;
        let store = Arc::clone(&core.recordings);
        let recorded = store.recorded(&task.key(), task.run.id).await;
        let recorded = recorded.map_err(|error| error.to_string())?;
        let others = recorded
            .iter()
            .filter(|one| one.attempt != task.run.attempt);
        let bytes: u64 = others.map(|one| one.bytes).sum();
        let mut kept = Kept::new(BYTES_MAX.saturating_sub(bytes));
        let head = serde_json::to_string(head).map_err(|error| error.to_string())?;
        kept.push_within(&head);
        if kept.is_cut {
            return Err(format!(
                "there is no room for it: {bytes} bytes are kept of former attempts, and \
                 {BYTES_MAX} are the most that is kept of a run"
            ));
        }
        let (fence, attempt) = (task.fence(), task.run.attempt);
        let place = Place {
            run: fence.run,
            attempt,
            lease_number: fence.lease_number,
        };
        let run = RunOfTask {
            task: task.key(),
            fence,
        };
        Ok(Self {
            store,
            run,
            attempt,
            seal: Seal::begin(&key, place)?,
            kept: Mutex::new(kept),
            full: Notify::new(),
            room: Notify::new(),
            finished: Notify::new(),
        })
    }

    /// Writes whole pieces as long as there is more than `rest` bytes; 0: all.
    async fn write(&self, rest: usize) {
        loop {
            let next = self.lock().next_piece(rest);
            let Some(piece) = next else { return };
            let sealed = self.seal.seal(piece.number, piece.is_last, piece.text);
            let written = self.store.append(&self.run, self.attempt, sealed).await;
            if let Err(error) = written {
                // It may be written all the same, under a number that must not come again.
                self.lock()
                    .lose(format!("the host's store refused a piece ({error})"));
                if !matches!(error, StoreError::Fenced) {
                    tracing::warn!(%error, task = %self.run.task.id, "a recording breaks off");
                }
            }
            self.room.notify_waiters();
        }
    }

    /// Writes what is left and the last line; of a recording that is lost, the latter alone.
    async fn end(&self, outcome: &ExitOutcome) {
        let lost = self.lock().lost.clone();
        if lost.is_some() {
            match self.pieces_stored().await {
                // Without its first line it is none.
                Ok(0) => return,
                Ok(pieces) => self.lock().go_on_at(pieces),
                Err(error) => {
                    tracing::warn!(%error, task = %self.run.task.id, "a recording has no end");
                    return;
                }
            }
        }
        self.lock().push_end(Outcome::from(outcome), lost);
        self.write(0).await;
    }

    async fn pieces_stored(&self) -> Result<u32, StoreError> {
        let (run, fence) = (&self.run, self.run.fence);
        let recorded = self.store.recorded(&run.task, fence.run).await?;
        let is_this =
            |one: &&Recorded| (one.attempt, one.lease_number) == (self.attempt, fence.lease_number);
        Ok(recorded.iter().find(is_this).map_or(0, |one| one.pieces))
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Recorder for Lines {
    fn keeps(&self) -> bool {
        self.lock().keeps()
    }

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

//! Writes the end of a run. `runner` hands it what came of the run, or that it lost its lease.
//!
//! # Guarantees
//! 1. An end that cannot be written is kept and tried again until it is written or fenced: a
//!    result is not lost because the disk was full for a while.
//! 2. A run that lost its lease gives it back, or leaves that to the sweeper.

use std::time::Duration;

use taskhost_model::task::Task;
use taskhost_store::error::StoreError;
use taskhost_store::event::{Applied, Event, Outcome, RunEvent};

use crate::core::Core;
use crate::trouble::Trouble;

/// Between two tries to write an end, while the store is away.
const WRITE_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// Without an event the run has lost its lease. What was written, if something was.
pub(crate) async fn write_end(
    core: &Core,
    task: &Task,
    event: Option<RunEvent>,
) -> Option<Applied> {
    if let Some(event) = event {
        let applied = written(core, task, event).await?;
        if applied.outcome != Outcome::Fenced {
            return Some(applied);
        }
    }
    // A deleted or replaced run leaves its lease in `previous`; it is over now.
    let ended = Event::PreviousEnded {
        fence: task.fence(),
    };
    if let Err(error) = core.apply(&task.key(), ended).await {
        tracing::warn!(%error, task = %task.id, "a fenced run is left to the sweeper");
    }
    None
}

/// Writes the event, however long the store is away.
async fn written(core: &Core, task: &Task, event: RunEvent) -> Option<Applied> {
    let (key, fence) = (task.key(), task.fence());
    let mut trouble = Trouble::default();
    loop {
        let event = event.clone();
        match core.apply(&key, Event::Run { fence, event }).await {
            Ok(applied) => return Some(applied),
            // The document is damaged, and will be: the slot is not to be lost with it.
            Err(error @ StoreError::Corrupt { .. }) => {
                tracing::error!(%error, task = %task.id, "the end of a run cannot be written");
                return None;
            }
            Err(error) => {
                if trouble.is_new() {
                    tracing::error!(
                        %error, task = %task.id,
                        "the end of a run is not written yet: tried again until it is"
                    );
                }
                tokio::time::sleep(WRITE_AGAIN_AFTER).await;
            }
        }
    }
}

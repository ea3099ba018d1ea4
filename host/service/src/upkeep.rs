//! What ends or goes because its time is up: tasks that wait for too long, and those that have
//! ended long ago.

use std::sync::Arc;

use taskhost_model::ids::TaskKey;
use taskhost_store::error::StoreError;
use taskhost_store::event::{Event, Outcome};

use crate::core::Core;

/// So many go in one go.
const BATCH: usize = 500;
/// And so often in one sweep: others have their turn, and the next sweep comes soon.
const BATCHES_MAX: usize = 40;

impl Core {
    /// Deletes what has ended long ago; how many tasks.
    pub(crate) async fn expire_ended(self: &Arc<Self>) -> Result<u64, StoreError> {
        let unmarked_before = self.clock.now().minus(self.settings.retention);
        let mut gone = 0;
        for _ in 0..BATCHES_MAX {
            let keys = self.tasks.expired(unmarked_before, BATCH).await?;
            let is_last = keys.len() < BATCH;
            let changed = self
                .apply_to_each(keys, &Event::Expire { unmarked_before })
                .await?;
            gone += changed;
            // On a cluster what is gone may be shown once more.
            if is_last || changed == 0 {
                break;
            }
        }
        Ok(gone)
    }

    /// Ends what was due for longer than it may wait; how many tasks.
    pub(crate) async fn end_overdue(self: &Arc<Self>) -> Result<u64, StoreError> {
        let mut ended = 0;
        for (type_id, settings) in &self.settings.types {
            let Some(queue_timeout) = settings.queue_timeout else {
                continue;
            };
            let due_before = self.clock.now().minus(queue_timeout);
            let event = Event::Overdue {
                due_before,
                limit: format!(
                    "the {} s that the host's settings give the type (`queue_timeout_s`)",
                    queue_timeout.as_secs()
                ),
            };
            for _ in 0..BATCHES_MAX {
                let keys = self.tasks.overdue(type_id, due_before, BATCH).await?;
                let is_last = keys.len() < BATCH;
                let changed = self.apply_to_each(keys, &event).await?;
                ended += changed;
                if is_last || changed == 0 {
                    break;
                }
            }
        }
        Ok(ended)
    }

    async fn apply_to_each(
        self: &Arc<Self>,
        keys: Vec<TaskKey>,
        event: &Event,
    ) -> Result<u64, StoreError> {
        let events = keys.into_iter().map(|key| (key, event.clone())).collect();
        let answers = self.apply_all(events, |_| ()).await;
        let answers = answers.map_err(|error| StoreError::Unavailable {
            reason: error.to_string(),
        })?;
        let mut changed = 0;
        for answer in answers {
            changed += u64::from(answer?.outcome == Outcome::Changed);
        }
        Ok(changed)
    }
}

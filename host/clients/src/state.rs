//! What the task keeps for a later attempt of its run.

use std::sync::Arc;

use taskhost_store::checkpoints::{CheckpointStore, RunOfTask, VALUE_BYTES_MAX};
use taskhost_store::error::StoreError;

pub use taskhost_store::checkpoints::Checkpoint;

use crate::caps::CHECKPOINT_KEY_BYTES_MAX;
use crate::context::RunInfo;
use crate::error::ClientError;
use crate::scope::Scope;
use crate::stop::StopReason;
use crate::turns::Turns;

/// The interface `state`. Goes on working when the run is asked to stop: that is when it is needed.
#[derive(Debug, Clone)]
pub struct State {
    scope: Arc<Scope>,
    grant: Option<StateGrant>,
}

/// Where a run keeps its checkpoints, and in whose name.
#[derive(Debug, Clone)]
pub(crate) struct StateGrant {
    pub(crate) store: Arc<dyn CheckpointStore>,
    pub(crate) turns: Arc<Turns>,
    pub(crate) run: RunOfTask,
}

impl StateGrant {
    pub(crate) fn of(store: Arc<dyn CheckpointStore>, turns: Arc<Turns>, info: &RunInfo) -> Self {
        let run = RunOfTask {
            task: info.task.clone(),
            fence: info.fence,
        };
        Self { store, turns, run }
    }
}

impl State {
    pub(crate) fn new(scope: Arc<Scope>, grant: Option<StateGrant>) -> Self {
        Self { scope, grant }
    }

    /// Keeps `value` under `key`, in place of the former one. `schema_version` is the task type's
    /// own: it tells a later version of the type how to read it.
    ///
    /// # Errors
    /// `denied` outside of a run; `invalid` key (empty, or above 255 bytes); `too-large` above
    /// 1 MiB, or where all checkpoints of the task are more than 8 MiB; `unavailable`.
    pub async fn save(
        &self,
        key: &str,
        value: Vec<u8>,
        schema_version: u32,
    ) -> Result<(), ClientError> {
        let grant = self.granted("state.save", key)?;
        let bytes = value.len();
        if bytes as u64 > VALUE_BYTES_MAX {
            return Err(ClientError::too_large(
                "the value",
                bytes,
                "bytes",
                VALUE_BYTES_MAX,
            ));
        }
        let checkpoint = Checkpoint {
            value: value.into(),
            schema_version,
        };
        let saved = grant.store.save(&grant.run, key, checkpoint).await;
        saved.map_err(|error| self.explained(error))
    }

    /// What is kept under `key`.
    ///
    /// # Errors
    /// `denied` outside of a run; `invalid` key; `unavailable`.
    pub async fn load(&self, key: &str) -> Result<Option<Checkpoint>, ClientError> {
        let grant = self.granted("state.load", key)?;
        // People read the same file.
        let _turn = grant.turns.turn().await;
        let loaded = grant.store.load(&grant.run, key).await;
        loaded.map_err(|error| self.explained(error))
    }

    /// Forgets what is kept under `key`, if there is something.
    ///
    /// # Errors
    /// `denied` outside of a run; `invalid` key; `unavailable`.
    pub async fn delete(&self, key: &str) -> Result<(), ClientError> {
        let grant = self.granted("state.delete", key)?;
        let forgotten = grant.store.forget(&grant.run, key).await;
        forgotten.map_err(|error| self.explained(error))
    }

    fn granted(&self, call: &'static str, key: &str) -> Result<&StateGrant, ClientError> {
        self.scope.calls.enter(call)?;
        let Some(grant) = &self.grant else {
            return Err(ClientError::denied(
                "there is nothing to keep outside of a run",
            ));
        };
        if key.is_empty() {
            return Err(ClientError::invalid("key", "is empty"));
        }
        if key.len() > CHECKPOINT_KEY_BYTES_MAX {
            let problem = format!(
                "has {} bytes, at most {CHECKPOINT_KEY_BYTES_MAX} are accepted",
                key.len()
            );
            return Err(ClientError::invalid("key", &problem));
        }
        Ok(grant)
    }

    fn explained(&self, error: StoreError) -> ClientError {
        if matches!(error, StoreError::Fenced) {
            self.scope.stop.ask(StopReason::Fenced);
        }
        error.into()
    }
}

//! Who asked for the run, what it is, and how long it has.

use std::sync::Arc;
use std::time::Duration;

use taskhost_model::ids::{StreamName, TaskKey, TypeId};
use taskhost_model::requester::Requester;
use taskhost_model::task::Fence;
use taskhost_model::time::Timestamp;

use crate::caps::SLEEP_MS_MAX;
use crate::error::ClientError;
use crate::scope::Scope;
use crate::stop::StopReason;

/// What a run knows of itself.
#[derive(Debug, Clone)]
pub struct RunInfo {
    /// The task, in its space.
    pub task: TaskKey,
    /// The task type.
    pub type_id: TypeId,
    /// The run and the number of its lease.
    pub fence: Fence,
    /// From 1.
    pub attempt: u32,
    /// The stream that the task was scheduled on.
    pub stream: Option<StreamName>,
    /// Who scheduled the task; stream data is read with their rights.
    pub requester: Requester,
    /// When the task was scheduled.
    pub scheduled_at: Timestamp,
    /// When this attempt has to have ended.
    pub deadline_at: Option<Timestamp>,
}

/// The interface `context`. Without a run (`describe`) it answers empty values.
#[derive(Debug, Clone)]
pub struct Context {
    scope: Arc<Scope>,
    info: Option<Arc<RunInfo>>,
}

impl Context {
    pub(crate) fn new(scope: Arc<Scope>, info: Option<Arc<RunInfo>>) -> Self {
        Self { scope, info }
    }

    /// The task's id.
    #[must_use]
    pub fn task_id(&self) -> String {
        self.text(|info| info.task.id.to_string())
    }

    /// The task type's id.
    #[must_use]
    pub fn task_type(&self) -> String {
        self.text(|info| info.type_id.to_string())
    }

    /// The run's id.
    #[must_use]
    pub fn run_id(&self) -> String {
        self.text(|info| info.fence.run.to_string())
    }

    /// Which attempt this is, from 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.counted().map_or(0, |info| info.attempt)
    }

    /// The space.
    #[must_use]
    pub fn space(&self) -> String {
        self.text(|info| info.task.space.to_string())
    }

    /// The stream that the task was scheduled on.
    #[must_use]
    pub fn stream(&self) -> Option<String> {
        self.counted()?.stream.as_ref().map(ToString::to_string)
    }

    /// Who scheduled the task.
    #[must_use]
    pub fn requested_by(&self) -> String {
        self.text(|info| info.requester.name.clone())
    }

    /// When the task was scheduled, in milliseconds since 1970.
    #[must_use]
    pub fn scheduled_at_ms(&self) -> u64 {
        let at = self.counted().map(|info| info.scheduled_at.as_ms());
        at.and_then(|ms| u64::try_from(ms).ok()).unwrap_or(0)
    }

    /// Milliseconds until the attempt's deadline; 0 when it has passed, and in `describe`.
    #[must_use]
    pub fn remaining_ms(&self) -> u64 {
        let Some(info) = self.counted() else { return 0 };
        let remaining = info
            .deadline_at
            .map(|at| at.since(self.scope.clock.now()).as_millis());
        remaining.map_or(u64::MAX, |ms| u64::try_from(ms).unwrap_or(u64::MAX))
    }

    /// Whether the run is asked to stop. A guest that has read `true` has been told.
    #[must_use]
    pub fn cancel_requested(&self) -> bool {
        self.scope.calls.note("context.cancel-requested");
        self.scope.check().is_err()
    }

    /// Why the run is asked to stop.
    #[must_use]
    pub fn cancel_reason(&self) -> Option<String> {
        self.scope.calls.note("context.cancel-reason");
        self.scope
            .stop
            .asked()
            .map(StopReason::as_str)
            .map(str::to_owned)
    }

    /// Waits.
    ///
    /// # Errors
    /// `canceled` or `deadline` as soon as the run is asked to stop; `denied` from `describe`.
    pub async fn sleep(&self, ms: u64) -> Result<(), ClientError> {
        self.scope.calls.enter("context.sleep")?;
        if self.info.is_none() {
            return Err(ClientError::denied("`describe` cannot wait"));
        }
        let duration = Duration::from_millis(ms.min(SLEEP_MS_MAX));
        let _resting = self.scope.stillness.rest();
        let wait = async {
            let _rest = self.scope.time.rest();
            self.scope.time.rest_for(duration).await;
            Ok(())
        };
        self.scope.unless_stopped(wait).await
    }

    fn counted(&self) -> Option<&RunInfo> {
        self.scope.calls.note("context");
        self.info.as_deref()
    }

    fn text(&self, of: impl FnOnce(&RunInfo) -> String) -> String {
        self.counted().map(of).unwrap_or_default()
    }
}

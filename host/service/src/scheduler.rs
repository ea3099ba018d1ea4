//! Decides who runs next: claims what is due for the slots that are free.
//!
//! # Guarantees
//! 1. No more runs at once than there are slots.
//! 2. Nothing that is due waits while a slot is free: the loop is woken by every schedule,
//!    every freed slot, every newly active type, and by time for runs that are not due yet.
//! 3. No type starves another: the store takes them in turn, and the turn moves on.
//!
//! # How it works
//! One loop, one claim at a time. A claim asks for as many runs as there are free slots, so
//! that under load one transaction serves many.

use std::sync::Arc;
use std::time::Duration;

use taskhost_model::ids::Incarnation;
use taskhost_runtime::Runtime;
use taskhost_store::error::StoreError;
use taskhost_store::tasks::{ClaimRequest, StoredTask};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::core::Core;
use crate::runner::run_claimed;

/// The longest time that the loop sleeps: a guard against a wrong clock, not a poll.
const SLEEP_MAX: Duration = Duration::from_secs(60);
/// How long the loop waits after the store has failed.
const STORE_AWAY: Duration = Duration::from_millis(500);

/// The loop and what it needs.
#[derive(Debug)]
pub(crate) struct Scheduler {
    pub(crate) core: Arc<Core>,
    pub(crate) runtime: Arc<Runtime>,
    pub(crate) host: String,
    pub(crate) incarnation: Incarnation,
    pub(crate) slots: Arc<Semaphore>,
    pub(crate) runs: TaskTracker,
    /// Moves the turn of the types on.
    pub(crate) turn: usize,
}

/// What one try to claim came to.
enum Turn {
    Started,
    NothingDue,
    CannotClaim,
}

impl Scheduler {
    /// Claims and starts runs until it is stopped.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let sleep = match self.run_once().await {
                Ok(Turn::Started) => continue,
                Ok(Turn::NothingDue) => self.until_next_due().await,
                // A freed slot or a new type wakes the loop; time does not help.
                Ok(Turn::CannotClaim) => SLEEP_MAX,
                Err(error) => {
                    tracing::error!(%error, "nothing can be claimed: the store is away");
                    STORE_AWAY
                }
            };
            tokio::select! {
                () = self.core.wake.notified() => {}
                () = tokio::time::sleep(sleep) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    /// Claims once and starts what was claimed.
    async fn run_once(&mut self) -> Result<Turn, StoreError> {
        let free = self.slots.available_permits();
        if free == 0 || self.core.stopping.is_cancelled() {
            return Ok(Turn::CannotClaim);
        }
        let mut types = self.core.types.claimable();
        if types.is_empty() {
            return Ok(Turn::CannotClaim);
        }
        types.sort_by(|a, b| a.type_id.cmp(&b.type_id));
        self.turn = (self.turn + 1) % types.len();
        types.rotate_left(self.turn);
        let request = ClaimRequest {
            host: self.host.clone(),
            incarnation: self.incarnation,
            types,
            limit: free,
        };
        let claimed = self.core.tasks.claim(&request).await?;
        let turn = if claimed.is_empty() {
            Turn::NothingDue
        } else {
            Turn::Started
        };
        claimed.into_iter().for_each(|task| self.start(task));
        Ok(turn)
    }

    fn start(&self, claimed: StoredTask) {
        self.core
            .changes
            .publish(&claimed.task, crate::changes::ChangeKind::Status);
        // Registered before anything else can happen: a cancel or a drain finds it.
        let registered = self.core.live.register(claimed.task.fence());
        let (core, runtime) = (Arc::clone(&self.core), Arc::clone(&self.runtime));
        let slots = Arc::clone(&self.slots);
        // Only this loop takes permits, and it claims no more than are free.
        let permit = slots.try_acquire_owned();
        self.runs.spawn(async move {
            run_claimed(&core, &runtime, claimed, registered).await;
            drop(permit);
            core.wake.notify_one();
        });
    }

    async fn until_next_due(&self) -> Duration {
        match self.core.tasks.next_due().await {
            Ok(Some(at)) => at.since(self.core.clock.now()).min(SLEEP_MAX),
            Ok(None) => SLEEP_MAX,
            Err(error) => {
                tracing::error!(%error, "when the next run is due cannot be read");
                STORE_AWAY
            }
        }
    }
}

//! Room for runs, and how a claimed run is started in it.
//!
//! # Guarantees
//! 1. No more runs at once than there are slots: a slot is taken before anything is claimed. A run
//!    that waits for children has none meanwhile, and takes one again before its guest goes on.
//! 2. No type starves another: each reservation names the types in another turn.
//! 3. When the service has drained, no reservation is left: nothing starts afterwards.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use taskhost_clients::stop::StopReason;
use taskhost_runtime::Runtime;
use taskhost_store::queue::{ClaimRequest, Claimer, Reservation, StoredTask};
use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::changes::ChangeKind;
use crate::core::Core;
use crate::runner::run_claimed;
use crate::slot::Slot;
use crate::sync::AtomicUsize;

/// Runs of one claim: it is one transaction, and whoever writes meanwhile waits for its end. A
/// claim that finds so many is followed by the next one at once.
const RUNS_AT_A_TIME: usize = 256;

/// This host's slots, and what it takes to fill them.
#[derive(Debug)]
pub(crate) struct Claims {
    pub(crate) core: Arc<Core>,
    pub(crate) runtime: Arc<Runtime>,
    pub(crate) runs: TaskTracker,
    /// Where runs live; the store's threads are on no executor.
    pub(crate) executor: Handle,
    /// Moves the turn of the types on.
    pub(crate) turn: AtomicUsize,
}

/// Slots that are taken, free again when it is dropped. Unless it was answered, somebody has to
/// look whether there is something to claim.
#[derive(Debug)]
pub(crate) struct Reserved {
    claims: Arc<Claims>,
    request: ClaimRequest,
    slots: OwnedSemaphorePermit,
    /// These are all slots that were free.
    is_all: bool,
    is_answered: bool,
    /// Draining waits for it.
    _token: TaskTrackerToken,
}

/// Claims beside what others write, as long as the scheduler lives.
#[derive(Debug)]
pub(crate) struct Along(pub(crate) Weak<Claims>);

impl Claims {
    /// Takes free slots, so many at most, or as many as one claim may fill; `None` when there is no
    /// slot, no type, too little left of the lease, or the host stops.
    pub(crate) fn reserve(self: &Arc<Self>, at_most: Option<usize>) -> Option<Box<Reserved>> {
        let token = self.runs.token();
        // Looked at after the token was taken: either draining waits for it, or this sees it.
        if self.core.stopping.is_cancelled() {
            return None;
        }
        // What is claimed shortly before others take it for lost is begun twice.
        if !self.core.lease.is_safe() {
            return None;
        }
        let free = self.core.slots.available_permits().min(RUNS_AT_A_TIME);
        let free = at_most.map_or(free, |most| most.min(free));
        let free = u32::try_from(free).unwrap_or(u32::MAX);
        if free == 0 {
            return None;
        }
        // Where somebody else has been faster, that one claims.
        let slots = Arc::clone(&self.core.slots)
            .try_acquire_many_owned(free)
            .ok()?;
        let mut types = self.core.types.claimable();
        if types.is_empty() {
            return None;
        }
        types.sort_by(|a, b| a.type_id.cmp(&b.type_id));
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % types.len();
        types.rotate_left(turn);
        let request = ClaimRequest {
            host: self.core.host.clone(),
            incarnation: self.core.lease.incarnation(),
            types,
            limit: slots.num_permits(),
        };
        Some(Box::new(Reserved {
            claims: Arc::clone(self),
            request,
            slots,
            is_all: at_most.is_none(),
            is_answered: false,
            _token: token,
        }))
    }

    fn start(&self, claimed: StoredTask, slot: Option<OwnedSemaphorePermit>) {
        let core = Arc::clone(&self.core);
        core.changes.publish(&claimed.task, ChangeKind::Status);
        // Registered before anything else can happen: a cancel or a drain finds it.
        let registered = core.live.register(&claimed.task);
        // Looked at when it is registered: either this sees that its life is lost, or whoever
        // finds that out sees the run.
        let lease = claimed.task.lease();
        if lease.is_some_and(|lease| !core.lease.is_of(lease.incarnation)) {
            core.live
                .interrupt(claimed.task.fence(), StopReason::Fenced);
        }
        let runtime = Arc::clone(&self.runtime);
        let slot = Slot::new(Arc::clone(&core.slots), slot, Arc::clone(&core.wake));
        let run = async move {
            run_claimed(&core, &runtime, claimed, registered, Arc::new(slot)).await;
        };
        self.runs.spawn_on(run, &self.executor);
    }
}

impl Reserved {
    /// The store has failed; whoever asked it tries again by itself.
    pub(crate) fn give_back(mut self) {
        self.is_answered = true;
    }
}

impl Reservation for Reserved {
    fn request(&self) -> &ClaimRequest {
        &self.request
    }

    fn start(mut self: Box<Self>, claimed: Vec<StoredTask>) {
        // Where every slot is used, more may be due. What was due before a run that has come with a
        // slot of its own, the loop knows of.
        self.is_answered = !self.is_all || claimed.len() < self.request.limit;
        for task in claimed {
            let slot = self.slots.split(1);
            self.claims.start(task, slot);
        }
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        // The scheduler may have found no slot while these were taken: it looks again, and then
        // has to find them.
        let left = self.slots.num_permits();
        drop(self.slots.split(left));
        if !self.is_answered {
            self.claims.core.wake.something_is_due();
        } else if left > 0 {
            self.claims.core.wake.slot_is_free();
        }
    }
}

impl Claimer for Along {
    fn reserve(&self) -> Option<Box<dyn Reservation>> {
        let reserved = self.0.upgrade()?.reserve(None)?;
        Some(reserved)
    }

    fn reserve_one(&self) -> Option<Box<dyn Reservation>> {
        let reserved = self.0.upgrade()?.reserve(Some(1))?;
        Some(reserved)
    }
}

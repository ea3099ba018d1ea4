//! Claims within the commit that accepts a task: an idle host starts a run after one write to
//! disk instead of two.
//!
//! The claimer's code runs on the writer's thread: a panic in it costs what it was asked for,
//! and never the store.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use taskhost_model::time::Clock;

use super::claim::{Claimed, claim};
use super::writer::{Companion, OPERATIONS_MAX, Operation};
use crate::crash::Step;
use crate::error::StoreError;
use crate::limits::Limits;
use crate::queue::{ClaimRequest, Claimer, Reservation, StoredTask};

/// Who is to be asked.
#[derive(Debug, Default, Clone)]
pub(super) struct Along(Arc<Mutex<Option<Arc<dyn Claimer>>>>);

/// A claim for one who was asked.
struct ClaimAlong {
    limits: Limits,
    clock: Clock,
    reservation: Box<dyn Reservation>,
    request: ClaimRequest,
    claimed: Option<Vec<StoredTask>>,
}

impl Along {
    pub(super) fn set(&self, claimer: Arc<dyn Claimer>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(claimer);
    }

    /// What the writer of tasks asks.
    pub(super) fn companion(&self, limits: Limits, clock: Clock) -> Companion {
        let along = self.clone();
        Box::new(move || {
            let (reservation, request) = guarded(|| along.reserve())??;
            Some(Box::new(ClaimAlong {
                limits,
                clock: clock.clone(),
                reservation,
                request,
                claimed: None,
            }))
        })
    }

    fn reserve(&self) -> Option<(Box<dyn Reservation>, ClaimRequest)> {
        let claimer = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let reservation = claimer.as_ref()?.reserve()?;
        let mut request = reservation.request().clone();
        // Whoever wrote waits meanwhile; the scheduler hears of each run that is left.
        request.limit = request.limit.min(OPERATIONS_MAX);
        Some((reservation, request))
    }
}

impl Operation for ClaimAlong {
    fn step(&self) -> Step {
        Step::Claim
    }

    fn run(&mut self, connection: &Connection) -> Result<(), StoreError> {
        let now = self.clock.now();
        self.claimed = match claim(connection, &self.limits, &self.request, now)? {
            Claimed::Runs(runs) => Some(runs),
            // Its claimer has to look again.
            Claimed::Again => None,
        };
        Ok(())
    }

    fn wants_company(&self) -> bool {
        false
    }

    fn answer(self: Box<Self>, committed: Result<(), StoreError>) {
        let (reservation, claimed) = (self.reservation, self.claimed);
        guarded(move || {
            if let (Ok(()), Some(claimed)) = (committed, claimed) {
                reservation.start(claimed);
            }
        });
    }
}

/// Runs the claimer's code.
fn guarded<T>(work: impl FnOnce() -> T) -> Option<T> {
    // What is torn is the claimer's, and is dropped with the panic.
    let done = catch_unwind(AssertUnwindSafe(work));
    if done.is_err() {
        tracing::error!(
            "claiming a task within the write that accepts it has panicked; the write stands, and \
             what was claimed but not started is found by the sweeper. Please report this with \
             the panic's message, which stands before this line on standard error"
        );
    }
    done.ok()
}

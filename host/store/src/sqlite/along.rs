//! Claims within the commit that accepts a task: an idle host starts a run after one write to
//! disk instead of two.

use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use taskhost_model::time::Clock;

use super::claim::{Claimed, claim};
use super::writer::{Companion, Operation};
use crate::crash::Step;
use crate::error::StoreError;
use crate::limits::Limits;
use crate::queue::{Claimer, Reservation};
use crate::tasks::StoredTask;

/// Who is to be asked.
#[derive(Debug, Default, Clone)]
pub(super) struct Along(Arc<Mutex<Option<Arc<dyn Claimer>>>>);

/// A claim for one who was asked.
struct ClaimAlong {
    limits: Limits,
    clock: Clock,
    reservation: Box<dyn Reservation>,
    claimed: Option<Vec<StoredTask>>,
}

impl Along {
    pub(super) fn set(&self, claimer: Arc<dyn Claimer>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(claimer);
    }

    fn reserve(&self) -> Option<Box<dyn Reservation>> {
        let claimer = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        claimer.as_ref()?.reserve()
    }

    /// What the writer of tasks asks.
    pub(super) fn companion(&self, limits: Limits, clock: Clock) -> Companion {
        let along = self.clone();
        let make = move || {
            let claim = ClaimAlong {
                limits,
                clock: clock.clone(),
                reservation: along.reserve()?,
                claimed: None,
            };
            Some(Box::new(claim) as Box<dyn Operation>)
        };
        Companion {
            of: Step::Schedule,
            make: Box::new(make),
        }
    }
}

impl Operation for ClaimAlong {
    fn step(&self) -> Step {
        Step::Claim
    }

    fn run(&mut self, connection: &Connection) -> Result<(), StoreError> {
        let (request, now) = (self.reservation.request(), self.clock.now());
        self.claimed = match claim(connection, &self.limits, request, now)? {
            Claimed::Runs(runs) => Some(runs),
            // Its claimer has to look again.
            Claimed::Again => None,
        };
        Ok(())
    }

    fn answer(self: Box<Self>, committed: Result<(), StoreError>) {
        if let (Ok(()), Some(claimed)) = (committed, self.claimed) {
            self.reservation.start(claimed);
        }
    }
}

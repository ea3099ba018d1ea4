//! Calls one component: starts its guest, watches its time, and says how it ended.
//!
//! # Guarantees
//! 1. Every way out is a [`RunExit`]: a result, an error with its kind and words, or the reason
//!    for which the run was stopped. A panic of the host within a run is an `internal` error of
//!    that run and of nothing else.
//! 2. A run's time begins with the call, also where its guest waits for a place. When it is up, or
//!    the run has reported no progress for too long, it is asked to stop; one that is asked to
//!    stop, for whatever reason, is ended when its grace is over.
//! 3. Once a guest has been told to stop, nothing that it returns is a result. One that was
//!    never told and returns in time completes.
//! 4. Dropping the call ends the guest.
//!
//! # How it works
//! The guest is a task of an executor for guests. A guest that computes is reached by the epoch
//! check, which the ticker forces every millisecond: it ends the guest or gives the thread to
//! the next one. A guest that waits in the host is a future that is dropped. Both look at the
//! same signal. The clock for deadline and grace runs on the caller's executor.
//!
//! # Why this way
//! Guests may keep every thread of their executor busy; whoever has to end them must not need
//! one of those threads.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use taskhost_clients::run::RunClients;
use taskhost_clients::stop::{StopReason, StopSignal};
use tokio::task::JoinError;
use tokio_util::task::AbortOnDropHandle;

use crate::executors::Executors;
use crate::exit::{ExitOutcome, GuestEnd, RunExit, internal};
use crate::guest::{Entry, Guest};
use crate::places::Places;
use crate::settings::RunLimits;
use crate::telemetry;

/// A timer goes off in the millisecond after the one that it was set to, and seldom much later.
const TIMER_IS_LATE: Duration = Duration::from_millis(1);
/// What a run loses of its grace by being asked late: at most a twentieth.
const LATE_AT_MOST: u32 = 20;

/// Calls guests.
#[derive(Debug)]
pub(crate) struct Caller {
    executors: Arc<Executors>,
    places: Places,
}

impl Caller {
    pub(crate) fn start(workers: usize, places: Places) -> std::io::Result<Self> {
        let executors = Arc::new(Executors::start(workers)?);
        Ok(Self { executors, places })
    }

    /// Runs a guest and waits for its end.
    pub(crate) async fn call(&self, guest: Guest) -> RunExit {
        let (limits, owner) = (guest.limits, guest.entry.limits_owner());
        let (stop, clients) = (guest.stop.clone(), guest.clients.clone());
        let meter = Arc::clone(&guest.meter);
        let end = self.end_of(guest).await;
        clients.finish();
        if let Ok(end) = &end {
            count_interrupt(end, &stop);
        }
        let outcome = outcome(end, &stop, |end| end.outcome(&limits, owner));
        RunExit {
            outcome,
            usage: meter.usage(clients.used()),
        }
    }

    /// Waits until there is a place for the guest, for no longer than it may run.
    async fn end_of(&self, guest: Guest) -> Result<GuestEnd, JoinError> {
        let (limits, stop, clients) = (guest.limits, guest.stop.clone(), guest.clients.clone());
        let (slots, is_run) = (guest.slots, matches!(guest.entry, Entry::Run { .. }));
        let place = async {
            if is_run {
                self.places.for_run(slots).await
            } else {
                self.places.for_describe(slots).await
            }
        };
        let time = clients.time().wait(limits.wall);
        tokio::pin!(time);
        // A run that is asked to stop before it has an instance needs none.
        let place = tokio::select! {
            biased;
            _ = stop.until_asked() => None,
            () = stop.until_interrupted() => None,
            () = &mut time => {
                stop.ask(StopReason::Deadline);
                None
            }
            place = place => Some(place),
        };
        let Some(place) = place else {
            return Ok(GuestEnd::Interrupted);
        };
        let (meter, is_hog) = (Arc::clone(&guest.meter), Arc::clone(&guest.is_hog));
        let running = self.executors.spawn(guest.run(place), meter, is_hog);
        watched(running, &stop, &clients, &limits, time).await
    }
}

/// A guest that never began was not interrupted, whoever has ended its waiting.
fn count_interrupt(end: &GuestEnd, stop: &StopSignal) {
    if end.is_out_of_cpu() {
        telemetry::interrupted(None);
    } else if end.is_interrupted() && stop.interrupted() {
        telemetry::interrupted(stop.asked());
    }
}

/// Waits for the guest's end and sees to it that there is one.
async fn watched(
    mut running: AbortOnDropHandle<Result<GuestEnd, JoinError>>,
    stop: &StopSignal,
    clients: &RunClients,
    limits: &RunLimits,
    time: Pin<&mut impl Future<Output = ()>>,
) -> Result<GuestEnd, JoinError> {
    let time = async {
        tokio::select! {
            _ = stop.until_asked() => {}
            () = time => stop.ask(StopReason::Deadline),
            () = too_still(clients, limits.no_progress) => stop.ask(StopReason::NoProgress),
        }
        // What a run does that has lost its lease counts for nothing, and one that waits for
        // children does nothing.
        let is_over = matches!(
            stop.asked(),
            Some(StopReason::Fenced | StopReason::Suspended)
        );
        if !is_over {
            let grace = grace_left(limits.grace, stop.late());
            clients.time().wait(grace).await;
        }
        stop.interrupt();
    };
    tokio::select! {
        biased;
        end = &mut running => return end.flatten(),
        () = time => {}
    }
    running.await.flatten()
}

/// The grace is counted from the wish that the run stops. Storing it takes a little of it; where
/// the store was slow, or a clock was stepped, the run has nearly all of it all the same.
fn grace_left(grace: Duration, late: Duration) -> Duration {
    (grace - late.min(grace / LATE_AT_MOST)).saturating_sub(TIMER_IS_LATE)
}

async fn too_still(clients: &RunClients, limit: Option<Duration>) {
    match limit {
        Some(limit) => clients.until_still(limit).await,
        None => std::future::pending().await,
    }
}

fn outcome(
    end: Result<GuestEnd, JoinError>,
    stop: &StopSignal,
    by_itself: impl FnOnce(GuestEnd) -> ExitOutcome,
) -> ExitOutcome {
    let asked = stop.asked();
    match end {
        Ok(end) => match asked {
            // What a run says that has lost its lease counts for nothing.
            Some(StopReason::Fenced) => ExitOutcome::Stopped(StopReason::Fenced),
            Some(reason) if stop.told() || end.is_interrupted() => ExitOutcome::Stopped(reason),
            // Interrupted without a reason: by whoever has ended the executor.
            None if end.is_interrupted() => ExitOutcome::Stopped(StopReason::Drain),
            _ => by_itself(end),
        },
        Err(error) if error.is_panic() => {
            let panic = error.into_panic();
            let message = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("without a message");
            tracing::error!(panic = message, "the host panicked within a run");
            let error = internal(format!("the host failed within this run: {message}"));
            ExitOutcome::Failed {
                error,
                retry_after: None,
            }
        }
        Err(_) => ExitOutcome::Stopped(asked.unwrap_or(StopReason::Drain)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_that_was_stored_late_takes_at_most_a_twentieth_of_the_grace() {
        let left = |grace, late| {
            let ms = Duration::from_millis;
            grace_left(ms(grace), ms(late)).as_millis()
        };
        assert_eq!(left(100, 0), 99);
        assert_eq!(left(100, 2), 97);
        assert_eq!(left(100, 3_600_000), 94);
        assert_eq!(left(0, 2), 0);
    }
}

//! This host's hold on what it has claimed, for all its runs together.
//!
//! # Guarantees
//! 1. It is never believed to be held for longer than other hosts do: it is counted from before a
//!    beat was sent, and theirs from when they have seen it.
//! 2. What is claimed under a life that has been lost is never taken for this host's.
//!
//! # Why a host goes on as another life
//! One that stood still for too long, as a laptop does that was closed, finds itself declared lost.
//! Everything that it had is somebody else's then; what it claims from now on is its own again, if
//! nobody can take the one for the other. A new incarnation sees to that.

use std::sync::PoisonError;
use std::time::Duration;

use taskhost_model::ids::Incarnation;
use tokio::time::Instant;

use crate::error::ServiceError;
use crate::sync::{Mutex, MutexGuard};

/// With less than this left a host begins nothing that others may not see happen too late.
pub(crate) const MARGIN: Duration = Duration::from_secs(5);

/// The lease of this host.
#[derive(Debug)]
pub(crate) struct Lease(Mutex<Held>);

#[derive(Debug, Clone, Copy)]
struct Held {
    incarnation: Incarnation,
    until: Until,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Until {
    /// No other process can use the store.
    Ever,
    /// It beats, or did so.
    Moment(Instant),
    /// It has not beaten yet.
    Never,
}

impl Lease {
    /// Of the only host that can use the store.
    pub(crate) fn of_the_only_host() -> Self {
        Self::new(Until::Ever)
    }

    /// Of one among others, not held before it is renewed.
    pub(crate) fn among_others() -> Self {
        Self::new(Until::Never)
    }

    fn new(until: Until) -> Self {
        Self(Mutex::new(Held {
            incarnation: Incarnation::new(),
            until,
        }))
    }

    /// The host's present life.
    pub(crate) fn incarnation(&self) -> Incarnation {
        self.lock().incarnation
    }

    /// Whether this is the host's present life.
    pub(crate) fn is_of(&self, incarnation: Incarnation) -> bool {
        self.incarnation() == incarnation
    }

    /// Whether others are sure to respect it long enough to begin something.
    pub(crate) fn is_safe(&self) -> bool {
        self.left() >= MARGIN
    }

    /// # Errors
    /// [`ServiceError::Unavailable`] unless it [`Self::is_safe`].
    pub(crate) fn must_be_safe(&self) -> Result<(), ServiceError> {
        match self.is_safe() {
            true => Ok(()),
            false => Err(ServiceError::Unavailable {
                reason: "this host cannot tell others that it is alive, and they may take its runs"
                    .to_owned(),
            }),
        }
    }

    /// How long others are sure to respect it.
    pub(crate) fn left(&self) -> Duration {
        match self.lock().until {
            Until::Ever => Duration::MAX,
            Until::Moment(until) => until.saturating_duration_since(Instant::now()),
            Until::Never => Duration::ZERO,
        }
    }

    /// A life has beaten; others respect it until then.
    pub(crate) fn renew(&self, incarnation: Incarnation, until: Instant) {
        let mut held = self.lock();
        if held.incarnation == incarnation {
            held.until = Until::Moment(until);
        }
    }

    /// The present life is lost. Begins another one, which holds nothing.
    pub(crate) fn begin_anew(&self) -> Incarnation {
        let mut held = self.lock();
        *held = Held {
            incarnation: Incarnation::new(),
            until: Until::Never,
        };
        held.incarnation
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_is_safe_until_shortly_before_its_end() {
        let lease = Lease::among_others();
        assert!(!lease.is_safe(), "it has not beaten");
        let lease_time = Duration::from_secs(30);
        lease.renew(lease.incarnation(), Instant::now() + lease_time);
        tokio::time::advance(lease_time - MARGIN).await;
        assert!(lease.is_safe());
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(!lease.is_safe());
        tokio::time::advance(lease_time).await;
        assert_eq!(lease.left(), Duration::ZERO);
        assert!(Lease::of_the_only_host().is_safe());
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_life_is_never_renewed() {
        let lease = Lease::among_others();
        let lost = lease.incarnation();
        assert!(lease.is_of(lost));
        let new = lease.begin_anew();
        lease.renew(lost, Instant::now() + Duration::from_secs(60));
        assert!(!lease.is_safe() && lease.is_of(new) && !lease.is_of(lost));
    }
}

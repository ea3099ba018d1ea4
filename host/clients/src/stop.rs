//! The wish that a run stops: asked once, with a reason, and carried out when the grace is over.
//!
//! Handed down when the run is built, so that whoever wants it to stop calls nothing below and
//! nothing below calls upward.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::sync::{AtomicBool, Mutex, MutexGuard};

/// Why a run shall stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StopReason {
    /// Somebody canceled the task.
    User,
    /// The host shuts down.
    Drain,
    /// The attempt's time is up.
    Deadline,
    /// The run has reported no progress for longer than it may.
    NoProgress,
    /// The run has lost its lease: nothing that it does counts any more.
    Fenced,
    /// The run waits for children, and its guest is ended meanwhile. Nobody tells it so.
    Suspended,
}

/// A run's stop signal. Clones are the same signal.
#[derive(Debug, Clone, Default)]
pub struct StopSignal(Arc<Inner>);

#[derive(Debug, Clone, Copy)]
struct Asked {
    reason: StopReason,
    late: Duration,
}

#[derive(Debug, Default)]
struct Inner {
    asked: Mutex<Option<Asked>>,
    told: AtomicBool,
    interrupted: AtomicBool,
    changed: Notify,
}

impl StopReason {
    /// As a guest reads it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Drain => "drain",
            Self::Deadline => "deadline",
            Self::NoProgress => "no-progress",
            Self::Fenced => "fenced",
            Self::Suspended => "suspended",
        }
    }
}

impl StopSignal {
    /// A signal that nobody has given.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks the run to stop. The first reason stands; asking again changes nothing.
    pub fn ask(&self, reason: StopReason) {
        self.ask_late(reason, Duration::ZERO);
    }

    /// As [`Self::ask`], so long after somebody wished it: the wish had to be stored first.
    pub fn ask_late(&self, reason: StopReason, late: Duration) {
        let mut asked = self.lock();
        if asked.is_none() {
            *asked = Some(Asked { reason, late });
            drop(asked);
            self.0.changed.notify_waiters();
        }
    }

    /// Ends the guest until its run goes on, unless the run was asked to stop before: then it is to
    /// hear of that.
    pub fn suspend(&self) {
        self.ask(StopReason::Suspended);
        if self.asked() == Some(StopReason::Suspended) {
            self.interrupt();
        }
    }

    /// Ends the run wherever it is. Give a reason with [`Self::ask`] first.
    pub fn interrupt(&self) {
        self.0.interrupted.store(true, Ordering::Release);
        self.0.changed.notify_waiters();
    }

    /// Why the run is asked to stop, if it is.
    #[must_use]
    pub fn asked(&self) -> Option<StopReason> {
        self.lock().map(|asked| asked.reason)
    }

    /// How long after the wish the run was asked, if it was.
    #[must_use]
    pub fn late(&self) -> Duration {
        self.lock().map_or(Duration::ZERO, |asked| asked.late)
    }

    /// Whether the run is to end wherever it is.
    #[must_use]
    pub fn interrupted(&self) -> bool {
        self.0.interrupted.load(Ordering::Acquire)
    }

    /// Whether the guest has heard that it shall stop: what it returns is no result then.
    #[must_use]
    pub fn told(&self) -> bool {
        self.0.told.load(Ordering::Acquire)
    }

    /// Returns when the run is asked to stop, with the reason.
    pub async fn until_asked(&self) -> StopReason {
        loop {
            let mut changed = std::pin::pin!(self.0.changed.notified());
            changed.as_mut().enable();
            if let Some(reason) = self.asked() {
                return reason;
            }
            changed.await;
        }
    }

    /// Returns when the run is to end wherever it is.
    pub async fn until_interrupted(&self) {
        loop {
            let mut changed = std::pin::pin!(self.0.changed.notified());
            changed.as_mut().enable();
            if self.interrupted() {
                return;
            }
            changed.await;
        }
    }

    pub(crate) fn tell(&self) {
        self.0.told.store(true, Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, Option<Asked>> {
        self.0.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_reason_stands() {
        let stop = StopSignal::new();
        assert_eq!(stop.asked(), None);
        let waiting = tokio::spawn({
            let stop = stop.clone();
            async move { stop.until_asked().await }
        });
        stop.ask(StopReason::Drain);
        stop.ask(StopReason::User);
        assert_eq!(waiting.await.unwrap(), StopReason::Drain);
        assert_eq!(stop.asked(), Some(StopReason::Drain));
        assert!(!stop.told());
        stop.ask_late(StopReason::User, Duration::from_secs(1));
        assert_eq!(stop.late(), Duration::ZERO);
    }

    #[test]
    fn only_a_run_that_nobody_has_asked_is_suspended() {
        let (free, asked) = (StopSignal::new(), StopSignal::new());
        asked.ask(StopReason::User);
        free.suspend();
        asked.suspend();
        assert_eq!(free.asked(), Some(StopReason::Suspended));
        assert!(free.interrupted() && !asked.interrupted());
    }

    #[tokio::test]
    async fn asking_does_not_interrupt() {
        let stop = StopSignal::new();
        stop.ask(StopReason::User);
        assert!(!stop.interrupted());
        stop.interrupt();
        stop.until_interrupted().await;
        assert!(stop.interrupted());
    }
}

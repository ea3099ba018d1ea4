//! The wish that a run stops: asked once, with a reason, and carried out when the grace is over.
//!
//! Handed down when the run is built, so that whoever wants it to stop calls nothing below and
//! nothing below calls upward.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::Notify;

use crate::sync::{AtomicBool, AtomicU8};

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
}

/// A run's stop signal. Clones are the same signal.
#[derive(Debug, Clone, Default)]
pub struct StopSignal(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// 0: nobody has asked; otherwise the reason's number.
    asked: AtomicU8,
    told: AtomicBool,
    interrupted: AtomicBool,
    changed: Notify,
}

impl StopReason {
    const ALL: [Self; 5] = [
        Self::User,
        Self::Drain,
        Self::Deadline,
        Self::Fenced,
        Self::NoProgress,
    ];

    /// As a guest reads it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Drain => "drain",
            Self::Deadline => "deadline",
            Self::NoProgress => "no-progress",
            Self::Fenced => "fenced",
        }
    }

    fn number(self) -> u8 {
        match self {
            Self::User => 1,
            Self::Drain => 2,
            Self::Deadline => 3,
            Self::Fenced => 4,
            Self::NoProgress => 5,
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
        let first =
            self.0
                .asked
                .compare_exchange(0, reason.number(), Ordering::AcqRel, Ordering::Acquire);
        if first.is_ok() {
            self.0.changed.notify_waiters();
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
        let number = self.0.asked.load(Ordering::Acquire);
        StopReason::ALL
            .into_iter()
            .find(|reason| reason.number() == number)
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

//! Wakes the scheduler, and remembers why.

use std::sync::atomic::Ordering;

use tokio::sync::Notify;

use crate::sync::AtomicBool;

/// One waits, everybody may wake it. A wake-up while nobody waits is kept for the next wait.
#[derive(Debug, Default)]
pub(crate) struct Wake {
    /// Something may be due that no claim has looked for yet.
    is_due: AtomicBool,
    notify: Notify,
}

impl Wake {
    /// A run became claimable, now or at some time; or it is not known whether one did.
    pub(crate) fn something_is_due(&self) {
        self.is_due.store(true, Ordering::Release);
        self.notify.notify_one();
    }

    /// A run has ended. That is news only where something is due.
    pub(crate) fn slot_is_free(&self) {
        self.notify.notify_one();
    }

    /// Whether a claim has to look; asking forgets it.
    pub(crate) fn take_due(&self) -> bool {
        self.is_due.swap(false, Ordering::AcqRel)
    }

    /// Nobody could look: whatever wakes next has to.
    pub(crate) fn keep_due(&self) {
        self.is_due.store(true, Ordering::Release);
    }

    /// Waits for the next wake-up.
    pub(crate) async fn woken(&self) {
        self.notify.notified().await;
    }
}

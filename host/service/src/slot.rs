//! The slot of one run, given back however the run ends, and lent out while it waits for children.

use std::sync::{Arc, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::sync::{Mutex, MutexGuard};
use crate::wake::Wake;

/// A run's slot.
#[derive(Debug)]
pub(crate) struct Slot {
    slots: Arc<Semaphore>,
    permit: Mutex<Option<OwnedSemaphorePermit>>,
    wake: Arc<Wake>,
}

impl Slot {
    pub(crate) fn new(
        slots: Arc<Semaphore>,
        permit: Option<OwnedSemaphorePermit>,
        wake: Arc<Wake>,
    ) -> Self {
        let permit = Mutex::new(permit);
        Self {
            slots,
            permit,
            wake,
        }
    }

    /// Lets another run have it.
    pub(crate) fn give_up(&self) {
        drop(self.lock().take());
        self.wake.slot_is_free();
    }

    /// Waits for one, before any claim that comes later: who waits for a permit gets the next one
    /// that is free, and a claim takes only what is free.
    pub(crate) async fn take_again(&self) {
        let permit = Arc::clone(&self.slots).acquire_owned().await;
        // Nobody closes it.
        *self.lock() = permit.ok();
    }

    fn lock(&self) -> MutexGuard<'_, Option<OwnedSemaphorePermit>> {
        self.permit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.give_up();
    }
}

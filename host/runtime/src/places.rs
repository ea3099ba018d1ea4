//! Places for guests: how many may be alive at once, so that the pool has room for each of them.
//!
//! # Guarantees
//! 1. A run of one slot waits only while there are as many runs as [`Room::guests`]; never behind
//!    one that waits for more slots.
//! 2. A component that takes several slots takes the further ones from a share of their own:
//!    such runs wait for one another.
//! 3. `describe` waits for no run.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::engine::{Room, SLOTS_MAX};

/// The places that are free.
#[derive(Debug)]
pub(crate) struct Places {
    runs: Arc<Semaphore>,
    further: Arc<Semaphore>,
    describe: Arc<Semaphore>,
}

/// A guest's slots; free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    _own: OwnedSemaphorePermit,
    _further: Option<OwnedSemaphorePermit>,
}

impl Places {
    pub(crate) fn of(room: Room) -> Self {
        Self {
            runs: Arc::new(Semaphore::new(room.guests)),
            further: Arc::new(Semaphore::new(room.further_slots)),
            describe: Arc::new(Semaphore::new(SLOTS_MAX as usize)),
        }
    }

    /// Waits for a place of so many slots.
    pub(crate) async fn for_run(&self, slots: u32) -> Place {
        // First: whoever waits for these keeps nobody else from a place.
        let further = match slots - 1 {
            0 => None,
            further => Some(taken(&self.further, further).await),
        };
        Place {
            _own: taken(&self.runs, 1).await,
            _further: further,
        }
    }

    /// The same for `describe`.
    pub(crate) async fn for_describe(&self, slots: u32) -> Place {
        Place {
            _own: taken(&self.describe, slots).await,
            _further: None,
        }
    }
}

async fn taken(free: &Arc<Semaphore>, slots: u32) -> OwnedSemaphorePermit {
    let taken = Arc::clone(free).acquire_many_owned(slots).await;
    taken.unwrap_or_else(|_| unreachable!("nobody closes it"))
}

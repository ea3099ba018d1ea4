//! Room for what a call is answered with, while the host gathers it.
//!
//! # Guarantees
//! 1. The answers of one call together take no more than the call may bring.
//! 2. What they take beyond a little is counted against the memory of all runs, as it comes: many
//!    runs that wait for long answers at once are refused, and not the host's memory used up.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::ClientError;

/// Of each call so much is counted against nobody: a short answer is never refused for what others
/// wait for.
const OWN_BYTES: u64 = 256 * 1024;

/// The memory of all runs, as far as a run's answers take of it.
pub trait AnswerMemory: Send + Sync + Debug {
    /// Takes so many bytes of it.
    ///
    /// # Errors
    /// `host-out-of-memory` where there are not so many.
    fn take_for_answer(&self, bytes: u64) -> Result<(), ClientError>;

    /// Gives them back.
    fn give_back_of_answer(&self, bytes: u64);
}

/// Room for the answers of one call.
#[derive(Debug)]
pub struct Room {
    bytes_max: u64,
    used: AtomicU64,
    /// None: in `describe`, which is answered by nobody, and in tests.
    memory: Option<Arc<dyn AnswerMemory>>,
    taken: AtomicU64,
}

/// Why there is no more.
#[derive(Debug, Clone, PartialEq)]
pub enum NoRoom {
    /// The call may bring only so many bytes.
    OfCall(u64),
    /// All runs together have no more.
    OfAll(ClientError),
}

impl Room {
    pub(crate) fn new(bytes_max: u64, memory: Option<Arc<dyn AnswerMemory>>) -> Self {
        Self {
            bytes_max,
            used: AtomicU64::new(0),
            memory,
            taken: AtomicU64::new(0),
        }
    }

    /// Takes so much of it.
    ///
    /// # Errors
    /// When there is not so much.
    pub fn take(&self, bytes: usize) -> Result<(), NoRoom> {
        let order = Ordering::Relaxed;
        let more = |used: u64| {
            let used = used.saturating_add(bytes as u64);
            (used <= self.bytes_max).then_some(used)
        };
        let before = self.used.fetch_update(order, order, more);
        let before = before.map_err(|_| NoRoom::OfCall(self.bytes_max))?;
        let counted = |used: u64| used.saturating_sub(OWN_BYTES);
        let bytes = counted(before + bytes as u64) - counted(before);
        if let Some(memory) = self.memory.as_ref().filter(|_| bytes > 0) {
            memory.take_for_answer(bytes).map_err(NoRoom::OfAll)?;
            self.taken.fetch_add(bytes, order);
        }
        Ok(())
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let taken = *self.taken.get_mut();
        if let Some(memory) = self.memory.as_ref().filter(|_| taken > 0) {
            memory.give_back_of_answer(taken);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorCode;

    /// A memory of so many bytes.
    #[derive(Debug)]
    struct Small(AtomicU64);

    impl AnswerMemory for Small {
        fn take_for_answer(&self, bytes: u64) -> Result<(), ClientError> {
            let order = Ordering::Relaxed;
            let left = self
                .0
                .fetch_update(order, order, |left| left.checked_sub(bytes));
            left.map(drop)
                .map_err(|_| ClientError::new(ErrorCode::HostOutOfMemory, "full".to_owned()))
        }

        fn give_back_of_answer(&self, bytes: u64) {
            self.0.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    #[test]
    fn room_is_given_once() {
        let room = Room::new(10, None);
        assert!(room.take(6).is_ok());
        assert_eq!(room.take(5), Err(NoRoom::OfCall(10)));
        assert!(room.take(4).is_ok() && room.take(1).is_err());
    }

    #[test]
    fn what_is_beyond_a_little_is_taken_from_all_and_given_back() {
        let memory = Arc::new(Small(AtomicU64::new(100)));
        let own = OWN_BYTES as usize;
        let room = Room::new(u64::MAX, Some(Arc::<Small>::clone(&memory)));
        assert!(room.take(own).is_ok() && room.take(60).is_ok());
        let other = Room::new(u64::MAX, Some(Arc::<Small>::clone(&memory)));
        assert!(other.take(own + 40).is_ok(), "there are 40 left");
        assert!(matches!(room.take(1), Err(NoRoom::OfAll(_))));
        drop(room);
        assert!(other.take(60).is_ok(), "they were given back");
        drop(other);
        assert_eq!(memory.0.load(Ordering::Relaxed), 100);
    }
}

//! The share of a store's reads that runs have together: one read is left to whoever is no run.
//!
//! # Guarantees
//! 1. At most one less than the store serves at once are taken at a time.
//! 2. Whoever waits for a turn gets it in the order of asking; one that goes away loses it and
//!    holds nobody up.
//!
//! # Why this way
//! A store answers reads of documents in the order in which they come, and one may take seconds:
//! a few guests that read in a loop would stand in line before every person.

use std::sync::Arc;

use taskhost_store::streams::READS_AT_ONCE;
use tokio::sync::{Semaphore, SemaphorePermit};

/// What all runs of a host share: made once, clones are the same.
#[derive(Debug, Clone)]
pub struct RunTurns {
    /// Of reading streams.
    pub(crate) streams: Arc<Turns>,
    /// Of querying collections.
    pub(crate) documents: Arc<Turns>,
    /// Of reading checkpoints.
    pub(crate) state: Arc<Turns>,
}

/// The turns of one of a store's files.
#[derive(Debug)]
pub(crate) struct Turns(Semaphore);

impl RunTurns {
    /// Of a store that serves so many reads at once, before others wait for them.
    #[must_use]
    pub fn of(reads_at_once: usize) -> Self {
        let turns = || Arc::new(Turns::of(reads_at_once));
        Self {
            streams: turns(),
            documents: turns(),
            state: turns(),
        }
    }
}

impl Default for RunTurns {
    /// Of the embedded store.
    fn default() -> Self {
        Self::of(READS_AT_ONCE as usize)
    }
}

impl Turns {
    fn of(reads_at_once: usize) -> Self {
        Self(Semaphore::new(reads_at_once.saturating_sub(1).max(1)))
    }

    /// Kept while documents are read.
    pub(crate) async fn turn(&self) -> SemaphorePermit<'_> {
        let turn = self.0.acquire().await;
        turn.unwrap_or_else(|_| unreachable!("nobody closes it"))
    }
}

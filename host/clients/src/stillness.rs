//! How long a run has reported no progress. The clock stands still while the run sleeps, and before
//! its guest is entered.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::sync::{Mutex, MutexGuard};

/// The clock.
#[derive(Debug)]
pub(crate) struct Stillness {
    state: Mutex<State>,
    woken: Notify,
}

#[derive(Debug, Clone, Copy)]
struct State {
    /// The last word of progress, later by what was slept since.
    since: Instant,
    resting_since: Option<Instant>,
}

/// While it is held the clock stands still.
#[derive(Debug)]
pub(crate) struct Resting<'a>(&'a Stillness);

impl Stillness {
    /// A clock that stands still until [`Self::enter`].
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        let state = State {
            since: now,
            resting_since: Some(now),
        };
        Self {
            state: Mutex::new(state),
            woken: Notify::new(),
        }
    }

    /// The guest is entered.
    pub(crate) fn enter(&self) {
        self.wake();
    }

    /// There was progress.
    pub(crate) fn moved(&self) {
        self.lock().since = Instant::now();
    }

    /// The run sleeps.
    pub(crate) fn rest(&self) -> Resting<'_> {
        self.lock().resting_since = Some(Instant::now());
        Resting(self)
    }

    /// Returns when there was no progress for so long.
    pub(crate) async fn until(&self, limit: Duration) {
        loop {
            let mut woken = std::pin::pin!(self.woken.notified());
            woken.as_mut().enable();
            let state = *self.lock();
            if state.resting_since.is_some() {
                woken.await;
                continue;
            }
            let left = limit.saturating_sub(state.since.elapsed());
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left).await;
        }
    }

    fn wake(&self) {
        let mut state = self.lock();
        if let Some(resting_since) = state.resting_since.take() {
            // Not later than now: progress within a rest counts from its end.
            state.since = (state.since + resting_since.elapsed()).min(Instant::now());
        }
        drop(state);
        self.woken.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Resting<'_> {
    fn drop(&mut self) {
        self.0.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};

    use super::*;

    /// Moves the last word, and the beginning of a rest, back in time.
    fn earlier(clock: &Stillness, by: Duration) {
        let mut state = clock.lock();
        state.since -= by;
        state.resting_since = state.resting_since.map(|since| since - by);
    }

    /// Polls once.
    fn still(clock: &Stillness, limit: Duration) -> bool {
        let mut until = std::pin::pin!(clock.until(limit));
        let mut context = Context::from_waker(Waker::noop());
        until.as_mut().poll(&mut context).is_ready()
    }

    const HOUR: Duration = Duration::from_secs(3600);
    const MINUTE: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn progress_renews_it() {
        let clock = Stillness::new();
        clock.enter();
        assert!(!still(&clock, MINUTE));
        earlier(&clock, HOUR);
        assert!(still(&clock, MINUTE));
        clock.moved();
        assert!(!still(&clock, MINUTE));
    }

    #[tokio::test]
    async fn sleep_does_not_count_and_renews_nothing() {
        let clock = Stillness::new();
        earlier(&clock, HOUR);
        assert!(!still(&clock, MINUTE), "not entered");
        clock.enter();
        earlier(&clock, MINUTE / 2);
        let resting = clock.rest();
        earlier(&clock, HOUR);
        assert!(!still(&clock, MINUTE), "asleep");
        drop(resting);
        assert!(!still(&clock, MINUTE) && still(&clock, MINUTE / 3));
    }

    #[tokio::test]
    async fn whoever_waits_hears_of_the_end_of_a_rest() {
        let clock = Stillness::new();
        let entered = async { clock.enter() };
        tokio::join!(clock.until(Duration::from_nanos(1)), entered);
    }
}

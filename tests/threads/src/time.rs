//! Time as the host's files see it: it is the test's own, and moves when somebody has slept.

use std::cell::RefCell;
use std::ops::Add;
use std::time::Duration;

use taskhost_model::time::{Clock, Timestamp};

pub(crate) use until as sleep_until;
pub(crate) use within as sleep;

/// Nothing may rely on waking after so long: it is a guard against what nobody has thought of.
const GUARD: Duration = Duration::from_secs(60);

thread_local! {
    /// Of the order that is tried. All its threads are one to the system.
    static CLOCK: RefCell<Clock> = RefCell::new(begin());
}

/// A moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Instant(Timestamp);

/// A new order is tried: its clock.
pub(crate) fn start() -> Clock {
    CLOCK.replace(begin());
    clock()
}

pub(crate) async fn within(duration: Duration) {
    until(Instant::now() + duration).await;
}

/// Takes as long as shuttle likes, and then it is late enough.
pub(crate) async fn until(moment: Instant) {
    if moment >= Instant::now() + GUARD {
        std::future::pending::<()>().await;
    }
    shuttle::future::yield_now().await;
    clock().advance(moment.0.since(Instant::now().0));
}

impl Instant {
    pub(crate) fn now() -> Self {
        Self(clock().now())
    }

    pub(crate) fn elapsed(&self) -> Duration {
        Self::now().0.since(self.0)
    }

    pub(crate) fn saturating_duration_since(self, earlier: Self) -> Duration {
        self.0.since(earlier.0)
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.plus(duration))
    }
}

fn clock() -> Clock {
    CLOCK.with_borrow(Clock::clone)
}

fn begin() -> Clock {
    Clock::manual(Timestamp::from_ms(1_795_000_000_000))
}

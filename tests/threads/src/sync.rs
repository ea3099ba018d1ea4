//! What threads share, of shuttle's making, under the names that the host's files use.

use std::time::Duration;

use real_tokio::sync::futures::Notified;
// To shuttle a sleep is a step at which others may go, and nothing else.
use shuttle::thread::sleep as step;

pub(crate) use real_tokio::sync::broadcast;
pub(crate) use shuttle::sync::atomic::{AtomicBool, AtomicU8};
pub(crate) use shuttle::sync::{Condvar, Mutex, MutexGuard};

/// Threads, and their sleep.
pub(crate) mod thread {
    use std::time::Duration;

    pub(crate) use shuttle::thread::{Builder, JoinHandle};

    pub(crate) use a_while as sleep;

    /// Nobody spins who sleeps, so others are preferred.
    pub(crate) fn a_while(_: Duration) {
        shuttle::thread::yield_now();
    }
}

/// Tokio's, and others may go before each use of it.
#[derive(Debug, Default)]
pub(crate) struct Notify(real_tokio::sync::Notify);

impl Notify {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn notified(&self) -> Notified<'_> {
        step(Duration::ZERO);
        self.0.notified()
    }

    pub(crate) fn notify_one(&self) {
        step(Duration::ZERO);
        self.0.notify_one();
    }

    pub(crate) fn notify_waiters(&self) {
        step(Duration::ZERO);
        self.0.notify_waiters();
    }
}

//! What threads share, of shuttle's making, under the names that the host's files use.

use std::sync::Arc;
use std::time::Duration;

use real_tokio::sync::futures::Notified;
use real_tokio::sync::{AcquireError, TryAcquireError};
use shuttle::thread::sleep as a_moment;

pub(crate) use real_tokio::sync::{OwnedSemaphorePermit, broadcast};
pub(crate) use real_tokio_util::sync::CancellationToken;
pub(crate) use shuttle::sync::atomic::{AtomicBool, AtomicUsize};
pub(crate) use shuttle::sync::{Condvar, Mutex, MutexGuard};
/// Of what is shared here by it nothing is read: that is HTTP's.
pub(crate) use std::sync::OnceLock;

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

/// Tokio's. Others may go before each use of it, and before what comes next.
#[derive(Debug, Default)]
pub(crate) struct Notify(real_tokio::sync::Notify);

/// Tokio's, and others may go before each use of it.
#[derive(Debug)]
pub(crate) struct Semaphore(Arc<real_tokio::sync::Semaphore>);

impl Notify {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn notified(&self) -> Notified<'_> {
        between_steps(|| self.0.notified())
    }

    pub(crate) fn notify_one(&self) {
        between_steps(|| self.0.notify_one());
    }

    pub(crate) fn notify_waiters(&self) {
        between_steps(|| self.0.notify_waiters());
    }
}

impl Semaphore {
    pub(crate) fn new(permits: usize) -> Self {
        Self(Arc::new(real_tokio::sync::Semaphore::new(permits)))
    }

    pub(crate) fn available_permits(&self) -> usize {
        between_steps(|| self.0.available_permits())
    }

    pub(crate) fn try_acquire_many_owned(
        self: Arc<Self>,
        count: u32,
    ) -> Result<OwnedSemaphorePermit, TryAcquireError> {
        between_steps(|| Arc::clone(&self.0).try_acquire_many_owned(count))
    }

    pub(crate) async fn acquire_owned(
        self: Arc<Self>,
    ) -> Result<OwnedSemaphorePermit, AcquireError> {
        step();
        Arc::clone(&self.0).acquire_owned().await
    }
}

/// Others may go. To shuttle a sleep is that, and nothing else.
pub(crate) fn step() {
    a_moment(Duration::ZERO);
}

fn between_steps<T>(work: impl FnOnce() -> T) -> T {
    step();
    let done = work();
    step();
    done
}

//! The threads for guests, and others for guests that compute for long.
//!
//! # Guarantees
//! 1. A guest that computes gives its thread away every millisecond, if others wait for one, and
//!    not before the instruction is over that it is in: filling or copying a memory is one,
//!    however large, and no epoch can end it.
//! 2. A run that has computed for 20 ms goes on among its kind, whose threads have the rest of
//!    what the other guests leave, and a quarter of it where those want everything. So what is
//!    short waits for a turn of what is short, however much is computed beside it.
//! 3. A run that has spent 100 ms in instructions of more than 4 ms each, or that computes for more
//!    than 2 ms at a time more often than not, makes its component known for it: all its runs
//!    begin among those that compute for long. So what is left for all others to wait for is 4 ms,
//!    now and then.
//!
//! # Why this way
//! Guests that only compute are short of nothing where they share two threads. More threads from
//! the start would not help: a hostile component would hold up as many as there are. A turn is
//! given away by the guest alone, and only at a tick; a thread is taken away by the kernel at
//! once, as soon as one of higher priority has something to do. Beside 32 endless loops that is
//! 3 ms in place of 12 for the slowest of a hundred short tasks (`tests/benches`, `beside`).

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use rustix::process::setpriority_process;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinError;
use tokio_util::task::AbortOnDropHandle;

use crate::meter::Meter;

/// How many guests a thread gives a turn before it looks for timers and messages. A turn lasts
/// up to a millisecond, so the executor's default (61) would make every guest's timers late.
const TURNS_BETWEEN_EVENTS: u32 = 3;
/// Every other turn goes to a guest that has just been started or has got an answer from the host,
/// if there is one, and not to those that compute: it waits two milliseconds for its turn instead
/// of one for each guest that computes, and those lose no more than half of the turns.
const TURNS_FOR_ANSWERED: u32 = 2;
/// The host's own threads go first (nice values, 0 is theirs): what answers, writes to disk and
/// moves the epoch is short, and a guest that computes loses nothing that it would notice.
const PRIORITY: i32 = 10;
/// A third of the weight, to the kernel.
const PRIORITY_OF_LONG: i32 = 15;

/// The executors. Ends every guest when dropped.
#[derive(Debug)]
pub(crate) struct Executors {
    workers: usize,
    guests: Owned,
    /// Made when it is first needed; none where the system refuses the threads.
    long: OnceLock<Option<Owned>>,
}

/// A runtime that is not waited for when it is dropped: that is not for whoever drops it, maybe
/// on an executor.
#[derive(Debug)]
struct Owned {
    handle: Handle,
    /// Taken when dropped.
    runtime: Option<Runtime>,
}

/// Polls a guest until it is done, has computed for long, or a run of its component has held on to
/// a thread: many may have been started before the first of them is known for it.
struct UntilLong<F> {
    guest: Option<Pin<Box<F>>>,
    meter: Arc<Meter>,
    is_hog: Arc<AtomicBool>,
}

impl Executors {
    pub(crate) fn start(workers: usize) -> io::Result<Self> {
        let workers = workers.max(1);
        Ok(Self {
            workers,
            guests: Owned::start(workers, "taskhost-guest", PRIORITY)?,
            long: OnceLock::new(),
        })
    }

    /// Starts a guest, which is ended when the handle is dropped. Once `is_hog` is set it goes on
    /// among those that compute for long; it is set when this guest turns out to be one.
    pub(crate) fn spawn<F>(
        self: &Arc<Self>,
        guest: F,
        meter: Arc<Meter>,
        is_hog: Arc<AtomicBool>,
    ) -> AbortOnDropHandle<Result<F::Output, JoinError>>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        // Weak, since what runs on an executor must not keep it.
        let executors = Arc::downgrade(self);
        let running = self.guests.handle.spawn(async move {
            let first = UntilLong {
                guest: Some(Box::pin(guest)),
                meter,
                is_hog,
            };
            let guest = match first.await {
                Ok(end) => return Ok(end),
                Err(guest) => guest,
            };
            let long = executors.upgrade().and_then(|executors| executors.long());
            match long {
                Some(long) => AbortOnDropHandle::new(long.spawn(guest)).await,
                None => Ok(guest.await),
            }
        });
        AbortOnDropHandle::new(running)
    }

    fn long(&self) -> Option<Handle> {
        let long = self.long.get_or_init(|| {
            let started = Owned::start(self.workers, "taskhost-long", PRIORITY_OF_LONG);
            if let Err(error) = &started {
                tracing::warn!(%error, "no threads for guests that compute for long");
            }
            started.ok()
        });
        long.as_ref().map(|long| long.handle.clone())
    }
}

impl Owned {
    fn start(workers: usize, name: &'static str, priority: i32) -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(workers)
            .thread_name(name)
            .event_interval(TURNS_BETWEEN_EVENTS)
            .global_queue_interval(TURNS_FOR_ANSWERED)
            .on_thread_start(move || lower_priority(priority))
            .enable_all()
            .build()?;
        Ok(Self {
            handle: runtime.handle().clone(),
            runtime: Some(runtime),
        })
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl<F: Future> Future for UntilLong<F> {
    type Output = Result<F::Output, Pin<Box<F>>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if !self.is_hog.load(Ordering::Relaxed)
            && let Some(guest) = &mut self.guest
        {
            let polled = guest.as_mut().poll(cx);
            // Its component is known for it also where the long instruction was its last.
            let is_hog = self.meter.has_held_thread();
            if is_hog {
                self.is_hog.store(true, Ordering::Relaxed);
            }
            match polled {
                Poll::Ready(end) => return Poll::Ready(Ok(end)),
                Poll::Pending if !is_hog && !self.meter.is_long() => return Poll::Pending,
                Poll::Pending => {}
            }
        }
        match self.guest.take() {
            Some(guest) => Poll::Ready(Err(guest)),
            None => Poll::Pending,
        }
    }
}

/// Of this thread alone (on Linux). Where it is refused, everything is a little slower.
fn lower_priority(priority: i32) {
    setpriority_process(None, priority).ok();
}

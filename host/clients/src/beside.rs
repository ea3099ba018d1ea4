//! Work that may take seconds, where it holds nobody up.
//!
//! # Guarantees
//! 1. One owner's work is done one piece at a time, and no more pieces at once than there are
//!    cores: however much comes together, threads stay few, and what one owner waits for is at most
//!    a piece of each other one.
//! 2. What the host lacks is nobody's mistake: without a thread the work waits for one.

use std::io;
use std::sync::{Arc, LazyLock, mpsc};
use std::thread;
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};

/// Everything else goes first.
const LOWEST_PRIORITY: i32 = 19;
/// Of a thread that checks deeply nested JSON.
const STACK_BYTES: usize = 8 * 1024 * 1024;
/// Between two tries to start a thread, while the system has none.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// The process's own: cores are.
static CORES: LazyLock<Semaphore> = LazyLock::new(|| {
    let cores = thread::available_parallelism().map_or(2, usize::from);
    Semaphore::new(cores)
});

type Work = Box<dyn FnOnce() + Send>;

/// The turn of one owner's work.
#[derive(Debug)]
pub struct Beside(Arc<Semaphore>);

impl Default for Beside {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }
}

impl Beside {
    /// Works on a thread of the lowest priority: what a hostile schema takes of the processor, it
    /// takes from nobody. `None` when the work has panicked.
    pub async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let turn = Arc::clone(&self.0).acquire_owned().await.ok()?;
        let core = CORES.acquire().await.ok()?;
        let (send, done) = oneshot::channel();
        let work = move || {
            // Kept by the work, and not by whoever waits for it and may be gone before its end.
            let _kept = (turn, core);
            drop(send.send(work()));
        };
        on_thread(Box::new(work), started).await;
        done.await.ok()
    }
}

/// Starts a thread that does the work that it is sent.
fn started(handed: mpsc::Receiver<Work>) -> io::Result<()> {
    let body = move || {
        // Of this thread alone; it is a courtesy, so that it may fail.
        rustix::process::setpriority_process(None, LOWEST_PRIORITY).ok();
        if let Ok(work) = handed.recv() {
            work();
        }
    };
    let thread = thread::Builder::new()
        .name("taskhost-check".to_owned())
        .stack_size(STACK_BYTES);
    thread.spawn(body).map(drop)
}

/// Hands the work to a thread, as soon as there is one.
async fn on_thread(work: Work, start: impl Fn(mpsc::Receiver<Work>) -> io::Result<()>) {
    loop {
        // The work is sent, since a thread that does not start takes along what it was given.
        let (hand, handed) = mpsc::channel();
        match start(handed) {
            Ok(()) => return drop(hand.send(work)),
            Err(error) => {
                tracing::warn!(%error, "no thread for a long check: it waits for one");
                tokio::time::sleep(AGAIN_AFTER).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Mutex, PoisonError};

    use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

    use super::*;

    /// Counts who is at work at once. Whoever is says so, and stays until somebody may end.
    #[derive(Debug)]
    struct AtWork {
        now: AtomicUsize,
        most: AtomicUsize,
        begin: UnboundedSender<()>,
        may_end: Mutex<mpsc::Receiver<()>>,
    }

    impl AtWork {
        fn until_it_may_end(&self) {
            let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(now, Ordering::SeqCst);
            self.begin.send(()).unwrap();
            let may_end = self.may_end.lock().unwrap_or_else(PoisonError::into_inner);
            may_end.recv().unwrap();
            self.now.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// So many pieces of work of each owner; how many were done at once. As long as there are
    /// more to come, none ends before so many are at work.
    async fn most_at_once(owners: usize, pieces: usize, at_least: usize) -> usize {
        let (begin, mut begun) = unbounded_channel();
        let (end, may_end) = mpsc::channel();
        let at_work = Arc::new(AtWork {
            now: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            begin,
            may_end: Mutex::new(may_end),
        });
        let mut all = tokio::task::JoinSet::new();
        for _ in 0..owners {
            let owner = Arc::new(Beside::default());
            for _ in 0..pieces {
                let (owner, at_work) = (Arc::clone(&owner), Arc::clone(&at_work));
                all.spawn(async move { owner.work(move || at_work.until_it_may_end()).await });
            }
        }
        for _ in 1..at_least {
            begun.recv().await.unwrap();
        }
        for _ in at_least..=owners * pieces {
            begun.recv().await.unwrap();
            end.send(()).unwrap();
        }
        for _ in 1..at_least {
            end.send(()).unwrap();
        }
        assert!(all.join_all().await.iter().all(Option::is_some));
        at_work.most.load(Ordering::SeqCst)
    }

    #[tokio::test]
    async fn threads_are_few_however_much_comes_together() {
        assert_eq!(most_at_once(1, 50, 1).await, 1);
        let cores = thread::available_parallelism().map_or(2, usize::from);
        assert_eq!(most_at_once(50 * cores, 1, cores).await, cores);
    }

    #[tokio::test]
    async fn a_panic_keeps_nobodys_turn() {
        let owner = Beside::default();
        assert_eq!(owner.work(|| panic!("of this test")).await, None::<()>);
        assert_eq!(owner.work(|| 7).await, Some(7));
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_thread_the_work_waits_for_one() {
        let tries = AtomicUsize::new(0);
        let start = |handed| match tries.fetch_add(1, Ordering::SeqCst) {
            0..3 => Err(io::Error::from(io::ErrorKind::WouldBlock)),
            _ => started(handed),
        };
        let (send, done) = oneshot::channel();
        on_thread(Box::new(|| send.send(7).unwrap()), start).await;
        assert_eq!((done.await, tries.into_inner()), (Ok(7), 4));
    }
}

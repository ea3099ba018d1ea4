//! Ticks every millisecond, on a thread of its own, while a guest lives: the engine's epoch.
//!
//! An OS thread, since the threads of an executor may all be busy with guests that only an
//! epoch can reach.

use std::io;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use crate::sync::{Condvar, Mutex, MutexGuard, thread};

const TICK: Duration = Duration::from_millis(1);

/// The thread. Once dropped, it ends with the last guest: without ticks a guest that computes
/// would never give its thread back.
#[derive(Debug)]
pub(crate) struct Ticker {
    shared: Arc<Shared>,
}

/// While one is held, there are ticks.
#[derive(Debug)]
pub(crate) struct Ticking(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    woken: Condvar,
}

#[derive(Debug, Default)]
struct State {
    guests: usize,
    is_over: bool,
}

impl Ticker {
    /// Starts the thread; `tick` moves the epoch on.
    pub(crate) fn start(tick: impl FnMut() + Send + 'static) -> io::Result<Self> {
        let (ticker, thread) = Self::start_thread(tick)?;
        drop(thread);
        Ok(ticker)
    }

    pub(crate) fn start_thread(
        mut tick: impl FnMut() + Send + 'static,
    ) -> io::Result<(Self, thread::JoinHandle<()>)> {
        let shared = Arc::new(Shared::default());
        let ticking = {
            let shared = Arc::clone(&shared);
            move || {
                while shared.wait_for_guests() {
                    thread::sleep(TICK);
                    tick();
                }
            }
        };
        let thread = thread::Builder::new()
            .name("taskhost-epoch".to_owned())
            .spawn(ticking)?;
        Ok((Self { shared }, thread))
    }

    pub(crate) fn tick(&self) -> Ticking {
        let mut state = self.shared.lock();
        state.guests += 1;
        if state.guests == 1 {
            self.shared.woken.notify_one();
        }
        drop(state);
        Ticking(Arc::clone(&self.shared))
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.lock().is_over = true;
        self.shared.woken.notify_one();
    }
}

impl Drop for Ticking {
    fn drop(&mut self) {
        self.0.lock().guests -= 1;
    }
}

impl Shared {
    /// False when there are none and none will come.
    fn wait_for_guests(&self) -> bool {
        let mut state = self.lock();
        while state.guests == 0 && !state.is_over {
            state = self
                .woken
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        state.guests > 0
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends_with_the_last_guest() {
        let (ticker, thread) = Ticker::start_thread(|| {}).unwrap();
        let (first, second) = (ticker.tick(), ticker.tick());
        drop((ticker, first));
        assert!(second.0.wait_for_guests() && !thread.is_finished());
        drop(second);
        thread.join().unwrap();
    }

    #[test]
    fn it_ends_where_there_is_no_guest() {
        let (ticker, thread) = Ticker::start_thread(|| {}).unwrap();
        drop(ticker.tick());
        drop(ticker);
        thread.join().unwrap();
    }
}

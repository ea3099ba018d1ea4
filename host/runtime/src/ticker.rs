//! Moves the engine's epoch on every millisecond, on a thread of its own, while a guest lives.
//!
//! An OS thread, since the threads of an executor may all be busy with guests that only an
//! epoch can reach.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use wasmtime::Engine;

const TICK: Duration = Duration::from_millis(1);

/// The thread. Once dropped, it ends with the last guest: without ticks a guest that computes
/// would never give its thread back.
#[derive(Debug)]
pub(crate) struct Ticker {
    shared: Arc<Shared>,
}

/// While one is held, the epoch moves.
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
    pub(crate) fn start(engine: Engine) -> io::Result<Self> {
        let (ticker, thread) = Self::start_thread(engine)?;
        drop(thread);
        Ok(ticker)
    }

    fn start_thread(engine: Engine) -> io::Result<(Self, JoinHandle<()>)> {
        let shared = Arc::new(Shared::default());
        let tick = {
            let shared = Arc::clone(&shared);
            move || {
                while shared.wait_for_guests() {
                    std::thread::sleep(TICK);
                    engine.increment_epoch();
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name("taskhost-epoch".to_owned())
            .spawn(tick)?;
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
        let (ticker, thread) = Ticker::start_thread(Engine::default()).unwrap();
        let (first, second) = (ticker.tick(), ticker.tick());
        drop((ticker, first));
        assert!(second.0.wait_for_guests() && !thread.is_finished());
        drop(second);
        thread.join().unwrap();
    }

    #[test]
    fn it_ends_where_there_is_no_guest() {
        let (ticker, thread) = Ticker::start_thread(Engine::default()).unwrap();
        drop(ticker.tick());
        drop(ticker);
        thread.join().unwrap();
    }
}

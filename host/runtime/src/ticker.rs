//! Moves the engine's epoch on every millisecond, on a thread of its own, while a guest lives.
//!
//! An OS thread, since the threads of an executor may all be busy with guests that only an
//! epoch can reach.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use wasmtime::Engine;

const TICK: Duration = Duration::from_millis(1);

/// The thread; ends when dropped.
#[derive(Debug)]
pub(crate) struct Ticker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
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
    pub(crate) fn start(engine: Engine) -> std::io::Result<Self> {
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
        Ok(Self {
            shared,
            thread: Some(thread),
        })
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
        if let Some(thread) = self.thread.take() {
            // It cannot panic, and there would be nothing left to do about it.
            drop(thread.join());
        }
    }
}

impl Drop for Ticking {
    fn drop(&mut self) {
        self.0.lock().guests -= 1;
    }
}

impl Shared {
    /// False when it is over.
    fn wait_for_guests(&self) -> bool {
        let mut state = self.lock();
        while state.guests == 0 && !state.is_over {
            state = self
                .woken
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        !state.is_over
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

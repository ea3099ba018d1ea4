//! One guest in an instance of its own, driven on the executor for guests.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use taskhost_clients::run::RunClients;
use taskhost_clients::stop::StopSignal;
use wasmtime::{Error, Store, UpdateDeadline};

use crate::bindings::v1::{GuestError, TaskTypePre};
use crate::exit::{GuestEnd, Halt, LimitsOwner, Trapped};
use crate::memory::{MemoryBudget, MemoryLimit};
use crate::meter::{Meter, Metered};
use crate::places::Place;
use crate::settings::RunLimits;
use crate::state::GuestState;
use crate::tape::Tape;
use crate::telemetry;
use crate::ticker::Ticking;

/// Handles that an instance may hold, its own resources included.
const HANDLES_MAX: usize = 4096;

/// Which function of the contract is called.
pub(crate) enum Entry {
    Describe,
    Run {
        params: String,
        on_start: Box<dyn FnOnce() + Send>,
    },
}

/// A guest that is to be run.
pub(crate) struct Guest {
    pub(crate) code: TaskTypePre<GuestState>,
    pub(crate) slots: u32,
    pub(crate) entry: Entry,
    pub(crate) clients: RunClients,
    pub(crate) limits: RunLimits,
    pub(crate) stop: StopSignal,
    pub(crate) meter: Arc<Meter>,
    pub(crate) budget: Arc<MemoryBudget>,
    /// Whether a run of its component has held on to a thread.
    pub(crate) is_hog: Arc<AtomicBool>,
    /// Held until the guest is gone, also where its caller is gone before.
    pub(crate) ticking: Ticking,
    pub(crate) tape: Tape,
}

impl Entry {
    /// Who has set the limits of such a call.
    pub(crate) fn limits_owner(&self) -> LimitsOwner {
        match self {
            Self::Describe => LimitsOwner::Host,
            Self::Run { .. } => LimitsOwner::Descriptor,
        }
    }
}

impl Guest {
    /// Runs the guest to its end, in its place.
    pub(crate) async fn run(self, _place: Place) -> GuestEnd {
        self.clients.count_answers(Arc::clone(&self.budget) as _);
        let mut store = match self.store() {
            Ok(store) => store,
            Err(error) => return GuestEnd::NotStarted(error),
        };
        let Self {
            code,
            entry,
            stop,
            meter,
            ticking: _ticking,
            ..
        } = self;
        let mut is_entered = false;
        let driven = {
            let called = call(&mut store, &code, entry, &mut is_entered);
            let guest = Metered::new(&meter, called);
            tokio::select! {
                biased;
                done = guest => Some(done),
                () = stop.until_interrupted() => None,
            }
        };
        let state = store.data();
        let words = state.finish_output();
        let memory_refused = state.memory.refused();
        match driven {
            None => GuestEnd::Interrupted,
            Some(Ok(returned)) => GuestEnd::Returned(returned),
            Some(Err(error)) if is_entered || is_guests_own(&error) || memory_refused.is_some() => {
                GuestEnd::Trapped(Trapped {
                    error,
                    memory_refused,
                    words,
                    last_call: state.clients.last_call(),
                    last_lines: state.clients.last_lines(),
                })
            }
            Some(Err(error)) => GuestEnd::NotStarted(error),
        }
    }

    fn store(&self) -> Result<Store<GuestState>, Error> {
        let meter = || Arc::clone(&self.meter);
        let memory_bytes = self.limits.memory_bytes;
        let memory = MemoryLimit::new(memory_bytes, Arc::clone(&self.budget), meter());
        let state = GuestState::new(self.clients.clone(), meter(), memory, self.tape.clone());
        let mut store = Store::try_new(self.code.engine(), state)?;
        store.limiter(|state| &mut state.memory);
        store.set_hostcall_fuel(self.limits.call_bytes());
        store.set_max_component_handles(HANDLES_MAX);
        store.set_epoch_deadline(1);
        let (stop, meter) = (self.stop.clone(), meter());
        store.epoch_deadline_callback(move |_| {
            if stop.interrupted() {
                return Err(Halt::Interrupted.into());
            }
            if meter.is_over() {
                return Err(Halt::OutOfCpu.into());
            }
            if !meter.ends_turn() {
                return Ok(UpdateDeadline::Continue(1));
            }
            // Every tick is another guest's turn, and another thread's: the kernel's own, which
            // write to disk, would otherwise wait for up to its next tick (4 ms).
            std::thread::yield_now();
            Ok(UpdateDeadline::Yield(1))
        });
        Ok(store)
    }
}

async fn call(
    store: &mut Store<GuestState>,
    code: &TaskTypePre<GuestState>,
    entry: Entry,
    is_entered: &mut bool,
) -> Result<Result<String, GuestError>, Error> {
    let begun = Instant::now();
    let instance = code.instantiate_async(&mut *store).await?;
    telemetry::instantiated(begun.elapsed());
    let task = instance.taskhost_task_task();
    *is_entered = true;
    match entry {
        Entry::Describe => Ok(Ok(task.call_describe(store).await?)),
        Entry::Run { params, on_start } => {
            on_start();
            store.data().clients.enter();
            task.call_run(store, &params).await
        }
    }
}

/// Whether an instance could not be made for a reason that lies in the component.
fn is_guests_own(error: &Error) -> bool {
    // Where there is code of the guest on the stack, it was within its start function.
    error.is::<wasmtime::WasmBacktrace>()
        || error.is::<wasmtime::Trap>()
        || error.is::<Halt>()
        || error.is::<wasmtime_wasi::I32Exit>()
}

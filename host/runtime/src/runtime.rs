//! The runtime as its callers know it: check, load, describe, run.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use taskhost_clients::run::RunClients;
use taskhost_clients::stop::StopSignal;
use taskhost_model::error::{ErrorKind, TaskError};
use taskhost_model::ids::Digest;
use wasmtime::component::{Component as Code, Linker, Resource};
use wasmtime::{Cache, Engine, StoreContextMut};
use wasmtime_wasi::p2::DynPollable;
use wasmtime_wasi::p2::bindings::io::poll;

use crate::bindings::v1;
use crate::call::Caller;
use crate::compile::Known;
use crate::contract::Contract;
use crate::engine::{CORE_INSTANCES_MAX, MEMORIES_PER_SLOT, SLOTS_MAX, TABLES_PER_SLOT};
use crate::error::{InvalidComponent, LoadError, RunFailure, RuntimeError};
use crate::exit::{ExitOutcome, RunExit};
use crate::guest::{Entry, Guest};
use crate::memory::MemoryBudget;
use crate::meter::Meter;
use crate::places::Places;
use crate::settings::{CompileCommand, RunLimits, RuntimeSettings};
use crate::state::{GuestState, WASI_RESOURCES_MAX};
use crate::tape::Tape;
use crate::ticker::Ticker;
use crate::virtual_waits::POLL;
use crate::{check, compile, engine, virtual_waits};

/// What `describe` may use; the CPU time is the settings' affair.
const DESCRIBE: RunLimits = RunLimits {
    memory_bytes: 256 * 1024 * 1024,
    cpu: Duration::ZERO,
    wall: Duration::from_secs(10),
    output_bytes: 256 * 1024,
    no_progress: None,
    grace: Duration::ZERO,
};

/// Runs components. Ends its threads, and every guest with them, when dropped.
pub struct Runtime {
    engine: Engine,
    cache: Cache,
    linker: Linker<GuestState>,
    contract: Contract,
    compile: Option<CompileCommand>,
    known: Known,
    compiling: tokio::sync::Mutex<()>,
    caller: Caller,
    capacity: usize,
    describe: RunLimits,
    budget: Arc<MemoryBudget>,
    ticker: Ticker,
}

/// A component, compiled and linked. Cheap to clone.
#[derive(Clone)]
pub struct Component {
    code: v1::TaskTypePre<GuestState>,
    slots: u32,
    digest: Digest,
    is_hog: Arc<AtomicBool>,
    budget: Arc<MemoryBudget>,
}

/// A run that is to be made.
pub struct RunRequest {
    /// JSON text.
    pub params: String,
    /// What the run may reach.
    pub clients: RunClients,
    /// What it may use.
    pub limits: RunLimits,
    /// The signal that `clients` were built with.
    pub stop: StopSignal,
    /// Called on a guest's thread just before the component's `run` is entered.
    pub on_start: Box<dyn FnOnce() + Send>,
    /// Whether it is recorded or replayed.
    pub tape: Tape,
}

impl Runtime {
    /// Starts the engine, its epoch and the threads for guests.
    ///
    /// # Errors
    /// When the folder, the engine or a thread is refused.
    pub fn start(settings: RuntimeSettings) -> Result<Self, RuntimeError> {
        let refused = |reason: String| RuntimeError::Engine { reason };
        let cache = engine::cache(&settings.cache_dir)?;
        let engine::Started { engine, room } = engine::start(cache.clone(), settings.runs_max)?;
        let contract = Contract::read(v1::COMPONENT_TYPE).map_err(refused)?;
        let linker = linker(&engine).map_err(|error| refused(format!("{error:#}")))?;
        let threads = |error: std::io::Error| RuntimeError::Threads {
            reason: error.to_string(),
        };
        let epoch = engine.clone();
        let ticker = Ticker::start(move || epoch.increment_epoch()).map_err(threads)?;
        let caller = Caller::start(settings.workers, Places::of(room)).map_err(threads)?;
        let known = Known::beside(cache.directory(), &engine);
        Ok(Self {
            engine,
            cache,
            linker,
            contract,
            compile: settings.compile,
            known,
            compiling: tokio::sync::Mutex::new(()),
            caller,
            capacity: room.guests,
            describe: RunLimits {
                cpu: settings.describe_cpu,
                ..DESCRIBE
            },
            budget: Arc::new(MemoryBudget::of(settings.memory_bytes_max, room.guests)),
            ticker,
        })
    }

    /// Runs that can be alive at once. One of a component with several memories, or many tables,
    /// may have to wait for others of that kind.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Components that this process has compiled itself, because they were not in the cache.
    #[must_use]
    pub fn compiled_here(&self) -> usize {
        self.cache.cache_misses()
    }

    /// Whether the bytes are a component that this host can load. Parses all of them: call it
    /// where blocking for a while is no harm.
    ///
    /// # Errors
    /// Every mistake, in words that the component's author can use.
    pub fn check(&self, bytes: &[u8]) -> Result<(), InvalidComponent> {
        check::check(bytes, self.engine.get_wasm_features(), &self.contract)
    }

    /// Compiles a checked component, or finds it in the cache; `digest` is that of its bytes.
    /// Compiling goes one at a time. What a child has compiled before waits for nobody.
    ///
    /// # Errors
    /// [`LoadError`].
    pub async fn load(&self, digest: &Digest, bytes: Arc<[u8]>) -> Result<Component, LoadError> {
        let component = if self.known.has(digest) {
            self.load_cached(digest, bytes).await?
        } else {
            let _one_at_a_time = self.compiling.lock().await;
            self.compiled(digest, bytes).await?
        };
        let refused = |error: wasmtime::Error| LoadError::Refused {
            reason: format!("{error:#}"),
        };
        let slots = slots_of(&component)?;
        let code = self.linker.instantiate_pre(&component).map_err(refused)?;
        v1::check_types(&code).map_err(refused)?;
        let code = v1::TaskTypePre::new(code).map_err(refused)?;
        Ok(Component {
            code,
            slots,
            digest: digest.clone(),
            is_hog: Arc::default(),
            budget: Arc::new(MemoryBudget::half(&self.budget)),
        })
    }

    /// Asks a component what it is, in a fresh instance with nothing granted: at most the CPU
    /// time of the settings, 256 MiB of memory, 256 KiB of JSON.
    ///
    /// # Errors
    /// Why it gave no answer.
    pub async fn describe(&self, component: &Component) -> Result<String, RunFailure> {
        let stop = StopSignal::new();
        let clients = RunClients::describing();
        let exit = self
            .call(
                component,
                Entry::Describe,
                (clients, Tape::Off),
                self.describe,
                stop,
            )
            .await;
        match exit.outcome {
            ExitOutcome::Completed(descriptor) => Ok(descriptor),
            ExitOutcome::Failed { error, .. } => Err(RunFailure(error)),
            ExitOutcome::Stopped(_) => {
                let message = format!("it gave no answer within {} s", DESCRIBE.wall.as_secs());
                Err(RunFailure(TaskError::of(ErrorKind::Deadline, message)))
            }
        }
    }

    /// Runs a component to its end. Dropped before, the guest is ended.
    pub async fn run(&self, component: &Component, request: RunRequest) -> RunExit {
        let RunRequest {
            params,
            clients,
            limits,
            stop,
            on_start,
            tape,
        } = request;
        let entry = Entry::Run { params, on_start };
        self.call(component, entry, (clients, tape), limits, stop)
            .await
    }

    async fn compiled(&self, digest: &Digest, bytes: Arc<[u8]>) -> Result<Code, LoadError> {
        let Some(command) = &self.compile else {
            return compile::on_thread(&self.engine, bytes).await;
        };
        // Somebody may have compiled it while we waited.
        if !self.known.has(digest) {
            compile::in_child(command, &bytes).await?;
            self.known.note(digest);
        }
        self.load_cached(digest, bytes).await
    }

    /// Compiles where the cache has lost it: that went well before, within a child's limits.
    async fn load_cached(&self, digest: &Digest, bytes: Arc<[u8]>) -> Result<Code, LoadError> {
        let hits = self.cache.cache_hits();
        let code = compile::on_thread(&self.engine, bytes).await?;
        // Another load's hit may hide that this one had none.
        if self.cache.cache_hits() == hits {
            tracing::warn!(%digest, "the compiled component was not found in the cache");
        }
        Ok(code)
    }

    async fn call(
        &self,
        component: &Component,
        entry: Entry,
        (clients, tape): (RunClients, Tape),
        limits: RunLimits,
        stop: StopSignal,
    ) -> RunExit {
        let budget = match entry {
            Entry::Run { .. } => Arc::clone(&component.budget),
            Entry::Describe => Arc::clone(&self.budget),
        };
        let meter = Arc::new(Meter::new(limits.cpu, clients.used_before()));
        let guest = Guest {
            code: component.code.clone(),
            slots: component.slots,
            entry,
            clients,
            limits,
            stop,
            meter,
            budget,
            is_hog: Arc::clone(&component.is_hog),
            ticking: self.ticker.tick(),
            tape,
        };
        self.caller.call(guest).await
    }
}

impl Component {
    /// The digest that it was loaded under.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.digest
    }
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime")
            .field("capacity", &self.capacity)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Component {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Component")
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for RunRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunRequest")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// The contract, and all of WASI 0.2: languages import it whether they use it or not.
fn linker(engine: &Engine) -> wasmtime::Result<Linker<GuestState>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    v1::add_to_linker(&mut linker)?;
    limit_poll(&mut linker)?;
    virtual_waits::add_to_linker(&mut linker)?;
    Ok(linker)
}

/// A list of pollables may name one of them a million times, and the host keeps it while the run
/// waits: it may not be longer than one that names all that there can be.
fn limit_poll(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let mut interface = linker.instance(POLL)?;
    interface.func_wrap_async(
        "poll",
        |mut store: StoreContextMut<'_, GuestState>, (list,): (Vec<Resource<DynPollable>>,)| {
            Box::new(async move {
                if list.len() > WASI_RESOURCES_MAX {
                    wasmtime::bail!(
                        "it polled {} pollables at once, at most {WASI_RESOURCES_MAX} can be: let \
                         it name each of them once",
                        list.len()
                    );
                }
                let state = store.data_mut();
                let _rest = state.clients.time().rest();
                Ok((poll::Host::poll(&mut state.table, list).await?,))
            })
        },
    )?;
    linker.allow_shadowing(false);
    Ok(())
}

/// How many slots of the pool one instance takes.
fn slots_of(component: &Code) -> Result<u32, LoadError> {
    let refused = |reason: String| LoadError::Refused { reason };
    let needs = component
        .resources_required()
        .ok_or_else(|| refused("imports a core module: link it into the component".to_owned()))?;
    let slots = needs
        .num_memories
        .div_ceil(MEMORIES_PER_SLOT)
        .max(needs.num_tables.div_ceil(TABLES_PER_SLOT))
        .max(1);
    if slots > SLOTS_MAX {
        return Err(refused(format!(
            "has {} memories and {} tables, at most {} and {} are accepted (and {} core instances)",
            needs.num_memories,
            needs.num_tables,
            SLOTS_MAX * MEMORIES_PER_SLOT,
            SLOTS_MAX * TABLES_PER_SLOT,
            CORE_INSTANCES_MAX
        )));
    }
    Ok(slots)
}

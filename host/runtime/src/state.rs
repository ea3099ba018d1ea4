//! What belongs to one instance: its clients, its limits, and a WASI that grants nothing.

use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;
use taskhost_clients::run::RunClients;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::memory::MemoryLimit;
use crate::meter::Meter;
use crate::output::{GuestOutput, LastWords};
use crate::tape::{Call, Tape, tape_wasi};
use crate::virtual_clocks::show_virtual_time;

/// Streams, pollables and the like that an instance may hold at once.
pub(crate) const WASI_RESOURCES_MAX: usize = 1024;
/// Random bytes of one call.
const RANDOM_BYTES_MAX: u64 = 1024 * 1024;

/// The data of a store.
pub(crate) struct GuestState {
    pub(crate) clients: RunClients,
    pub(crate) meter: Arc<Meter>,
    pub(crate) memory: MemoryLimit,
    pub(crate) table: ResourceTable,
    /// Collections that were opened.
    pub(crate) opened: u32,
    pub(crate) tape: Tape,
    wasi: WasiCtx,
    stdout: GuestOutput,
    stderr: GuestOutput,
}

impl GuestState {
    pub(crate) fn new(
        clients: RunClients,
        meter: Arc<Meter>,
        memory: MemoryLimit,
        tape: Tape,
    ) -> Self {
        let stdout = GuestOutput::stdout(clients.log.clone());
        let stderr = GuestOutput::stderr(clients.log.clone());
        // No folder, variable, argument, address or name: what is not built in is not there.
        let mut wasi = WasiCtx::builder();
        wasi.stdout(stdout.clone())
            .stderr(stderr.clone())
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .max_random_size(RANDOM_BYTES_MAX);
        show_virtual_time(clients.time(), &mut wasi);
        tape_wasi(&tape, &mut wasi);
        let wasi = wasi.build();
        let mut table = ResourceTable::new();
        table.set_max_capacity(WASI_RESOURCES_MAX);
        Self {
            clients,
            meter,
            memory,
            table,
            opened: 0,
            tape,
            wasi,
            stdout,
            stderr,
        }
    }

    /// A call of the contract with these arguments: a tuple, or `()`.
    pub(crate) fn call(&self, call: &'static str, arguments: &impl Serialize) -> Call {
        if let Tape::Replays(_) = self.tape {
            self.clients.note(call);
        }
        let made = match self.tape.call(call, arguments) {
            Call::Plain if self.clients.are_followed() => {
                Call::Followed(Box::new(self.clients.clone()))
            }
            made => made,
        };
        match self.clients.trace() {
            None => made,
            Some(trace) => Call::Traced {
                trace: Arc::clone(trace),
                call,
                begun: Instant::now(),
                made: Box::new(made),
            },
        }
    }

    /// What is left of the outputs goes into the log; what the guest has said last.
    pub(crate) fn finish_output(&self) -> LastWords {
        self.stdout.finish();
        self.stderr.finish()
    }
}

impl WasiView for GuestState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl std::fmt::Debug for GuestState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GuestState")
            .field("memory", &self.memory)
            .finish_non_exhaustive()
    }
}

//! What belongs to one instance: its clients, its limits, and a WASI that grants nothing.

use std::sync::Arc;

use taskhost_clients::run::RunClients;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::memory::MemoryLimit;
use crate::meter::Meter;
use crate::output::GuestOutput;

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
    wasi: WasiCtx,
    stdout: GuestOutput,
    stderr: GuestOutput,
}

impl GuestState {
    pub(crate) fn new(clients: RunClients, meter: Arc<Meter>, memory: MemoryLimit) -> Self {
        let stdout = GuestOutput::stdout(clients.log.clone());
        let stderr = GuestOutput::stderr(clients.log.clone());
        // No folder, variable, argument, address or name: what is not built in is not there.
        let wasi = WasiCtx::builder()
            .stdout(stdout.clone())
            .stderr(stderr.clone())
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .max_random_size(RANDOM_BYTES_MAX)
            .build();
        let mut table = ResourceTable::new();
        table.set_max_capacity(WASI_RESOURCES_MAX);
        Self {
            clients,
            meter,
            memory,
            table,
            wasi,
            stdout,
            stderr,
        }
    }

    /// What is left of the outputs goes into the log; what the guest said of its panic.
    pub(crate) fn finish_output(&self) -> Option<String> {
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

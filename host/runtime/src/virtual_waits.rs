//! What a guest waits for by WASI. In a test of a task type it is a time that is skipped.

use std::time::Duration;

use taskhost_clients::virtual_time::Time;
use taskhost_model::time::Timestamp;
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi::clocks::WasiClocksView as _;
use wasmtime_wasi::p2::bindings::clocks::monotonic_clock::Host as _;
use wasmtime_wasi::p2::bindings::io::poll::HostPollable as _;
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};

use crate::state::GuestState;

/// As the WASI that is linked names them.
pub(crate) const POLL: &str = "wasi:io/poll@0.2.12";
const MONOTONIC: &str = "wasi:clocks/monotonic-clock@0.2.12";

/// Waits of a guest for its clock.
pub(crate) fn add_to_linker(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let mut clock = linker.instance(MONOTONIC)?;
    clock.func_wrap(
        "subscribe-instant",
        |mut store: StoreContextMut<'_, GuestState>, (when,): (u64,)| {
            let state = store.data_mut();
            if !state.clients.time().is_skipped() {
                return Ok((state.clocks().subscribe_instant(when)?,));
            }
            let now = state.clocks().now()?;
            let left = Duration::from_nanos(when.saturating_sub(now));
            Ok((until_over(state, left)?,))
        },
    )?;
    clock.func_wrap(
        "subscribe-duration",
        |mut store: StoreContextMut<'_, GuestState>, (left,): (u64,)| {
            let state = store.data_mut();
            if !state.clients.time().is_skipped() {
                return Ok((state.clocks().subscribe_duration(left)?,));
            }
            Ok((until_over(state, Duration::from_nanos(left))?,))
        },
    )?;
    linker.instance(POLL)?.func_wrap_async(
        "[method]pollable.block",
        |mut store: StoreContextMut<'_, GuestState>, (it,): (Resource<DynPollable>,)| {
            Box::new(async move {
                let state = store.data_mut();
                let _rest = state.clients.time().rest();
                state.table.block(it).await
            })
        },
    )?;
    linker.allow_shadowing(false);
    Ok(())
}

fn until_over(state: &mut GuestState, left: Duration) -> wasmtime::Result<Resource<DynPollable>> {
    let time = state.clients.time().clone();
    let until = time.until(left);
    let wait = state.table.push(Wait { time, until })?;
    subscribe(&mut state.table, wait)
}

struct Wait {
    time: Time,
    until: Timestamp,
}

#[wasmtime_wasi::async_trait]
impl Pollable for Wait {
    async fn ready(&mut self) {
        self.time.sleep_until(self.until).await;
    }
}

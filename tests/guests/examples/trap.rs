//! Executes `unreachable`, without a word.

use serde_json::Value;
use taskhost_sdk::{Clients, Error};

fn run(_: Value, _: &Clients) -> Result<Value, Error> {
    #[cfg(target_arch = "wasm32")]
    core::arch::wasm32::unreachable();
    #[cfg(not(target_arch = "wasm32"))]
    std::process::abort();
}

taskhost_guests::guest!("trap", Value, run);

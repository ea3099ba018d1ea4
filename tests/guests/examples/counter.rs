//! Counts its runs in memory that would outlive a run if instances were used twice.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};
use taskhost_sdk::{Clients, Error};

static RUNS: AtomicU64 = AtomicU64::new(0);

fn run(_: Value, _: &Clients) -> Result<Value, Error> {
    Ok(json!({"runs": RUNS.fetch_add(1, Ordering::Relaxed) + 1}))
}

taskhost_guests::guest!("counter", Value, run);

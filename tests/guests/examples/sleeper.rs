//! Sleeps as long as it is told, without using CPU time, and completes. It says when it began.

use std::time::{Duration, Instant, SystemTime};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use taskhost_sdk::{Clients, Error};

#[derive(Deserialize, JsonSchema)]
struct Params {
    ms: u64,
}

fn run(params: Params, clients: &Clients) -> Result<Value, Error> {
    let began = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let began_us = began.map_or(0, |time| u64::try_from(time.as_micros()).unwrap_or(0));
    let start = Instant::now();
    // tidy: sleep allowed because it is what this guest is for
    clients.context.sleep(Duration::from_millis(params.ms))?;
    let slept_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(json!({"slept_ms": slept_ms, "began_us": began_us}))
}

taskhost_guests::guest!("sleeper", Params, run);

//! Sleeps as its language does it, and says what its clocks and the run's deadline show of it.

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
    let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let (monotonic, wall) = (Instant::now(), SystemTime::now());
    let remaining = clients.context.remaining();
    // tidy: sleep allowed because it is what this guest is for
    std::thread::sleep(Duration::from_millis(params.ms));
    let left = clients.context.remaining();
    Ok(json!({
        "monotonic_ms": ms(monotonic.elapsed()),
        "wall_ms": wall.elapsed().map_or(0, ms),
        "remaining_less_ms": ms(remaining.saturating_sub(left)),
    }))
}

taskhost_guests::guest!("naps", Params, run);

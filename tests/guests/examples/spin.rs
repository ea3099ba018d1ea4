//! Takes as much CPU time as it is told, and completes. Its limit is 300 ms.
//!
//! A guest sees no clock of its own CPU time, so it does an amount of work: it measures a small
//! piece often, takes the shortest (the others were interrupted), and repeats it often enough.

use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use taskhost_sdk::{Clients, Error};

#[derive(Deserialize, JsonSchema)]
struct Params {
    cpu_ms: u64,
}

fn run(params: Params, _: &Clients) -> Result<Value, Error> {
    let start = Instant::now();
    let piece = (0..100)
        .map(|_| time_of_a_piece())
        .min()
        .unwrap_or(Duration::from_micros(1));
    let wanted = Duration::from_millis(params.cpu_ms).as_nanos() / piece.as_nanos().max(1);
    for _ in 100..wanted {
        work();
    }
    let took_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(json!({"cpu_ms": params.cpu_ms, "took_ms": took_ms}))
}

fn time_of_a_piece() -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn work() {
    let mut number = 1_u64;
    for _ in 0..10_000 {
        number = std::hint::black_box(number.wrapping_mul(6_364_136_223_846_793_005));
    }
}

taskhost_guests::guest!("spin", Params, run, |it| it.cpu_ms(300));

//! Computes, copies memory or fills it without end. Its limit is 300 ms of CPU time.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use taskhost_sdk::{Clients, Error};

#[derive(Deserialize, JsonSchema)]
struct Params {
    how: How,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum How {
    Compute,
    Copy,
    Fill,
}

/// As much as one bulk instruction moves, which nothing can interrupt.
const BYTES: usize = 16 << 20;

fn run(params: Params, _: &Clients) -> Result<Value, Error> {
    let mut memory = match params.how {
        How::Compute => Vec::new(),
        How::Copy | How::Fill => vec![1_u8; 2 * BYTES],
    };
    let mut number = 0_u8;
    loop {
        number = std::hint::black_box(number.wrapping_add(1));
        match params.how {
            How::Compute => {}
            How::Copy => memory.copy_within(..BYTES, BYTES),
            How::Fill => memory.fill(number),
        }
        std::hint::black_box(&mut memory);
    }
}

taskhost_guests::guest!("greedy-loop", Params, run, |it| it.cpu_ms(300));

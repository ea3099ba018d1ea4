//! Calls itself until the stack is used up.

use serde_json::{Value, json};
use taskhost_sdk::{Clients, Error};

fn run(_: Value, _: &Clients) -> Result<Value, Error> {
    Ok(json!({"depth": deeper(0)}))
}

fn deeper(depth: u64) -> u64 {
    match std::hint::black_box(depth) {
        u64::MAX => depth,
        depth => std::hint::black_box(deeper(depth + 1)) + 1,
    }
}

taskhost_guests::guest!("deep-recursion", Value, run);

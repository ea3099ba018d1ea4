//! Allocates and uses memory until there is no more.

use serde_json::Value;
use taskhost_sdk::{Clients, Error};

fn run(_: Value, _: &Clients) -> Result<Value, Error> {
    let mut kept = Vec::new();
    loop {
        kept.push(vec![1_u8; 1 << 20]);
        std::hint::black_box(&kept);
    }
}

taskhost_guests::guest!("memory-bomb", Value, run);

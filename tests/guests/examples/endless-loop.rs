//! Computes forever, without any call to the host.

use serde_json::Value;
use taskhost_sdk::{Clients, Error};

fn run(_: Value, _: &Clients) -> Result<Value, Error> {
    let mut number = 0_u64;
    loop {
        number = std::hint::black_box(number.wrapping_add(1));
    }
}

taskhost_guests::guest!("endless-loop", Value, run, |it| it.grace_ms(100));

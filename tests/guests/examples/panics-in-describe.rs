//! Panics when it is asked what it is.

use serde_json::Value;
use taskhost_sdk::{Clients, Error};

fn run(params: Value, _: &Clients) -> Result<Value, Error> {
    Ok(params)
}

#[expect(clippy::panic, reason = "it is what this guest is for")]
fn confused(_: &taskhost_sdk::Descriptor) -> taskhost_sdk::Descriptor {
    panic!("I do not know what I am");
}

taskhost_guests::guest!("panics-in-describe", Value, run, |it| confused(&it));

//! Panics with the message that it is given.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use taskhost_sdk::{Clients, Error};

#[derive(Deserialize, JsonSchema)]
struct Params {
    message: String,
}

#[expect(clippy::panic, reason = "it is what this guest is for")]
fn run(params: Params, _: &Clients) -> Result<Value, Error> {
    panic!("{}", params.message);
}

taskhost_guests::guest!("panic", Params, run);

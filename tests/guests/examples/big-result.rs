//! Its result has as many KiB as it is told; its limit is 1,024.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use taskhost_sdk::{Clients, Error};

#[derive(Deserialize, JsonSchema)]
struct Params {
    kib: usize,
}

fn run(params: Params, _: &Clients) -> Result<Value, Error> {
    Ok(json!("x".repeat(params.kib * 1024)))
}

taskhost_guests::guest!("big-result", Params, run, |it| it.output_kib(1024));

//! Reports progress `calls` times without a pause.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use taskhost_sdk::{Clients, Error};

#[derive(Deserialize, JsonSchema)]
struct Params {
    calls: u64,
}

fn run(params: Params, clients: &Clients) -> Result<Value, Error> {
    for done in 1..=params.calls {
        clients
            .progress
            .report(done, Some(params.calls), &format!("call {done}"))?;
    }
    Ok(json!({"calls": params.calls}))
}

taskhost_guests::guest!("progress-flood", Params, run);

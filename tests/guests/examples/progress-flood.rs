//! Says `calls` times without a pause that it moves.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use taskhost_sdk::{Clients, Error};

#[derive(Deserialize, JsonSchema)]
struct Params {
    calls: u64,
    #[serde(default)]
    how: How,
}

#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum How {
    #[default]
    Report,
    Phase,
    Heartbeat,
}

fn run(params: Params, clients: &Clients) -> Result<Value, Error> {
    let (progress, total) = (&clients.progress, Some(params.calls));
    for done in 1..=params.calls {
        match params.how {
            How::Report => progress.report(done, total, &format!("call {done}"))?,
            How::Phase => progress.phase(&format!("phase {done}"))?,
            How::Heartbeat => progress.heartbeat()?,
        }
    }
    Ok(json!({"calls": params.calls}))
}

taskhost_guests::guest!("progress-flood", Params, run);

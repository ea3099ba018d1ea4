//! Writes `lines` lines of `bytes` bytes each to the log, to standard output and to standard error.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use taskhost_sdk::{Clients, Error, Level};

#[derive(Deserialize, JsonSchema)]
struct Params {
    lines: u64,
    bytes: usize,
}

fn run(params: Params, clients: &Clients) -> Result<Value, Error> {
    let text = "x".repeat(params.bytes);
    for number in 0..params.lines {
        clients
            .log
            .line_with(Level::Info, &text, &json!({"number": number}));
        println!("{text}");
        eprintln!("{text}");
    }
    Ok(json!({"lines": params.lines}))
}

taskhost_guests::guest!("log-flood", Params, run);

//! Goes on whatever it is told: computing, reporting, asking the host to let it sleep (which ends
//! at once when it has been told), or waiting for a clock of WASI, where nobody tells it anything.
//! It says `started` first.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use taskhost_sdk::{Clients, Error};

#[derive(Deserialize, JsonSchema)]
struct Params {
    how: How,
}

#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum How {
    Spin,
    Report,
    Sleep,
    Park,
}

fn run(params: Params, clients: &Clients) -> Result<Value, Error> {
    clients.progress.report(0, None, "started")?;
    let mut number = 0_u64;
    loop {
        number = std::hint::black_box(number.wrapping_add(1));
        match params.how {
            How::Spin => {}
            How::Report => drop(clients.progress.report(number, None, "still here")),
            // tidy: sleep allowed because it is what this guest is for
            How::Sleep => drop(clients.context.sleep(Duration::from_secs(3600))),
            // tidy: sleep allowed because it is what this guest is for
            How::Park => std::thread::sleep(Duration::from_secs(3600)),
        }
    }
}

taskhost_guests::guest!("ignores-cancel", Params, run, |it| it.grace_ms(100));

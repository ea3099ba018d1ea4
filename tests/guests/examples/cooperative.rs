//! Moves on every 50 ms until it is asked to stop, saves how far it came, and returns.

use std::time::Duration;

use serde_json::{Value, json};
use taskhost_sdk::{Clients, Error};

fn run(_: Value, clients: &Clients) -> Result<Value, Error> {
    let saved = clients.documents.collection::<Value>("cooperative")?;
    let mut steps = 0;
    let Err(stop) = endless(clients, &mut steps);
    saved.put(
        "last",
        &json!({"steps": steps, "reason": clients.context.cancel_reason()}),
    )?;
    Err(stop)
}

fn endless(clients: &Clients, steps: &mut u64) -> Result<std::convert::Infallible, Error> {
    loop {
        // tidy: sleep allowed because it is what this guest is for
        clients.context.sleep(Duration::from_millis(50))?;
        *steps += 1;
        clients.progress.report(*steps, None, "a step")?;
    }
}

taskhost_guests::guest!("cooperative", Value, run, |it| it
    .stream(taskhost_sdk::StreamUse::Optional)
    .collection("cooperative"));

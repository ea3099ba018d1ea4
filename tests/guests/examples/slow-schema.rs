//! Its result is large, and its schema takes long to check it.

use std::time::Duration;

use serde_json::{Value, json};
use taskhost_sdk::{Clients, Error};

const LETTERS: usize = 900_000;
/// The pattern is matched with all letters as often as the square of this.
const TIMES: usize = 30;

fn run(_: Value, clients: &Clients) -> Result<Value, Error> {
    let letters = json!("a".repeat(LETTERS));
    clients.progress.report(1, Some(1), "returns")?;
    // tidy: sleep allowed because what was said is written meanwhile, and a cancel is not heard
    std::thread::sleep(Duration::from_millis(200));
    Ok(letters)
}

fn schema() -> Value {
    let again = |what: &str| json!({"allOf": vec![json!({"$ref": what}); TIMES]});
    json!({
        "$ref": "#/$defs/often",
        "$defs": {
            "once": {"not": {"pattern": "[ab]+[c-x]"}},
            "more": again("#/$defs/once"),
            "often": again("#/$defs/more"),
        },
    })
}

taskhost_guests::guest!("slow-schema", Value, run, |it| it.result_schema(schema()));

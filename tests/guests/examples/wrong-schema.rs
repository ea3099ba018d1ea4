//! Its result is not what its own schema says.

use serde_json::{Value, json};
use taskhost_sdk::{Clients, Error};

fn run(_: Value, _: &Clients) -> Result<Value, Error> {
    Ok(json!({"answer": "forty-two"}))
}

taskhost_guests::guest!("wrong-schema", Value, run, |it| it.result_schema(json!({
    "type": "object",
    "properties": {"answer": {"type": "integer"}},
    "required": ["answer"],
})));

//! Its result is large, and its schema takes long to check it.

use std::time::Duration;

use serde_json::{Value, json};
use taskhost_sdk::{Clients, Error};

const LETTERS: usize = 900_000;
/// The pattern is matched with all letters as often as the square of this: just so often that the
/// host still accepts it.
const TIMES: usize = 3;

fn run(_: Value, clients: &Clients) -> Result<Value, Error> {
    // In no order: each letter leads the pattern to a state that it has not met.
    let mut state = 1_u64;
    let letter = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        if state >> 63 == 0 { 'a' } else { 'b' }
    };
    let letters: String = std::iter::repeat_with(letter).take(LETTERS).collect();
    clients.progress.report(1, Some(1), "returns")?;
    // tidy: sleep allowed because what was said is written meanwhile, and a cancel is not heard
    std::thread::sleep(Duration::from_millis(200));
    Ok(json!(letters))
}

fn schema() -> Value {
    let again = |what: &str| json!({"allOf": vec![json!({"$ref": what}); TIMES]});
    json!({
        "$ref": "#/$defs/often",
        "$defs": {
            "once": {"not": {"pattern": "[ab]*a[ab]{60}c"}},
            "more": again("#/$defs/once"),
            "often": again("#/$defs/more"),
        },
    })
}

taskhost_guests::guest!("slow-schema", Value, run, |it| it.result_schema(schema()));

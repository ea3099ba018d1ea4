//! Allocates and uses memory until there is no more, and then aborts, panics or exits.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use taskhost_sdk::{Clients, Error};

#[derive(Deserialize, JsonSchema)]
struct Params {
    #[serde(default)]
    then: Then,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Then {
    #[default]
    Abort,
    Panic,
    Exit,
}

#[expect(clippy::panic, reason = "it is what this guest is for")]
fn run(params: Params, _: &Clients) -> Result<Value, Error> {
    let mut kept = Vec::new();
    loop {
        let mut more = Vec::new();
        if more.try_reserve_exact(1 << 20).is_err() {
            match params.then {
                Then::Abort => std::process::abort(),
                Then::Panic => panic!("no more memory"),
                Then::Exit => std::process::exit(1),
            }
        }
        more.resize(1 << 20, 1_u8);
        kept.push(more);
        std::hint::black_box(&kept);
    }
}

taskhost_guests::guest!("memory-bomb", Params, run);

//! What the fuzzer drives: one module a target, each with the function that takes an input and
//! asserts what holds for every one.
//!
//! The programs that hand inputs to it stand in `fuzz_targets/` beside this crate; `tests/fuzz.rs`
//! replays, with every run of the tests, the inputs that are kept.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a target has no caller to hand an error to: the input is what is wrong"
)]

mod pick;
mod place;
mod explained;
mod exactness;
mod contract;
mod guest;
mod host;
mod wire;
pub mod component_loader;
pub mod descriptor;
pub mod condition;
pub mod host_call_json;
pub mod ndjson;
pub mod kibana_routes;

/// Takes an input, and panics if something does not hold that has to.
pub type Target = fn(&[u8]);

/// All of them, by name.
pub const TARGETS: [(&str, Target); 6] = [
    ("component_loader", component_loader::run),
    ("descriptor", descriptor::run),
    ("condition", condition::run),
    ("host_call_json", host_call_json::run),
    ("ndjson", ndjson::run),
    ("kibana_routes", kibana_routes::run),
];

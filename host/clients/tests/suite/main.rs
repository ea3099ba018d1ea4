//! Each client, called as a guest may call it, hostile arguments included, over the in-memory
//! store.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a harness has no caller to hand an error to: it fails the test"
)]

mod bench;
mod context;
mod saying;
mod streams;
mod turns;
mod documents;
mod state;
mod http;
#[path = "../../../../tests/e2e/src/model.rs"]
#[allow(
    unreachable_pub,
    dead_code,
    reason = "end-to-end tests use the same server, and more of it"
)]
mod model;
mod inference;
mod children;

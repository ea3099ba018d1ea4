//! The runtime with real components: the guests of `tests/guests`, and small ones in WAT where a
//! behaviour needs no more or Rust cannot have it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a harness has no caller to hand an error to: it fails the test"
)]

mod bench;
mod wat;
mod ends;
mod reach;
mod stopping;
mod sharing;
mod loading;
mod released;

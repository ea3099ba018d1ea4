//! What end-to-end tests stand on: the real binary in a folder of its own, spoken to over HTTP and
//! from the command line.
//!
//! A test makes a [`home::Home`], puts task types into its watched folder, starts a
//! [`host::Host`], and waits for what can be observed. Nothing here knows how the host works.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a harness has no caller to hand an error to: it fails the test"
)]

use std::time::Duration;

pub mod places;
pub mod answer;
pub mod events;
pub mod component;
pub mod signing;
pub mod home;
pub mod host;
pub mod tasks;
pub mod model;
pub mod encrypted;
pub mod plain_server;
pub mod proxy;
pub mod elasticsearch;
pub mod cluster;
pub mod holder;
pub mod routes;
pub mod fleet;
pub mod load;
pub mod held;
pub mod linear;
pub mod browser;

/// How long anything may take that has to come. Generous: it only bounds what goes wrong.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Whether the long proofs are asked for (`tests/run.sh --all`).
#[must_use]
pub fn long() -> bool {
    std::env::var_os("TASKHOST_LONG").is_some()
}

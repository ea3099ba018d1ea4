//! The host's own shared memory, run by shuttle: a scheduler that puts the steps of threads in
//! any order, and can repeat the order that went wrong.
//!
//! # How it works
//! The host's files are compiled a second time, to the letter, with other things behind the
//! names that they use: `crate::sync` is of shuttle's making here, and where they say `tokio` or
//! `taskhost_clients` they mean this crate. A step is a use of a lock, an atomic or a `Notify`;
//! a sleep takes as long as shuttle likes. So nothing of this is in the host, and no setting of
//! a build could put it there.
//!
//! # What it does not show
//! Shuttle knows of no weaker memory order than `SeqCst`. Whole calls of the service, with its
//! store, runtime and guests, are put in order by `host/service/tests/suite/races.rs`.

// The files' own tests are for the real thing: built for those, there is nothing here.
#![cfg(not(test))]
#![allow(
    dead_code,
    unreachable_pub,
    reason = "of the host's files only what threads share is used here"
)]
#![allow(
    clippy::unwrap_used,
    reason = "a harness has no caller to hand an error to: it fails the test"
)]

extern crate self as taskhost_clients;
extern crate self as tokio;
extern crate tokio as real_tokio;

mod sync;
mod time;
#[path = "../../../host/clients/src/stop.rs"]
pub mod stop;
#[path = "../../../host/clients/src/stillness.rs"]
mod stillness;
#[path = "../../../host/runtime/src/ticker.rs"]
mod ticker;
#[path = "../../../host/service/src/changes.rs"]
mod changes;
#[path = "../../../host/service/src/live.rs"]
mod live;
pub mod explore;
pub mod signals;
pub mod runs;
pub mod feeds;
pub mod ticks;

//! Runs one component safely: loads it, gives each run an instance of its own, limits what it
//! uses, ends it when it has to end, and says how it went.
//!
//! # Guarantees
//! 1. A component reaches what its clients grant it and nothing else: no folder, no variable, no
//!    address, no other run.
//! 2. It uses no more than its limits: memory of all memories and tables together, CPU time of
//!    its own, wall-clock time, size and depth of its result.
//! 3. It can be ended at any instruction; other guests, HTTP and the store go on meanwhile.
//! 4. Every end is a value ([`RunExit`]); nothing that a component does ends the host.
//! 5. What an author's bytes cost before they run is limited too: parsed here, compiled in a
//!    process of its own, described under limits.
//!
//! # How it works
//! [`Runtime::check`] parses an upload and compares its types with the contract's; `load`
//! compiles it in a child process that fills the engine's cache, reads the code from there and
//! links it once; `run` takes a place in the instance pool (`places.rs`), makes a store with its
//! limits, and drives the guest on an executor of its own (`call.rs`, `guest.rs`), metered by
//! `meter.rs` and `memory.rs`, interrupted by `ticker.rs`. The guest's calls arrive in
//! `bindings/v1.rs`, which hands them to `taskhost_clients`.
//!
//! # Why this way
//! One engine with a pool makes a fresh instance cheaper than any reuse of an old one would be
//! worth; so no run ever sees what another left behind.

pub mod telemetry;
mod settings;
mod error;
mod engine;
mod meter;
mod memory;
mod sync;
mod ticker;
mod output;
mod tape;
mod virtual_clocks;
mod state;
mod virtual_waits;
mod bindings;
mod contract;
mod check;
mod compile;
mod exit;
mod places;
mod guest;
mod executors;
mod call;
mod runtime;

pub use compile::compile_child;
pub use contract::{Outline, outline};
pub use error::{InvalidComponent, LoadError, RunFailure, RuntimeError};
pub use exit::{ExitOutcome, RunExit};
pub use runtime::{Component, RunRequest, Runtime};
pub use settings::{CompileCommand, RunLimits, RuntimeSettings};
pub use tape::{Entry, Recorder, Replay, Stopped, Tape};

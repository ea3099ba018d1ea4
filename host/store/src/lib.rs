//! Where documents live: traits with numbered guarantees, the backends behind them, and
//! one conformance suite that every backend passes.
//!
//! # Guarantees
//! 1. Accepted is durable: a write is answered after it is on disk.
//! 2. Only [`apply::decide`] changes a status, and only as `model` allows.
//! 3. Every write of a run carries its fence; a late writer changes nothing and is told so.
//! 4. Callers see the traits alone; a backend is named in `open.rs` and in its tests.
//!
//! # Why traits over whole documents
//! A backend decides and writes in one atomic unit of its own (a transaction of the embedded
//! store, compare-and-set on a cluster) but asks the same pure function what to write.

pub mod error;
pub mod event;
pub mod apply;
pub mod limits;
pub mod queue;
pub mod lists;
pub mod many;
pub mod history;
pub mod tasks;
pub mod documents;
pub mod checkpoints;
pub mod recordings;
pub mod streams;
pub mod whole;
pub mod components;
pub mod hosts;
pub mod authority;
pub mod tokens;
pub mod run_keys;
pub mod audit;
pub mod schedules;
mod place;
mod cursor;
mod matching;
mod look;
mod batch;
mod fields;
mod sample;
pub mod crash;
pub mod telemetry;
pub mod memory;
mod sqlite;
mod elastic;
mod lock;
pub mod backup;
pub mod open;
#[cfg(any(test, feature = "conformance"))]
pub mod faulty;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
#[cfg(test)]
mod tests;

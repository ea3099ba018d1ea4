//! The words of the system: ids, time, statuses and their transitions, the task document,
//! descriptors of task types, conditions and queries over stream data.
//!
//! # Guarantees
//! 1. Pure: no async, no files, no clock but the one that is handed in.
//! 2. A value that exists is valid: ids, conditions and descriptors are checked when parsed.
//! 3. [`status::Phase::next`] is total: every pair of phase and trigger has an answer.
//!
//! The modules are listed in reading order; each uses only those above it.

pub mod ids;
pub mod time;
pub mod trace;
pub mod requester;
pub mod rights;
pub mod token;
pub mod audit;
pub mod error;
pub mod status;
pub mod receipt;
pub mod task;
pub mod former;
pub mod stale;
pub mod schedule;
pub mod capabilities;
pub mod contract;
pub mod concurrency;
pub mod descriptor;
pub mod exact;
pub mod condition;
pub mod query;
pub mod feature;

//! The task service: schedule, get, cancel, acknowledge, delete and list tasks; run them on
//! components that are loaded while the host runs.
//!
//! # Guarantees
//! 1. What `schedule` has answered is on disk, and ends in a terminal status, whatever happens
//!    to its component or to this process.
//! 2. Nothing is polled where no other process can use the store: a scheduled, freed or newly
//!    runnable task wakes the scheduler.
//! 3. Every run that ends is written once; a writer that lost its lease changes nothing.
//!
//! # How it works
//! One verb a file. `schedule` writes, and the store asks `claims` within that write whether a
//! slot is free: then the task is claimed with it. What was not wakes `scheduler`, which claims
//! what is due for the free slots. Each claim goes to `runner`: pin the version, run the
//! component, turn its exit into an event, apply it. `changes` tells readers who wait; `sweeper`
//! finishes what a lost host or a failed write left behind. `children` has what a run spawns and
//! waits for, and `family` what the end of a run means for others. On a store that several hosts
//! use, `hosts` says that this one is alive and finds those that are not, `elsewhere` hears what
//! others do to this one's runs, and `peers` tells them, so that nobody has to wait until he looks.
//!
//! # Why this way
//! The document is both queue entry and state, so there is nothing that could disagree.

pub mod signatures;
pub mod policy;
pub mod settings;
pub mod host_key;
pub mod key_ring;
pub mod error;
pub mod view;
mod background;
mod sync;
mod lease;
mod leased;
pub mod peers;
pub mod nudge;
mod changes;
mod live;
mod wake;
mod access;
pub mod audit;
mod run_keys;
pub mod types;
pub mod telemetry;
pub mod spans;
mod backlog;
mod core;
mod seen;
mod watch;
mod follow;
mod family;
mod deadlock;
mod concurrency;
mod named_streams;
mod wishes;
mod schedule;
mod retry;
mod submit;
mod batch;
mod get;
mod runs;
mod cancel;
mod acknowledge;
mod delete;
mod list;
pub mod measure;
mod bulk;
mod trouble;
pub mod hosts;
mod elsewhere;
mod report;
mod end;
mod slot;
mod children;
mod outcome;
pub mod recording;
mod identity;
pub mod schedules;
mod keeping;
mod runner;
mod claims;
mod scheduler;
mod swept_keys;
mod upkeep;
mod sweeper;
pub mod tokens;
pub mod sessions;
pub mod streams;
pub mod collections;
pub mod features;
mod space_documents;
mod service;

pub use batch::{Accepted, BatchAnswer, BatchItem};
pub use bulk::{BulkAnswer, BulkOp, BulkOutcome, BulkRequest, BulkResult};
pub use changes::{Change, ChangeKind, Lagged, Numbered};
pub use core::Tasks;
pub use follow::Follow;
pub use retry::RetryRequest;
pub use runs::RunLog;
pub use schedule::{RunningTask, ScheduleRequest, Scheduled};
pub use service::{Health, Parts, Service};
pub use submit::Submitted;
pub use watch::Watch;

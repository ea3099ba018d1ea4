//! The task service over stores that fail, and over every order in which its calls can meet.
//!
//! Everything but the store's trouble is real: the service, the runtime and a component. Time is
//! the test's own, moved by it; a seed says what happens, and a failure names it. With
//! `TASKHOST_SEED` that one alone is tried, with `TASKHOST_LONG` many more are.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a harness has no caller to hand an error to: it fails the test"
)]

mod guest;
mod record;
mod people;
mod bench;
mod faults;
mod races;
mod hold;
mod backlog;
mod lacking;
mod pushes;
mod reads;
mod orphans;
mod keys;
mod suspended;
mod unreadable;
mod recordings;
mod spoiled_recordings;
mod together;
mod hosts;
mod timetables;
mod population;
mod recognition;
mod answers;
mod rights;
mod run_keys;
mod timetables_of_people;
mod rotation;
mod key_races;
mod cluster;
mod elastic;
mod whole;

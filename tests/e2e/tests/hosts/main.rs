//! Many hosts on one real Elasticsearch: `tests/elasticsearch/with.sh` starts it, and runs this.
//! With TASKHOST_LONG the proofs take minutes, and those run that have no short form.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what a test shares with others fails the test as well"
)]

mod storm;
mod starved;
mod schedules;
mod takeover;
mod zombie;
mod outage;
mod one_document;
mod versions;

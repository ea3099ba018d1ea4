//! The host's own shared memory, run by shuttle: a scheduler that puts the steps of threads in
//! any order, and can repeat the order that went wrong.
//!
//! # How it works
//! The host's files are compiled a second time, to the letter, with other things behind the
//! names that they use: `crate::sync` is of shuttle's making here, and where they say `tokio`,
//! `tokio_util`, `taskhost_clients` or `taskhost_runtime` they mean this crate. A step is a use
//! of a lock, an atomic, a `Notify` or a semaphore; a sleep takes as long as shuttle likes. So
//! nothing of this is in the host, and no setting of a build could put it there.
//!
//! # What it does not show
//! Shuttle knows of no weaker memory order than `SeqCst`. Guests and their executor, types and
//! HTTP are not here, and the store is the one in memory: whole calls of the real service are
//! put in order by `host/service/tests/suite/races.rs`.

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
extern crate self as taskhost_runtime;
extern crate self as tokio;
extern crate self as tokio_util;
extern crate tokio as real_tokio;
extern crate tokio_util as real_tokio_util;

/// Tokio's, without chance: an order of steps can be repeated.
macro_rules! select {
    ($($branches:tt)*) => {
        $crate::real_tokio::select! { biased; $($branches)* }
    };
}

pub(crate) use runner::Runtime;
pub(crate) use select;
pub(crate) use shuttle::future::spawn;

mod sync;
mod time;
mod runtime;
mod task;
#[path = "../../../host/clients/src/stop.rs"]
mod stop;
#[path = "../../../host/clients/src/stillness.rs"]
mod stillness;
#[path = "../../../host/clients/src/sink.rs"]
mod sink;
/// No guest reads here.
mod turns {
    #[derive(Debug, Default)]
    pub(crate) struct RunTurns;
}
/// No guest calls here.
mod calls {
    use crate::virtual_time::Time;

    pub(crate) trait CallScript: std::fmt::Debug + Send + Sync {
        fn time(&self) -> Time;
    }
}
/// Nothing is skipped here.
mod virtual_time {
    use taskhost_model::time::Timestamp;

    #[derive(Debug, Default)]
    pub(crate) struct Time;
    pub(crate) struct Work;

    impl Time {
        pub(crate) fn work(&self) -> Work {
            Work
        }

        pub(crate) async fn skipped_to(&self, _: Option<Timestamp>) {
            std::future::pending().await
        }
    }
}
/// No guest sends here.
mod http {
    #[derive(Debug)]
    pub(crate) struct Network;
}
/// No guest asks here.
mod inference {
    #[derive(Debug)]
    pub(crate) struct Connectors;
}
/// Nothing is checked here.
mod schema {
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct FieldError {
        pub field: String,
        pub problem: String,
    }
}
#[path = "../../../host/runtime/src/ticker.rs"]
mod ticker;
#[path = "../../../host/service/src/signatures.rs"]
pub(crate) mod signatures;
#[path = "../../../host/service/src/policy.rs"]
pub(crate) mod policy;
#[path = "../../../host/service/src/host_key.rs"]
mod host_key;
#[path = "../../../host/service/src/settings.rs"]
mod settings;
#[path = "../../../host/service/src/error.rs"]
mod error;
mod types;
/// Nobody is asked who they are here, and no run reads a stream.
mod access {
    #[derive(Debug)]
    pub(crate) struct Access;
}
/// Nobody looks at what people do here.
mod audit {
    #[derive(Debug)]
    pub(crate) struct Audit;

    impl Audit {
        #[expect(clippy::unused_async, reason = "the real one asks the store")]
        pub(crate) async fn trim(&self) -> Result<u64, taskhost_store::error::StoreError> {
            Ok(0)
        }
    }
}
/// See `access`.
mod run_keys {
    #[derive(Debug)]
    pub(crate) struct RunKeys;
}
#[path = "../../../host/service/src/lease.rs"]
mod lease;
#[path = "../../../host/service/src/peers.rs"]
mod peers;
#[path = "../../../host/service/src/changes.rs"]
mod changes;
#[path = "../../../host/service/src/live.rs"]
mod live;
#[path = "../../../host/service/src/wake.rs"]
mod wake;
/// Nothing is measured here.
mod backlog {
    #[derive(Debug, Default)]
    pub(crate) struct Backlog;
}
/// Nobody collects traces here.
mod spans {
    pub(crate) trait SpanSink: std::fmt::Debug + Send + Sync {}
}
/// Nothing is counted here.
mod telemetry {

    use taskhost_model::time::Timestamp;
    use taskhost_store::event::{Applied, Event};

    #[derive(Debug, Clone, Copy)]
    pub(crate) struct Counted;

    impl Counted {
        pub(crate) fn of(_: &Event) -> Self {
            Self
        }
    }

    pub(crate) fn count(_: Counted, _: &Applied, _: Timestamp) {}

    pub(crate) fn reclaimed(_: u64) {}
}
#[path = "../../../host/service/src/core.rs"]
mod core;
#[path = "../../../host/service/src/family.rs"]
mod family;
#[path = "../../../host/service/src/trouble.rs"]
mod trouble;
#[path = "../../../host/service/src/report.rs"]
mod report;
#[path = "../../../host/service/src/end.rs"]
mod end;
#[path = "../../../host/service/src/slot.rs"]
mod slot;
mod runner;
#[path = "../../../host/service/src/claims.rs"]
mod claims;
#[path = "../../../host/service/src/scheduler.rs"]
mod scheduler;
/// See `access`; nor are there other hosts.
mod swept_keys {
    use taskhost_model::ids::Incarnation;
    use taskhost_store::error::StoreError;
    use taskhost_store::hosts::HostStore;

    impl crate::core::Core {
        #[expect(clippy::unused_async, reason = "the real one asks the store")]
        pub(crate) async fn sweep_keys(&self, _: bool) -> Result<u64, StoreError> {
            Ok(0)
        }

        #[expect(clippy::unused_async, reason = "the real one asks the store")]
        pub(crate) async fn is_over(
            &self,
            _: &dyn HostStore,
            _: Incarnation,
        ) -> Result<bool, StoreError> {
            unreachable!("there is one host")
        }
    }
}
#[path = "../../../host/service/src/upkeep.rs"]
mod upkeep;
#[path = "../../../host/service/src/sweeper.rs"]
mod sweeper;
mod store;
pub mod explore;
pub mod signals;
pub mod runs;
pub mod feeds;
pub mod ticks;
mod bench;
pub mod tasks;
pub mod reports;

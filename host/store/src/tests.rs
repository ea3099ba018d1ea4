//! Both backends pass the suite and agree with each other; what no trait shows is tested here
//! for the embedded store alone.

mod agreement;
mod agreement_of_data;
pub(crate) mod conditions;
mod crashes;
mod elastic;
mod elastic_streams;
mod files;
mod fixtures;
mod people;
mod tokens;

use std::path::Path;

use taskhost_model::time::Clock;

use crate::conformance::{Subject, exercise, exercise_shared, given};
use crate::limits::Limits;
use crate::open::{Settings, Stores, in_memory, in_memory_of_hosts, open};

fn settings(folder: &Path) -> Settings {
    Settings {
        folder: folder.to_owned(),
        limits: Limits::default(),
    }
}

fn opened(folder: &Path, clock: &Clock) -> Stores {
    open(&settings(folder), clock.clone()).unwrap()
}

/// A folder in memory where the system has one: these tests compare answers, and on a disk that
/// others keep busy their many small commits would take minutes.
pub(crate) fn quick_folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap())
}

fn memory(clock: &Clock) -> Subject {
    Subject {
        stores: in_memory(Limits::default(), clock.clone()),
        clock: clock.clone(),
    }
}

fn sqlite(folder: &Path, clock: &Clock) -> Subject {
    Subject {
        stores: opened(folder, clock),
        clock: clock.clone(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_passes_the_suite() {
    exercise(async || memory(&given::clock())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_that_hosts_share_passes_the_suite() {
    let make = async || {
        let clock = given::clock();
        let mut stores = in_memory_of_hosts(Limits::default(), clock.clone(), 1);
        Subject {
            stores: stores.remove(0),
            clock,
        }
    };
    exercise_shared(make).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_passes_the_suite() {
    let root = quick_folder();
    let made = std::cell::Cell::new(0);
    exercise(async || {
        made.set(made.get() + 1);
        sqlite(&root.path().join(made.get().to_string()), &given::clock())
    })
    .await;
}

//! Both backends pass the suite, and agree with each other.

use crate::conformance::{Subject, exercise, given};
use crate::limits::Limits;
use crate::open::{Settings, in_memory, open};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_passes_the_suite() {
    exercise(|| {
        let clock = given::clock();
        let stores = in_memory(Limits::default(), clock.clone());
        Subject { stores, clock }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_passes_the_suite() {
    let root = tempfile::tempdir().unwrap();
    let made = std::cell::Cell::new(0);
    exercise(|| {
        made.set(made.get() + 1);
        let clock = given::clock();
        let settings = Settings {
            folder: root.path().join(made.get().to_string()),
            limits: Limits::default(),
        };
        let stores = open(&settings, clock.clone()).unwrap();
        Subject { stores, clock }
    })
    .await;
}

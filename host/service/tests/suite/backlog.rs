//! A host that finds far more to run than it should claim in one write.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use taskhost_model::time::{Clock, Timestamp};
use taskhost_runtime::{Runtime, RuntimeSettings};
use taskhost_service::{Parts, Service};
use taskhost_store::faulty::{Call, Fate, Policy, Seen, wrap};
use taskhost_store::limits::Limits;
use taskhost_store::open::in_memory;

use crate::bench::{parts, runtime_settings};
use crate::guest;
use crate::hold::until;
use crate::people::{Accepted, Wish, say, somebody};

/// All of them fit the host's slots.
const RUNS: usize = 600;
/// A write of so many holds up others for some milliseconds.
const CLAIMED_MAX: usize = 256;

/// How many runs each claim has brought.
#[derive(Debug, Default)]
struct Counts(Mutex<Vec<usize>>);

#[async_trait]
impl Policy for Counts {
    async fn before(&self, _: Call<'_>) -> Fate {
        Fate::Done
    }

    fn done(&self, seen: Seen<'_>) {
        if let Seen::Claimed(runs) = seen {
            self.0.lock().unwrap().push(runs.len());
        }
    }

    async fn after(&self, _: Call<'_>) {}
}

#[tokio::test]
async fn a_host_with_many_slots_fills_them_in_several_writes() {
    let counts = Arc::new(Counts::default());
    let policy: Arc<dyn Policy> = Arc::<Counts>::clone(&counts);
    let clock = Clock::manual(Timestamp::from_ms(1_795_000_000_000));
    let stores = wrap(&in_memory(Limits::default(), clock.clone()), &policy);
    let mut parts = Parts {
        runtime: Arc::new(Runtime::start(runtime_of_many()).unwrap()),
        ..parts(&stores, &clock)
    };
    parts.settings.slots = RUNS;
    let service = Service::start(parts).await.unwrap();
    service
        .types
        .push(&somebody(), guest::component(0), None)
        .await
        .unwrap();
    let accepted = Accepted::default();
    for number in 0..RUNS {
        let wish = Wish::Schedule(guest::WAITS);
        let id = format!("t{number}");
        say(&service, &accepted, &id, wish).await.unwrap();
    }
    service.begin();
    // None of them ends, so that no free slot has the host look again.
    until(|| service.health().running == RUNS).await;
    let counts = counts.0.lock().unwrap().clone();
    assert_eq!(counts.iter().sum::<usize>(), RUNS);
    assert!(counts.iter().all(|runs| *runs <= CLAIMED_MAX), "{counts:?}");
}

fn runtime_of_many() -> RuntimeSettings {
    RuntimeSettings {
        runs_max: RUNS,
        ..runtime_settings()
    }
}

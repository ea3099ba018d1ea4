//! Tasks of a host: one that is due starts while there is a slot, none ends twice, none is stuck.

use std::sync::Arc;

use shuttle::future::{block_on, yield_now};
use shuttle::rand::{Rng, thread_rng};
use taskhost_model::ids::RunId;
use taskhost_model::status::Phase;
use taskhost_model::task::Task;
use taskhost_store::event::Outcome;

use crate::bench::{Bench, acknowledge, cancel, delete, key, schedule};
use crate::core::Core;
use crate::runner::Kind;
use crate::runs::run_id;
use crate::store::Trouble;

/// Few, so that people are in each other's way.
const IDS: [&str; 2] = ["t0", "t1"];
const WISHES: u64 = 3;
const SWEEPS: usize = 4;
/// So long may somebody have been at it when the host is drained.
const MOMENTS: usize = 30;
/// Sweeps until all is quiet; a few are enough.
const SWEEPS_MAX: usize = 300;

/// A run waits, of another one the second attempt is due later, and meanwhile their type comes:
/// there is a slot for each, so that nobody waits for another. The sweeper goes round, and takes
/// nobody for lost. Whoever waits ends when the task is canceled, or deleted.
pub fn due_with_a_free_slot() {
    block_on(async {
        let bench = Bench::start(2, Trouble::None);
        let people = [("waits", 1, Kind::Waits), ("goes", 2, Kind::TriedAgain)];
        let people = people.map(|(id, number, kind)| {
            let core = Arc::clone(&bench.core);
            crate::spawn(async move { drop(schedule(&core, id, number, kind).await.unwrap()) })
        });
        bench.core.types.push();
        bench.core.wake.something_is_due();
        let mut sweeper = bench.sweeper();
        let sweeping = crate::spawn(async move { sweeper.run_once().await });
        let mut watch = bench.core.changes.watch(&key("goes"));
        while !bench.store.is_over(run_id(2)) {
            watch.next().await.unwrap();
        }
        for person in people {
            person.await.unwrap();
        }
        assert_eq!(sweeping.await.unwrap().lost_runs, 0);
        if thread_rng().gen_bool(0.5) {
            cancel(&bench.core, "waits").await.unwrap();
        } else {
            delete(&bench.core, "waits").await.unwrap();
        }
        while !held(&bench.core).await.is_empty() {
            yield_now().await;
        }
        bench.drain().await;
    });
}

/// A task is deleted while it runs, or while its end is written, and scheduled anew: not before
/// the old guest is gone does the new one start, and without a sweeper's help it does.
pub fn anew() {
    block_on(async {
        let bench = Bench::start(2, Trouble::None);
        bench.core.types.push();
        let ends_by_itself = thread_rng().gen_bool(0.5);
        let first = if ends_by_itself {
            Kind::Completes
        } else {
            Kind::Waits
        };
        for (number, kind) in [(1, first), (2, Kind::Waits)] {
            schedule(&bench.core, "anew", number, kind).await.unwrap();
            let run = run_id(number);
            while !runs(&bench.core, run) && !bench.store.is_over(run) {
                yield_now().await;
            }
            delete(&bench.core, "anew").await.unwrap();
        }
        bench.drain().await;
    });
}

/// The host is drained while somebody schedules: when that is over nothing runs, and nothing
/// starts.
pub fn a_drain() {
    block_on(async {
        let bench = Bench::start(2, Trouble::None);
        bench.core.types.push();
        let core = Arc::clone(&bench.core);
        let somebody = {
            let core = Arc::clone(&core);
            crate::spawn(async move {
                for (number, id) in (1..).zip(IDS) {
                    schedule(&core, id, number, Kind::Waits).await.unwrap();
                }
            })
        };
        for _ in 0..thread_rng().gen_range(0..MOMENTS) {
            yield_now().await;
        }
        bench.drain().await;
        assert_eq!(held(&core).await, []);
        somebody.await.unwrap();
        assert_eq!(held(&core).await, []);
        assert_eq!(core.live.count(), 0);
    });
}

/// People want this and that of few tasks, the store has trouble, and the sweeper goes round.
/// Afterwards everything comes to its end by itself, but for those who wait to be canceled.
pub fn in_trouble() {
    block_on(async {
        let bench = Bench::start(2, Trouble::Any);
        bench.core.types.push();
        let mut sweeper = bench.sweeper();
        let sweeping = crate::spawn(async move {
            for _ in 0..SWEEPS {
                // What could not be read or written is left to the next sweep.
                sweeper.run_once().await;
            }
            sweeper
        });
        let people = [0, 1, 2].map(|number| crate::spawn(person(Arc::clone(&bench.core), number)));
        let mut accepted = Vec::new();
        for person in people {
            accepted.extend(person.await.unwrap());
        }
        let mut sweeper = sweeping.await.unwrap();
        bench.store.end_trouble();
        let mut sweeps = 0;
        while !is_quiet(&bench.core).await {
            sweeps += 1;
            assert!(sweeps < SWEEPS_MAX, "stuck: {:#?}", bench.core.live);
            sweeper.run_once().await;
            yield_now().await;
        }
        for run in accepted {
            assert!(
                bench.store.is_over(run),
                "{run} was accepted and came to no end"
            );
        }
        bench.drain().await;
    });
}

/// The runs whose schedule was answered well.
async fn person(core: Arc<Core>, person: u64) -> Vec<RunId> {
    let mut accepted = Vec::new();
    for wish in 0..WISHES {
        let id = IDS[thread_rng().gen_range(0..IDS.len())];
        // The store's trouble is for people to live with.
        match thread_rng().gen_range(0..8) {
            0..4 => {
                let (number, kind) = (person * WISHES + wish, Kind::any());
                let scheduled = schedule(&core, id, number, kind).await;
                if scheduled.is_ok_and(|applied| applied.outcome == Outcome::Changed) {
                    accepted.push(run_id(number));
                }
            }
            4..6 => drop(cancel(&core, id).await),
            6 => drop(acknowledge(&core, id).await),
            _ => drop(delete(&core, id).await),
        }
    }
    accepted
}

/// Cancels those who wait for it, once, and says whether nothing is left to be done.
async fn is_quiet(core: &Arc<Core>) -> bool {
    let mut unfinished = false;
    for id in IDS {
        let stored = core.tasks.read(&key(id)).await.unwrap();
        let Some(stored) = stored.filter(|stored| !stored.task.status.is_terminal()) else {
            continue;
        };
        unfinished = true;
        let waits = [Kind::Waits, Kind::Talks].map(Kind::params);
        if waits.contains(&stored.params) && stored.task.phase() != Phase::BeingCanceled {
            cancel(core, id).await.unwrap();
        }
    }
    !unfinished && held(core).await.is_empty() && core.live.count() == 0
}

fn runs(core: &Core, run: RunId) -> bool {
    core.live.running().iter().any(|fence| fence.run == run)
}

/// Tasks that somebody runs, or should.
async fn held(core: &Core) -> Vec<Task> {
    core.tasks.held(IDS.len()).await.unwrap()
}

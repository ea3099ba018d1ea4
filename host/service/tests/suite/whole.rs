//! The whole task service against a pure model of it (T1): any steps of people, guests, time and
//! the host's own life, and after each of them the service has answered, has written and shows what
//! the model says.
//!
//! Everything is real but two things: guests do what the test tells them, and nobody but the test
//! moves time. So each step has one outcome, and a model that is only told what happened can say
//! what has to be there. Where several things may come first, such as which of two runs that are
//! due is claimed, it takes the one that did, and says whether it could.
//!
//! A failure prints the fewest steps that lead to it, and the seed of its case: with
//! `TASKHOST_SEED` that one alone is tried, and shrinks the same way. With `TASKHOST_LONG` 10,000
//! are tried in memory, and 3,000 on the embedded store.

mod guest;
mod facts;
mod rules;
mod doc;
mod model;
mod command;
mod answers;
mod watch;
mod lab;
mod trial;

use std::cell::RefCell;
use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use crate::bench::Seed;
use command::{Command, Condition, Wish, commands};
use lab::Ground;
use trial::Trial;

/// Each needs a case.
const SHRINKS_MAX: u32 = 2_000;
/// What has to happen in so many cases, lest a test of nothing passes: what is asked of the store,
/// what comes of it, and the status afterwards.
const OFTEN: (u64, &[&str]) = (
    100,
    &[
        "schedule: Changed, in_progress",
        "schedule: Unchanged, in_progress",
        "schedule: VersionMismatch, in_progress",
        "claim: Changed, in_progress",
        "cancel: Changed, canceled",
        "cancel: Changed, being_canceled",
        "acknowledge: Refused, in_progress",
        "delete: Changed, not_started",
        "Completed: Changed, completed",
        "Failed(Task, true): Changed, in_progress",
        "Failed(Task, false): Changed, failed",
        "HandedBack: Changed, in_progress",
        "lost: Changed, in_progress",
        "previous ended: Changed, not_started",
        "tombstones removed: Changed, nothing",
    ],
);
/// The same of what is rarer.
const SELDOM: (u64, &[&str]) = (
    3_000,
    &[
        "schedule: Refused, being_canceled",
        "schedule: VersionMismatch, completed",
        "cancel: Unchanged, being_canceled",
        "cancel: Unchanged, completed",
        "acknowledge: Changed, acknowledged",
        "acknowledge: Refused, failed",
        "said: Changed, in_progress",
        "Completed: Changed, canceled",
        "Completed: Fenced, not_started",
        "Completed: Fenced, in_progress",
        "Failed(Trap, false): Changed, failed",
        "Paused: Changed, in_progress",
        "Stopped: Changed, canceled",
        "lost: Changed, failed",
        "lost: Changed, canceled",
        "previous ended: Changed, in_progress",
        "overdue: Changed, failed",
    ],
);

type Tally = BTreeMap<String, u64>;

fn holds_in_every_case(ground: &Ground, (cases, cases_long): (u64, u64)) {
    let tally = RefCell::new(Tally::new());
    let mut tried = 0;
    for seed in Seed::some(cases, cases_long) {
        let mut random = [0; 32];
        seed.random().fill_bytes(&mut random);
        let random = TestRng::from_seed(RngAlgorithm::ChaCha, &random);
        let config = Config {
            cases: 1,
            max_shrink_iters: SHRINKS_MAX,
            failure_persistence: None,
            ..Config::default()
        };
        let mut runner = TestRunner::new_with_rng(config, random);
        let case = (prop::option::of(Just(2)), commands());
        match runner.run(&case, |case| holds(ground, &case, &tally)) {
            Ok(()) => tried += 1,
            Err(TestError::Fail(why, case)) => {
                panic!("after {tried} cases: {why}\nby {case:#?}")
            }
            Err(TestError::Abort(why)) => panic!("{why}"),
        }
    }
    let tally = tally.into_inner();
    println!("{tried} cases: {tally:#?}");
    for (cases, kinds) in [OFTEN, SELDOM] {
        let mut missing = kinds.iter().filter(|kind| !tally.contains_key(**kind));
        let is_tried = tried < cases || missing.next().is_none();
        assert!(is_tried, "not all of {kinds:#?} have happened");
    }
}

fn holds(
    ground: &Ground,
    (limit, steps): &(Option<usize>, Vec<Command>),
    tally: &RefCell<Tally>,
) -> Result<(), TestCaseError> {
    let mut trial = Trial::start(ground, *limit);
    for step in steps {
        trial.step(step).map_err(TestCaseError::fail)?;
    }
    let mut tally = tally.borrow_mut();
    for (kind, count) in trial.tally() {
        *tally.entry(kind.clone()).or_default() += count;
    }
    Ok(())
}

#[test]
fn whatever_is_done_the_service_in_memory_is_as_the_model_says() {
    holds_in_every_case(&Ground::Memory, (200, 10_000));
}

#[test]
fn whatever_is_done_the_service_on_the_embedded_store_is_as_the_model_says() {
    holds_in_every_case(&Ground::folder(), (100, 3_000));
}

/// Found by the cases above: the store in memory gave its turn to a run that was not due any more,
/// and whoever was due waited.
#[test]
fn what_a_clock_set_back_has_made_wait_keeps_nobody_else_from_its_turn() {
    let wish = |task, priority| Wish {
        task,
        body: 0,
        priority,
        in_ms: None,
    };
    for ground in [Ground::Memory, Ground::folder()] {
        let steps = vec![
            Command::Schedule(wish(0, Some(-1)), Condition::None),
            Command::Batch(vec![wish(1, None), wish(2, None)]),
            Command::Step(-5_000),
            Command::Crash,
        ];
        holds(&ground, &(Some(2), steps), &RefCell::default()).unwrap();
    }
}

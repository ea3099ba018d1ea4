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
//! are tried on each store.

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
use command::{Command, commands};
use trial::Trial;

/// Cases of the long form.
const CASES_LONG: u64 = 10_000;
/// Each needs a case.
const SHRINKS_MAX: u32 = 2_000;
/// In so many cases everything happens that is to be tried.
const CASES_OF_EVERYTHING: u64 = 100;
/// What has to happen, lest a test of nothing passes: what is asked of the store, what comes of it,
/// and the status afterwards.
const EVERYTHING: &[&str] = &[
    "schedule: Changed, in_progress",
    "schedule: Unchanged, in_progress",
    "schedule: Refused, being_canceled",
    "schedule: VersionMismatch, completed",
    "claim: Changed, in_progress",
    "cancel: Changed, canceled",
    "cancel: Changed, being_canceled",
    "cancel: Unchanged, being_canceled",
    "cancel: Unchanged, completed",
    "acknowledge: Changed, acknowledged",
    "acknowledge: Refused, failed",
    "delete: Changed, not_started",
    "said: Changed, in_progress",
    "Completed: Changed, completed",
    "Completed: Changed, canceled",
    "Completed: Fenced, not_started",
    "Failed(Task, true): Changed, in_progress",
    "Failed(Task, false): Changed, failed",
    "Failed(Trap, false): Changed, failed",
    "Paused: Changed, in_progress",
    "HandedBack: Changed, in_progress",
    "Stopped: Changed, canceled",
    "lost: Changed, in_progress",
    "lost: Changed, failed",
    "lost: Changed, canceled",
    "previous ended: Changed, not_started",
    "previous ended: Changed, in_progress",
    "overdue: Changed, failed",
];

type Tally = BTreeMap<String, u64>;

fn holds_in_every_case(in_folder: bool, cases: u64) {
    let tally = RefCell::new(Tally::new());
    let mut tried = 0;
    for seed in Seed::some(cases, CASES_LONG) {
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
        match runner.run(&case, |case| holds(in_folder, &case, &tally)) {
            Ok(()) => tried += 1,
            Err(TestError::Fail(why, case)) => panic!("{why}\nby {case:#?}"),
            Err(TestError::Abort(why)) => panic!("{why}"),
        }
    }
    let tally = tally.into_inner();
    println!("{tried} cases: {tally:#?}");
    let missing: Vec<_> = EVERYTHING
        .iter()
        .filter(|kind| !tally.contains_key(**kind))
        .collect();
    let is_enough = tried >= CASES_OF_EVERYTHING;
    assert!(!is_enough || missing.is_empty(), "not tried: {missing:#?}");
}

fn holds(
    in_folder: bool,
    (limit, steps): &(Option<usize>, Vec<Command>),
    tally: &RefCell<Tally>,
) -> Result<(), TestCaseError> {
    let mut trial = Trial::start(in_folder, *limit);
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
    holds_in_every_case(false, 200);
}

#[test]
fn whatever_is_done_the_service_on_the_embedded_store_is_as_the_model_says() {
    holds_in_every_case(true, 100);
}

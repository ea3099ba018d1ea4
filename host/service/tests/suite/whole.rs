//! The whole task service against a pure model of it (T1): any steps of people, guests, time and
//! the host's own life, and after each of them the service answers, reads and has written what the
//! model says.
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

use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use rand::Rng as _;

use crate::bench::Seed;
use command::{Command, commands};
use trial::Trial;

/// Cases of the short form, and of the long one.
const CASES: u64 = 200;
const CASES_LONG: u64 = 10_000;
/// Each needs a case.
const SHRINKS_MAX: u32 = 2_000;

fn holds_in_every_case(in_folder: bool) {
    for seed in Seed::some(CASES, CASES_LONG) {
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
        match runner.run(&commands(), |steps| holds(in_folder, &steps)) {
            Ok(()) => {}
            Err(TestError::Fail(why, steps)) => panic!("{why}\nby {steps:#?}"),
            Err(TestError::Abort(why)) => panic!("{why}"),
        }
    }
}

fn holds(in_folder: bool, steps: &[Command]) -> Result<(), TestCaseError> {
    let mut trial = Trial::start(in_folder);
    for step in steps {
        trial.step(step).map_err(TestCaseError::fail)?;
    }
    Ok(())
}

#[test]
fn whatever_is_done_the_service_in_memory_is_as_the_model_says() {
    holds_in_every_case(false);
}

#[test]
fn whatever_is_done_the_service_on_the_embedded_store_is_as_the_model_says() {
    holds_in_every_case(true);
}

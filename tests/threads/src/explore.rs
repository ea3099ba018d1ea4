//! Runs a scenario in many orders of its steps.

use shuttle::scheduler::{PctScheduler, RandomScheduler, ReplayScheduler};
use shuttle::{MaxSteps, Runner};

/// Documents and futures lie on the stacks of a debug build.
const STACK_BYTES: usize = 512 * 1024;
/// Threads are preempted in so many places less one, wherever these are.
const PREEMPTIONS: usize = 3;
/// Far more than any order takes in which somebody gets somewhere.
const STEPS_MAX: usize = 50_000;

/// Tries so many orders; ten times as many with `TASKHOST_LONG`. One half goes on with any
/// thread at each step, the other lets one thread go as far as it can and stops it in a few
/// places: each finds what the other hardly ever meets.
///
/// # Panics
/// When the scenario does, or when nobody can go on. The order is printed; with it in
/// `TASKHOST_SCHEDULE` the same test tries it again, and no other.
pub fn explore(orders: usize, scenario: fn()) {
    let mut config = shuttle::Config::new();
    config.stack_size = STACK_BYTES;
    config.max_steps = MaxSteps::FailAfter(STEPS_MAX);
    // That weaker orders than `SeqCst` are not tried.
    config.silence_warnings = true;
    if let Ok(schedule) = std::env::var("TASKHOST_SCHEDULE") {
        let replay = ReplayScheduler::new_from_encoded(&schedule);
        Runner::new(replay, config).run(scenario);
        return;
    }
    let is_long = std::env::var_os("TASKHOST_LONG").is_some();
    let each = orders / 2 * if is_long { 10 } else { 1 };
    let failing = Failing;
    Runner::new(RandomScheduler::new(each), config.clone()).run(scenario);
    Runner::new(PctScheduler::new(PREEMPTIONS, each), config).run(scenario);
    drop(failing);
}

/// Says how to try the order again that has failed.
struct Failing;

impl Drop for Failing {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("try it again with TASKHOST_SCHEDULE=\"the failing schedule\" and this test");
        }
    }
}

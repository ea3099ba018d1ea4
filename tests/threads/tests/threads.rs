//! Orders of steps in which threads can meet at the memory that they share: some ten
//! thousand, drawn anew each time, and ten times as many with `TASKHOST_LONG`.

use taskhost_threads::explore::explore;
use taskhost_threads::{feeds, reports, runs, signals, tasks, ticks};

#[test]
fn whoever_waits_for_a_stop_hears_of_it_and_all_of_the_same_reason() {
    explore(10_000, signals::a_stop);
}

#[test]
fn whoever_waits_for_an_interrupt_hears_of_it() {
    explore(10_000, signals::an_interrupt);
}

#[test]
fn whoever_watches_a_run_hears_of_the_end_of_its_rest() {
    explore(10_000, signals::a_rest);
}

#[test]
fn a_stop_reaches_its_run_whenever_it_comes() {
    explore(10_000, runs::a_stop_of_one);
}

#[test]
fn a_drain_reaches_runs_that_start_meanwhile() {
    explore(10_000, runs::a_drain);
}

#[test]
fn a_stop_is_forgotten_and_a_run_is_not() {
    explore(10_000, runs::forgetting);
}

#[test]
fn a_feed_has_everything_from_when_it_was_opened() {
    explore(10_000, feeds::of_one_task);
}

#[test]
fn there_are_ticks_for_every_guest_and_none_after_the_last() {
    explore(5_000, ticks::for_guests);
}

#[test]
fn there_are_ticks_for_guests_that_outlive_the_runtime() {
    explore(5_000, ticks::for_guests_that_stay_longer);
}

#[test]
fn what_is_due_starts_while_there_is_a_slot() {
    explore(4_000, tasks::due_with_a_free_slot);
}

#[test]
fn a_task_has_one_guest_at_a_time() {
    explore(2_000, tasks::anew);
}

#[test]
fn after_a_drain_nothing_runs() {
    explore(4_000, tasks::a_drain);
}

#[test]
fn whatever_people_want_a_run_ends_once_and_nothing_sticks() {
    explore(4_000, tasks::in_trouble);
}

#[test]
fn what_a_run_says_is_written_and_told_once() {
    explore(2_000, reports::of_one_run);
}

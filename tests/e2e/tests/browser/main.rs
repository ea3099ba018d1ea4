//! The pages in a real browser. `tests/browser.sh` sees that there is one, and runs this.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what a test shares with others fails the test as well"
)]

mod real_run;
mod with_model;
mod states;
mod review;
mod live;
mod hostile;
mod people;

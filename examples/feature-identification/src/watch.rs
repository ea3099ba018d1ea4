//! How the algorithm tells that it moves and hears that it shall stop.

use std::fmt;

/// Whoever runs the algorithm wants it to end now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped;

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("stopped before the end")
    }
}

impl std::error::Error for Stopped {}

/// Is told what the algorithm does, and may stop it.
pub trait Watch {
    /// A phase of `total` steps begins; a total of 0 is one that nobody knows.
    ///
    /// # Errors
    /// [`Stopped`] ends the algorithm.
    fn phase(&mut self, name: &'static str, total: usize) -> Result<(), Stopped>;

    /// `done` steps of the phase are done. Called at least every few milliseconds, so it should
    /// be cheap.
    ///
    /// # Errors
    /// [`Stopped`] ends the algorithm.
    fn step(&mut self, done: usize) -> Result<(), Stopped>;

    /// `done` steps are done, and the next takes long: what that is, for people.
    ///
    /// # Errors
    /// [`Stopped`] ends the algorithm.
    fn tell(&mut self, done: usize, message: &str) -> Result<(), Stopped>;
}

/// Watches nothing and never stops.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unwatched;

impl Watch for Unwatched {
    fn phase(&mut self, _: &'static str, _: usize) -> Result<(), Stopped> {
        Ok(())
    }

    fn step(&mut self, _: usize) -> Result<(), Stopped> {
        Ok(())
    }

    fn tell(&mut self, _: usize, _: &str) -> Result<(), Stopped> {
        Ok(())
    }
}

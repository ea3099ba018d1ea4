//! Tells people, and the host, that the run moves.

use crate::bindings::ask_host;
use crate::bindings::taskhost::task::progress;
use crate::error::Error;

/// Tells people, and the host, that the run moves. Reached as `clients.progress`.
///
/// Calls are cheap: readers see at most two changes a second, and always the last one.
///
/// ```no_run
/// # fn run(clients: &taskhost_sdk::Clients) -> Result<(), taskhost_sdk::Error> {
/// let files = ["a", "b", "c"];
/// clients.progress.phase("reading")?;
/// for (done, file) in files.iter().enumerate() {
///     clients.progress.report(done as u64, Some(files.len() as u64), file)?;
/// }
/// clients.progress.phase("thinking")?;
/// for _ in 0..1_000 {
///     // … some milliseconds of computing …
///     clients.progress.heartbeat()?;
/// }
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct Progress;

impl Progress {
    /// How far the run is: `done` of `total`, in units of your own, and a line for people (at most
    /// 1 KiB, what is longer is cut). Without `total` the bar is indeterminate.
    ///
    /// # Errors
    /// `canceled` or `deadline` when the run is asked to stop.
    pub fn report(&self, done: u64, total: Option<u64>, message: &str) -> Result<(), Error> {
        ask_host("progress.report");
        Ok(progress::report(done, total, message)?)
    }

    /// What the run is doing now, in a word or two; `done` and `total` start afresh.
    ///
    /// # Errors
    /// `canceled` or `deadline` when the run is asked to stop.
    pub fn phase(&self, name: &str) -> Result<(), Error> {
        ask_host("progress.phase");
        Ok(progress::phase(name)?)
    }

    /// The run lives: for long stretches of computing without any other call, and a cheap way to
    /// hear of a cancel.
    ///
    /// # Errors
    /// `canceled` or `deadline` when the run is asked to stop.
    pub fn heartbeat(&self) -> Result<(), Error> {
        ask_host("progress.heartbeat");
        Ok(progress::heartbeat()?)
    }
}

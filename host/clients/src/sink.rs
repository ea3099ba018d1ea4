//! Where a run's progress and log go: handed down by whoever builds the run.

use taskhost_model::task::{LogLine, Progress};

/// Takes what a run says. Called from the run's own thread, as often as the guest likes, so an
/// implementation keeps the value and returns; how often it writes is its own affair.
pub trait RunSink: Send + Sync + std::fmt::Debug {
    /// The latest progress; it replaces what was said before.
    fn progress(&self, progress: Progress);

    /// One more line of the log.
    fn log(&self, line: LogLine);
}

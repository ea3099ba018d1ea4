//! Who asked for this run, what it is, and how long it has.

use std::time::Duration;

use crate::bindings::ask_host;
use crate::bindings::taskhost::task::context;
use crate::error::Error;

/// Who asked for this run, what it is, and how long it has. Reached as `clients.context`.
///
/// ```no_run
/// # fn run(clients: &taskhost_sdk::Clients) -> Result<(), taskhost_sdk::Error> {
/// use std::time::Duration;
///
/// let context = clients.context;
/// let who = format!(
///     "{} of type {} in space {}, run {} (attempt {}), asked for by {} at {}, stream {:?}",
///     context.task_id(),
///     context.task_type(),
///     context.space(),
///     context.run_id(),
///     context.attempt(),
///     context.requested_by(),
///     context.scheduled_at_ms(),
///     context.stream(),
/// );
/// taskhost_sdk::info!("{who}");
/// while context.remaining() > Duration::from_secs(5) {
///     if context.cancel_requested() {
///         taskhost_sdk::info!("asked to stop: {:?}", context.cancel_reason());
///         break;
///     }
///     context.sleep(Duration::from_millis(200))?;
/// }
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct Context;

impl Context {
    /// The task's id, unique in its space.
    #[must_use]
    pub fn task_id(&self) -> String {
        ask_host("context.task_id");
        context::task_id()
    }

    /// The id of the task type, as its descriptor states it.
    #[must_use]
    pub fn task_type(&self) -> String {
        ask_host("context.task_type");
        context::task_type()
    }

    /// This run's id: the same for all its attempts, another one when the task is scheduled again.
    #[must_use]
    pub fn run_id(&self) -> String {
        ask_host("context.run_id");
        context::run_id()
    }

    /// Which attempt of the run this is, from 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        ask_host("context.attempt");
        context::attempt()
    }

    /// The space that the task lives in.
    #[must_use]
    pub fn space(&self) -> String {
        ask_host("context.space");
        context::space()
    }

    /// The stream that the task was scheduled on.
    #[must_use]
    pub fn stream(&self) -> Option<String> {
        ask_host("context.stream");
        context::stream()
    }

    /// Who scheduled the task.
    #[must_use]
    pub fn requested_by(&self) -> String {
        ask_host("context.requested_by");
        context::requested_by()
    }

    /// When the task was scheduled, in milliseconds since 1970.
    #[must_use]
    pub fn scheduled_at_ms(&self) -> u64 {
        ask_host("context.scheduled_at_ms");
        context::scheduled_at_ms()
    }

    /// Until the deadline of this attempt; zero when it has passed.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        ask_host("context.remaining");
        Duration::from_millis(context::remaining_ms())
    }

    /// Whether the run is asked to stop. What a task returns that has seen
    /// `true` is no result any more.
    #[must_use]
    pub fn cancel_requested(&self) -> bool {
        ask_host("context.cancel_requested");
        context::cancel_requested()
    }

    /// Why it is asked to stop: `user`, `drain` (the host shuts down), `deadline`, `no-progress` or
    /// `fenced` (the run has lost its lease); an open set.
    #[must_use]
    pub fn cancel_reason(&self) -> Option<String> {
        ask_host("context.cancel_reason");
        context::cancel_reason()
    }

    /// Waits, without using CPU time.
    ///
    /// # Errors
    /// `canceled` or `deadline`, as soon as the run is asked to stop.
    pub fn sleep(&self, time: Duration) -> Result<(), Error> {
        ask_host("context.sleep");
        let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Ok(context::sleep(ms)?)
    }
}

//! Runs what was claimed: the guest is a few lines, and the host's own `end` writes its end.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use shuttle::rand::{Rng, thread_rng};
use taskhost_model::error::{ErrorKind, TaskError};
use taskhost_model::ids::TaskKey;
use taskhost_model::task::{LogLevel, LogLine, Progress, Task};
use taskhost_model::time::Timestamp;
use taskhost_store::event::{RunEvent, RunReport};
use taskhost_store::queue::StoredTask;

use crate::core::Core;
use crate::end::write_end;
use crate::live::Registered;
use crate::report::Reporter;
use crate::sink::RunSink as _;
use crate::slot::Slot;
use crate::stop::{StopReason, StopSignal};

/// So many lines says a guest that talks.
pub(crate) const SAID: u64 = 3;

/// Whose guests are at work.
#[derive(Debug)]
pub(crate) struct Runtime {
    at_work: Mutex<BTreeSet<TaskKey>>,
    one_each: bool,
}

impl Runtime {
    /// Whether a task must never have two guests.
    pub(crate) fn new(one_each: bool) -> Self {
        Self {
            at_work: Mutex::default(),
            one_each,
        }
    }

    fn begins(&self, task: &Task) {
        let is_alone = self.at_work.lock().unwrap().insert(task.key());
        assert!(is_alone || !self.one_each, "two guests of {task:#?}");
    }

    fn ends(&self, task: &Task) {
        self.at_work.lock().unwrap().remove(&task.key());
    }
}

/// What a guest does, as its params say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Returns a result.
    Completes,
    /// Fails, is tried again, and returns a result.
    TriedAgain,
    /// Waits until it is stopped.
    Waits,
    /// Says something, and waits until it is stopped.
    Talks,
}

impl Kind {
    pub(crate) fn any() -> Self {
        match thread_rng().gen_range(0..4) {
            0 => Self::Completes,
            1 => Self::TriedAgain,
            2 => Self::Waits,
            _ => Self::Talks,
        }
    }

    /// Its params.
    pub(crate) fn params(self) -> Arc<str> {
        Arc::from(format!("\"{self:?}\""))
    }
}

pub(crate) async fn run_claimed(
    core: &Arc<Core>,
    runtime: &Runtime,
    claimed: StoredTask,
    registered: Registered,
    _slot: Arc<Slot>,
) {
    runtime.begins(&claimed.task);
    let is = |kind: Kind| kind.params() == claimed.params;
    let event = if is(Kind::Waits) {
        stopped(&registered.stop, RunReport::default()).await
    } else if is(Kind::Talks) {
        talked(core, &claimed.task, &registered.stop).await
    } else if is(Kind::TriedAgain) && claimed.task.run.attempt == 1 {
        Some(failed(core))
    } else {
        Some(completed())
    };
    runtime.ends(&claimed.task);
    write_end(core, &claimed.task, event).await;
}

/// The guest is on a thread of its own, as guests are.
async fn talked(core: &Arc<Core>, task: &Task, stop: &StopSignal) -> Option<RunEvent> {
    let reporter = Arc::new(Reporter::default());
    let guest = {
        let (reporter, stop, at) = (Arc::clone(&reporter), stop.clone(), core.clock.now());
        crate::spawn(async move {
            for done in 1..=SAID {
                reporter.log(line(at, done));
                reporter.progress(Progress {
                    done,
                    ..Progress::default()
                });
                shuttle::future::yield_now().await;
            }
            stop.until_asked().await;
            reporter.finish();
        })
    };
    reporter.write_along(core, task, stop).await;
    guest.await.unwrap();
    stopped(stop, reporter.take(core, task)).await
}

fn line(at: Timestamp, number: u64) -> LogLine {
    LogLine {
        at,
        level: LogLevel::Info,
        message: number.to_string(),
        fields: None,
    }
}

/// `None` when the run has lost its lease.
async fn stopped(stop: &StopSignal, end: RunReport) -> Option<RunEvent> {
    match stop.until_asked().await {
        StopReason::Fenced => None,
        StopReason::Drain => Some(RunEvent::HandedBack { end }),
        _ => Some(RunEvent::Stopped { end }),
    }
}

fn failed(core: &Core) -> RunEvent {
    RunEvent::Failed {
        error: TaskError::of(ErrorKind::Task, "once more"),
        retry_at: Some(core.clock.now().plus(core.settings.retry_backoff)),
        end: RunReport::default(),
    }
}

fn completed() -> RunEvent {
    RunEvent::Completed {
        payload: Arc::from("{}"),
        end: RunReport::default(),
    }
}

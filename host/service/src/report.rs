//! What a run says while it goes on: kept, written to the document now and then, and told to
//! whoever watches.
//!
//! A run's writes are bounded: the first comes a moment after there is something to write, so
//! that a short run needs none, and then at most two a second.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use taskhost_clients::sink::RunSink;
use taskhost_clients::stop::{StopReason, StopSignal};
use taskhost_model::task::{LogLine, Progress, Task};
use taskhost_model::time::Timestamp;
use taskhost_store::error::StoreError;
use taskhost_store::event::{Event, Outcome, RunEvent, RunReport};
use tokio::sync::Notify;

use crate::changes::ChangeKind;
use crate::core::Core;
use crate::sync::{Mutex, MutexGuard};
use crate::trouble::Trouble;

/// From the first thing to write until it is written.
const FIRST_WRITE_AFTER: Duration = Duration::from_millis(50);
/// Between two writes.
const WRITE_INTERVAL: Duration = Duration::from_millis(500);

/// Collects what a run says. Shared by the run's clients and its runner.
#[derive(Debug, Default)]
pub(crate) struct Reporter {
    said: Mutex<Said>,
    something: Notify,
    finished: Notify,
}

#[derive(Debug, Default)]
struct Said {
    started_at: Option<Timestamp>,
    progress: Option<Progress>,
    /// Lines that nobody has been told of yet.
    lines: Vec<LogLine>,
    /// Lines that have been told and could not be written.
    unwritten: String,
    is_new: bool,
}

impl RunSink for Reporter {
    fn progress(&self, progress: Progress) {
        let mut said = self.lock();
        said.progress = Some(progress);
        said.is_new = true;
        drop(said);
        self.something.notify_one();
    }

    fn log(&self, line: LogLine) {
        let mut said = self.lock();
        said.lines.push(line);
        said.is_new = true;
        drop(said);
        self.something.notify_one();
    }
}

impl Reporter {
    /// The guest's `run` is about to be entered.
    pub(crate) fn started(&self, at: Timestamp) {
        self.lock().started_at = Some(at);
    }

    /// The run is over: [`Self::write_along`] ends.
    pub(crate) fn finish(&self) {
        self.finished.notify_one();
    }

    /// What has not been written yet, for the run's last write.
    pub(crate) fn take(&self, core: &Core, task: &Task) -> RunReport {
        let (report, lines) = self.drain();
        publish_log(core, task, lines);
        report
    }

    /// Writes what the run says, until it is finished. A run that has lost its lease is stopped.
    pub(crate) async fn write_along(&self, core: &Core, task: &Task, stop: &StopSignal) {
        let mut pause = FIRST_WRITE_AFTER;
        let mut trouble = Trouble::default();
        loop {
            let next = async {
                self.something.notified().await;
                tokio::time::sleep(pause).await;
            };
            tokio::select! {
                () = self.finished.notified() => return,
                () = next => {}
            }
            pause = WRITE_INTERVAL;
            if self.lock().is_new {
                match self.write(core, task, stop).await {
                    Ok(()) => trouble.is_over(),
                    Err(error) if trouble.is_new() => {
                        tracing::warn!(%error, task = %task.id, "progress is not written yet");
                    }
                    Err(_) => {}
                }
            }
        }
    }

    /// What cannot be written is kept for the next time.
    async fn write(&self, core: &Core, task: &Task, stop: &StopSignal) -> Result<(), StoreError> {
        let fence = task.fence();
        let (report, lines) = self.drain();
        publish_log(core, task, lines);
        let event = Event::Run {
            fence,
            event: RunEvent::Progress(report.clone()),
        };
        let applied = core.apply(&task.key(), event).await;
        let applied = applied.inspect_err(|_| self.put_back(&report))?;
        // Repeated: the document has ended, or waits to be run again, under this very lease.
        if matches!(applied.outcome, Outcome::Fenced | Outcome::Repeated) {
            stop.ask(StopReason::Fenced);
            stop.interrupt();
        }
        Ok(())
    }

    fn drain(&self) -> (RunReport, Vec<LogLine>) {
        let mut said = self.lock();
        said.is_new = false;
        let lines = std::mem::take(&mut said.lines);
        let mut log = std::mem::take(&mut said.unwritten);
        push_ndjson(&mut log, &lines);
        let report = RunReport {
            started_at: said.started_at,
            progress: said.progress.clone(),
            usage: None,
            log: (!log.is_empty()).then(|| Arc::from(log)),
        };
        (report, lines)
    }

    /// What could not be written goes with the next write.
    fn put_back(&self, report: &RunReport) {
        let mut said = self.lock();
        if let Some(log) = &report.log {
            said.unwritten.insert_str(0, log);
        }
        said.is_new = true;
        drop(said);
        self.something.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn publish_log(core: &Core, task: &Task, lines: Vec<LogLine>) {
    if !lines.is_empty() {
        core.changes.publish(task, ChangeKind::Log(lines));
    }
}

fn push_ndjson(text: &mut String, lines: &[LogLine]) {
    for line in lines {
        if let Ok(json) = serde_json::to_string(line) {
            text.push_str(&json);
            text.push('\n');
        }
    }
}

//! Counts what becomes of runs, for whoever asks this host for its metrics. Nothing of it leaves
//! the host by itself; what belongs to one run stands in its task's document.
//!
//! # Guarantees
//! 1. The end of a run is counted once, by the host that wrote it.
//! 2. What is counted apart is bounded: the first [`TYPES_MAX`] task types, outcomes and kinds of
//!    error. No name of a stream, a space, a task or a person is among it.

use std::collections::BTreeSet;
use std::sync::{LazyLock, PoisonError};
use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_histogram, histogram};
use taskhost_model::ids::TypeId;
use taskhost_model::status::Phase;
use taskhost_model::task::Task;
use taskhost_model::time::Timestamp;
use taskhost_store::event::{Applied, Event, Outcome, RunEvent};

use crate::sync::Mutex;

/// Task types that are counted apart; those that come later are `other`.
pub const TYPES_MAX: usize = 100;

/// What is counted: name, unit, and what it says.
const COUNTERS: [(&str, &str); 10] = [
    (
        "taskhost_tasks_scheduled_total",
        "Tasks that somebody has scheduled",
    ),
    ("taskhost_runs_total", "Runs that have ended, by outcome"),
    (
        "taskhost_run_failures_total",
        "Runs that have failed, by what was wrong",
    ),
    (
        "taskhost_run_retries_total",
        "Attempts that failed and are tried again",
    ),
    (
        "taskhost_run_pauses_total",
        "Times that a run waits since somebody whom it asks wants that: no attempt has failed",
    ),
    (
        "taskhost_run_tokens_total",
        "Tokens of language models that runs have used",
    ),
    (
        "taskhost_run_http_requests_total",
        "Requests that runs have sent outside",
    ),
    ("taskhost_run_host_calls_total", "Calls of host functions"),
    (
        LEASE_FAILURES,
        "Beats that the store did not take: a host's lease was not renewed",
    ),
    (
        RECLAIMED,
        "Runs that were taken from a host that was lost, or from an earlier process",
    ),
];
const LEASE_FAILURES: &str = "taskhost_lease_renew_failures_total";
const RECLAIMED: &str = "taskhost_runs_reclaimed_total";
/// What is measured, and what it says.
const HISTOGRAMS: [(&str, Unit, &str); 5] = [
    (
        "taskhost_run_seconds",
        Unit::Seconds,
        "From the begin of a run's last attempt to its end",
    ),
    (
        "taskhost_run_wait_seconds",
        Unit::Seconds,
        "From when a run was due to its begin",
    ),
    (
        "taskhost_run_cpu_seconds",
        Unit::Seconds,
        "CPU time of the guest of an attempt",
    ),
    (
        MEMORY,
        Unit::Bytes,
        "The most memory that the guest of an attempt had, all its memories and tables together",
    ),
    (
        "taskhost_cancel_seconds",
        Unit::Seconds,
        "From when a cancel was recorded to when the task was canceled",
    ),
];

/// The most memory of an attempt.
pub const MEMORY: &str = "taskhost_run_peak_memory_bytes";

static TYPES: LazyLock<Mutex<BTreeSet<TypeId>>> = LazyLock::new(Mutex::default);

/// Says what the numbers mean. Whoever collects them calls it once.
pub fn describe() {
    for (name, said) in COUNTERS {
        describe_counter!(name, Unit::Count, said);
    }
    for (name, unit, said) in HISTOGRAMS {
        describe_histogram!(name, unit, said);
    }
    // A rate of what has never happened is 0, and not missing.
    counter!(LEASE_FAILURES).increment(0);
    counter!(RECLAIMED).increment(0);
}

/// What an event may mean for what is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counted {
    /// Somebody wants a run.
    Schedule,
    /// An attempt has failed; the run may be tried again.
    Failure,
    /// A run wants to wait: the same attempt goes on later, and what it uses counts on.
    Pause,
    /// It may be over.
    End,
    /// Nothing.
    Nothing,
}

impl Counted {
    pub(crate) fn of(event: &Event) -> Self {
        match event {
            Event::Schedule(_) => Self::Schedule,
            Event::Run { event, .. } => match event {
                RunEvent::Progress(_) => Self::Nothing,
                RunEvent::Failed { .. } => Self::Failure,
                RunEvent::Paused { .. } => Self::Pause,
                _ => Self::End,
            },
            Event::Cancel { .. } | Event::HostLost { .. } | Event::Overdue { .. } => Self::End,
            _ => Self::Nothing,
        }
    }
}

/// Counts what an event has changed.
pub(crate) fn count(event: Counted, applied: &Applied, now: Timestamp) {
    let Some(task) = applied.task.as_ref() else {
        return;
    };
    if applied.outcome != Outcome::Changed {
        return;
    }
    match (event, task.phase()) {
        (Counted::Schedule, _) => {
            counter!("taskhost_tasks_scheduled_total", "type" => label(&task.type_id)).increment(1);
        }
        (Counted::Nothing, _) => {}
        (_, Phase::Completed) => ended(task, "completed", now),
        (_, Phase::Canceled) => {
            ended(task, "canceled", now);
            let asked_at = task.run.cancel_requested_at.unwrap_or(now);
            let labels = [("type", label(&task.type_id))];
            histogram!("taskhost_cancel_seconds", &labels).record(now.since(asked_at));
        }
        (_, Phase::Failed) => {
            ended(task, "failed", now);
            let kind = task
                .error
                .as_ref()
                .map_or("none", |error| error.kind.as_str());
            let labels = [("type", label(&task.type_id)), ("kind", kind.to_owned())];
            counter!("taskhost_run_failures_total", &labels).increment(1);
        }
        (Counted::Failure, Phase::WaitingRetry) => {
            counter!("taskhost_run_retries_total", "type" => label(&task.type_id)).increment(1);
            // The run counts its next attempt by now, and this is what the last one has used.
            used(task, task.run.attempt.saturating_sub(1));
        }
        (Counted::Pause, Phase::WaitingRetry) => {
            counter!("taskhost_run_pauses_total", "type" => label(&task.type_id)).increment(1);
        }
        _ => {}
    }
}

fn ended(task: &Task, outcome: &'static str, now: Timestamp) {
    let type_id = label(&task.type_id);
    let labels = [("type", type_id.clone()), ("outcome", outcome.to_owned())];
    counter!("taskhost_runs_total", &labels).increment(1);
    if let Some(started_at) = task.run.started_at {
        histogram!("taskhost_run_seconds", &labels).record(now.since(started_at));
        let waited = started_at.since(task.run.due_at.min(started_at));
        histogram!("taskhost_run_wait_seconds", "type" => type_id.clone()).record(waited);
    }
    used(task, task.run.attempt);
    // Those of all attempts: they are counted once.
    let tokens = task.usage.map_or(0, |usage| usage.tokens);
    counter!("taskhost_run_tokens_total", "type" => type_id).increment(tokens);
}

/// What an attempt has used, where it has begun. It is counted once, when the attempt is over.
fn used(task: &Task, attempt: u32) {
    let Some(usage) = task.usage.filter(|usage| usage.attempt == attempt) else {
        return;
    };
    let type_id = label(&task.type_id);
    for (name, number) in [
        ("taskhost_run_http_requests_total", usage.http_requests),
        ("taskhost_run_host_calls_total", usage.host_calls),
    ] {
        counter!(name, "type" => type_id.clone()).increment(number);
    }
    let labels = [("type", type_id)];
    histogram!("taskhost_run_cpu_seconds", &labels).record(Duration::from_millis(usage.cpu_ms));
    #[expect(clippy::cast_precision_loss, reason = "no run has so much memory")]
    histogram!(MEMORY, &labels).record(usage.peak_memory_bytes as f64);
}

/// A beat was not written.
pub(crate) fn lease_not_renewed() {
    counter!(LEASE_FAILURES).increment(1);
}

/// So many runs were taken from a life that is over.
pub(crate) fn reclaimed(runs: u64) {
    counter!(RECLAIMED).increment(runs);
}

/// How a type is called in what is counted.
pub(crate) fn label(type_id: &TypeId) -> String {
    let mut types = TYPES.lock().unwrap_or_else(PoisonError::into_inner);
    if types.len() < TYPES_MAX || types.contains(type_id) {
        types.insert(type_id.clone());
        return type_id.to_string();
    }
    "other".to_owned()
}

/// The bounds of the histograms, in seconds.
pub const SECONDS: [f64; 12] = [
    0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 1_800.0, 7_200.0,
];

/// The bounds of [`MEMORY`], in bytes.
pub const BYTES: [f64; 9] = [
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
    134_217_728.0,
    268_435_456.0,
    536_870_912.0,
    1_073_741_824.0,
    4_294_967_296.0,
];

/// How often what has been measured is to be put together where nobody asks for it.
pub const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

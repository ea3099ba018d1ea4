//! From how a component ended to what is written of it. Pure but for the jitter of retries.

use std::sync::Arc;
use std::time::Duration;

use taskhost_clients::error::ErrorCode;
use taskhost_clients::schema::and_more;
use taskhost_clients::stop::StopReason;
use taskhost_model::descriptor::Limits;
use taskhost_model::error::{ErrorKind, TaskError};
use taskhost_model::ids::TypeId;
use taskhost_model::task::{Run, Usage};
use taskhost_model::time::Timestamp;
use taskhost_runtime::{ExitOutcome, RunExit};
use taskhost_store::event::{RunEvent, RunReport};

use crate::children::Suspended;
use crate::settings::Settings;
use crate::types::LoadedVersion;

/// The code with which a component passes on that somebody wants a pause.
const PAUSE_CODE: &str = "rate-limited";
/// Pauses of a run that cost no attempt.
const PAUSES_MAX: u32 = 20;
/// The longest wait that a component may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60 * 60);

/// An attempt that ends, and what its type allows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attempt<'a> {
    pub(crate) run: &'a Run,
    pub(crate) limits: &'a Limits,
    /// What it has used before, and the run of language models.
    pub(crate) used: Usage,
    /// What the host lacked, if its guest has never started.
    pub(crate) lacked: Option<&'a str>,
    /// The wait for which its guest was ended.
    pub(crate) suspended: Option<&'a Suspended>,
    /// How long it waits for its next attempt.
    pub(crate) backoff: Backoff,
}

/// The wait between two attempts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backoff {
    /// Before the second attempt; doubled for each one after.
    base: Duration,
    /// The longest.
    most: Duration,
}

impl Backoff {
    /// What an operator has decided for the type, or else for all of them.
    pub(crate) fn of(settings: &Settings, type_id: &TypeId) -> Self {
        let own = settings.of_type(type_id);
        Self {
            base: own.retry_backoff.unwrap_or(settings.retry_backoff),
            most: own.retry_backoff_max.unwrap_or(settings.retry_backoff_max),
        }
    }
}

/// What is written of a run that has ended; `None` when it has lost its lease.
pub(crate) fn event_of(
    exit: RunExit,
    report: RunReport,
    result_mistake: Option<String>,
    attempt: Attempt<'_>,
    now: Timestamp,
) -> Option<RunEvent> {
    let end = RunReport {
        usage: Some(exit.usage),
        ..report
    };
    Some(match exit.outcome {
        ExitOutcome::Completed(payload) => match result_mistake {
            None => RunEvent::Completed {
                payload: Arc::from(payload),
                end,
            },
            Some(mistake) => failed_for_good(TaskError::of(ErrorKind::InvalidResult, mistake), end),
        },
        ExitOutcome::Failed { error, retry_after } => {
            if let Some(pause) = pause(&error, retry_after, attempt) {
                let until = now.plus(pause);
                return Some(RunEvent::Paused { error, until, end });
            }
            let retry_at = retry_at(&error, retry_after, attempt, now);
            RunEvent::Failed {
                error,
                retry_at,
                end,
            }
        }
        ExitOutcome::Stopped(reason) => return stopped(reason, end, attempt, now),
    })
}

/// What is written of a run that was stopped before its guest started.
pub(crate) fn event_before_start(
    reason: StopReason,
    attempt: Attempt<'_>,
    now: Timestamp,
) -> Option<RunEvent> {
    stopped(reason, not_begun(attempt.used), attempt, now)
}

/// The end of an attempt that has used nothing since it was claimed.
fn not_begun(used: Usage) -> RunReport {
    RunReport {
        usage: Some(used),
        ..RunReport::default()
    }
}

fn stopped(
    reason: StopReason,
    end: RunReport,
    attempt: Attempt<'_>,
    now: Timestamp,
) -> Option<RunEvent> {
    match reason {
        StopReason::User => Some(RunEvent::Stopped { end }),
        StopReason::Drain => Some(RunEvent::HandedBack { end }),
        StopReason::Suspended => Some(match attempt.suspended.cloned() {
            Some(wait) => RunEvent::Suspended {
                suspension: wait.suspension,
                until: wait.until,
                end,
            },
            None => RunEvent::HandedBack { end },
        }),
        StopReason::Deadline => {
            let error = deadline(attempt, end.started_at, now);
            Some(failed_for_good(error, end))
        }
        StopReason::NoProgress => Some(failed_for_good(no_progress(attempt.limits), end)),
        StopReason::Fenced => None,
    }
}

/// What is written of a run that could not be started.
pub(crate) fn event_without_run(error: TaskError, used: Usage) -> RunEvent {
    failed_for_good(error, not_begun(used))
}

fn failed_for_good(error: TaskError, end: RunReport) -> RunEvent {
    RunEvent::Failed {
        error,
        retry_at: None,
        end,
    }
}

fn deadline(attempt: Attempt<'_>, started_at: Option<Timestamp>, now: Timestamp) -> TaskError {
    let run = attempt.run;
    let whose = match (run.timeout_ms, run.wall_ms) {
        (Some(timeout_ms), _) => format!("the {timeout_ms} ms that the request allows"),
        (None, Some(wall_ms)) => {
            let wall_s = wall_ms / 1000;
            format!("the {wall_s} s that its type allows (`limits.wall_s` of the descriptor)")
        }
        (None, None) => "what its type allows (`limits.wall_s` of the descriptor)".to_owned(),
    };
    let over = run
        .deadline_at
        .map_or_else(String::new, |at| format!(" It was over at {at}."));
    let took = match started_at {
        Some(at) => format!("stopped after {} ms", now.since(at).as_millis()),
        None if is_claimed_again(run) => "not started again".to_owned(),
        None => "not started".to_owned(),
    };
    let (why, next) = match attempt.lacked.filter(|_| started_at.is_none()) {
        Some(lacked) => (
            format!(", since {}", lacked.trim_end_matches('.')),
            "when the host has what it lacked",
        ),
        None => (String::new(), "with less to do or more time if it needs it"),
    };
    let message = format!(
        "the attempt was {took}{why}: its time is {whose}, and counts from its first claim, also \
         while no host runs.{over} Schedule the task again, {next}"
    );
    TaskError::of(ErrorKind::Deadline, message)
}

/// Whether the attempt has been claimed before: it has got less than the whole of its time.
fn is_claimed_again(run: &Run) -> bool {
    let whole_ms = run
        .timeout_ms
        .unwrap_or(u64::MAX)
        .min(run.wall_ms.unwrap_or(u64::MAX));
    let given = run.deadline_at.zip(run.started_at);
    given.is_some_and(|(deadline_at, claimed_at)| {
        deadline_at.since(claimed_at) < Duration::from_millis(whole_ms)
    })
}

fn no_progress(limits: &Limits) -> TaskError {
    let limit = limits
        .no_progress_s
        .map_or_else(String::new, |seconds| format!(" of {seconds} s"));
    let message = format!(
        "it reported no progress for longer than its limit{limit}: let it say more often that it \
         moves (a heartbeat is enough, and sleeping does not count), or raise \
         `limits.no_progress_s` in the type's descriptor"
    );
    TaskError::of(ErrorKind::NoProgress, message)
}

/// Why a result is none, if there is one. While it is checked the result is not in `outcome`:
/// whoever stops waiting has no use for it any more.
pub(crate) async fn result_mistake(
    version: &Arc<LoadedVersion>,
    outcome: &mut ExitOutcome,
) -> Option<String> {
    let ExitOutcome::Completed(payload) = outcome else {
        return None;
    };
    let (result, mistakes) = version.result_mistakes(std::mem::take(payload)).await;
    *payload = result;
    let first = mistakes.first()?;
    Some(format!(
        "the component's result is against its own schema: `{}` {}{}",
        first.field,
        first.problem,
        and_more(mistakes.len())
    ))
}

/// How long a run waits without counting an attempt, because somebody wants it to or others hold
/// the host's memory; `None`: its error is one like any other.
fn pause(
    error: &TaskError,
    retry_after: Option<Duration>,
    attempt: Attempt<'_>,
) -> Option<Duration> {
    let run = attempt.run;
    if run.pauses >= PAUSES_MAX {
        return None;
    }
    if error.retryable && error.code == ErrorCode::HostOutOfMemory.as_str() {
        return Some(backoff(run.pauses + 1, rand::random(), attempt.backoff));
    }
    let is_wanted = error.kind == ErrorKind::Task && error.code == PAUSE_CODE;
    let after = retry_after.filter(|_| is_wanted)?;
    Some(after.min(RETRY_AFTER_MAX))
}

/// When the next attempt comes; `None`: there is none.
fn retry_at(
    error: &TaskError,
    retry_after: Option<Duration>,
    attempt: Attempt<'_>,
    now: Timestamp,
) -> Option<Timestamp> {
    let run = attempt.run;
    let may = error.retryable && run.attempt < run.max_attempts;
    may.then(|| {
        let wait = backoff(run.attempt, rand::random(), attempt.backoff);
        now.plus(wait.max(retry_after.unwrap_or_default().min(RETRY_AFTER_MAX)))
    })
}

/// Exponential with half of it jitter: between half and the whole of base × 2^(times − 1).
fn backoff(times: u32, jitter: f64, backoff: Backoff) -> Duration {
    let doubled = backoff.base.saturating_mul(1 << (times.clamp(1, 30) - 1));
    doubled.min(backoff.most).mul_f64(0.5 + 0.5 * jitter)
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use taskhost_model::ids::RunId;

    use super::*;
    use crate::settings::TypeSettings;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_ms(1_795_000_000_000 + ms)
    }

    fn run(claimed_at: Timestamp, pauses: u32) -> Run {
        serde_json::from_value(serde_json::json!({
            "id": RunId::new(), "attempt": 1, "max_attempts": 1, "priority": 0, "rank": 0,
            "due_at": at(0), "started_at": claimed_at, "deadline_at": at(5_000),
            "timeout_ms": 5_000, "wall_ms": 60_000, "lease_number": 7, "pauses": pauses,
        }))
        .unwrap()
    }

    fn attempt(run: &Run) -> Attempt<'_> {
        static LIMITS: LazyLock<Limits> = LazyLock::new(Limits::default);
        Attempt {
            run,
            limits: &LIMITS,
            used: Usage::default(),
            lacked: None,
            suspended: None,
            backoff: Backoff::of(&Settings::default(), &type_id()),
        }
    }

    fn type_id() -> TypeId {
        TypeId::parse("hello").unwrap()
    }

    fn limited(code: &str, kind: ErrorKind, after: Option<u64>, run: &Run) -> RunEvent {
        let error = TaskError {
            code: code.to_owned(),
            retryable: true,
            ..TaskError::of(kind, "later")
        };
        let retry_after = after.map(Duration::from_secs);
        let exit = RunExit {
            outcome: ExitOutcome::Failed { error, retry_after },
            usage: Usage::default(),
        };
        let now = Timestamp::from_ms(1_000);
        let report = RunReport::default();
        event_of(exit, report, None, attempt(run), now).unwrap()
    }

    #[test]
    fn a_pause_is_waited_for_and_no_attempt_as_often_as_it_may() {
        let paused =
            |code, kind, after, pauses| match limited(code, kind, after, &run(at(0), pauses)) {
                RunEvent::Paused { until, .. } => Some(until.as_ms()),
                RunEvent::Failed { retry_at: None, .. } => None,
                other => panic!("{other:?}"),
            };
        let (code, task) = ("rate-limited", ErrorKind::Task);
        assert_eq!(paused(code, task, Some(7), 0), Some(8_000));
        assert_eq!(paused(code, task, Some(0), 19), Some(1_000));
        assert_eq!(paused(code, task, Some(u64::MAX), 0), Some(3_601_000));
        assert_eq!(
            paused(code, task, Some(7), 20),
            None,
            "the last attempt was its last"
        );
        assert_eq!(paused(code, task, None, 0), None);
        assert_eq!(paused("busy", task, Some(7), 0), None);
        assert_eq!(paused(code, ErrorKind::OutOfMemory, Some(7), 0), None);
        let two = Run {
            max_attempts: 2,
            ..run(at(0), 20)
        };
        let first = limited(code, task, Some(7), &two);
        assert!(
            matches!(
                first,
                RunEvent::Failed {
                    retry_at: Some(_),
                    ..
                }
            ),
            "{first:?}"
        );
    }

    #[test]
    fn backoff_doubles_to_its_cap() {
        let settings = Settings::default();
        let usual = Backoff::of(&settings, &type_id());
        let wait = |attempt, jitter| backoff(attempt, jitter, usual);
        assert_eq!(wait(1, 1.0), settings.retry_backoff);
        assert_eq!(wait(1, 0.0), settings.retry_backoff / 2);
        assert_eq!(wait(3, 1.0), settings.retry_backoff * 4);
        assert_eq!(wait(u32::MAX, 1.0), settings.retry_backoff_max);
    }

    #[test]
    fn what_an_operator_decides_of_a_type_goes_before_what_holds_for_all() {
        let own = TypeSettings {
            retry_backoff: Some(Duration::from_millis(20)),
            retry_backoff_max: Some(Duration::from_millis(50)),
            ..TypeSettings::default()
        };
        let settings = Settings {
            types: [(type_id(), own)].into(),
            ..Settings::default()
        };
        let own = Backoff::of(&settings, &type_id());
        let waits = [1, 2, 3].map(|times| backoff(times, 1.0, own).as_millis());
        assert_eq!(waits, [20, 40, 50]);
        let other = Backoff::of(&settings, &TypeId::parse("other").unwrap());
        assert_eq!(backoff(1, 1.0, other), settings.retry_backoff);
    }

    #[test]
    fn a_run_waits_for_memory_of_others_without_an_attempt_as_often_as_it_may() {
        let settings = Settings::default();
        let error = |code: &str, retryable| TaskError {
            code: code.to_owned(),
            retryable,
            ..TaskError::of(ErrorKind::OutOfMemory, "full")
        };
        let full = error("host-out-of-memory", true);
        let first = pause(&full, None, attempt(&run(at(0), 0))).unwrap();
        assert!((settings.retry_backoff / 2..=settings.retry_backoff).contains(&first));
        let last = pause(&full, None, attempt(&run(at(0), PAUSES_MAX - 1))).unwrap();
        assert!((settings.retry_backoff_max / 2..=settings.retry_backoff_max).contains(&last));
        assert_eq!(pause(&full, None, attempt(&run(at(0), PAUSES_MAX))), None);
        let never = error("host-out-of-memory", false);
        assert_eq!(pause(&never, None, attempt(&run(at(0), 0))), None);
        let own = error("memory", true);
        assert_eq!(pause(&own, None, attempt(&run(at(0), 0))), None);
    }

    #[test]
    fn an_attempt_that_never_started_says_what_was_lacking() {
        let said = |claimed_ms, lacked, started_at| {
            let run = &run(at(claimed_ms), 0);
            let attempt = Attempt {
                lacked,
                ..attempt(run)
            };
            deadline(attempt, started_at, at(5_000)).message
        };
        let first = said(0, Some("no threads."), None);
        assert!(first.starts_with("the attempt was not started, since no threads: "));
        assert!(first.ends_with("Schedule the task again, when the host has what it lacked"));
        let again = said(1, None, None);
        assert!(again.starts_with("the attempt was not started again: its time is the 5000 ms"));
        let started = said(0, Some("no threads."), Some(at(2_000)));
        assert!(started.starts_with("the attempt was stopped after 3000 ms: its time is"));
        assert!(started.ends_with("with less to do or more time if it needs it"));
    }
}

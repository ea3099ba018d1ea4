//! How a run ended, as a value, with words that say what happened, why, and what to do.

use std::time::Duration;

use serde_json::{Map, Value, json};
use taskhost_clients::error::ErrorCode;
use taskhost_clients::json;
use taskhost_clients::stop::StopReason;
use taskhost_model::error::{ErrorKind, TaskError};
use taskhost_model::task::Usage;
use wasmtime::{Error, Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use crate::bindings::v1::GuestError;
use crate::memory::{Full, Refused};
use crate::output::LastWords;
use crate::settings::RunLimits;

const MIB: u64 = 1024 * 1024;
const CODE_BYTES_MAX: usize = 64;
const MESSAGE_BYTES_MAX: usize = 8 * 1024;
const DETAILS_BYTES_MAX: usize = 64 * 1024;
const FRAMES_MAX: usize = 16;

/// How a run ended, and what it used.
#[derive(Debug, Clone, PartialEq)]
pub struct RunExit {
    /// How.
    pub outcome: ExitOutcome,
    /// What it used.
    pub usage: Usage,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub enum ExitOutcome {
    /// With a result: JSON text, within its size and depth.
    Completed(String),
    /// With an error.
    Failed {
        /// Why.
        error: TaskError,
        /// How long the guest wants to wait before it is tried again.
        retry_after: Option<Duration>,
    },
    /// It was told to stop, or ended for that reason, whatever the guest returned.
    Stopped(StopReason),
}

/// Who has set the limits, and can raise them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LimitsOwner {
    /// The host; nobody can.
    Host,
    /// The type's descriptor.
    Descriptor,
}

/// Why the host ends a guest: what an epoch check answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Halt {
    #[error("the run is interrupted")]
    Interrupted,
    #[error("the run has computed longer than it may")]
    OutOfCpu,
}

/// What became of a guest.
#[derive(Debug)]
pub(crate) enum GuestEnd {
    /// It returned.
    Returned(Result<String, GuestError>),
    /// It was ended, or ended itself, within its code.
    Trapped(Trapped),
    /// It was ended between two stretches of its code, or never begun.
    Interrupted,
    /// The host could not give it an instance.
    NotStarted(Error),
}

/// A guest that did not return.
#[derive(Debug)]
pub(crate) struct Trapped {
    pub(crate) error: Error,
    /// Whether it has wanted more memory than it could get, and by whose limit.
    pub(crate) memory_refused: Option<Refused>,
    /// What the guest has said of it.
    pub(crate) words: LastWords,
    /// The host call that it was in, or made before.
    pub(crate) last_call: Option<&'static str>,
    /// Of its log.
    pub(crate) last_lines: Vec<String>,
}

impl GuestEnd {
    pub(crate) fn is_interrupted(&self) -> bool {
        match self {
            Self::Interrupted => true,
            Self::Trapped(trapped) => trapped.error.downcast_ref() == Some(&Halt::Interrupted),
            _ => false,
        }
    }

    pub(crate) fn is_out_of_cpu(&self) -> bool {
        matches!(self, Self::Trapped(it) if it.error.downcast_ref() == Some(&Halt::OutOfCpu))
    }

    /// The outcome, for a guest that was not stopped.
    pub(crate) fn outcome(self, limits: &RunLimits, owner: LimitsOwner) -> ExitOutcome {
        let error = match self {
            Self::Returned(Ok(result)) => match checked(&result, limits.output_bytes, owner) {
                Ok(()) => return ExitOutcome::Completed(result),
                Err(message) => TaskError::of(ErrorKind::InvalidResult, message),
            },
            Self::Returned(Err(error)) => {
                let retry_after = error.retry_after_ms.map(Duration::from_millis);
                return ExitOutcome::Failed {
                    error: own_error(error),
                    retry_after,
                };
            }
            Self::Trapped(trapped) => trapped.explained(limits, owner),
            Self::Interrupted => internal("the run was ended and nobody had asked for it"),
            Self::NotStarted(error) => {
                tracing::error!(error = ?format!("{error:#}"), "no instance for a run");
                internal(format!("the host could not make an instance: {error:#}"))
            }
        };
        ExitOutcome::Failed {
            error,
            retry_after: None,
        }
    }
}

impl LimitsOwner {
    fn or_raise(self, limit: &str) -> String {
        match self {
            Self::Host => String::new(),
            Self::Descriptor => format!(", or raise `limits.{limit}` in the type's descriptor"),
        }
    }
}

impl Trapped {
    /// Why, with what its author needs to find the place.
    fn explained(self, limits: &RunLimits, owner: LimitsOwner) -> TaskError {
        let report = self.report();
        let mut error = self.reason(limits, owner);
        error.details = report;
        error
    }

    /// An object with those of `frames`, `last_call` and `log` that there are.
    fn report(&self) -> Option<Value> {
        let mut report = Map::new();
        let frames = frames(&self.error);
        if !frames.is_empty() {
            report.insert("frames".to_owned(), json!(frames));
        }
        if let Some(call) = self.last_call {
            report.insert("last_call".to_owned(), json!(call));
        }
        if !self.last_lines.is_empty() {
            report.insert("log".to_owned(), json!(self.last_lines));
        }
        (!report.is_empty()).then_some(Value::Object(report))
    }

    fn reason(self, limits: &RunLimits, owner: LimitsOwner) -> TaskError {
        if self.error.downcast_ref() == Some(&Halt::OutOfCpu) {
            let message = format!(
                "it computed longer than its limit of {} ms: give it less to do{}",
                limits.cpu.as_millis(),
                owner.or_raise("cpu_ms")
            );
            return TaskError::of(ErrorKind::OutOfCpu, message);
        }
        match self.memory_refused {
            Some(Refused::OfAll(full)) => return out_of_shared_memory(full, owner),
            Some(Refused::OfRun) => {
                let message = format!(
                    "it wanted more memory than its limit of {} MiB: let it hold less at a time{}",
                    limits.memory_bytes / MIB,
                    owner.or_raise("memory_mib")
                );
                return TaskError::of(ErrorKind::OutOfMemory, message);
            }
            None => {}
        }
        if is_about_the_answer(&self.error) {
            let message = format!(
                "the component's result cannot be read: {}",
                host_message(&self.error, limits)
            );
            return TaskError::of(ErrorKind::InvalidResult, message);
        }
        if is_too_much_at_once(&self.error) {
            let message = format!(
                "it handed the host more than {} MiB in one call: let it pass on less at a time",
                limits.call_bytes() as u64 / MIB
            );
            return TaskError::of(ErrorKind::OutOfMemory, message);
        }
        let LastWords { panic, said } = self.words;
        let message = match panic {
            Some(panic) if said.is_empty() => format!("the component panicked: {panic}"),
            Some(panic) => {
                format!("{said} (standard error); then the component panicked: {panic}")
            }
            None if said.is_empty() => trap_message(&self.error, limits),
            None => {
                // First what its author knows: an exception of a language comes so.
                let then = trap_message(&self.error, limits);
                format!("{said} (standard error); then {then}")
            }
        };
        TaskError::of(ErrorKind::Trap, cut(message, MESSAGE_BYTES_MAX))
    }
}

/// It could go well when fewer others run, unless it wants more than all have. What describes
/// itself is not to blame for that.
fn out_of_shared_memory(full: Full, owner: LimitsOwner) -> TaskError {
    let limit_mib = full.limit_bytes / MIB;
    let message = if full.fits_alone {
        format!(
            "it wanted more memory while the {limit_mib} MiB were taken that the host gives to \
             all runs (half of them to those of one component): let it hold less, have fewer run \
             at once (`runs.slots`), or raise `runs.memory_mib` in the host's settings"
        )
    } else {
        format!(
            "it wanted more memory than the {limit_mib} MiB that the host gives to all runs of a \
             component together (half of `runs.memory_mib` in the host's settings): let it hold \
             less, or raise that"
        )
    };
    if owner == LimitsOwner::Host {
        return internal(message);
    }
    TaskError {
        code: ErrorCode::HostOutOfMemory.as_str().to_owned(),
        retryable: full.fits_alone,
        ..TaskError::of(ErrorKind::OutOfMemory, message)
    }
}

/// The host's own fault.
pub(crate) fn internal(message: impl Into<String>) -> TaskError {
    TaskError::of(ErrorKind::Internal, message)
}

/// Checks a result.
fn checked(result: &str, bytes_max: u64, owner: LimitsOwner) -> Result<(), String> {
    if result.len() as u64 > bytes_max {
        return Err(format!(
            "the component's result has {} bytes, at most {bytes_max} are kept: return less{}",
            result.len(),
            owner.or_raise("output_kib")
        ));
    }
    json::check(result).map_err(|error| format!("the component's result {error}"))
}

/// An error that the component itself returned, within the limits of the contract.
fn own_error(error: GuestError) -> TaskError {
    let mut message = cut(error.message, MESSAGE_BYTES_MAX);
    let is_code = (1..=CODE_BYTES_MAX).contains(&error.code.len())
        && error
            .code
            .bytes()
            .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'));
    let details = error.details.map(|details| {
        let object = (details.len() <= DETAILS_BYTES_MAX).then(|| json::parse(&details).ok());
        object.flatten().filter(Value::is_object)
    });
    if details == Some(None) {
        message.push_str(" (its details were no JSON object of at most 64 KiB, and are dropped)");
    }
    TaskError {
        kind: ErrorKind::Task,
        code: if is_code {
            error.code
        } else {
            "task".to_owned()
        },
        message,
        retryable: error.retryable,
        details: details.flatten(),
    }
}

fn trap_message(error: &Error, limits: &RunLimits) -> String {
    // WASI 0.2 passes on whether it went well, and no number.
    if let Some(I32Exit(status)) = error.downcast_ref() {
        let how = if *status == 0 { "success" } else { "failure" };
        return format!("the component called exit with {how}: `run` has to return");
    }
    if let Some(trap) = error.downcast_ref::<Trap>() {
        let hint = match trap {
            Trap::StackOverflow => ": its calls are nested too deeply",
            Trap::UnreachableCodeReached => ": it aborted, which a panic does",
            _ => "",
        };
        return format!("the component trapped: {trap}{hint}");
    }
    format!("the component was ended: {}", host_message(error, limits))
}

/// An error without frames has not come from the component's code: it had returned, and what it
/// left is no text, lies outside of its memory, or is too large to be copied at all.
fn is_about_the_answer(error: &Error) -> bool {
    !error.is::<WasmBacktrace>() && !error.is::<Trap>() && !error.is::<I32Exit>()
}

fn host_message(error: &Error, limits: &RunLimits) -> String {
    if is_too_much_at_once(error) {
        let bytes_max = limits.call_bytes() as u64;
        return format!("more than {} MiB in one piece", bytes_max / MIB);
    }
    error.root_cause().to_string()
}

/// The engine refuses to copy so much; its error has no type of its own.
fn is_too_much_at_once(error: &Error) -> bool {
    let message = error.root_cause().to_string();
    message.contains("fuel allocated for hostcalls")
}

/// The innermost functions, where the component has kept their names.
fn frames(error: &Error) -> Vec<String> {
    let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() else {
        return Vec::new();
    };
    let names = backtrace.frames().iter().filter_map(|it| it.func_name());
    let names: Vec<String> = names
        .map(|name| cut(format!("{:#}", rustc_demangle::demangle(name)), 256))
        .collect();
    own_frames(&names)
        .iter()
        .take(FRAMES_MAX)
        .cloned()
        .collect()
}

/// Those from where something went wrong on: a panic of Rust goes through a dozen functions of its
/// own first.
fn own_frames(names: &[String]) -> &[String] {
    let is_of_panics = |name: &String| {
        let begins = ["abort", "core::panicking", "__rust", "rust_", "std::"];
        begins.iter().any(|begin| name.starts_with(begin))
    };
    let own = names.iter().position(|name| !is_of_panics(name));
    &names[own.unwrap_or(0)..]
}

fn cut(mut text: String, bytes_max: usize) -> String {
    text.truncate(text.floor_char_boundary(bytes_max));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guest_error(code: &str, details: Option<&str>) -> GuestError {
        GuestError {
            code: code.to_owned(),
            message: "m".repeat(10_000),
            retryable: true,
            retry_after_ms: Some(7),
            details: details.map(str::to_owned),
        }
    }

    #[test]
    fn a_tasks_own_error_is_kept_within_the_contract() {
        let error = own_error(guest_error("no-data", Some(r#"{"a":1}"#)));
        assert_eq!((error.code.as_str(), error.retryable), ("no-data", true));
        assert_eq!(error.details, Some(json!({"a": 1})));
        assert_eq!(error.message.len(), MESSAGE_BYTES_MAX);
        for code in ["", "No", "a b", &"x".repeat(65)] {
            assert_eq!(own_error(guest_error(code, None)).code, "task", "{code}");
        }
        let error = own_error(guest_error("a", Some("[1]")));
        assert!(error.details.is_none() && error.message.ends_with("dropped)"));
    }

    #[test]
    fn frames_begin_where_something_went_wrong() {
        let named = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let all: Vec<String> = named(&["abort", "std::process::abort", "mine::f", "std::x"]);
        assert_eq!(own_frames(&all), ["mine::f", "std::x"]);
        let none: Vec<String> = named(&["abort"]);
        assert_eq!(own_frames(&none), ["abort"]);
    }

    #[test]
    fn results_are_json_within_their_size() {
        let checked = |text| checked(text, 2, LimitsOwner::Descriptor);
        assert_eq!(checked("{}"), Ok(()));
        assert!(checked("{} ").unwrap_err().contains("`limits.output_kib`"));
        assert!(checked("{").unwrap_err().contains("is not JSON"));
    }
}

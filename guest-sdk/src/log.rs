//! Lines in the run's log. Natively they go to standard error, so that functions that log can be
//! tested.

use serde::Serialize;

#[cfg(target_family = "wasm")]
use crate::bindings::taskhost::task::log;

/// How much a line matters.
///
/// ```
/// use taskhost_sdk::{Level, line};
/// line(Level::Debug, "half of it");
/// assert!(Level::Error > Level::Warn);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Every step.
    Trace,
    /// For whoever looks for a mistake.
    Debug,
    /// What a reader of the log wants to know.
    Info,
    /// Something is odd, and the run goes on.
    Warn,
    /// Something failed.
    Error,
}

/// Lines in the run's log, with fields. Reached as `clients.log`; the macros
/// [`trace!`](crate::trace), [`debug!`](crate::debug), [`info!`](crate::info),
/// [`warn!`](crate::warn) and [`error!`](crate::error) do without clients.
///
/// It never fails: lines above 8 KiB are cut, and those after the first 1 MiB of a run dropped.
///
/// ```
/// use taskhost_sdk::{Clients, Level};
///
/// let clients = Clients::new();
/// clients.log.line(Level::Info, "sampled");
/// clients.log.line_with(Level::Info, "sampled", &serde_json::json!({"documents": 10_000}));
/// ```
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct Log;

impl Log {
    /// Adds a line.
    pub fn line(&self, level: Level, message: &str) {
        line(level, message);
    }

    /// Adds a line with fields: whatever becomes a JSON object.
    pub fn line_with(&self, level: Level, message: &str, fields: &impl Serialize) {
        match serde_json::to_string(fields) {
            Ok(fields) => send(level, message, Some(&fields)),
            Err(error) => send(level, &format!("{message} (fields: {error})"), None),
        }
    }
}

/// Adds a line to the run's log, from anywhere.
///
/// ```
/// use taskhost_sdk::{Level, line};
/// line(Level::Warn, "no documents in the last hour");
/// ```
pub fn line(level: Level, message: &str) {
    send(level, message, None);
}

#[cfg(target_family = "wasm")]
fn send(level: Level, message: &str, fields: Option<&str>) {
    let level = match level {
        Level::Trace => log::Level::Trace,
        Level::Debug => log::Level::Debug,
        Level::Info => log::Level::Info,
        Level::Warn => log::Level::Warn,
        Level::Error => log::Level::Error,
    };
    log::log(level, message, fields);
}

#[cfg(not(target_family = "wasm"))]
fn send(level: Level, message: &str, fields: Option<&str>) {
    eprintln!("{level:?} {message} {}", fields.unwrap_or_default());
}

/// Adds a line of level `trace` to the run's log; takes what `format!` takes.
///
/// ```
/// taskhost_sdk::trace!("document {}", 7);
/// ```
#[macro_export]
macro_rules! trace {
    ($($text:tt)+) => { $crate::line($crate::Level::Trace, &::std::format!($($text)+)) };
}

/// Adds a line of level `debug` to the run's log; takes what `format!` takes.
///
/// ```
/// let patterns = 12;
/// taskhost_sdk::debug!("{patterns} patterns");
/// ```
#[macro_export]
macro_rules! debug {
    ($($text:tt)+) => { $crate::line($crate::Level::Debug, &::std::format!($($text)+)) };
}

/// Adds a line of level `info` to the run's log; takes what `format!` takes.
///
/// ```
/// taskhost_sdk::info!("sampled {} documents", 10_000);
/// ```
#[macro_export]
macro_rules! info {
    ($($text:tt)+) => { $crate::line($crate::Level::Info, &::std::format!($($text)+)) };
}

/// Adds a line of level `warn` to the run's log; takes what `format!` takes.
///
/// ```
/// taskhost_sdk::warn!("{} documents have no message", 3);
/// ```
#[macro_export]
macro_rules! warn {
    ($($text:tt)+) => { $crate::line($crate::Level::Warn, &::std::format!($($text)+)) };
}

/// Adds a line of level `error` to the run's log; takes what `format!` takes.
///
/// ```
/// taskhost_sdk::error!("the feature `{}` could not be saved", "nginx");
/// ```
#[macro_export]
macro_rules! error {
    ($($text:tt)+) => { $crate::line($crate::Level::Error, &::std::format!($($text)+)) };
}

//! Lines in the run's log. Writing one never fails: what is too long is cut, what is too much
//! is dropped and counted.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};
use taskhost_model::task::{LogLevel, LogLine};

use crate::caps::LOG_LINE_BYTES_MAX;
use crate::error::cut;
use crate::json;
use crate::scope::Scope;
use crate::sink::RunSink;

/// What a line takes beside its texts: its time, its level and the names of its parts.
const LINE_OVERHEAD_BYTES: u64 = 80;
/// Kept free for the line that says how many were dropped.
const LAST_LINE_BYTES: u64 = 512;

/// Lines for the report of a guest that ends without a word, and bytes of each.
const LAST_LINES: usize = 5;
const LAST_LINES_BYTES_EACH: usize = 256;

/// The interface `log`. Without a sink (`describe`) it does nothing.
#[derive(Debug, Clone)]
pub struct Log(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    scope: Arc<Scope>,
    bytes_max: u64,
    sink: Option<Arc<dyn RunSink>>,
    bytes: AtomicU64,
    dropped: AtomicU64,
    last: Mutex<VecDeque<String>>,
}

impl Log {
    pub(crate) fn new(scope: Arc<Scope>, sink: Option<Arc<dyn RunSink>>, bytes_max: u64) -> Self {
        Self(Arc::new(Inner {
            scope,
            bytes_max,
            sink,
            bytes: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            last: Mutex::default(),
        }))
    }

    /// Adds a line. `fields` that are no JSON object are kept as text.
    pub fn log(&self, level: LogLevel, message: &str, fields: Option<&str>) {
        self.0.scope.calls.note("log.log");
        if self.has_room() {
            let message = cut(message, LOG_LINE_BYTES_MAX);
            let fields = fields.map(|fields| kept(fields, LOG_LINE_BYTES_MAX - message.len()));
            self.add(level, message.to_owned(), fields);
        }
    }

    /// A line that the guest wrote to its standard output (`info`) or error (`warn`).
    pub fn output(&self, level: LogLevel, source: &'static str, line: &str) {
        if self.has_room() {
            let message = cut(line, LOG_LINE_BYTES_MAX).to_owned();
            self.add(level, message, Some(json!({"source": source})));
        }
    }

    /// Says how many lines were dropped, if any were.
    pub(crate) fn finish(&self) {
        let dropped = self.0.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0
            && let Some(sink) = &self.0.sink
        {
            let message = format!(
                "{dropped} more lines were dropped: a run's log keeps {} KiB",
                self.0.bytes_max / 1024
            );
            let at = self.0.scope.clock.now();
            sink.log(LogLine {
                at,
                level: LogLevel::Warn,
                message,
                fields: None,
            });
        }
    }

    /// The lines that were kept last, the newest one at the end; long ones are cut.
    pub(crate) fn last_lines(&self) -> Vec<String> {
        let last = self.0.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.iter().cloned().collect()
    }

    fn remember(&self, message: &str) {
        let mut last = self.0.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.len() == LAST_LINES {
            last.pop_front();
        }
        last.push_back(cut(message, LAST_LINES_BYTES_EACH).to_owned());
    }

    /// Counts the line as dropped when there is none; nothing of it is looked at.
    fn has_room(&self) -> bool {
        if self.0.bytes.load(Ordering::Relaxed) < self.0.bytes_max.saturating_sub(LAST_LINE_BYTES) {
            return true;
        }
        self.0.dropped.fetch_add(1, Ordering::Relaxed);
        false
    }

    fn add(&self, level: LogLevel, message: String, fields: Option<Value>) {
        let Some(sink) = &self.0.sink else { return };
        let line = LogLine {
            at: self.0.scope.clock.now(),
            level,
            message,
            fields,
        };
        let size = stored_bytes(&line.message)
            + line
                .fields
                .as_ref()
                .map_or(0, |fields| fields.to_string().len() as u64)
            + LINE_OVERHEAD_BYTES;
        let before = self.0.bytes.fetch_add(size, Ordering::Relaxed);
        if before + size <= self.0.bytes_max.saturating_sub(LAST_LINE_BYTES) {
            self.remember(&line.message);
            sink.log(line);
        } else {
            self.0.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The size of a text as JSON: what has to be escaped takes up to six times its bytes.
fn stored_bytes(text: &str) -> u64 {
    let escaped = text
        .bytes()
        .filter(|byte| *byte < 0x20 || matches!(byte, b'"' | b'\\'));
    text.len() as u64 + 5 * escaped.count() as u64
}

fn kept(fields: &str, bytes_max: usize) -> Value {
    let object = (fields.len() <= bytes_max)
        .then(|| json::parse(fields).ok())
        .flatten();
    match object {
        Some(object @ Value::Object(_)) => object,
        _ => Value::String(cut(fields, bytes_max).to_owned()),
    }
}

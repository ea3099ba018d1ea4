//! The guest's standard output and error: their lines go into the run's log.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use taskhost_clients::caps::LOG_LINE_BYTES_MAX;
use taskhost_clients::log::Log;
use taskhost_model::task::LogLevel;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

/// A line on standard error that begins so is what a trap is explained with.
const PANIC_PREFIX: &str = "taskhost-panic: ";
/// What Rust's own panic report has in its first line; the panic's text is the next one.
const RUST_PANIC: &str = " panicked at ";
/// The last lines on standard error that explain a trap where nothing better does, and the bytes
/// of each.
const SAID_LINES: usize = 4;
const SAID_BYTES_EACH: usize = 300;
/// What a guest may write at once.
const WRITE_BYTES_MAX: usize = 64 * 1024;

/// One of the two outputs. Clones write to the same one.
#[derive(Debug, Clone)]
pub(crate) struct GuestOutput(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    log: Log,
    level: LogLevel,
    source: &'static str,
    written: Mutex<Written>,
}

#[derive(Debug, Default)]
struct Written {
    /// The line that is not ended yet.
    rest: Vec<u8>,
    panic: Option<String>,
    said: VecDeque<String>,
}

/// What a guest that trapped has said of it on standard error.
#[derive(Debug, Default)]
pub(crate) struct LastWords {
    /// Of its panic.
    pub(crate) panic: Option<String>,
    /// Whatever else it wrote last, in one line, before a panic where there was one.
    pub(crate) said: String,
}

impl GuestOutput {
    pub(crate) fn stdout(log: Log) -> Self {
        Self::new(log, LogLevel::Info, "stdout")
    }

    pub(crate) fn stderr(log: Log) -> Self {
        Self::new(log, LogLevel::Warn, "stderr")
    }

    fn new(log: Log, level: LogLevel, source: &'static str) -> Self {
        Self(Arc::new(Inner {
            log,
            level,
            source,
            written: Mutex::default(),
        }))
    }

    /// Takes the last line, if it was not ended; then what the guest has said last.
    pub(crate) fn finish(&self) -> LastWords {
        let mut written = self.lock();
        if !written.rest.is_empty() {
            let line = std::mem::take(&mut written.rest);
            self.line(&line, &mut written);
        }
        let said: Vec<String> = std::mem::take(&mut written.said).into();
        if let Some(panic) = written.panic.take() {
            let (panic, said) = (Some(panic), String::new());
            return LastWords { panic, said };
        }
        match rust_panic(&said) {
            Some((panic, before)) => LastWords {
                panic: Some(panic),
                said: said[..before].join(" / "),
            },
            None => LastWords {
                panic: None,
                said: said.join(" / "),
            },
        }
    }

    fn take(&self, bytes: &[u8]) {
        let mut written = self.lock();
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let room = LOG_LINE_BYTES_MAX.saturating_sub(written.rest.len());
            // What is longer than a line of the log is cut, like any other line.
            let text = part.strip_suffix(b"\n").unwrap_or(part);
            written
                .rest
                .extend_from_slice(&text[..text.len().min(room)]);
            if part.ends_with(b"\n") {
                let line = std::mem::take(&mut written.rest);
                self.line(&line, &mut written);
            }
        }
    }

    fn line(&self, line: &[u8], written: &mut Written) {
        let line = String::from_utf8_lossy(line);
        match line.strip_prefix(PANIC_PREFIX) {
            Some(message) => written.panic = Some(message.to_owned()),
            None => {
                self.0.log.output(self.0.level, self.0.source, &line);
                written.remember(&line);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Written> {
        self.0
            .written
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Written {
    fn remember(&mut self, line: &str) {
        let line = line.trim();
        // What Rust writes after every panic is about an environment that a guest does not have.
        if line.is_empty() || line.starts_with("note: run with `RUST_BACKTRACE=1`") {
            return;
        }
        if self.said.len() == SAID_LINES {
            self.said.pop_front();
        }
        let end = line.floor_char_boundary(SAID_BYTES_EACH);
        self.said.push_back(line[..end].to_owned());
    }
}

/// The text and the place of a panic that Rust's standard library has reported, and how many lines
/// stand before it: where it is that of another language's interpreter, they tell why.
fn rust_panic(said: &[String]) -> Option<(String, usize)> {
    let at = said.iter().rposition(|line| line.contains(RUST_PANIC))?;
    let (_, place) = said[at].split_once(RUST_PANIC)?;
    let text = said.get(at + 1)?;
    let panic = format!("{text} at {}", place.trim_end_matches(':'));
    Some((panic, at))
}

impl IsTerminal for GuestOutput {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for GuestOutput {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for GuestOutput {
    async fn ready(&mut self) {}
}

impl OutputStream for GuestOutput {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.take(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES_MAX)
    }
}

impl AsyncWrite for GuestOutput {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.take(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(written: &str) -> LastWords {
        let log = taskhost_clients::run::RunClients::describing().log;
        let stderr = GuestOutput::stderr(log);
        stderr.take(written.as_bytes());
        stderr.finish()
    }

    #[test]
    fn a_panic_is_known_by_the_kits_line_or_by_rusts_own_report() {
        let own = "\nthread '<unnamed>' (1) panicked at src/lib.rs:38:20:\nboom\n\
                   note: run with `RUST_BACKTRACE=1` environment variable\n";
        let panic = words(own).panic;
        assert_eq!(panic.as_deref(), Some("boom at src/lib.rs:38:20"));
        let kits = words(&format!("{own}taskhost-panic: mine"));
        assert_eq!((kits.panic.as_deref(), &*kits.said), (Some("mine"), ""));
        // Python's interpreter is a program in Rust.
        let foreign = words(&format!("Traceback:\n  in run\nValueError: no{own}"));
        assert_eq!(foreign.panic.as_deref(), Some("boom at src/lib.rs:38:20"));
        assert_eq!(foreign.said, "in run / ValueError: no");
    }

    #[test]
    fn of_anything_else_the_last_lines_are_kept() {
        let said = words("1\n2\n\nTraceback:\n  in run\nValueError: boom");
        assert_eq!(said.panic, None);
        assert_eq!(said.said, "2 / Traceback: / in run / ValueError: boom");
        assert!(words(&"x".repeat(100_000)).said.len() <= SAID_BYTES_EACH);
    }
}

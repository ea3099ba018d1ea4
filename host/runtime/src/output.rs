//! The guest's standard output and error: their lines go into the run's log.

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

    /// The last line, if it was not ended; then what the guest said of its panic.
    pub(crate) fn finish(&self) -> Option<String> {
        let mut written = self.lock();
        if !written.rest.is_empty() {
            let line = std::mem::take(&mut written.rest);
            self.line(&line, &mut written);
        }
        written.panic.take()
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
            None => self.0.log.output(self.0.level, self.0.source, &line),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Written> {
        self.0
            .written
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
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

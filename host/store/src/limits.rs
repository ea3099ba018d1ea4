//! How large what is stored may be.

use std::time::Duration;

use taskhost_model::receipt::Receipt;
use taskhost_model::task::Task;
use taskhost_model::time::Timestamp;

use crate::error::StoreError;
use crate::event::{Event, RunEvent};

/// Upper bounds in bytes of UTF-8; an operator may set others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Params of one task.
    pub params_bytes_max: u64,
    /// Result of one task.
    pub payload_bytes_max: u64,
    /// Log of one run, over all its attempts; whole lines beyond it are not kept.
    pub log_bytes_max: u64,
    /// Checkpoints of one task together, keys included; each counts as 1 KiB at least.
    pub checkpoints_bytes_max: u64,
    /// One document of a stream.
    pub stream_document_bytes_max: u64,
    /// Runs of one task that are shown, the latest among them.
    pub runs_kept: usize,
    /// What has ended is kept for so long.
    pub retention: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            params_bytes_max: 1024 * 1024,
            payload_bytes_max: 8 * 1024 * 1024,
            log_bytes_max: 1024 * 1024,
            checkpoints_bytes_max: 8 * 1024 * 1024,
            stream_document_bytes_max: 1024 * 1024,
            runs_kept: 10,
            retention: Duration::from_secs(7 * 24 * 60 * 60),
        }
    }
}

impl Limits {
    /// Refuses an event that carries a text above its limit.
    pub(crate) fn check(&self, event: &Event) -> Result<(), StoreError> {
        match event {
            Event::Schedule(run) => within("params", run.params.len(), self.params_bytes_max),
            Event::Run {
                event: RunEvent::Completed { payload, .. },
                ..
            } => within("result", payload.len(), self.payload_bytes_max),
            _ => Ok(()),
        }
    }

    /// How many former runs of a task are kept.
    pub(crate) fn former_runs_kept(&self) -> usize {
        self.runs_kept.saturating_sub(1)
    }

    /// When a task goes by itself, as it is to be written: some time after it has ended. Of one
    /// that was deleted, what was promised by a key that may be repeated stays as long as that
    /// counts.
    pub(crate) fn expires_at(&self, task: &Task) -> Option<Timestamp> {
        let promised = task.receipt.as_ref();
        let promised = promised.map(|it| it.at.plus(Receipt::COUNTS_FOR));
        if task.deleted_at.is_some() {
            return promised;
        }
        let expires_at = task.ended_at()?.plus(self.retention);
        Some(promised.map_or(expires_at, |promised| promised.max(expires_at)))
    }

    /// What of `addition` still fits into a log of `kept` bytes: whole lines only.
    pub(crate) fn log_that_fits<'a>(&self, kept: u64, addition: &'a str) -> &'a str {
        let room = self.log_bytes_max.saturating_sub(kept);
        if addition.len() as u64 <= room {
            return addition;
        }
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        let mut lines = addition.as_bytes()[..room].iter();
        let end = lines.rposition(|byte| *byte == b'\n');
        end.map_or("", |end| &addition[..=end])
    }
}

/// Refuses what is above its limit.
pub(crate) fn within(what: &'static str, bytes: usize, bytes_max: u64) -> Result<(), StoreError> {
    let bytes = bytes as u64;
    if bytes <= bytes_max {
        return Ok(());
    }
    Err(StoreError::TooLarge {
        what,
        bytes,
        bytes_max,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_log_keeps_whole_lines() {
        let limits = Limits {
            log_bytes_max: 10,
            ..Limits::default()
        };
        assert_eq!(limits.log_that_fits(0, "12345\n789\n"), "12345\n789\n");
        assert_eq!(limits.log_that_fits(1, "12345\n789\n"), "12345\n");
        assert_eq!(limits.log_that_fits(5, "12345\n789\n"), "");
        assert_eq!(limits.log_that_fits(4, "ääääää\n"), "");
        assert_eq!(limits.log_that_fits(11, "1\n"), "");
    }

    #[test]
    fn what_is_too_large_is_named_with_its_limit() {
        assert!(within("params", 10, 10).is_ok());
        let error = within("params", 11, 10).unwrap_err().to_string();
        assert_eq!(error, "params has 11 bytes, at most 10 are kept");
    }
}

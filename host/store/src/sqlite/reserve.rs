//! The last of the disk is kept for ending tasks. What brings new data (tasks, claims of runs,
//! documents, stream data, components) is refused before it is used up, so that runs still end,
//! and whoever cancels or deletes is still heard.
//!
//! # What it does not promise
//! Runs that have begun may still bring a result and a log each: up to slots × (`output_kib` +
//! `log_kib`) in all. Where that is more than is kept, ends wait, and are written as soon
//! as there is room.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::StoreError;

/// So much is kept; `StoreError::DiskReserved` names it. SQLite's log has usually up to 16 MiB to
/// bring into the file before it can begin anew (`wal_autocheckpoint`), and as much is left for
/// what tasks write.
const KEPT_BYTES: u64 = 32 * 1024 * 1024;

/// The room on the disk of the data folder.
#[derive(Debug, Clone)]
pub(super) struct Reserve {
    folder: PathBuf,
    kept_bytes: u64,
    /// What the log has said last.
    was_low: Arc<AtomicBool>,
}

impl Reserve {
    pub(super) fn of(folder: &Path) -> Self {
        Self::keeping(folder, KEPT_BYTES)
    }

    pub(super) fn keeping(folder: &Path, kept_bytes: u64) -> Self {
        Self {
            folder: folder.to_owned(),
            kept_bytes,
            was_low: Arc::default(),
        }
    }

    /// Refuses what must not have the last of the disk; asked before each small piece of it.
    pub(super) fn spare(&self) -> Result<(), StoreError> {
        self.spare_for(0)
    }

    /// The same for something large, which takes so many bytes.
    pub(super) fn spare_for(&self, bytes: u64) -> Result<(), StoreError> {
        // Where the system does not say, SQLite will.
        let free = rustix::fs::statvfs(&self.folder)
            .map_or(u64::MAX, |disk| disk.f_bavail.saturating_mul(disk.f_frsize));
        self.say_once(free < self.kept_bytes);
        if free < self.kept_bytes.saturating_add(bytes) {
            return Err(StoreError::DiskReserved);
        }
        Ok(())
    }

    fn say_once(&self, is_low: bool) {
        if self.was_low.swap(is_low, Ordering::Relaxed) == is_low {
            return;
        }
        if is_low {
            tracing::error!(
                folder = %self.folder.display(),
                "less than 32 MiB of the disk is free, which is kept for ending tasks: new \
                 tasks, documents, stream data and components are refused, no run begins, and \
                 the host is not ready. Free some space: it goes on by itself"
            );
        } else {
            tracing::info!("the disk has room again: what brings new data is taken");
        }
    }
}

//! The last of the disk is kept for ending tasks: a run that fills it with documents can still
//! be canceled and deleted.

use std::path::{Path, PathBuf};

use crate::error::StoreError;

/// So much is kept. SQLite's log has usually up to 16 MiB to bring into the file before it can
/// begin anew (`wal_autocheckpoint`), and as much is left for what tasks write.
const KEPT_BYTES: u64 = 32 * 1024 * 1024;

/// The room on the disk of the data folder.
#[derive(Debug, Clone)]
pub(super) struct Reserve {
    folder: PathBuf,
    kept_bytes: u64,
}

impl Reserve {
    pub(super) fn of(folder: &Path) -> Self {
        Self::keeping(folder, KEPT_BYTES)
    }

    pub(super) fn keeping(folder: &Path, kept_bytes: u64) -> Self {
        Self {
            folder: folder.to_owned(),
            kept_bytes,
        }
    }

    /// Refuses what must not have the last of the disk; asked before each piece of it.
    pub(super) fn spare(&self) -> Result<(), StoreError> {
        // Where the system does not say, SQLite will.
        let free = rustix::fs::statvfs(&self.folder)
            .map_or(u64::MAX, |disk| disk.f_bavail.saturating_mul(disk.f_frsize));
        if free < self.kept_bytes {
            return Err(StoreError::DiskFull);
        }
        Ok(())
    }
}

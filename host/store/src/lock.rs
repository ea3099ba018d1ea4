//! The lock on a data folder: one host at a time, and a second one learns who the first is.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

/// The lock's file in the data folder: the holder's process id, and its address once it has
/// one, a line each. The system frees the lock when the process ends, however it does.
const FILE: &str = "taskhost.lock";

/// How often, and with what pause, a lock that is held is tried again.
const TRIES: u32 = 10;
const BETWEEN_TRIES: Duration = Duration::from_millis(50);

/// Why a folder is not ours.
#[derive(Debug)]
pub(crate) enum LockError {
    /// Somebody else holds it; what the file says of them.
    Held {
        /// Process id, if it is written there.
        pid: Option<u32>,
        /// Address, once that host listens.
        address: Option<String>,
    },
    /// The file cannot be made or locked.
    Io(io::Error),
}

/// A lock that is held until it is dropped.
#[derive(Debug)]
pub(crate) struct FolderLock {
    file: Mutex<File>,
}

impl FolderLock {
    /// Takes the lock, or says who has it.
    pub(crate) fn take(folder: &Path) -> Result<Self, LockError> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(folder.join(FILE))
            .map_err(LockError::Io)?;
        let mut tries = 0;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                // A child of a host that was killed may hold the lock for another moment.
                Err(TryLockError::WouldBlock) if tries < TRIES => tries += 1,
                Err(TryLockError::WouldBlock) => return Err(holder(&mut file)),
                Err(TryLockError::Error(error)) => return Err(LockError::Io(error)),
            }
            std::thread::sleep(BETWEEN_TRIES);
        }
        let lock = Self {
            file: Mutex::new(file),
        };
        lock.write("").map_err(LockError::Io)?;
        Ok(lock)
    }

    /// Writes where this host listens, for whoever tries to take the folder too.
    pub(crate) fn write(&self, address: &str) -> io::Result<()> {
        let text = format!("{}\n{address}\n", std::process::id());
        let poisoned = |_| io::Error::other("an earlier call has panicked");
        let mut file = self.file.lock().map_err(poisoned)?;
        // Written over in one piece, so that no reader finds nothing.
        file.write_all_at(text.as_bytes(), 0)?;
        file.set_len(text.len() as u64)?;
        file.flush()
    }
}

fn holder(file: &mut File) -> LockError {
    let mut text = String::new();
    // Without a readable text the refusal only names less.
    let _ = file.take(4_096).read_to_string(&mut text);
    let mut lines = text.lines();
    LockError::Held {
        pid: lines.next().and_then(|line| line.parse().ok()),
        address: lines
            .next()
            .filter(|line| !line.is_empty())
            .map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_told_of_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let first = FolderLock::take(folder.path()).unwrap();
        first.write("http://127.0.0.1:7700").unwrap();
        let Err(LockError::Held { pid, address }) = FolderLock::take(folder.path()) else {
            panic!("taken twice");
        };
        assert_eq!(pid, Some(std::process::id()));
        assert_eq!(address.as_deref(), Some("http://127.0.0.1:7700"));
        drop(first);
        assert!(FolderLock::take(folder.path()).is_ok());
    }
}

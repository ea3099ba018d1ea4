//! Why a store does not open, for people.

use std::io;
use std::path::PathBuf;

use crate::error::StoreError;

/// Why a store does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another host uses the folder.
    #[error(
        "the data folder {} is in use by another taskhost{}: stop that one, or use another \
         folder with --data",
        .folder.display(),
        who(*.pid, .address.as_deref())
    )]
    InUse {
        /// The folder.
        folder: PathBuf,
        /// The other host's process.
        pid: Option<u32>,
        /// Where it listens, once it does.
        address: Option<String>,
    },
    /// The folder cannot be made or used.
    #[error(
        "the data folder {folder} cannot be used: {error}; name a folder that you may write to \
         with --data", folder = .folder.display()
    )]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// A restore was broken off.
    #[error(
        "a backup was being restored into {} when that was broken off, and its store is of two \
         times: run `taskhost restore` again, with --replace", .0.display()
    )]
    HalfRestored(PathBuf),
    /// Elasticsearch cannot be used.
    #[error("the store in Elasticsearch does not open: {0}")]
    Elastic(StoreError),
    /// Elasticsearch does not know people.
    #[error(
        "this Elasticsearch does not tell people apart, so that everybody could do everything: \
         switch its security on (`xpack.security.enabled: true` and API keys), or use another \
         cluster"
    )]
    NoSecurity,
    /// The files in it cannot be used.
    #[error("the store in {folder} does not open: {error}", folder = .folder.display())]
    Store {
        /// The folder.
        folder: PathBuf,
        /// Why.
        error: StoreError,
    },
}

fn who(pid: Option<u32>, address: Option<&str>) -> String {
    match (pid, address) {
        (Some(pid), Some(address)) => format!(" (process {pid}, {address})"),
        (Some(pid), None) => format!(" (process {pid}, not listening yet)"),
        (None, _) => String::new(),
    }
}

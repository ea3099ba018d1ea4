//! Copies the embedded store while its host runs, and puts such a copy in the place of a store.
//!
//! # What is promised
//! 1. A backup has each of the two files as it was at one moment, that of the streams a moment
//!    after that of the tasks, whatever is written meanwhile. What was answered before it began is
//!    in it.
//! 2. One that is not whole, since whoever made it was killed or something was changed, is told
//!    from one that is, and never restored.
//! 3. A store is replaced whole or not at all: where a restore was killed in the middle, the store
//!    does not open until it has been done again.
//!
//! The host's key, its name and the watched folder are no part of it.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use taskhost_model::ids::TaskKey;
use taskhost_model::time::Timestamp;
use taskhost_model::token::Token;

use crate::error::StoreError;
use crate::sqlite::backup;

/// Says what a backup holds. It is written when everything else is on disk.
const MANIFEST: &str = "backup.json";
/// There while a store is replaced.
pub(crate) const UNFINISHED: &str = "restore-unfinished";
const FORMAT: u32 = 1;

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Of this file and the folder.
    format: u32,
    /// The program that has made it.
    pub version: String,
    /// When it was begun.
    pub at: Timestamp,
    files: Vec<Kept>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    name: String,
    bytes: u64,
    sha256: String,
}

/// Why there is no backup, or why it is not restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// A folder or a file.
    #[error("{}: {error}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// Nobody's work is written over.
    #[error("{} is there and not empty: name a folder that is to be made", .0.display())]
    NotEmpty(PathBuf),
    /// It is none of ours, or was cut.
    #[error(
        "{} is no whole backup: {problem}; a backup that was broken off cannot be restored: use \
         another one", .folder.display()
    )]
    NotWhole {
        /// The folder.
        folder: PathBuf,
        /// What is missing or different.
        problem: String,
    },
    /// There is a store already.
    #[error(
        "{} holds a store already: name another folder with --data, or replace it with --replace, \
         and what it holds is gone", .0.display()
    )]
    Occupied(PathBuf),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Manifest {
    /// Bytes of all files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}

fn file(path: &Path) -> impl FnOnce(io::Error) -> BackupError + '_ {
    |error| BackupError::File {
        path: path.to_owned(),
        error,
    }
}

/// Makes a backup of the store in `data` in the folder `to`, which is made. A host may run on it.
///
/// # Errors
/// [`BackupError`].
pub fn back_up(data: &Path, to: &Path, now: Timestamp) -> Result<Manifest, BackupError> {
    for name in backup::FILES {
        let path = data.join(name);
        fs::metadata(&path).map_err(file(&path))?;
    }
    // It holds what the data folder holds, which others may not read either.
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(to);
    made.map_err(file(to))?;
    let mut entries = fs::read_dir(to).map_err(file(to))?;
    if entries.next().is_some() {
        return Err(BackupError::NotEmpty(to.to_owned()));
    }
    backup::copy(data, to)?;
    let mut manifest = Manifest {
        format: FORMAT,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        at: now,
        files: Vec::new(),
    };
    for name in backup::FILES {
        manifest.files.push(kept(to, name)?);
    }
    let path = to.join(MANIFEST);
    let text = serde_json::to_vec_pretty(&manifest).map_err(io::Error::other);
    let written = text.and_then(|text| fs::write(&path, text));
    written.map_err(file(&path))?;
    sync(&path)?;
    sync(to)?;
    Ok(manifest)
}

/// Measures a file, after it is on disk.
fn kept(folder: &Path, name: &str) -> Result<Kept, BackupError> {
    let path = folder.join(name);
    sync(&path)?;
    let mut hasher = Sha256::new();
    let mut source = File::open(&path).map_err(file(&path))?;
    let mut piece = vec![0; 1 << 20];
    let mut bytes = 0;
    loop {
        match source.read(&mut piece).map_err(file(&path))? {
            0 => break,
            length => {
                hasher.update(&piece[..length]);
                bytes += length as u64;
            }
        }
    }
    let digest = hasher.finalize();
    Ok(Kept {
        name: name.to_owned(),
        bytes,
        sha256: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
    })
}

fn sync(path: &Path) -> Result<(), BackupError> {
    let synced = File::open(path).and_then(|opened| opened.sync_all());
    synced.map_err(file(path))
}

/// What a backup says of itself, when all of it is there and nothing of it has changed.
///
/// # Errors
/// [`BackupError::NotWhole`], or what the system says.
pub fn check(folder: &Path) -> Result<Manifest, BackupError> {
    let broken = |problem: String| BackupError::NotWhole {
        folder: folder.to_owned(),
        problem,
    };
    let path = folder.join(MANIFEST);
    let text = fs::read(&path).map_err(|error| broken(format!("`{MANIFEST}`: {error}")))?;
    let manifest: Manifest = serde_json::from_slice(&text)
        .map_err(|error| broken(format!("`{MANIFEST}` is not what it should be: {error}")))?;
    if manifest.format != FORMAT {
        let format = manifest.format;
        return Err(broken(format!(
            "it is of format {format}, and this program knows {FORMAT}"
        )));
    }
    let names: Vec<&str> = manifest
        .files
        .iter()
        .map(|file| file.name.as_str())
        .collect();
    if names != backup::FILES {
        return Err(broken(format!(
            "it holds {names:?}, and should hold {:?}",
            backup::FILES
        )));
    }
    for expected in &manifest.files {
        let found = kept(folder, &expected.name)?;
        if found != *expected {
            return Err(broken(format!(
                "`{}` is not the file that was written",
                found.name
            )));
        }
    }
    let wrong = backup::check(folder)?;
    match wrong.first() {
        None => Ok(manifest),
        Some(first) => Err(broken(first.clone())),
    }
}

/// Whether there is a store in a data folder.
#[must_use]
pub fn is_store(data: &Path) -> bool {
    backup::FILES.iter().any(|name| data.join(name).exists())
}

/// Everything that is wrong with the store in a data folder; a host may run on it.
///
/// # Errors
/// When it cannot be read.
pub fn damages(data: &Path) -> Result<Vec<String>, StoreError> {
    backup::check(data)
}

/// The tasks of the store in a folder which have not ended.
///
/// # Errors
/// When it cannot be read.
pub fn unfinished(folder: &Path) -> Result<Vec<TaskKey>, StoreError> {
    backup::unfinished(folder)
}

/// The tokens of the store in a folder, those that have ended among them; a host may run on it.
///
/// # Errors
/// When it cannot be read.
pub fn tokens(folder: &Path) -> Result<Vec<Token>, StoreError> {
    backup::tokens(folder)
}

/// Copies a checked backup into a folder of its own beside the store, where it is prepared.
///
/// # Errors
/// What the system says.
pub fn unpack(backup: &Path, into: &Path) -> Result<(), BackupError> {
    fs::create_dir_all(into).map_err(file(into))?;
    for name in backup::FILES {
        let path = into.join(name);
        fs::copy(backup.join(name), &path).map_err(file(&path))?;
    }
    Ok(())
}

/// Puts the store in `prepared`, which is closed, in the place of the one in `data`, whose lock the
/// caller holds.
///
/// # Errors
/// What the system says; then the store in `data` may not open until this is done again.
pub fn put_in_place(prepared: &Path, data: &Path) -> Result<(), BackupError> {
    let mark = data.join(UNFINISHED);
    for name in backup::FILES {
        sync(&prepared.join(name))?;
    }
    fs::write(&mark, "").map_err(file(&mark))?;
    sync(&mark)?;
    sync(data)?;
    for name in backup::FILES {
        for along in ["-wal", "-shm"] {
            let path = data.join(format!("{name}{along}"));
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(file(&path)(error));
                }
                _ => {}
            }
        }
        let path = data.join(name);
        fs::rename(prepared.join(name), &path).map_err(file(&path))?;
    }
    sync(data)?;
    fs::remove_file(&mark).map_err(file(&mark))?;
    sync(data)
}

//! The watched folder: each `*.wasm` file that appears in it is handed to the task service,
//! which knows whether it has seen it before: what was replaced by something else once does not
//! come back by lying there. The folder is only ever read.
//!
//! # How it works
//! The system says that something changed, and a clock makes sure that nothing is missed. Each
//! look compares every file with what was judged last; a file is read once its modification
//! time is past and its size stands still, so that half a file is never judged. A signature that
//! comes or changes beside a file is a change of that file.

mod file;

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use notify::Watcher;
use notify::event::{AccessKind, AccessMode, EventKind};
use taskhost_model::time::Clock;
use taskhost_service::error::ServiceError;
use taskhost_service::types::{Rejected, TaskTypes};
use taskhost_store::components::VersionState;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::settings::FolderSettings;
use file::{Stat, present, read};

/// A file is left alone for so long after it was last written.
const SETTLE: Duration = Duration::from_millis(200);
/// How soon a file that is still being written is looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// After so many tries a file that cannot be judged holds nobody up: it is refused for now, and
/// tried again with each look at the folder.
const TRIES_SOON: u32 = 20;

/// Why the folder cannot be watched.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// It is not there, and it is not the default one.
    #[error(
        "the folder of task types {folder} does not exist: make it, or name another one with \
         --task-types", folder = .folder.display()
    )]
    Missing {
        /// The folder.
        folder: PathBuf,
    },
    /// It cannot be made or read.
    #[error(
        "the folder of task types {folder} cannot be used: {error}", folder = .folder.display()
    )]
    Unusable {
        /// The folder.
        folder: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
}

/// The folder and what is known of its files.
#[derive(Debug)]
pub struct Folder {
    settings: FolderSettings,
    types: TaskTypes,
    clock: Clock,
    changed: Arc<Notify>,
    /// Tells of changes for as long as it lives; none where the system cannot.
    _watcher: Option<notify::RecommendedWatcher>,
    files: HashMap<OsString, Known>,
}

/// What is known of a file.
#[derive(Debug, Clone, Copy)]
struct Known {
    stat: Stat,
    /// When it first looked like this.
    since: Instant,
    judged: bool,
    /// How often it could not be judged.
    tries: u32,
}

/// What to do with a file now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Nothing,
    Wait,
    Read,
}

/// Makes the default folder, and refuses any other one that is missing.
///
/// # Errors
/// [`FolderError`], also when the folder cannot be read.
pub fn prepare(settings: &FolderSettings) -> Result<(), FolderError> {
    let folder = || settings.folder.clone();
    let unusable = |error| FolderError::Unusable {
        folder: folder(),
        error,
    };
    if settings.is_default {
        std::fs::create_dir_all(&settings.folder).map_err(unusable)?;
    }
    match std::fs::read_dir(&settings.folder) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(FolderError::Missing { folder: folder() })
        }
        Err(error) => Err(unusable(error)),
    }
}

impl Folder {
    /// Begins to watch; nothing has been looked at yet.
    #[must_use]
    pub fn watch(settings: FolderSettings, types: TaskTypes, clock: Clock) -> Self {
        let changed = Arc::new(Notify::new());
        let watcher = watcher(&settings.folder, &changed);
        if let Err(error) = &watcher {
            tracing::warn!(
                %error,
                "the system does not tell of changes in the folder of task types; it is looked \
                 through every {} s", settings.rescan_interval.as_secs()
            );
        }
        let files = HashMap::new();
        Self {
            settings,
            types,
            clock,
            changed,
            _watcher: watcher.ok(),
            files,
        }
    }

    /// Returns when every file that lies in the folder has been activated or refused.
    pub async fn judge_all(&mut self) {
        while self.look().await > 0 {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Goes on looking until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            let waiting = tokio::select! {
                waiting = self.look() => waiting,
                // A file that is being judged is judged again after the next start.
                () = stop.cancelled() => return,
            };
            let pause = if waiting > 0 {
                LOOK_AGAIN
            } else {
                self.settings.rescan_interval
            };
            tokio::select! {
                () = self.changed.notified() => {}
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Judges what can be judged, the oldest first; returns how many files may be ready soon.
    async fn look(&mut self) -> usize {
        let present = match present(&self.settings.folder) {
            Ok(present) => present,
            Err(error) => {
                tracing::warn!(%error, "the folder of task types cannot be read");
                return 0;
            }
        };
        self.forget_absent(&present);
        let (mut ready, mut waiting) = (Vec::new(), 0);
        for (name, stat) in present {
            let (known, next) = decide(
                self.files.get(&name),
                stat,
                SystemTime::now(),
                Instant::now(),
            );
            self.files.insert(name.clone(), known);
            match next {
                Next::Nothing => {}
                Next::Wait => waiting += 1,
                Next::Read => ready.push((stat.modified, name)),
            }
        }
        ready.sort();
        for (_, name) in ready {
            let judged = self.judge(&name).await;
            if let Some(known) = self.files.get_mut(&name) {
                known.judged = judged;
                known.tries += u32::from(!judged);
                waiting += usize::from(!judged && known.tries < TRIES_SOON);
            }
        }
        waiting
    }

    /// False when the file has to be looked at again.
    async fn judge(&self, name: &OsString) -> bool {
        let Some(known) = self.files.get(name) else {
            return true;
        };
        let shown = name.to_string_lossy().into_owned();
        if !known.stat.is_file {
            let reason = "it is no file, but a folder, a pipe, or a link that leads nowhere";
            self.refuse(shown, reason.to_owned());
            return true;
        }
        let signature = known.stat.signature;
        if signature.is_some_and(|signature| !signature.is_file) {
            let reason = "its signature beside it (.minisig) is no file, but a folder, a pipe or a \
                          device: put the file there that minisign has made, or remove it";
            self.refuse(shown, reason.to_owned());
            return true;
        }
        let (bytes, signature) = match read(&self.settings.folder.join(name), known.stat).await {
            Ok(Some(read)) => read,
            // It has changed since the look, or is gone: the next look will see.
            Ok(None) => return false,
            // Whoever mends it may not touch the file itself: it is looked at again.
            Err(error) => {
                self.refuse(shown, format!("it cannot be read: {error}"));
                return false;
            }
        };
        match self.types.push_found(bytes, signature).await {
            Ok(pushed) => {
                self.types.forget_rejected(&shown);
                for warning in pushed.warnings {
                    tracing::warn!(file = ?shown, "{warning}");
                }
                let is_replaced =
                    matches!(pushed.state, VersionState::Draining | VersionState::Retired);
                if !pushed.created && is_replaced {
                    tracing::info!(
                        file = ?shown,
                        "another version has taken its place and stays active: `taskhost types \
                         push` makes this one active again"
                    );
                }
                true
            }
            Err(ServiceError::InvalidComponent { mistakes }) => {
                self.refuse(shown, mistakes.join("; "));
                true
            }
            Err(
                error @ (ServiceError::Unavailable { .. }
                | ServiceError::DiskFull
                | ServiceError::DiskReserved),
            ) => {
                self.refuse(shown, format!("it cannot be loaded yet: {error}"));
                false
            }
            Err(error) => {
                self.refuse(shown, error.to_string());
                true
            }
        }
    }

    fn refuse(&self, file: String, reason: String) {
        let mut former = self.types.rejected().into_iter();
        if !former.any(|former| former.file == file && former.reason == reason) {
            tracing::warn!(?file, "a task type is refused: {reason}");
        }
        self.types.note_rejected(Rejected {
            file,
            reason,
            at: self.clock.now(),
        });
    }

    /// A file that disappears retires nothing, but its refusal is of no interest any more.
    fn forget_absent(&mut self, present: &[(OsString, Stat)]) {
        let types = &self.types;
        self.files.retain(|name, _| {
            let stays = present.iter().any(|(other, _)| other == name);
            if !stays {
                types.forget_rejected(&name.to_string_lossy());
            }
            stays
        });
    }
}

fn watcher(folder: &Path, changed: &Arc<Notify>) -> notify::Result<notify::RecommendedWatcher> {
    let changed = Arc::clone(changed);
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // An error may mean that something was missed: a look does no harm.
        if event.is_ok_and(|event| !is_of_change(&event.kind)) {
            return;
        }
        changed.notify_one();
    })?;
    watcher.watch(folder, notify::RecursiveMode::NonRecursive)?;
    Ok(watcher)
}

/// Whether an event can mean another content. Reading the folder is an event as well: without
/// this, each look would cause the next one.
fn is_of_change(kind: &notify::EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        _ => true,
    }
}

/// What to do with a file that looks like `stat`. A time in the future says nothing, so that
/// such a file is ready once it has looked the same for long enough.
fn decide(known: Option<&Known>, stat: Stat, wall: SystemTime, now: Instant) -> (Known, Next) {
    let known = match known {
        Some(known) if known.stat == stat => *known,
        _ => Known {
            stat,
            since: now,
            judged: false,
            tries: 0,
        },
    };
    let is_past = wall
        .duration_since(stat.modified_last())
        .is_ok_and(|age| age > SETTLE);
    let stands_still = now.duration_since(known.since) > SETTLE;
    let next = match known.judged {
        true => Next::Nothing,
        false if is_past || stands_still => Next::Read,
        false => Next::Wait,
    };
    (known, next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_once_it_stands_still_and_again_when_it_changes() {
        let (wall, now) = (SystemTime::now(), Instant::now());
        let ms = Duration::from_millis;
        let fresh = Stat {
            modified: wall,
            bytes: 1,
            is_file: true,
            signature: None,
        };
        let (known, next) = decide(None, fresh, wall + ms(100), now);
        assert_eq!(next, Next::Wait);
        let (mut known, next) = decide(Some(&known), fresh, wall + ms(201), now + ms(101));
        assert_eq!(next, Next::Read);
        known.judged = true;
        let (known, next) = decide(Some(&known), fresh, wall + ms(900), now + ms(900));
        assert_eq!(next, Next::Nothing);
        let grown = Stat {
            modified: wall + ms(950),
            bytes: 2,
            is_file: true,
            signature: None,
        };
        let (_, next) = decide(Some(&known), grown, wall + ms(1000), now + ms(1000));
        assert_eq!(next, Next::Wait);
    }

    #[test]
    fn a_time_in_the_future_does_not_hold_a_file_back_for_ever() {
        let (wall, now) = (SystemTime::now(), Instant::now());
        let stat = Stat {
            modified: wall + Duration::from_secs(3600),
            bytes: 1,
            is_file: true,
            signature: None,
        };
        let (known, next) = decide(None, stat, wall, now);
        assert_eq!(next, Next::Wait);
        let (_, next) = decide(Some(&known), stat, wall, now + Duration::from_millis(201));
        assert_eq!(next, Next::Read);
    }

    #[test]
    fn looking_at_the_folder_is_no_change_of_it() {
        use notify::event::{CreateKind, ModifyKind, RemoveKind};
        let opened = EventKind::Access(AccessKind::Open(AccessMode::Any));
        let read = EventKind::Access(AccessKind::Close(AccessMode::Read));
        for kind in [opened, read] {
            assert!(!is_of_change(&kind), "{kind:?}");
        }
        for kind in [
            EventKind::Access(AccessKind::Close(AccessMode::Write)),
            EventKind::Create(CreateKind::File),
            EventKind::Modify(ModifyKind::Any),
            EventKind::Remove(RemoveKind::File),
            EventKind::Other,
        ] {
            assert!(is_of_change(&kind), "{kind:?}");
        }
    }
}

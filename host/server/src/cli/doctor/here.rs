//! What can be seen without a host: settings, folders, the disk, the clock, the store's files.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use taskhost_model::time::Clock;
use taskhost_model::token::Token;
use taskhost_store::backup;
use taskhost_store::open::{HeldFolder, OpenError};

use super::super::backup::DataFolder;
use super::super::{files, text};
use super::Findings;
use crate::settings::{Settings, StoreSettings};

/// With less free than this a host soon takes nothing new.
const FREE_BYTES_MIN: u64 = 64 * 1024 * 1024;
/// With less than this somebody should look at it.
const FREE_BYTES_WANTED: u64 = 1024 * 1024 * 1024;
/// A clock before this has never been set: the year 2025.
const CLOCK_MIN_S: u64 = 1_735_689_600;
/// A file may be so much newer than the clock: it was written meanwhile.
const AHEAD_MAX: Duration = Duration::from_secs(60);

/// The settings, unless there are mistakes in them.
pub(super) fn settings(findings: &mut Findings, folder: &DataFolder) -> Option<Settings> {
    match folder.settings() {
        Err(failure) => {
            let deed = "mend them; examples/taskhost.toml explains every key";
            findings.problem("settings", "they cannot be used", failure.message, deed);
            None
        }
        Ok(settings) => {
            let doubts = settings.doubts();
            if doubts.is_empty() {
                findings.ok("settings", "no mistakes");
            }
            for doubt in doubts {
                let deed = "look whether that is meant";
                findings.warn("settings", "they may not do what is wanted", doubt, deed);
            }
            Some(settings)
        }
    }
}

/// Looks at everything here; answers where the host of the data folder listens, if one runs.
pub(super) async fn look(findings: &mut Findings, settings: &Settings) -> Option<String> {
    clock(findings, &settings.data);
    folder(findings, "cache folder", &settings.component_cache);
    let types = &settings.folder;
    if !types.is_default && !types.folder.is_dir() {
        let shown = files::shown(&types.folder);
        let (what, why) = (
            format!("there is no folder {shown}"),
            "`task_types` names it",
        );
        findings.problem("watched folder", what, why, "make it, or name another one");
    }
    if !settings.data.is_dir() {
        let shown = files::shown(&settings.data);
        findings.ok(
            "data folder",
            format!("{shown} is made by the first host on it"),
        );
        return None;
    }
    folder(findings, "data folder", &settings.data);
    permissions(findings, &settings.data);
    let address = holder(findings, &settings.data);
    match &settings.store {
        StoreSettings::Embedded => {
            store(findings, &settings.data).await;
            tokens(findings, settings).await;
        }
        StoreSettings::Elasticsearch(cluster) => {
            let urls = cluster.urls.join(", ");
            findings.ok(
                "store",
                format!("Elasticsearch at {urls}: the host says how it is"),
            );
        }
    }
    address
}

fn clock(findings: &mut Findings, data: &Path) {
    let now = SystemTime::now();
    let since = now
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let deed = "set it, and have it kept right (chrony, systemd-timesyncd)";
    if since.as_secs() < CLOCK_MIN_S {
        let why = "runs are due, and expire, by it";
        return findings.problem("clock", "it was never set", why, deed);
    }
    let written = |name: &str| std::fs::metadata(data.join(name)).ok()?.modified().ok();
    let newest = ["tasks.sqlite-wal", "tasks.sqlite"]
        .into_iter()
        .filter_map(written)
        .max();
    match newest.and_then(|newest| newest.duration_since(now).ok()) {
        Some(ahead) if ahead > AHEAD_MAX => {
            let what = format!("the store was written {} s from now", ahead.as_secs());
            let why = "the clock was set back, and what is due is late by so much";
            findings.warn("clock", what, why, deed);
        }
        _ => findings.ok("clock", "set, and not set back"),
    }
}

/// Whether a folder can be written, and how much room there is.
fn folder(findings: &mut Findings, about: &'static str, folder: &Path) {
    let shown = files::shown(folder);
    // It is made where it is missing: what counts is the next one above it that is there.
    let there = folder
        .ancestors()
        .find(|it| it.is_dir())
        .unwrap_or(Path::new("."));
    if let Err(error) = tempfile::tempfile_in(there) {
        let deed = "let the host's user write there, or name another folder";
        return findings.problem(
            about,
            format!("{shown} cannot be written"),
            error.to_string(),
            deed,
        );
    }
    let Ok(disk) = rustix::fs::statvfs(there) else {
        return findings.ok(about, shown);
    };
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let what = format!("{shown}, {} free", text::bytes(free));
    let deed = "free some space, or move the folder to a larger disk";
    if free < FREE_BYTES_MIN {
        let why = "the last 32 MiB are kept for ending tasks: new ones are refused";
        findings.problem(about, what, why, deed);
    } else if free < FREE_BYTES_WANTED {
        findings.warn(
            about,
            what,
            "a store grows with its tasks and streams",
            deed,
        );
    } else {
        findings.ok(about, what);
    }
}

fn permissions(findings: &mut Findings, data: &Path) {
    let Ok(found) = std::fs::metadata(data) else {
        return;
    };
    let mode = found.permissions().mode() & 0o777;
    if mode & 0o022 != 0 {
        let what = format!("others may write to it (mode {mode:03o})");
        let why = "whoever writes there can change every task and every component";
        let deed = format!("chmod go-w {}", files::shown(data));
        findings.problem("data folder", what, why, deed);
    }
}

/// Whether a host runs on the folder; where it listens.
fn holder(findings: &mut Findings, data: &Path) -> Option<String> {
    match HeldFolder::take(data) {
        Ok(_) => {
            findings.ok("lock", "free: no host runs on the data folder");
            None
        }
        Err(OpenError::InUse { pid, address, .. }) => {
            let pid = pid.map_or_else(|| "unknown".to_owned(), |pid| pid.to_string());
            let place = address.as_deref().unwrap_or("not listening yet");
            findings.ok(
                "lock",
                format!("held by the host that runs: process {pid}, {place}"),
            );
            address
        }
        Err(error) => {
            let deed = "let the host's user use the folder";
            findings.problem("lock", "it cannot be taken", error.to_string(), deed);
            None
        }
    }
}

/// Reads all of it; a host that runs is not held up.
async fn store(findings: &mut Findings, data: &Path) {
    if !backup::is_store(data) {
        return findings.ok("store", "none yet: it is made by the first host");
    }
    let folder = data.to_owned();
    let read = move || {
        let damages = backup::damages(&folder)?;
        Ok::<_, taskhost_store::error::StoreError>((damages, backup::unfinished(&folder)?.len()))
    };
    let deed = "stop the host, move the data folder away, and `taskhost restore` the last backup";
    match tokio::task::spawn_blocking(read).await {
        Ok(Ok((damages, unfinished))) if damages.is_empty() => {
            findings.ok(
                "store",
                format!("every page of it is well; {unfinished} unfinished tasks"),
            );
        }
        Ok(Ok((damages, _))) => {
            findings.problem("store", "it is damaged", damages.join("; "), deed);
        }
        Ok(Err(error)) => findings.problem("store", "it cannot be read", error.to_string(), deed),
        Err(error) => findings.problem("store", "it cannot be read", error.to_string(), deed),
    }
}

/// Whether somebody can come in, where tokens are asked for, and whether they are asked for where
/// there are some. Their digests are not read.
async fn tokens(findings: &mut Findings, settings: &Settings) {
    const ABOUT: &str = "tokens";
    if !backup::is_store(&settings.data) {
        return;
    }
    let folder = settings.data.clone();
    let read = tokio::task::spawn_blocking(move || backup::tokens(&folder)).await;
    // What is wrong with the files is told already.
    let Ok(Ok(tokens)) = read else { return };
    let now = Clock::System.now();
    let accepted: Vec<&Token> = tokens.iter().filter(|it| it.is_alive(now)).collect();
    let admins = accepted.iter().filter(|it| it.is_admins()).count();
    let count = accepted.len();
    match (settings.has_tokens, count, admins) {
        (false, 0, _) => {}
        (false, ..) => {
            let what = format!("{count} are accepted, and nobody is asked for one");
            let why = "`identity` is none: whoever reaches the host may do everything";
            let deed = "set `identity` to tokens, or revoke them";
            findings.warn(ABOUT, what, why, deed);
        }
        (true, 0, _) if tokens.is_empty() => {
            findings.ok(ABOUT, "none yet: the first start tells an admin's");
        }
        (true, _, 0) => {
            let what = format!("{count} are accepted, and none is an admin's");
            let why = "nobody can manage tokens and task types";
            let deed = "stop the host, and `taskhost token create NAME --role admin --everywhere \
                        --data FOLDER`";
            findings.warn(ABOUT, what, why, deed);
        }
        (true, ..) => findings.ok(
            ABOUT,
            format!("{count} are accepted, {admins} of them an admin's"),
        ),
    }
}

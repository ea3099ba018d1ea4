//! `taskhost backup` and `taskhost restore`: the embedded store, while its host runs, and back.

use std::path::{Path, PathBuf};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use taskhost_model::audit::Act;
use taskhost_model::ids::{RunId, TaskKey};
use taskhost_model::schedule::Schedule;
use taskhost_model::time::{Clock, Timestamp};
use taskhost_store::backup::{self, Manifest};
use taskhost_store::event::Event;
use taskhost_store::open::{HeldFolder, Stores};
use taskhost_store::schedules::DuePlace;

use super::failure::{Exit, Failure};
use super::serve::{LogFormat, log_as, read};
use super::{files, text};
use crate::by_owner;
use crate::settings::{Flags, Settings, StoreSettings};
use crate::store_of::limits;

/// Tasks that are canceled at once.
const AT_ONCE: usize = 256;
/// Schedules that are read together.
const PAGE: usize = 500;
/// Who cancels and pauses.
const BY: &str = "restore";

/// Which data folder.
#[derive(Debug, clap::Args)]
pub(crate) struct DataFolder {
    /// The settings file of the host.
    #[arg(long, env = "TASKHOST_CONFIG")]
    pub config: Option<PathBuf>,
    /// Its data folder [default: ./taskhost-data].
    #[arg(long, value_name = "FOLDER")]
    pub data: Option<String>,
}

/// Copy the embedded store of a host, which may go on running, into a new folder.
#[derive(Debug, clap::Args)]
pub struct Backup {
    /// The folder to make.
    pub to: PathBuf,
    #[command(flatten)]
    folder: DataFolder,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Put a backup in the place of the store in a data folder whose host is stopped.
#[derive(Debug, clap::Args)]
#[command(after_help = UNFINISHED)]
pub struct Restore {
    /// The folder that `taskhost backup` has made.
    pub from: PathBuf,
    #[command(flatten)]
    folder: DataFolder,
    /// Replace the store that is there: what it holds is gone.
    #[arg(long)]
    pub replace: bool,
    /// Have what was unfinished run again, though it may have ended since.
    #[arg(long)]
    pub run_unfinished: bool,
}

/// What becomes of runs in flight.
const UNFINISHED: &str = "\
Whether what was waiting or running when the backup was made has ended since, no backup can know.
So it is canceled, with a reason that names the backup, and nothing runs twice by itself: schedule
again what should run. Nor can it know what schedules have fired since: they are paused. With
--run-unfinished all of it runs, and schedules go on.";

impl DataFolder {
    /// The settings, of which the embedded store's folder is wanted.
    pub(crate) fn settings(&self) -> Result<Settings, Failure> {
        let flags = Flags {
            data: self.data.clone(),
            ..Flags::default()
        };
        read(self.config.as_deref(), flags)
    }
}

/// Which store.
#[derive(Debug, clap::Args)]
pub(crate) struct StoreOf {
    #[command(flatten)]
    folder: DataFolder,
    /// `embedded`, or `elasticsearch` [default: embedded].
    #[arg(long, value_name = "STORE")]
    pub store: Option<String>,
    /// Addresses of Elasticsearch, with commas between them.
    #[arg(long, value_name = "URL")]
    pub elasticsearch_url: Option<String>,
    /// File with the key that all hosts of a store share, if it is not in TASKHOST_KEY.
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<String>,
}

impl StoreOf {
    pub(crate) fn settings(&self) -> Result<Settings, Failure> {
        let flags = Flags {
            data: self.folder.data.clone(),
            store: self.store.clone(),
            elasticsearch_url: self.elasticsearch_url.clone(),
            key_file: self.key_file.clone(),
            ..Flags::default()
        };
        read(self.folder.config.as_deref(), flags)
    }
}

fn embedded(settings: &Settings) -> Result<&Path, Failure> {
    match &settings.store {
        StoreSettings::Embedded => Ok(&settings.data),
        StoreSettings::Elasticsearch(cluster) => Err(Failure::wrong_use(format!(
            "the store is in Elasticsearch: take a snapshot of the indices {}_* there",
            cluster.prefix
        ))),
    }
}

pub(crate) fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::failed(error.to_string())
}

pub(crate) fn back_up(command: &Backup) -> Result<Exit, Failure> {
    let settings = command.folder.settings()?;
    let data = embedded(&settings)?;
    let now = Clock::System.now();
    let manifest = backup::back_up(data, &command.to, now).map_err(failed)?;
    let to = files::shown(&command.to);
    if command.json {
        let answer = serde_json::json!({
            "folder": command.to, "at": manifest.at, "bytes": manifest.bytes(),
        });
        say!("{}", text::json(&answer));
    } else {
        let size = text::bytes(manifest.bytes());
        say!(
            "{to}: the store as of {}, {size}; it is on disk",
            manifest.at
        );
    }
    Ok(Exit::Done)
}

pub(crate) async fn restore(command: &Restore) -> Result<Exit, Failure> {
    log_as("warn", LogFormat::Text)?;
    let settings = command.folder.settings()?;
    let data = embedded(&settings)?.to_owned();
    let manifest = backup::check(&command.from).map_err(failed)?;
    let held = HeldFolder::take(&data).map_err(failed)?;
    if backup::is_store(&data) && !command.replace {
        return Err(failed(backup::BackupError::Occupied(data)));
    }
    let prepared = tempfile::tempdir_in(&data).map_err(failed)?;
    backup::unpack(&command.from, prepared.path()).map_err(failed)?;
    let Prepared {
        unfinished,
        schedules,
    } = prepare(&settings, &manifest, prepared.path(), command).await?;
    backup::put_in_place(prepared.path(), &data).map_err(failed)?;
    drop(held);
    let has_tokens = backup::tokens(&data).is_ok_and(|tokens| !tokens.is_empty());
    let (shown, at) = (files::shown(&data), manifest.at);
    say!("{shown}: the store as of {at} is in place");
    match (unfinished, command.run_unfinished) {
        (0, _) => {}
        (count, true) => say!("{count} unfinished tasks run when a host starts on it"),
        (count, false) => say!(
            "{count} unfinished tasks are canceled, since they may have ended after {at}: \
             `taskhost list --status canceled` shows them; schedule again what should run"
        ),
    }
    if schedules > 0 {
        say!(
            "{schedules} schedules are paused, since they may have fired after {at}: `taskhost \
             schedules` shows them; resume what should go on"
        );
    }
    if has_tokens {
        say!(
            "its tokens are those of {at}: what was revoked since is accepted again, until you \
             revoke it again"
        );
    }
    Ok(Exit::Done)
}

/// What there was in a copy.
struct Prepared {
    /// Tasks that had not ended.
    unfinished: usize,
    /// Schedules that are paused now.
    schedules: usize,
}

/// Brings the copy up to date, cancels what has not ended, and pauses what would fire.
async fn prepare(
    settings: &Settings,
    manifest: &Manifest,
    folder: &Path,
    command: &Restore,
) -> Result<Prepared, Failure> {
    let wanted = taskhost_store::open::Settings {
        folder: folder.to_owned(),
        limits: limits(settings),
    };
    let stores = taskhost_store::open::open(&wanted, Clock::System).map_err(failed)?;
    let unfinished = backup::unfinished(folder).map_err(failed)?;
    let goes_on = command.run_unfinished;
    let firing = match goes_on {
        true => Vec::new(),
        false => firing(&stores).await?,
    };
    let prepared = Prepared {
        unfinished: unfinished.len(),
        schedules: firing.len(),
    };
    let what_of = if goes_on { "run" } else { "are canceled" };
    let mut detail = format!("{} unfinished tasks {what_of}", prepared.unfinished);
    if prepared.schedules > 0 {
        detail.push_str(&format!(", {} schedules are paused", prepared.schedules));
    }
    let act = Act::everywhere("store.restore", &manifest.at).with(detail);
    let canceled = async {
        if goes_on {
            return Ok(());
        }
        pause(&stores, firing, manifest.at).await?;
        cancel(&stores, unfinished, manifest.at).await
    };
    let done = by_owner::kept(&stores, &Clock::System, act, canceled).await;
    stores.close().await;
    done.map(|()| prepared)
}

/// The schedules that would fire sooner or later, or have something to write.
async fn firing(stores: &Stores) -> Result<Vec<Schedule>, Failure> {
    let whenever = Timestamp::from_ms(i64::MAX);
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let some = stores.schedules.due(whenever, after.as_ref(), PAGE).await;
        let some = some.map_err(failed)?;
        let is_last = some.len() < PAGE;
        after = some.last().and_then(DuePlace::of);
        all.extend(some);
        if is_last || after.is_none() {
            return Ok(all);
        }
    }
}

/// What it has fired since the backup is not known here: it makes up for nothing by itself.
async fn pause(stores: &Stores, all: Vec<Schedule>, at: Timestamp) -> Result<(), Failure> {
    let reason =
        format!("restored from the backup of {at}: what it has fired since then is not known");
    let now = Clock::System.now();
    for mut schedule in all {
        let version = schedule.version;
        let fires = schedule.active.iter().filter(|fire| !fire.is_written);
        let fires: Vec<RunId> = fires.map(|fire| fire.run).collect();
        for run in fires {
            schedule.note_failed(run, &reason, now);
        }
        schedule.pause(Some(BY), Some(&reason), now);
        schedule.stamp(now);
        let put = stores.schedules.put(&schedule, Some(version)).await;
        put.map_err(failed)?;
    }
    Ok(())
}

async fn cancel(stores: &Stores, keys: Vec<TaskKey>, at: Timestamp) -> Result<(), Failure> {
    let reason = format!(
        "restored from the backup of {at}, when it was unfinished: whether it has ended since is \
         not known"
    );
    let cancel = |key: TaskKey| {
        let event = Event::Cancel {
            by: BY.to_owned(),
            reason: Some(reason.clone()),
            if_version: None,
        };
        async move { stores.tasks.apply(&key, event).await.map(drop) }
    };
    let canceled = stream::iter(keys).map(cancel).buffer_unordered(AT_ONCE);
    canceled.try_collect::<()>().await.map_err(failed)
}

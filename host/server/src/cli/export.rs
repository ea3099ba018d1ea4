//! `taskhost export`: tasks, collections and the settings of streams, as JSON lines.

use std::io::{BufWriter, Write};
use std::path::PathBuf;

use serde_json::value::RawValue;
use taskhost_model::time::{Clock, Timestamp};
use taskhost_store::backup;
use taskhost_store::documents::Scope;
use taskhost_store::open::Stores;
use taskhost_store::whole::WholeStore;

use super::backup::{StoreOf, failed};
use super::failure::{Exit, Failure};
use super::files;
use super::lines::{Counts, FORMAT, Line};
use super::serve::{LogFormat, log_as};
use crate::settings::{Settings, StoreSettings};
use crate::store_of::{limits, open_stores};

/// Tasks, and documents, that are read together.
const PAGE: usize = 500;

/// Write tasks with their results, collections and the settings of streams to a file, as JSON
/// lines. The host may go on running: on the embedded store they are read from a copy, for which
/// there has to be room on the disk. Documents of streams, components, recordings, schedules and
/// former runs are not among them.
#[derive(Debug, clap::Args)]
pub struct Export {
    /// The file to make.
    pub file: PathBuf,
    #[command(flatten)]
    store: StoreOf,
}

/// Where lines go.
struct Lines<W: Write> {
    out: W,
    counts: Counts,
}

impl<W: Write> Lines<W> {
    fn write(&mut self, line: &Line) -> Result<(), Failure> {
        self.counts.add(line);
        serde_json::to_writer(&mut self.out, line).map_err(failed)?;
        self.out.write_all(b"\n").map_err(failed)
    }
}

pub(crate) async fn run(command: &Export) -> Result<Exit, Failure> {
    log_as("warn", LogFormat::Text)?;
    let settings = command.store.settings()?;
    let at = Clock::System.now();
    // The folder of the copy is gone when this ends.
    let (stores, _copy) = opened(settings, at).await?;
    let whole = stores
        .whole()
        .ok_or_else(|| Failure::failed("this store cannot be told whole"))?;
    // Under another name until it is whole, beside where it is to be.
    let folder = command
        .file
        .parent()
        .filter(|it| !it.as_os_str().is_empty());
    let folder = folder.unwrap_or(std::path::Path::new("."));
    let part = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    let mut lines = Lines {
        out: BufWriter::new(part.as_file()),
        counts: Counts::default(),
    };
    export(&stores, &*whole, &mut lines, at).await?;
    let counts = lines.counts;
    lines.out.flush().map_err(failed)?;
    drop(lines);
    part.as_file().sync_all().map_err(failed)?;
    part.persist_noclobber(&command.file).map_err(|error| {
        let shown = files::shown(&command.file);
        failed(format!("{shown}: {}", error.error))
    })?;
    stores.close().await;
    say!("{}: {counts}", files::shown(&command.file));
    Ok(Exit::Done)
}

/// The store, or a copy of it where a host may have it.
async fn opened(
    settings: Settings,
    at: Timestamp,
) -> Result<(Stores, Option<tempfile::TempDir>), Failure> {
    if let StoreSettings::Elasticsearch(_) = settings.store {
        let stores = open_stores(&settings, Clock::System)
            .await
            .map_err(failed)?;
        return Ok((stores, None));
    }
    let copy = tempfile::tempdir_in(&settings.data).map_err(|error| {
        let shown = files::shown(&settings.data);
        failed(format!(
            "{shown} holds no store that could be read: {error}"
        ))
    })?;
    let folder = copy.path().join("store");
    backup::back_up(&settings.data, &folder, at).map_err(failed)?;
    let wanted = taskhost_store::open::Settings {
        folder,
        limits: limits(&settings),
    };
    let stores = taskhost_store::open::open(&wanted, Clock::System).map_err(failed)?;
    Ok((stores, Some(copy)))
}

async fn export<W: Write>(
    stores: &Stores,
    whole: &dyn WholeStore,
    lines: &mut Lines<W>,
    at: Timestamp,
) -> Result<(), Failure> {
    lines.write(&Line::TaskhostExport {
        format: FORMAT,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        at,
    })?;
    for (space, name, settings) in whole.streams().await.map_err(failed)? {
        lines.write(&Line::Stream {
            space,
            name,
            settings,
        })?;
    }
    let mut after = None;
    loop {
        let keys = whole
            .tasks_after(after.as_ref(), PAGE)
            .await
            .map_err(failed)?;
        for key in &keys {
            // It may have gone since.
            let Some(stored) = stores.tasks.read(key).await.map_err(failed)? else {
                continue;
            };
            let log = stores
                .tasks
                .log(key, stored.task.run.id)
                .await
                .map_err(failed)?;
            let payload = stored.payload.map(|text| raw(&text)).transpose()?;
            lines.write(&Line::Task {
                task: Box::new(stored.task),
                params: raw(&stored.params)?,
                payload,
                log: log.filter(|log| !log.is_empty()),
            })?;
        }
        match keys.into_iter().last() {
            Some(last) => after = Some(last),
            None => break,
        }
    }
    for scope in whole.collections().await.map_err(failed)? {
        collection(stores, &scope, lines).await?;
    }
    let counts = lines.counts;
    lines.write(&Line::End(counts))
}

async fn collection<W: Write>(
    stores: &Stores,
    scope: &Scope,
    lines: &mut Lines<W>,
) -> Result<(), Failure> {
    let mut cursor = None;
    loop {
        let page = stores.documents.query(scope, None, cursor.as_deref(), PAGE);
        let page = page.await.map_err(failed)?;
        for document in page.documents {
            lines.write(&Line::Document {
                space: scope.space.clone(),
                stream: scope.stream.clone(),
                label: scope.label.clone(),
                id: document.id,
                body: raw(&document.body)?,
            })?;
        }
        match page.next {
            Some(next) => cursor = Some(next),
            None => return Ok(()),
        }
    }
}

/// On one line: a text that somebody wrote may have several.
fn raw(text: &str) -> Result<Box<RawValue>, Failure> {
    if !text.contains('\n') && !text.contains('\r') {
        return RawValue::from_string(text.to_owned()).map_err(failed);
    }
    // Line ends stand between values alone: within texts they are escaped.
    let one_line = text.replace(['\n', '\r'], " ");
    RawValue::from_string(one_line).map_err(failed)
}

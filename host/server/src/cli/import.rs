//! `taskhost import`: what `taskhost export` wrote, into another store. The whole file is looked
//! through before the first line of it is written.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use taskhost_model::audit::Act;
use taskhost_model::exact::look_through;
use taskhost_model::ids::{StreamKey, TaskKey};
use taskhost_model::time::Clock;
use taskhost_store::documents::{BODY_BYTES_MAX, Change, Scope, Writer};
use taskhost_store::error::StoreError;
use taskhost_store::event::{Event, Imported, Outcome};
use taskhost_store::limits::Limits;
use taskhost_store::open::Stores;

use super::backup::{StoreOf, failed};
use super::failure::{Exit, Failure};
use super::files;
use super::lines::{Counts, FORMAT, Line};
use super::serve::{LogFormat, log_as};
use crate::by_owner;
use crate::store_of::{limits, open_stores};

/// No line that was exported is longer.
const LINE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Read what `taskhost export` wrote into a store: the embedded one of a host that is stopped, or
/// one in Elasticsearch. What is there already stays as it is, so that an import that was broken
/// off is done again. A task that had not ended is canceled, with a reason: it may go on in the
/// other store.
#[derive(Debug, clap::Args)]
pub struct Import {
    /// The file.
    pub file: PathBuf,
    #[command(flatten)]
    store: StoreOf,
}

/// The lines of a file, each with its number.
struct Lines {
    source: BufReader<File>,
    name: String,
    number: u64,
}

impl Lines {
    fn of(path: &Path) -> Result<Self, Failure> {
        let source = files::open(path).map_err(Failure::wrong_use)?;
        Ok(Self {
            source: BufReader::new(source),
            name: files::shown(path),
            number: 0,
        })
    }

    fn wrong(&self, problem: impl std::fmt::Display) -> Failure {
        Failure::failed(format!("{}:{}: {problem}", self.name, self.number))
    }

    /// The next line; none at the end of the file.
    fn next(&mut self) -> Result<Option<Line>, Failure> {
        self.number += 1;
        let mut bytes = Vec::new();
        let mut most = (&mut self.source).take(LINE_BYTES_MAX);
        let read = most.read_until(b'\n', &mut bytes);
        let length = read.map_err(|error| self.wrong(error))?;
        if length == 0 {
            return Ok(None);
        }
        if bytes.last() != Some(&b'\n') {
            return Err(self.wrong("the file breaks off within this line, or it is too long"));
        }
        let text = std::str::from_utf8(&bytes).map_err(|_| self.wrong("is not UTF-8"))?;
        let line = serde_json::from_str(text);
        line.map(Some)
            .map_err(|error| self.wrong(format!("is no line of an export: {error}")))
    }
}

pub(crate) async fn run(command: &Import) -> Result<Exit, Failure> {
    log_as("warn", LogFormat::Text)?;
    let settings = command.store.settings()?;
    let counts = check(&command.file, &limits(&settings))?;
    let stores = open_stores(&settings, Clock::System)
        .await
        .map_err(failed)?;
    let shown = files::shown(&command.file);
    let act = Act::everywhere("store.import", &shown).with(counts.to_string());
    let imported = by_owner::kept(
        &stores,
        &Clock::System,
        act,
        write_all(&stores, &command.file),
    );
    let already = imported.await;
    stores.close().await;
    let already = already?;
    say!("{shown}: {counts}; {already} were there already");
    Ok(Exit::Done)
}

/// How much was there already.
async fn write_all(stores: &Stores, file: &Path) -> Result<u64, Failure> {
    let mut lines = Lines::of(file)?;
    let mut already = 0;
    while let Some(line) = lines.next()? {
        let written = write(stores, line).await;
        let is_new = written.map_err(|error| lines.wrong(error))?;
        already += u64::from(!is_new);
    }
    Ok(already)
}

/// Looks through all of it.
fn check(file: &Path, limits: &Limits) -> Result<Counts, Failure> {
    let mut lines = Lines::of(file)?;
    match lines.next()? {
        Some(Line::TaskhostExport { format: FORMAT, .. }) => {}
        Some(Line::TaskhostExport { format, .. }) => {
            let problem = format!("it is of format {format}, and this program knows {FORMAT}");
            return Err(lines.wrong(problem));
        }
        _ => return Err(lines.wrong("is not how an export begins")),
    }
    let mut counts = Counts::default();
    loop {
        let Some(line) = lines.next()? else {
            return Err(lines.wrong("the file breaks off here: its last line is missing"));
        };
        counts.add(&line);
        match &line {
            Line::End(said) if *said == counts => break,
            Line::End(said) => {
                return Err(lines.wrong(format!("{said} should come before it, and {counts} do")));
            }
            Line::TaskhostExport { .. } => return Err(lines.wrong("another export begins here")),
            line => look_at(line, limits).map_err(|problem| lines.wrong(problem))?,
        }
    }
    match lines.next()? {
        None => Ok(counts),
        Some(_) => Err(lines.wrong("comes after the last line")),
    }
}

/// What the store would refuse, or could not be read again.
fn look_at(line: &Line, limits: &Limits) -> Result<(), String> {
    let text = |what: &str, text: &str, most: u64| {
        if text.len() as u64 > most {
            return Err(format!(
                "{what} has {} bytes, at most {most} are kept",
                text.len()
            ));
        }
        look_through(text).map_err(|flaw| format!("{what}: {flaw}"))
    };
    match line {
        Line::Task {
            params, payload, ..
        } => {
            text("`params`", params.get(), limits.params_bytes_max)?;
            let payload = payload.as_ref().map(|payload| payload.get());
            payload.map_or(Ok(()), |it| text("`payload`", it, limits.payload_bytes_max))
        }
        Line::Document { body, .. } => {
            if !body.get().trim_start().starts_with('{') {
                return Err("`body` has to be an object".to_owned());
            }
            text("`body`", body.get(), BODY_BYTES_MAX)
        }
        _ => Ok(()),
    }
}

/// Whether it was not there before.
async fn write(stores: &Stores, line: Line) -> Result<bool, StoreError> {
    match line {
        Line::TaskhostExport { .. } | Line::End(_) => Ok(true),
        Line::Stream {
            space,
            name,
            settings,
        } => match stores
            .streams
            .put(&StreamKey { space, name }, &settings)
            .await
        {
            // Where streams belong to a cluster, so do their settings.
            Err(StoreError::EmbeddedOnly { .. }) => Ok(true),
            put => put,
        },
        Line::Task {
            task,
            params,
            payload,
            log,
        } => {
            let key = task.key();
            let imported = Imported {
                task: *task,
                params: Arc::from(params.get()),
                payload: payload.map(|payload| Arc::from(payload.get())),
                log: log.map(Arc::from),
            };
            let event = Event::Import(Box::new(imported));
            Ok(apply(stores, &key, event).await? == Outcome::Changed)
        }
        Line::Document {
            space,
            stream,
            label,
            id,
            body,
        } => {
            let scope = Scope {
                space,
                stream,
                label,
            };
            let change = Change::Create {
                id,
                body: Arc::from(body.get()),
            };
            let by = Writer::Person("import".to_owned());
            let done = stores.documents.apply(&scope, &by, vec![change]).await?;
            Ok(done.iter().all(Result::is_ok))
        }
    }
}

async fn apply(stores: &Stores, key: &TaskKey, event: Event) -> Result<Outcome, StoreError> {
    Ok(stores.tasks.apply(key, event).await?.outcome)
}

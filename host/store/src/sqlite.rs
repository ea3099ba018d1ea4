//! The embedded store: SQLite in two files under the data folder, each with one writer thread
//! and a few readers. Stream data has its own file so that an ingest never delays a task.

mod conditions;
mod connection;
mod writer;
mod readers;
mod reserve;
mod schema;
mod row;
mod audit;
mod read_task;
mod checkpoints;
mod recordings;
mod schedules;
mod lanes;
mod key_holders;
mod history;
mod write_task;
mod claim;
mod along;
mod list;
mod children;
mod tasks;
mod many;
mod collection;
mod documents;
mod components;
mod stream_row;
mod range;
mod drawing;
mod search;
mod ingest;
mod retention;
mod streams;
pub(crate) mod backup;
mod whole;
mod run_keys;
pub(crate) mod tokens;
pub(crate) mod peopled;
#[cfg(test)]
mod plans;
#[cfg(test)]
mod trouble;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use taskhost_model::time::Clock;

use crate::audit::Noted;
use crate::crash::Step;
use crate::error::StoreError;
use crate::limits::Limits;
use along::Along;
use audit::Notes;
use connection::Format;
use readers::Readers;
use reserve::Reserve;
use tokens::Tokens;
use writer::{Company, Writer};

/// The store in a data folder.
#[derive(Debug)]
pub(crate) struct Sqlite {
    clock: Clock,
    limits: Limits,
    along: Along,
    noted: Arc<Noted>,
    reserve: Reserve,
    /// Numbers of held tasks of which the log says that they cannot be read.
    unreadable: Arc<Mutex<BTreeSet<i64>>>,
    tasks: File,
    streams: File,
}

/// One file with its writer and its readers.
#[derive(Debug)]
struct File {
    writer: Writer,
    readers: Readers,
    /// Operations at the last look, and whether memory was given back since.
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    submitted: u64,
    is_resting: bool,
}

/// So few writes between two looks are somebody's health checks: the store has nothing to do.
const WRITES_AT_REST: u64 = 20;

impl Sqlite {
    /// Opens the files in `folder`, or makes them. `guard` is kept while anything may write.
    pub(crate) fn open<G>(
        folder: &Path,
        limits: Limits,
        clock: Clock,
        guard: &G,
    ) -> Result<Self, StoreError>
    where
        G: Clone + Send + 'static,
    {
        let along = Along::default();
        let noted = Arc::new(Noted::default());
        let company = Company {
            companion: Some(along.companion(limits, clock.clone())),
            beside: Some(Box::new(Notes::of(&noted))),
        };
        Ok(Self {
            clock,
            limits,
            along,
            noted,
            reserve: Reserve::of(folder),
            unreadable: Arc::default(),
            tasks: File::open(folder, &schema::TASKS, company, guard.clone())?,
            streams: File::open(folder, &schema::STREAMS, Company::default(), guard.clone())?,
        })
    }

    /// The people of a folder, and what seals the keys of their runs. It reads and writes a file:
    /// not for threads that serve.
    pub(crate) fn people(
        self: &Arc<Self>,
        folder: &Path,
    ) -> Result<(Arc<Tokens>, [u8; 32]), StoreError> {
        let connection = connection::for_writing(folder, &schema::TASKS)?;
        let ring = tokens::ring(&connection)?;
        let people = Tokens::open(self, &connection)?;
        Ok((Arc::new(people), ring))
    }

    /// Whether both files can be written now, also with new data.
    pub(crate) async fn writable(&self) -> Result<(), StoreError> {
        for file in [&self.tasks, &self.streams] {
            let probe = |connection: &rusqlite::Connection| {
                connection.prepare_cached(schema::PROBE)?.execute([])?;
                Ok(())
            };
            file.writer.write(Step::Other, probe).await?;
        }
        self.reserve.spare()
    }

    /// Gives memory back that is kept for speed, where little was written since the last call.
    pub(crate) async fn rest(&self) -> Result<(), StoreError> {
        for file in [&self.tasks, &self.streams] {
            if file.falls_to_rest() {
                file.readers.close_idle();
                let shrink = |connection: &rusqlite::Connection| {
                    connection.execute_batch("PRAGMA shrink_memory")?;
                    Ok(())
                };
                file.writer.write(Step::Other, shrink).await?;
            }
        }
        Ok(())
    }

    /// Writes what waits and closes the files; every later call answers `Unavailable`.
    pub(crate) async fn close(&self) {
        for file in [&self.tasks, &self.streams] {
            file.readers.close().await;
            file.writer.close().await;
        }
    }
}

impl File {
    fn open(
        folder: &Path,
        format: &'static Format,
        company: Company,
        guard: impl Send + 'static,
    ) -> Result<Self, StoreError> {
        let connection = connection::for_writing(folder, format)?;
        Ok(Self {
            writer: Writer::start(format.file, connection, company, guard)?,
            readers: Readers::new(folder.to_owned(), format),
            seen: Mutex::default(),
        })
    }

    /// Whether there is something to give back: once after each time of work.
    fn falls_to_rest(&self) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        // Read under the lock: never less than what another look has seen.
        let submitted = self.writer.submitted();
        let is_idle = submitted - seen.submitted <= WRITES_AT_REST;
        let falls = is_idle && !seen.is_resting;
        seen.is_resting = is_idle;
        seen.submitted = submitted;
        falls
    }
}

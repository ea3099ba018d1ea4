//! Copies both files while a host writes to them, and looks whether a copy is whole.

use std::path::Path;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};
use taskhost_model::ids::TaskKey;
use taskhost_model::token::Token;

use super::connection::{Format, check_format};
use super::row::damaged;
use super::schema::{STREAMS, TASKS};
use crate::error::StoreError;

/// The files of a store, tasks first.
pub(crate) const FILES: [&str; 2] = [TASKS.file, STREAMS.file];
const FORMATS: [&Format; 2] = [&TASKS, &STREAMS];

/// Copies both files from one folder into another, each as it is at one moment, and that of the
/// streams a moment after that of the tasks: whatever a task has read is there.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<(), StoreError> {
    let pinned = FORMATS.map(|format| pinned(from, format));
    for (format, source) in FORMATS.into_iter().zip(pinned) {
        let source = source?;
        let mut target = Connection::open(to.join(format.file))?;
        let backup = Backup::new(&source, &mut target)?;
        // In one go: the source is held at its moment already.
        while backup.step(-1)? != StepResult::Done {
            std::thread::yield_now();
        }
        drop(backup);
        target.close().map_err(|(_, error)| error)?;
    }
    Ok(())
}

/// Opens a file and stays at the moment that it is in: what is written later is not seen.
fn pinned(folder: &Path, format: &Format) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(folder.join(format.file), flags)?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    check_format(&connection, format)?;
    connection.execute_batch("BEGIN; SELECT count(*) FROM sqlite_schema;")?;
    Ok(connection)
}

/// Reads every page of both files; a sentence for each thing that is wrong.
pub(crate) fn check(folder: &Path) -> Result<Vec<String>, StoreError> {
    let mut wrong = Vec::new();
    for format in FORMATS {
        let connection = pinned(folder, format)?;
        let mut statement = connection.prepare("PRAGMA integrity_check(10)")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let said: String = row.get(0)?;
            if said != "ok" {
                wrong.push(format!("`{}`: {said}", format.file));
            }
        }
    }
    Ok(wrong)
}

/// The tokens of a store that are kept, without their digests.
pub(crate) fn tokens(folder: &Path) -> Result<Vec<Token>, StoreError> {
    let connection = pinned(folder, &TASKS)?;
    // A store of an earlier version has none yet.
    let known = "SELECT count(*) > 0 FROM sqlite_schema WHERE name = 'tokens'";
    if !connection.query_row(known, [], |row| row.get(0))? {
        return Ok(Vec::new());
    }
    let mut statement = connection.prepare("SELECT body FROM tokens")?;
    let mut rows = statement.query([])?;
    let mut tokens = Vec::new();
    while let Some(row) = rows.next()? {
        let body: String = row.get(0)?;
        tokens.push(serde_json::from_str(&body).map_err(damaged)?);
    }
    Ok(tokens)
}

/// The tasks of a store that nobody has open which have not ended.
pub(crate) fn unfinished(folder: &Path) -> Result<Vec<TaskKey>, StoreError> {
    let connection = pinned(folder, &TASKS)?;
    let mut statement = connection.prepare(
        "SELECT space, id FROM tasks WHERE place IN (1, 2, 3, 5) AND deleted_ms IS NULL",
    )?;
    let mut rows = statement.query([])?;
    let mut keys = Vec::new();
    while let Some(row) = rows.next()? {
        let (space, id): (String, String) = (row.get(0)?, row.get(1)?);
        keys.push(TaskKey {
            space: space.parse().map_err(damaged)?,
            id: id.parse().map_err(damaged)?,
        });
    }
    Ok(keys)
}

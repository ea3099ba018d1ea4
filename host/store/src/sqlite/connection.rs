//! Opens the embedded store's files and says in our words what SQLite reports.

use std::path::Path;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::error::StoreError;

/// What a file of ours looks like.
#[derive(Debug, Clone, Copy)]
pub(super) struct Format {
    /// Its name in the data folder.
    pub file: &'static str,
    /// The first makes version 1 out of nothing, each of the others the next version out of the
    /// one before. None is ever changed: files that it made exist.
    pub steps: &'static [&'static str],
}

impl Format {
    /// The newest version that this program reads and writes.
    pub(super) fn version(&self) -> i64 {
        i64::try_from(self.steps.len()).unwrap_or(i64::MAX)
    }
}

/// Marks a file as ours, so that somebody else's is never touched: "tkht".
const APPLICATION_ID: i64 = 0x746b_6874;
/// `SQLITE_IOERR_SHMSIZE`: the file that readers and writer share could not grow.
const IOERR_SHMSIZE: i32 = 10 | (19 << 8);
const STATEMENTS_KEPT: usize = 128;
/// SQLite's log begins anew, mostly at 16 MiB, once no reader is within it; then it is cut to so
/// many bytes. So it is longer only as long as readers have kept it from that.
const LOG_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// So long others are waited for until the log begins anew.
const LOG_BUSY_TIMEOUT_MS: u64 = 500;
/// Only a process that looks into the file from outside can be in our way.
const BUSY_TIMEOUT_MS: u64 = 5_000;

/// Opens the file for its one writer; makes it when it is new.
pub(super) fn for_writing(folder: &Path, format: &Format) -> Result<Connection, StoreError> {
    make_or_open(folder, format).map_err(|error| match error {
        // What SQLite says does not tell which file it is.
        StoreError::Corrupt { reason } if !reason.contains(format.file) => StoreError::Corrupt {
            reason: format!(
                "`{}`: {reason}: move the data folder away, and put a copy of it in its place",
                format.file
            ),
        },
        error => error,
    })
}

fn make_or_open(folder: &Path, format: &Format) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(folder.join(format.file), flags)?;
    prepare(&connection)?;
    check_format(&connection, format)?;
    // FULL: a commit has answered when the log is on disk, not when the system has been told.
    // The cache is small on purpose: after a commit that moved pages SQLite walks through all of
    // its slots, which took a third of a commit's time with 64 MiB; and what it does not hold the
    // system does.
    connection.execute_batch(&format!(
        "PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         PRAGMA wal_autocheckpoint = 4000;
         PRAGMA journal_size_limit = {LOG_BYTES_MAX};
         PRAGMA cache_size = -4096;"
    ))?;
    bring_up_to_date(&connection, format)?;
    Ok(connection)
}

/// Opens the file for a reader; a writer has it open already.
pub(super) fn for_reading(folder: &Path, format: &Format) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(folder.join(format.file), flags)?;
    prepare(&connection)?;
    connection.execute_batch("PRAGMA cache_size = -2048;")?;
    super::conditions::register(&connection)?;
    Ok(connection)
}

/// Whether readers have kept the file's log from beginning anew for too long.
pub(super) fn is_log_too_long(folder: &Path, format: &Format) -> bool {
    let log = folder.join(format!("{}-wal", format.file));
    std::fs::metadata(log).is_ok_and(|log| log.len() > LOG_BYTES_MAX)
}

/// Lets the file's log begin anew, if that can be done soon; the writer waits meanwhile.
pub(super) fn begin_log_anew(folder: &Path, format: &Format) -> Result<(), StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(folder.join(format.file), flags)?;
    connection.busy_timeout(std::time::Duration::from_millis(LOG_BUSY_TIMEOUT_MS))?;
    Ok(connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?)
}

fn prepare(connection: &Connection) -> Result<(), StoreError> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    connection.busy_timeout(std::time::Duration::from_millis(BUSY_TIMEOUT_MS))?;
    connection.execute_batch("PRAGMA temp_store = MEMORY; PRAGMA trusted_schema = OFF;")?;
    Ok(())
}

/// Refuses files that are not ours, or of a newer version, before anything is written.
pub(super) fn check_format(connection: &Connection, format: &Format) -> Result<(), StoreError> {
    let number = |sql| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    let file = format.file;
    let foreign = number("PRAGMA application_id")? != APPLICATION_ID
        && number("SELECT count(*) FROM sqlite_schema")? > 0;
    if foreign {
        let reason =
            format!("`{file}` in the data folder is not a store of taskhost: use another folder");
        return Err(StoreError::Corrupt { reason });
    }
    let (version, newest) = (number("PRAGMA user_version")?, format.version());
    if version > newest {
        let reason = format!(
            "`{file}` was written by a newer taskhost (format {version}, this one knows up to \
             {newest}): start that version, or use another data folder"
        );
        return Err(StoreError::Corrupt { reason });
    }
    Ok(())
}

/// Each step in a transaction of its own: a host that is killed here goes on where it was.
fn bring_up_to_date(connection: &Connection, format: &Format) -> Result<(), StoreError> {
    let stored: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    for (version, step) in (1..).zip(format.steps) {
        if version <= stored {
            continue;
        }
        connection.execute_batch(&format!(
            "BEGIN IMMEDIATE; {step} PRAGMA application_id = {APPLICATION_ID};
             PRAGMA user_version = {version}; COMMIT;"
        ))?;
    }
    Ok(())
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::Error as E;
        let reason = error.to_string();
        match &error {
            E::SqliteFailure(code, _) if code.code == ErrorCode::DiskFull => Self::DiskFull,
            E::SqliteFailure(code, _) if code.extended_code == IOERR_SHMSIZE => Self::DiskFull,
            E::SqliteFailure(code, _)
                if matches!(
                    code.code,
                    ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase
                ) =>
            {
                Self::Corrupt { reason }
            }
            E::FromSqlConversionFailure(..)
            | E::IntegralValueOutOfRange(..)
            | E::InvalidColumnType(..)
            | E::Utf8Error(..) => Self::Corrupt { reason },
            _ => Self::Unavailable { reason },
        }
    }
}

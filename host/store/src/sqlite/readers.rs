//! Read connections of a file. Reads that may take long are for blocking threads; one that finds
//! a document by its key is done where it is asked for, since the way to another thread and back
//! takes several times as long as the read.

use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::connection::{Format, begin_log_anew, for_reading, is_log_too_long};
use crate::error::StoreError;
use crate::streams::READS_AT_ONCE;
use crate::telemetry::{measured, note};

/// How many reads go on at a time: the long ones and one that is short.
const READERS: u32 = READS_AT_ONCE + 1;
/// Steps of SQLite's machine between two looks at whether the caller is still there.
const STEPS_BETWEEN_LOOKS: i32 = 100;

/// A small pool.
#[derive(Debug)]
pub(super) struct Readers {
    folder: PathBuf,
    format: &'static Format,
    permits: Arc<Semaphore>,
    /// For reads that look at many documents: one connection is always left for short ones.
    long: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<Connection>>>,
}

thread_local! {
    /// Set once nobody waits for the read on this thread.
    static ABANDONED: RefCell<Option<Arc<AtomicBool>>> = const { RefCell::new(None) };
}

/// Whether nobody waits any more for the read that goes on on this thread.
pub(super) fn is_abandoned() -> bool {
    let is_set = |flag: &Arc<AtomicBool>| flag.load(Ordering::Relaxed);
    ABANDONED.with_borrow(|flag| flag.as_ref().is_some_and(is_set))
}

/// Tells the read that nobody waits for it any more.
struct Abandon(Arc<AtomicBool>);

impl Drop for Abandon {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Readers {
    pub(super) fn new(folder: PathBuf, format: &'static Format) -> Self {
        Self {
            folder,
            format,
            permits: Arc::new(Semaphore::new(READERS as usize)),
            long: Arc::new(Semaphore::new(READS_AT_ONCE as usize)),
            idle: Arc::default(),
        }
    }

    /// Runs `work` on a read connection. It sees what was committed before the call. When the
    /// caller goes away the read is interrupted.
    pub(super) async fn read<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        measured("read", self.read_elsewhere(work)).await
    }

    async fn read_elsewhere<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let permits = Arc::clone(&self.permits);
        let permit = permits.acquire_owned().await.map_err(|_| closed())?;
        let idle = Arc::clone(&self.idle);
        let abandoned = Arc::new(AtomicBool::new(false));
        let caller = Abandon(Arc::clone(&abandoned));
        let (folder, format) = (self.folder.clone(), self.format);
        let read = tokio::task::spawn_blocking(move || {
            let ready = lock(&idle).pop();
            let mut connection = match ready {
                Some(connection) => connection,
                None => for_reading(&folder, format)?,
            };
            let looked_at = Arc::clone(&abandoned);
            let look = move || looked_at.load(Ordering::Relaxed);
            connection.progress_handler(STEPS_BETWEEN_LOOKS, Some(look))?;
            // A condition is one step, and may take long over a large document.
            ABANDONED.set(Some(abandoned));
            let result = work(&connection);
            ABANDONED.set(None);
            connection.progress_handler(0, None::<fn() -> bool>)?;
            lock(&idle).push(connection);
            drop(permit);
            result
        });
        let result = read.await.unwrap_or_else(|panic| {
            Err(StoreError::Unavailable {
                reason: format!("a read has panicked: {panic}"),
            })
        });
        drop(caller);
        result
    }

    /// As [`Self::read`], for what may look at every document of a stream.
    pub(super) async fn read_long<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        if is_log_too_long(&self.folder, self.format) {
            self.let_log_begin_anew().await?;
        }
        let turn = Arc::clone(&self.long).acquire_owned().await;
        let turn = turn.map_err(|_| closed())?;
        let work = move |connection: &Connection| {
            // It belongs to the read: a caller that goes away leaves it behind for a while.
            let _turn = turn;
            work(connection)
        };
        measured("read_long", self.read_elsewhere(work)).await
    }

    /// Long reads that overlap keep SQLite's log from ever beginning anew, and it grows with all
    /// that is written: then the next ones wait until there is none.
    async fn let_log_begin_anew(&self) -> Result<(), StoreError> {
        let _all = self.long.acquire_many(READS_AT_ONCE).await;
        let (folder, format) = (self.folder.clone(), self.format);
        let work = move |_: &Connection| {
            // Somebody else may have done it meanwhile.
            if is_log_too_long(&folder, format)
                && let Err(error) = begin_log_anew(&folder, format)
            {
                tracing::debug!(%error, "the log of `{}` does not begin anew yet", format.file);
            }
            Ok(())
        };
        self.read(work).await
    }

    /// Finds something by its key: on this thread where a connection is ready, or else as
    /// [`Self::read`] does.
    pub(super) async fn find<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let Ok(permit) = self.permits.try_acquire() else {
            return self.read(work).await;
        };
        let Some(connection) = lock(&self.idle).pop() else {
            drop(permit);
            return self.read(work).await;
        };
        let begun = Instant::now();
        let found = work(&connection);
        note("find", begun, &found);
        lock(&self.idle).push(connection);
        drop(permit);
        found
    }

    /// Closes the connections that nobody uses, with what they keep in memory.
    pub(super) fn close_idle(&self) {
        lock(&self.idle).clear();
    }

    /// Waits for the reads under way and closes the connections.
    pub(super) async fn close(&self) {
        let all = self.permits.acquire_many(READERS).await;
        self.permits.close();
        lock(&self.idle).clear();
        drop(all);
    }
}

fn lock(idle: &Mutex<Vec<Connection>>) -> std::sync::MutexGuard<'_, Vec<Connection>> {
    // Nothing can be half done with a list of connections.
    idle.lock().unwrap_or_else(PoisonError::into_inner)
}

fn closed() -> StoreError {
    StoreError::Unavailable {
        reason: "it is being closed".to_owned(),
    }
}

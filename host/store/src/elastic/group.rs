//! Requests that wait together go out together: writes in one `_bulk`, reads in one `_mget`.
//!
//! # How it works
//! While a few requests are on their way, what comes waits, and goes out in the next one. Alone,
//! nothing waits. Each caller gets the answer to its own item: one that conflicts does not hurt its
//! neighbors.

mod read;
mod write;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::Instant;

use super::client::{Client, jittered, unavailable};
use super::names::{Index, Names};
use crate::error::StoreError;
use read::Read;
pub(super) use write::{Op, Write, Written};

/// So many requests of a kind are on their way at once; more would be smaller ones.
const AT_ONCE: usize = 3;
/// So many items go out together at most.
const ITEMS_MAX: usize = 500;
/// And so many bytes, unless one item has more.
const BYTES_MAX: usize = 8 * 1024 * 1024;
/// So long an item is tried again whose shard has no room for it.
const RETRY_FOR: Duration = Duration::from_secs(10);

/// A document's version, as Elasticsearch counts: it grows with every write of its shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Seen {
    /// Of the shard's leader.
    pub(super) term: u64,
    /// Of the write.
    pub(super) number: u64,
}

/// A stored document.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    /// Its version.
    pub(super) seen: Seen,
    /// Its source; empty where that was not asked for.
    pub(super) source: Bytes,
}

/// Something that goes out with others.
trait Item: Send + 'static {
    /// About how much it is, on its way there or back.
    fn bytes(&self) -> usize;
}

/// The way to Elasticsearch for single documents.
#[derive(Debug, Clone)]
pub(super) struct Group {
    writes: mpsc::UnboundedSender<write::Waiting>,
    reads: mpsc::UnboundedSender<read::Waiting>,
}

impl Group {
    /// Sends from now on, on the current executor.
    pub(super) fn new(client: &Client, names: &Names) -> Self {
        let (writes, waiting) = mpsc::unbounded_channel();
        let (to, by) = (client.clone(), names.clone());
        tokio::spawn(gather(waiting, move |batch| {
            write::send(to.clone(), by.clone(), batch)
        }));
        let (reads, waiting) = mpsc::unbounded_channel();
        let (to, by) = (client.clone(), names.clone());
        tokio::spawn(gather(waiting, move |batch| {
            read::send(to.clone(), by.clone(), batch)
        }));
        Self { writes, reads }
    }

    /// Writes one document.
    pub(super) async fn write(&self, write: Write) -> Result<Written, StoreError> {
        let until = Instant::now() + RETRY_FOR;
        let mut pause = Duration::from_millis(10);
        let write = Arc::new(write);
        loop {
            let (tell, told) = oneshot::channel();
            let waiting = write::Waiting {
                write: Arc::clone(&write),
                tell,
            };
            self.writes.send(waiting).map_err(|_| closed())?;
            match told.await.map_err(|_| closed())? {
                Ok(Written::Busy) if Instant::now() + pause < until => {
                    tokio::time::sleep(jittered(pause)).await;
                    pause = (pause * 2).min(Duration::from_secs(1));
                }
                Ok(Written::Busy) => {
                    return Err(unavailable("Elasticsearch has no room for a write (429)"));
                }
                other => return other,
            }
        }
    }

    /// Writes documents, which need not all succeed.
    pub(super) async fn write_all(&self, writes: Vec<Write>) -> Vec<Result<Written, StoreError>> {
        let each = writes.into_iter().map(|write| self.write(write));
        join_all(each).await
    }

    /// A document as it is at this moment.
    pub(super) async fn read(&self, index: Index, id: &str) -> Result<Option<Stored>, StoreError> {
        self.read_as(index, id, true).await
    }

    /// A document's version alone.
    pub(super) async fn look(&self, index: Index, id: &str) -> Result<Option<Seen>, StoreError> {
        let found = self.read_as(index, id, false).await?;
        Ok(found.map(|stored| stored.seen))
    }

    /// Documents, in this order.
    pub(super) async fn read_all(
        &self,
        index: Index,
        ids: &[String],
    ) -> Result<Vec<Option<Stored>>, StoreError> {
        let each = ids.iter().map(|id| self.read(index, id));
        join_all(each).await.into_iter().collect()
    }

    async fn read_as(
        &self,
        index: Index,
        id: &str,
        with_source: bool,
    ) -> Result<Option<Stored>, StoreError> {
        let (tell, told) = oneshot::channel();
        let read = Read {
            index,
            id: id.to_owned(),
            with_source,
        };
        let waiting = read::Waiting { read, tell };
        self.reads.send(waiting).map_err(|_| closed())?;
        told.await.map_err(|_| closed())?
    }
}

async fn gather<T: Item, F: Future<Output = ()> + Send + 'static>(
    mut waiting: mpsc::UnboundedReceiver<T>,
    send: impl Fn(Vec<T>) -> F,
) {
    let permits = Arc::new(Semaphore::new(AT_ONCE));
    let mut left = None;
    loop {
        let first = match left.take() {
            Some(item) => Some(item),
            None => waiting.recv().await,
        };
        let Some(first) = first else { return };
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else {
            return;
        };
        let mut bytes = first.bytes();
        let mut batch = vec![first];
        while batch.len() < ITEMS_MAX {
            let Ok(item) = waiting.try_recv() else { break };
            bytes += item.bytes();
            if bytes > BYTES_MAX {
                left = Some(item);
                break;
            }
            batch.push(item);
        }
        let sent = send(batch);
        tokio::spawn(async move {
            sent.await;
            drop(permit);
        });
    }
}

fn closed() -> StoreError {
    unavailable("it is closed")
}

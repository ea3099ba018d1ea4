//! Requests that wait together go out together: writes in one `_bulk`, reads in one `_mget`.
//!
//! # How it works
//! While a request is on its way, what comes waits, and goes out in the next one; one that takes
//! long holds up nobody. Where several came at once, the next few are waited for too, for some
//! milliseconds: a request costs Elasticsearch and this host about as much as ten items in it. What
//! comes alone does not wait. Each caller gets the answer to its own item: one that conflicts does
//! not hurt its neighbors.

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

/// So many requests of a kind are on their way at once at most, where they take long.
const AT_ONCE: usize = 3;
/// After so long without an answer the next one does not wait for it.
const LONG: Duration = Duration::from_millis(25);
/// With so many items nothing more is waited for.
const ENOUGH: usize = 16;
/// Fewer go out so long after the last request, unless that had one item alone.
const GAP: Duration = Duration::from_millis(8);
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

    /// Whether anybody still waits for it: what was given up is not sent any more, since the time
    /// in which it may be done can be over.
    fn is_wanted(&self) -> bool;
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
    let mut last: Option<Last> = None;
    loop {
        let first = match left.take() {
            Some(item) => Some(item),
            None => waiting.recv().await,
        };
        let Some(first) = first else { return };
        if let Some(last) = &mut last {
            // Answered, or given up.
            let _ = tokio::time::timeout_at(last.sent_at + LONG, &mut last.answered).await;
        }
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else {
            return;
        };
        let mut batch = Batch::of(first);
        let until = last.filter(|last| last.items > 1);
        let until = until.map(|last| last.sent_at + GAP);
        left = batch.fill(&mut waiting, until).await;
        batch.items.retain(Item::is_wanted);
        let items = batch.items.len();
        if items == 0 {
            last = None;
            continue;
        }
        let sent = send(batch.items);
        let (tell, answered) = oneshot::channel();
        last = Some(Last {
            sent_at: Instant::now(),
            items,
            answered,
        });
        tokio::spawn(async move {
            sent.await;
            drop(permit);
            // Maybe nothing has come since.
            let _ = tell.send(());
        });
    }
}

/// The last request.
struct Last {
    sent_at: Instant,
    items: usize,
    answered: oneshot::Receiver<()>,
}

/// What goes out together.
struct Batch<T> {
    items: Vec<T>,
    bytes: usize,
}

impl<T: Item> Batch<T> {
    fn of(first: T) -> Self {
        let bytes = first.bytes();
        let items = vec![first];
        Self { items, bytes }
    }

    /// Takes in what is there, and while that is not much, what comes until then. The item for
    /// which there is no room.
    async fn fill(
        &mut self,
        waiting: &mut mpsc::UnboundedReceiver<T>,
        until: Option<Instant>,
    ) -> Option<T> {
        while self.items.len() < ITEMS_MAX {
            let next = match (waiting.try_recv(), until) {
                (Ok(item), _) => Some(item),
                (Err(_), Some(until)) if self.items.len() < ENOUGH => {
                    let next = tokio::time::timeout_at(until, waiting.recv()).await;
                    next.ok().flatten()
                }
                (Err(_), _) => None,
            };
            let item = next?;
            if self.bytes + item.bytes() > BYTES_MAX {
                return Some(item);
            }
            self.bytes += item.bytes();
            self.items.push(item);
        }
        None
    }
}

fn closed() -> StoreError {
    unavailable("it is closed")
}

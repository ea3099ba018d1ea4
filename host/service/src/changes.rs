//! Tells readers who wait what has changed: one feed for each watched task. Nobody who does not
//! watch costs anything.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use taskhost_model::ids::TaskKey;
use taskhost_model::task::{LogLine, Task};
use tokio::sync::broadcast;

/// Changes that a slow watcher may be behind before it is told that it lags.
const FEED_CAPACITY: usize = 256;

/// Something that happened to a task.
#[derive(Debug, Clone)]
pub struct Change {
    /// Which task.
    pub key: TaskKey,
    /// The document after the change; the tombstone after a deletion.
    pub task: Task,
    /// What happened.
    pub kind: ChangeKind,
}

/// What happened.
#[derive(Debug, Clone)]
pub enum ChangeKind {
    /// The status, or the state of the run.
    Status,
    /// The run said how far it is.
    Progress,
    /// The run logged something.
    Log(Vec<LogLine>),
    /// The task was deleted.
    Deleted,
}

/// The watcher was too slow and missed changes: it has to read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("changes were missed")]
pub struct Lagged;

/// A feed of changes. Changes made before it was opened are not in it.
#[derive(Debug)]
pub struct Watch(broadcast::Receiver<Arc<Change>>);

impl Watch {
    /// The next change. Never ends by itself.
    ///
    /// # Errors
    /// [`Lagged`] when changes were missed; later ones can still be had.
    pub async fn next(&mut self) -> Result<Arc<Change>, Lagged> {
        match self.0.recv().await {
            Ok(change) => Ok(change),
            Err(broadcast::error::RecvError::Lagged(_)) => Err(Lagged),
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }
}

/// All feeds.
#[derive(Debug, Default)]
pub(crate) struct Changes(Feeds<TaskKey>);

impl Changes {
    pub(crate) fn watch(&self, key: &TaskKey) -> Watch {
        self.0.open(key)
    }

    pub(crate) fn publish(&self, task: &Task, kind: ChangeKind) {
        if self.0.is_empty() {
            return;
        }
        let change = Arc::new(Change {
            key: task.key(),
            task: task.clone(),
            kind,
        });
        self.0.send(&change.key, &change);
    }
}

#[derive(Debug)]
struct Feeds<K>(Mutex<Open<K>>);

#[derive(Debug)]
struct Open<K> {
    feeds: HashMap<K, broadcast::Sender<Arc<Change>>>,
    /// Feeds that nobody reads any more go when there are so many.
    sweep_at: usize,
}

/// So few feeds are never worth a look.
const SWEEP_AT_MIN: usize = 64;

impl<K> Default for Feeds<K> {
    fn default() -> Self {
        Self(Mutex::new(Open {
            feeds: HashMap::new(),
            sweep_at: SWEEP_AT_MIN,
        }))
    }
}

impl<K: Hash + Eq + Clone> Feeds<K> {
    fn lock(&self) -> MutexGuard<'_, Open<K>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_empty(&self) -> bool {
        self.lock().feeds.is_empty()
    }

    fn open(&self, key: &K) -> Watch {
        let mut open = self.lock();
        if open.feeds.len() >= open.sweep_at {
            open.feeds.retain(|_, feed| feed.receiver_count() > 0);
            // Twice as many as are read: each feed pays for one look, however many there are.
            open.sweep_at = (open.feeds.len() * 2).max(SWEEP_AT_MIN);
        }
        let feed = open
            .feeds
            .entry(key.clone())
            .or_insert_with(|| broadcast::channel(FEED_CAPACITY).0);
        Watch(feed.subscribe())
    }

    fn send(&self, key: &K, change: &Arc<Change>) {
        let mut open = self.lock();
        if let Some(feed) = open.feeds.get(key)
            && feed.send(Arc::clone(change)).is_err()
        {
            open.feeds.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn feeds_that_nobody_reads_go() {
        let feeds = Feeds::<u32>::default();
        let read: Vec<Watch> = (0..100).map(|key| feeds.open(&key)).collect();
        (100..10_000).for_each(|key| drop(feeds.open(&key)));
        assert!(feeds.lock().feeds.len() <= 2 * read.len() + 1);
        drop(read);
    }
}

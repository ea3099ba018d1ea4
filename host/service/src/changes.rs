//! Tells readers who wait what has changed: one feed for each watched task, one for each
//! watched space. Nobody who does not watch costs anything.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use taskhost_model::ids::{Space, TaskKey};
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
pub(crate) struct Changes {
    tasks: Feeds<TaskKey>,
    spaces: Feeds<Space>,
}

impl Changes {
    pub(crate) fn watch(&self, key: &TaskKey) -> Watch {
        self.tasks.open(key)
    }

    pub(crate) fn watch_space(&self, space: &Space) -> Watch {
        self.spaces.open(space)
    }

    pub(crate) fn publish(&self, task: &Task, kind: ChangeKind) {
        if self.tasks.is_empty() && self.spaces.is_empty() {
            return;
        }
        let change = Arc::new(Change {
            key: task.key(),
            task: task.clone(),
            kind,
        });
        self.tasks.send(&change.key, &change);
        self.spaces.send(&change.key.space, &change);
    }
}

#[derive(Debug)]
struct Feeds<K>(Mutex<HashMap<K, broadcast::Sender<Arc<Change>>>>);

impl<K> Default for Feeds<K> {
    fn default() -> Self {
        Self(Mutex::new(HashMap::new()))
    }
}

impl<K: Hash + Eq + Clone> Feeds<K> {
    fn lock(&self) -> MutexGuard<'_, HashMap<K, broadcast::Sender<Arc<Change>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn open(&self, key: &K) -> Watch {
        let mut feeds = self.lock();
        // Feeds that nobody reads any more go when the next one is opened.
        feeds.retain(|_, feed| feed.receiver_count() > 0);
        let feed = feeds
            .entry(key.clone())
            .or_insert_with(|| broadcast::channel(FEED_CAPACITY).0);
        Watch(feed.subscribe())
    }

    fn send(&self, key: &K, change: &Arc<Change>) {
        let mut feeds = self.lock();
        if let Some(feed) = feeds.get(key)
            && feed.send(Arc::clone(change)).is_err()
        {
            feeds.remove(key);
        }
    }
}

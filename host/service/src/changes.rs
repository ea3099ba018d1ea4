//! Tells readers who wait what has changed: one feed for each watched task. Nobody who does not
//! watch costs anything.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, Weak};

use taskhost_model::ids::{RunId, TaskKey};
use taskhost_model::task::{LogLine, Task};
use tokio::sync::{Notify, broadcast};

use crate::sync::{Mutex, MutexGuard};

/// Changes that a slow watcher may be behind before it is told that it lags.
const FEED_CAPACITY: usize = 256;

/// A larger payload is read by whoever wants it: a feed keeps what was said last.
const PAYLOAD_BYTES_MAX: usize = 64 * 1024;

/// Something that happened to a task.
#[derive(Debug, Clone)]
pub struct Change {
    /// Which task.
    pub key: TaskKey,
    /// The document after the change; the tombstone after a deletion.
    pub task: Task,
    /// JSON text that came with the change; none where it has to be read.
    pub payload: Option<Arc<str>>,
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
pub(crate) struct Feed(broadcast::Receiver<Arc<Change>>);

impl Feed {
    /// The next change. Never ends by itself.
    ///
    /// # Errors
    /// [`Lagged`] when changes were missed; later ones can still be had.
    pub(crate) async fn next(&mut self) -> Result<Arc<Change>, Lagged> {
        match self.0.recv().await {
            Ok(change) => Ok(change),
            Err(broadcast::error::RecvError::Lagged(_)) => Err(Lagged),
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }
}

/// So few feeds are never worth a look.
const SWEEP_AT_MIN: usize = 64;

/// All feeds.
#[derive(Debug, Default)]
pub(crate) struct Changes(Mutex<Feeds>);

#[derive(Debug, Default)]
struct Feeds {
    open: HashMap<TaskKey, broadcast::Sender<Arc<Change>>>,
    /// Runs that wait for a child, woken by each one that ends.
    parents: HashMap<RunId, Weak<Notify>>,
    /// Those that nobody reads any more go when there are more than this.
    kept: usize,
}

impl Changes {
    pub(crate) fn watch(&self, key: &TaskKey) -> Feed {
        let mut feeds = self.lock();
        if feeds.open.len() > feeds.kept {
            feeds.open.retain(|_, feed| feed.receiver_count() > 0);
            // Twice as many as are read: each feed pays for one look, however many there are.
            feeds.kept = (feeds.open.len() * 2).max(SWEEP_AT_MIN);
        }
        let feed = feeds.open.entry(key.clone());
        let feed = feed.or_insert_with(|| broadcast::channel(FEED_CAPACITY).0);
        Feed(feed.subscribe())
    }

    /// What somebody watches.
    pub(crate) fn watched(&self) -> Vec<TaskKey> {
        let feeds = self.lock();
        let read = feeds
            .open
            .iter()
            .filter(|(_, feed)| feed.receiver_count() > 0);
        let mut watched: Vec<TaskKey> = read.map(|(key, _)| key.clone()).collect();
        watched.sort();
        watched
    }

    /// Woken by every child of the run that ends from now on.
    pub(crate) fn of_children(&self, run: RunId) -> Arc<Notify> {
        let parents = &mut self.lock().parents;
        // They are few: those that wait in memory.
        parents.retain(|_, parent| parent.strong_count() > 0);
        let woken = Arc::new(Notify::new());
        parents.insert(run, Arc::downgrade(&woken));
        woken
    }

    /// Wakes the parent that waits for a task which has ended.
    pub(crate) fn child_ended(&self, task: &Task) {
        let Some(parent) = &task.parent else { return };
        let woken = self.lock().parents.get(&parent.run).and_then(Weak::upgrade);
        if let Some(woken) = woken {
            woken.notify_one();
        }
    }

    pub(crate) fn publish(&self, task: &Task, kind: ChangeKind) {
        self.publish_with(task, None, kind);
    }

    /// The same, with the payload that a run has ended with.
    pub(crate) fn publish_with(&self, task: &Task, payload: Option<Arc<str>>, kind: ChangeKind) {
        let mut feeds = self.lock();
        if feeds.open.is_empty() {
            return;
        }
        let key = task.key();
        let Some(feed) = feeds.open.get(&key) else {
            return;
        };
        let change = Change {
            key: key.clone(),
            task: task.clone(),
            payload: payload.filter(|payload| payload.len() <= PAYLOAD_BYTES_MAX),
            kind,
        };
        if feed.send(Arc::new(change)).is_err() {
            feeds.open.remove(&key);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Feeds> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use taskhost_model::ids::{Space, TaskId};

    fn key(number: usize) -> TaskKey {
        TaskKey {
            space: Space::parse("default").unwrap(),
            id: TaskId::parse(&format!("t{number}")).unwrap(),
        }
    }

    #[test]
    fn feeds_that_nobody_reads_go() {
        let changes = Changes::default();
        let read: Vec<Feed> = (0..100).map(|n| changes.watch(&key(n))).collect();
        (100..10_000).for_each(|n| drop(changes.watch(&key(n))));
        assert!(changes.lock().open.len() <= 2 * read.len() + 1);
        drop(read);
    }
}

//! Tells readers who wait what has changed: one feed for each watched task. Nobody who does not
//! watch costs anything.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use taskhost_model::ids::{RunId, Space, TaskKey};
use taskhost_model::task::{LogLine, Task};
use tokio::sync::{Notify, broadcast};
use tokio::time::Instant;

use crate::sync::{Mutex, MutexGuard, OnceLock};

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

/// Changes of a space that are kept for whoever comes back, and that a slow watcher may be behind.
const SPACE_CAPACITY: usize = 4_096;
/// They are kept for so long after the last one has gone.
const SPACE_KEPT_FOR: Duration = Duration::from_secs(120);

/// A change among those of its space, in their order.
#[derive(Debug)]
pub struct Numbered {
    /// Grows with every change that is told.
    pub number: u64,
    /// The change.
    pub change: Change,
    /// As it is sent: made by the first who sends it, for all others.
    pub sent_as: OnceLock<Bytes>,
}

/// A feed of a space's changes.
#[derive(Debug)]
pub(crate) struct SpaceFeed {
    receiver: broadcast::Receiver<Arc<Numbered>>,
    /// What has come before the feed was opened, and is to be told first.
    missed: VecDeque<Arc<Numbered>>,
}

impl SpaceFeed {
    /// The next change. Never ends by itself.
    ///
    /// # Errors
    /// [`Lagged`] when changes were missed; later ones can still be had.
    pub(crate) async fn next(&mut self) -> Result<Arc<Numbered>, Lagged> {
        if let Some(missed) = self.missed.pop_front() {
            return Ok(missed);
        }
        match self.receiver.recv().await {
            Ok(change) => Ok(change),
            Err(broadcast::error::RecvError::Lagged(_)) => Err(Lagged),
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }

    /// The next change, if there is one already.
    pub(crate) fn next_at_once(&mut self) -> Option<Result<Arc<Numbered>, Lagged>> {
        if let Some(missed) = self.missed.pop_front() {
            return Some(Ok(missed));
        }
        match self.receiver.try_recv() {
            Ok(change) => Some(Ok(change)),
            Err(broadcast::error::TryRecvError::Lagged(_)) => Some(Err(Lagged)),
            Err(broadcast::error::TryRecvError::Empty | broadcast::error::TryRecvError::Closed) => {
                None
            }
        }
    }
}

/// What is kept of a space that somebody follows.
#[derive(Debug)]
struct Followed {
    sender: broadcast::Sender<Arc<Numbered>>,
    /// The latest changes, and the number of the one before the first of them.
    recent: VecDeque<Arc<Numbered>>,
    before: u64,
    /// The revisions that those of them tell of, so that what another host has made is told once.
    told: HashMap<TaskKey, u64>,
    /// When it was last seen that nobody follows it.
    left_at: Option<Instant>,
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
    spaces: HashMap<Space, Followed>,
    /// Of the last change of a space that is followed.
    last_number: u64,
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

    /// Follows a space: from the change of this number on, or from now on. Also answers the number
    /// after which it begins; another one than was asked for where that cannot be resumed.
    pub(crate) fn follow(&self, space: &Space, after: Option<u64>) -> (SpaceFeed, u64) {
        let mut feeds = self.lock();
        let last_number = feeds.last_number;
        let followed = feeds
            .spaces
            .entry(space.clone())
            .or_insert_with(|| Followed {
                sender: broadcast::channel(SPACE_CAPACITY).0,
                recent: VecDeque::new(),
                before: last_number,
                told: HashMap::new(),
                left_at: None,
            });
        followed.left_at = None;
        let after = after.filter(|after| (followed.before..=last_number).contains(after));
        let after = after.unwrap_or(last_number);
        let missed = followed.recent.iter().filter(|it| it.number > after);
        let feed = SpaceFeed {
            receiver: followed.sender.subscribe(),
            missed: missed.cloned().collect(),
        };
        (feed, after)
    }

    /// Spaces that somebody follows; what is kept of others goes after a while.
    pub(crate) fn followed(&self) -> Vec<Space> {
        let mut feeds = self.lock();
        feeds.spaces.retain(|_, followed| {
            if followed.sender.receiver_count() > 0 {
                followed.left_at = None;
                return true;
            }
            let left_at = *followed.left_at.get_or_insert_with(Instant::now);
            left_at.elapsed() < SPACE_KEPT_FOR
        });
        let mut followed: Vec<Space> = feeds.spaces.keys().cloned().collect();
        followed.sort();
        followed
    }

    /// Tells whoever follows its space of a task that was found as it is; whether it was news.
    pub(crate) fn tell_if_new(&self, task: &Task) -> bool {
        let mut feeds = self.lock();
        let key = task.key();
        let Some(followed) = feeds.spaces.get(&key.space) else {
            return false;
        };
        if followed
            .told
            .get(&key)
            .is_some_and(|told| *told >= task.revision)
        {
            return false;
        }
        feeds.tell_space(&Change {
            key,
            kind: match task.deleted_at {
                None => ChangeKind::Status,
                Some(_) => ChangeKind::Deleted,
            },
            task: task.clone(),
            payload: None,
        });
        true
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
        if feeds.open.is_empty() && feeds.spaces.is_empty() {
            return;
        }
        let key = task.key();
        let is_followed = feeds.spaces.contains_key(&key.space);
        if !is_followed && !feeds.open.contains_key(&key) {
            return;
        }
        let change = Change {
            key: key.clone(),
            task: task.clone(),
            payload: payload.filter(|payload| payload.len() <= PAYLOAD_BYTES_MAX),
            kind,
        };
        if is_followed {
            feeds.tell_space(&change);
        }
        let feed = feeds.open.get(&key);
        if feed.is_some_and(|feed| feed.send(Arc::new(change)).is_err()) {
            feeds.open.remove(&key);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Feeds> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Feeds {
    fn tell_space(&mut self, change: &Change) {
        let Some(followed) = self.spaces.get_mut(&change.key.space) else {
            return;
        };
        self.last_number += 1;
        let numbered = Arc::new(Numbered {
            number: self.last_number,
            change: change.clone(),
            sent_as: OnceLock::new(),
        });
        if followed.recent.len() >= SPACE_CAPACITY
            && let Some(oldest) = followed.recent.pop_front()
        {
            followed.before = oldest.number;
            let change = &oldest.change;
            if followed.told.get(&change.key) == Some(&change.task.revision) {
                followed.told.remove(&change.key);
            }
        }
        let told = followed.told.entry(change.key.clone()).or_default();
        *told = change.task.revision.max(*told);
        followed.recent.push_back(Arc::clone(&numbered));
        // Nobody may be there at this moment; whoever comes back finds it.
        let _ = followed.sender.send(numbered);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use taskhost_model::ids::TaskId;

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

    fn task(number: usize) -> Task {
        let now = taskhost_model::time::Timestamp::from_ms(1);
        let task = serde_json::json!({
            "id": format!("t{number}"), "type": "hello", "space": "default",
            "status": "in_progress", "created_at": now, "requested_by": "somebody",
            "version": 1, "revision": 1, "run": {
                "id": RunId::new(), "state": "running", "attempt": 1, "max_attempts": 3,
                "priority": 0, "due_at": now, "rank": 0, "lease_number": 1,
            },
        });
        serde_json::from_value(task).unwrap()
    }

    #[tokio::test]
    async fn whoever_comes_back_hears_what_was_missed_and_nothing_twice() {
        let changes = Changes::default();
        let space = key(0).space;
        changes.publish(&task(0), ChangeKind::Status);
        let (mut feed, begins) = changes.follow(&space, None);
        (1..=3).for_each(|n| changes.publish(&task(n), ChangeKind::Status));
        for number in 1..=3 {
            assert_eq!(feed.next().await.unwrap().number, begins + number);
        }
        assert!(feed.next_at_once().is_none());
        drop(feed);
        (4..=5).for_each(|n| changes.publish(&task(n), ChangeKind::Status));
        let (mut back, after) = changes.follow(&space, Some(begins + 2));
        assert_eq!(after, begins + 2);
        changes.publish(&task(6), ChangeKind::Deleted);
        for number in 3..=6 {
            assert_eq!(back.next().await.unwrap().number, begins + number);
        }
        assert!(back.next_at_once().is_none());
        // Nobody has ever been told of that one, and the first ones go.
        let (_, after) = changes.follow(&space, Some(begins + 100));
        assert_eq!(after, begins + 6);
        (0..=SPACE_CAPACITY).for_each(|n| changes.publish(&task(n), ChangeKind::Status));
        let (_, after) = changes.follow(&space, Some(begins + 6));
        assert_ne!(after, begins + 6);
        assert!(matches!(back.next().await, Err(Lagged)));
    }
}

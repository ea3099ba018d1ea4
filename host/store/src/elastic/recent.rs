//! The task documents that this host has written lately: what a search does not show yet, and what
//! need not be read before it is written again.
//!
//! # Why what is here may be used though others write too
//! Every write names the version that it was decided on. Where somebody else has written
//! meanwhile, Elasticsearch refuses it, and it is decided anew on what is read then.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use taskhost_model::ids::{RunId, TaskKey, TypeId};
use taskhost_model::time::Timestamp;

use super::group::Seen;
use super::hot::{Current, Hot};
use crate::place::Place;

/// So many documents are remembered. A search shows what was written a second ago, so that this is
/// enough for more writes a second than a host makes.
const DOCUMENTS_MAX: usize = 20_000;

/// Where a run stands among those of its type: rank, time of creation, and the run, whose id sorts
/// by the time of its making.
pub(super) type Turn = (i64, i64, RunId);

#[derive(Debug, Default)]
pub(super) struct Recent(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    documents: HashMap<TaskKey, Entry>,
    /// In the order in which they were put here.
    order: VecDeque<(u64, TaskKey)>,
    last: u64,
    /// Those that may be claimed, when they are due.
    claimable: BTreeMap<(TypeId, Turn), TaskKey>,
}

#[derive(Debug)]
struct Entry {
    age: u64,
    seen: Seen,
    /// None: nothing will happen to it soon, or it is gone.
    hot: Option<Arc<Hot>>,
}

/// What is known of a document that a search has shown.
#[derive(Debug)]
pub(super) enum Known {
    /// Nothing newer.
    Nothing,
    /// It has changed since.
    Newer,
}

impl Recent {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers what was written or read.
    pub(super) fn put(&self, key: &TaskKey, seen: Seen, hot: &Arc<Hot>) {
        let is_over = matches!(hot.place, Place::Rest | Place::Tombstone);
        let hot = (!is_over).then(|| Arc::clone(hot));
        self.inner().put(key, seen, hot);
    }

    /// It is gone, by a write of this version.
    pub(super) fn removed(&self, key: &TaskKey, seen: Seen) {
        self.inner().put(key, seen, None);
    }

    /// Somebody else has written it: what is known is not true any more.
    pub(super) fn forget(&self, key: &TaskKey, stale: Seen) {
        let mut inner = self.inner();
        if inner
            .documents
            .get(key)
            .is_some_and(|entry| entry.seen <= stale)
        {
            // The version stays, so that no search brings it back.
            inner.put(key, stale, None);
        }
    }

    /// The document, if it is here.
    pub(super) fn get(&self, key: &TaskKey) -> Option<Current> {
        let inner = self.inner();
        let entry = inner.documents.get(key)?;
        let hot = entry.hot.clone()?;
        Some(Current {
            seen: entry.seen,
            hot,
        })
    }

    /// Whether a hit of a search is behind what is known here.
    pub(super) fn knows(&self, key: &TaskKey, hit: Seen) -> Known {
        match self.inner().documents.get(key) {
            Some(entry) if entry.seen > hit || entry.hot.is_none() && entry.seen == hit => {
                Known::Newer
            }
            _ => Known::Nothing,
        }
    }

    /// The first runs of a type that are due and wanted.
    pub(super) fn due(
        &self,
        type_id: &TypeId,
        now: Timestamp,
        limit: usize,
        is_wanted: impl Fn(&Hot) -> bool,
    ) -> Vec<Current> {
        let inner = self.inner();
        // Before every run, whatever its id.
        let from = (type_id.clone(), (i64::MIN, i64::MIN, RunId::default()));
        let of_type = inner.claimable.range(from..);
        of_type
            .take_while(|((of, _), _)| of == type_id)
            .filter_map(|(_, key)| {
                let entry = inner.documents.get(key)?;
                let hot = entry.hot.clone()?;
                let fits = hot.is_due(now) && is_wanted(&hot);
                fits.then_some(Current {
                    seen: entry.seen,
                    hot,
                })
            })
            .take(limit)
            .collect()
    }

    /// Whether a run of one of these types is due.
    pub(super) fn is_any_due<'a>(
        &self,
        mut types: impl Iterator<Item = &'a TypeId>,
        now: Timestamp,
    ) -> bool {
        types.any(|type_id| !self.due(type_id, now, 1, |_| true).is_empty())
    }

    /// The earliest time from which on a run may be claimed that was not due then, of those for
    /// which this holds.
    pub(super) fn next_due(&self, counts: impl Fn(&Hot) -> bool) -> Option<Timestamp> {
        let inner = self.inner();
        let all = inner.claimable.values().filter_map(|key| {
            let hot = inner.documents.get(key)?.hot.as_ref()?;
            counts(hot).then_some(hot.task.run.due_at)
        });
        all.min()
    }
}

/// Where a run stands among those of its type.
pub(super) fn turn(hot: &Hot) -> Turn {
    let task = &hot.task;
    (task.run.rank, task.created_at.as_ms(), task.run.id)
}

impl Inner {
    fn put(&mut self, key: &TaskKey, seen: Seen, hot: Option<Arc<Hot>>) {
        if let Some(entry) = self.documents.get(key) {
            if entry.seen > seen {
                return;
            }
            self.take_out(key);
        }
        self.last += 1;
        let age = self.last;
        if let Some(hot) = hot.as_ref().filter(|hot| is_claimable(hot)) {
            let place = (hot.task.type_id.clone(), turn(hot));
            self.claimable.insert(place, key.clone());
        }
        self.documents.insert(key.clone(), Entry { age, seen, hot });
        self.order.push_back((age, key.clone()));
        while self.documents.len() > DOCUMENTS_MAX || self.order.len() > 4 * DOCUMENTS_MAX {
            let Some((age, key)) = self.order.pop_front() else {
                return;
            };
            if self
                .documents
                .get(&key)
                .is_some_and(|entry| entry.age == age)
            {
                self.take_out(&key);
            }
        }
    }

    fn take_out(&mut self, key: &TaskKey) {
        let Some(entry) = self.documents.remove(key) else {
            return;
        };
        if let Some(hot) = entry.hot {
            self.claimable
                .remove(&(hot.task.type_id.clone(), turn(&hot)));
        }
    }
}

fn is_claimable(hot: &Hot) -> bool {
    matches!(hot.place, Place::Ready | Place::Waiting)
}

//! Entries that wait to be written.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use taskhost_model::audit::Entry;
use taskhost_model::ids::EntryId;

/// So many wait at most, while nothing can be written: then the oldest are given up.
const WAITING_MAX: usize = 50_000;

/// What was noted and is not on disk.
#[derive(Debug, Default)]
pub(crate) struct Noted(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    entries: BTreeMap<EntryId, Entry>,
    /// Of those that were written it is not known yet what became of them.
    open: HashSet<EntryId>,
    is_overflow_told: bool,
}

/// Entries on their way to disk.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// Never written before.
    pub(crate) new: Vec<Entry>,
    /// Written before without an outcome.
    pub(crate) known: Vec<Entry>,
}

impl Taken {
    pub(crate) fn is_empty(&self) -> bool {
        self.new.is_empty() && self.known.is_empty()
    }
}

impl Noted {
    /// Later ones of the same id take the place of earlier ones.
    pub(crate) fn note(&self, entry: Entry) {
        let mut waiting = self.lock();
        if waiting.entries.len() >= WAITING_MAX {
            waiting.entries.pop_first();
            if !waiting.is_overflow_told {
                waiting.is_overflow_told = true;
                tracing::error!("entries of the audit log are lost: the store takes nothing");
            }
        }
        waiting.entries.insert(entry.id, entry);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lock().entries.is_empty()
    }

    /// Takes what waits, to be written now.
    pub(crate) fn take(&self) -> Taken {
        let mut waiting = self.lock();
        let entries = std::mem::take(&mut waiting.entries);
        let is_known = |entry: &Entry| waiting.open.contains(&entry.id);
        let (known, new) = entries.into_values().partition(is_known);
        Taken { new, known }
    }

    /// What was taken is on disk.
    pub(crate) fn written(&self, taken: &Taken) {
        let mut waiting = self.lock();
        waiting.is_overflow_told = false;
        for entry in taken.new.iter().chain(&taken.known) {
            match entry.outcome {
                Some(_) => waiting.open.remove(&entry.id),
                None => waiting.open.insert(entry.id),
            };
        }
    }

    /// What was taken is not: it waits on, unless it was noted again since.
    pub(crate) fn give_back(&self, taken: Taken) {
        let mut waiting = self.lock();
        for entry in taken.new.into_iter().chain(taken.known) {
            waiting.entries.entry(entry.id).or_insert(entry);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use taskhost_model::audit::{Act, Outcome};
    use taskhost_model::requester::Requester;
    use taskhost_model::time::Timestamp;

    use super::*;

    fn entry() -> Entry {
        let act = Act::everywhere("type.push", "x");
        Entry::begun(&Requester::single_user(), act, Timestamp::from_ms(5))
    }

    #[test]
    fn what_is_known_in_time_is_written_once() {
        let (noted, first) = (Noted::default(), entry());
        let done = |entry: &Entry| Entry {
            outcome: Some(Outcome::Done),
            ..entry.clone()
        };
        noted.note(first.clone());
        noted.note(done(&first));
        let taken = noted.take();
        assert_eq!((taken.new.len(), taken.known.len()), (1, 0));
        noted.written(&taken);
        let second = entry();
        noted.note(second.clone());
        let taken = noted.take();
        noted.written(&taken);
        noted.note(done(&second));
        let taken = noted.take();
        assert_eq!((taken.new.len(), taken.known.len()), (0, 1));
        noted.give_back(taken);
        let taken = noted.take();
        assert_eq!((taken.new.len(), taken.known.len()), (0, 1));
        noted.written(&taken);
        assert!(noted.take().is_empty());
        assert!(noted.lock().open.is_empty());
    }

    #[test]
    fn what_was_not_written_waits_as_it_was_last_noted() {
        let (noted, first) = (Noted::default(), entry());
        noted.note(first.clone());
        let taken = noted.take();
        let last = Entry {
            outcome: Some(Outcome::Failed),
            ..first
        };
        noted.note(last.clone());
        noted.give_back(taken);
        assert_eq!(noted.take().new, [last]);
    }
}

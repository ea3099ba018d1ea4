//! What the store has done, seen from outside: which runs ended, and which guests are at work.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use taskhost_model::error::ErrorKind;
use taskhost_model::ids::RunId;
use taskhost_model::status::Phase;
use taskhost_model::task::Fence;
use taskhost_store::event::{Event, Outcome, RunEvent};
use taskhost_store::faulty::Seen;

use crate::guest::WAITS;

/// Everything that was seen.
#[derive(Debug, Default)]
pub(crate) struct Record(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    /// Each write that ended a run, in words.
    ended: HashMap<RunId, Vec<String>>,
    deleted: HashSet<RunId>,
    /// What tasks ended with that was the host's own fault.
    internal: Vec<String>,
    /// Guests that will say something soon, and need no more to be done for it.
    busy: HashSet<Fence>,
    /// Guests that wait until they are stopped.
    waiting: HashSet<Fence>,
    /// Runs that say something at this moment: their ends come after that.
    speaking: HashSet<Fence>,
}

impl Record {
    /// The store has done something.
    pub(crate) fn done(&self, seen: Seen<'_>) {
        let Seen::Applied(_, event, applied) = seen else {
            return;
        };
        let Some(task) = applied.task.as_ref() else {
            return;
        };
        if applied.outcome != Outcome::Changed {
            return;
        }
        let ends = match event {
            Event::Cancel { .. } => true,
            Event::HostLost { fence, .. } => task.fence() == *fence,
            Event::Run { event, .. } => !matches!(event, RunEvent::Progress(_)),
            _ => false,
        };
        let is_over = matches!(
            task.phase(),
            Phase::Completed | Phase::Failed | Phase::Canceled
        );
        let mut entries = self.lock();
        let error = task.error.as_ref().filter(|_| is_over);
        if let Some(error) = error.filter(|error| error.kind == ErrorKind::Internal) {
            entries.internal.push(error.message.clone());
        }
        if ends && is_over {
            let what = format!("{} by {event:?}", task.status.as_str());
            entries.ended.entry(task.run.id).or_default().push(what);
        }
        if matches!(event, Event::Delete { .. }) {
            entries.deleted.insert(task.run.id);
        }
    }

    /// A call comes from a run: it has said what was expected of it.
    pub(crate) fn called(&self, event: &Event) {
        let mut entries = self.lock();
        match event {
            Event::Run {
                event: RunEvent::Progress(_),
                fence,
            } => {
                entries.speaking.insert(*fence);
            }
            Event::Run { fence, .. } | Event::PreviousEnded { fence } => {
                entries.busy.remove(fence);
                entries.waiting.remove(fence);
                entries.speaking.remove(fence);
            }
            _ => {}
        }
    }

    /// The service has been told of something.
    pub(crate) fn told(&self, seen: Seen<'_>) {
        let mut entries = self.lock();
        match seen {
            Seen::Claimed(claimed) => {
                for claim in claimed {
                    let fence = claim.task.fence();
                    if *claim.params == WAITS.to_string() {
                        entries.waiting.insert(fence);
                    } else {
                        entries.busy.insert(fence);
                    }
                }
            }
            Seen::Applied(_, event, applied) => {
                if let Event::Run { fence, .. } = event {
                    entries.speaking.remove(fence);
                }
                let Some(task) = &applied.task else { return };
                let previous = task.previous.iter().map(|lease| lease.fence);
                let own = (task.phase() == Phase::BeingCanceled).then(|| task.fence());
                for fence in previous.chain(own) {
                    if entries.waiting.remove(&fence) {
                        entries.busy.insert(fence);
                    }
                }
            }
        }
    }

    /// Whether a guest is about to say something.
    pub(crate) fn is_busy(&self) -> bool {
        let entries = self.lock();
        entries.busy.difference(&entries.speaking).next().is_some()
    }

    /// Nothing is known of guests any more: those of a host that was taken down.
    pub(crate) fn forget_guests(&self) {
        let mut entries = self.lock();
        entries.busy.clear();
        entries.waiting.clear();
        entries.speaking.clear();
    }

    /// How many runs have ended.
    pub(crate) fn ends(&self) -> usize {
        self.lock().ended.len()
    }

    /// No run has ended twice or by the host's own fault, and each that was accepted has ended or
    /// was deleted.
    pub(crate) fn check(&self, accepted: &[RunId]) {
        let entries = self.lock();
        assert!(entries.internal.is_empty(), "{:#?}", entries.internal);
        for (run, ends) in &entries.ended {
            assert!(ends.len() == 1, "the run {run} ended twice: {ends:#?}");
        }
        for run in accepted {
            assert!(
                entries.ended.contains_key(run) || entries.deleted.contains(run),
                "the run {run} was accepted, has not ended and was not deleted"
            );
        }
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

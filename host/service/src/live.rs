//! The runs that this host has claimed, and how to stop them.
//!
//! A cancel may be stored after a claim was committed and before the scheduler has heard of it.
//! So a stop for a run that is not known yet is kept, and found by the run when it registers.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use taskhost_clients::stop::{StopReason, StopSignal};
use taskhost_model::task::{Fence, Task};

use crate::sync::{Mutex, MutexGuard};

/// All runs of this host.
#[derive(Debug, Default)]
pub(crate) struct Live(Mutex<Runs>);

#[derive(Debug, Default)]
struct Runs {
    /// Sorted, so that a test can repeat what it has seen.
    entries: BTreeMap<Fence, Entry>,
    /// What every run is asked, those that register later included.
    all_asked: Option<StopReason>,
}

#[derive(Debug)]
struct Entry {
    stop: StopSignal,
    /// The task as it was claimed; none of a run that has not registered.
    claimed: Option<Box<Task>>,
}

/// A registered run; forgotten when dropped.
#[derive(Debug)]
pub(crate) struct Registered {
    live: Arc<Live>,
    fence: Fence,
    pub(crate) stop: StopSignal,
}

impl Live {
    /// Registers the run of a task that was claimed, and starts. The signal may have been asked
    /// already.
    pub(crate) fn register(self: &Arc<Self>, claimed: &Task) -> Registered {
        let (fence, claimed) = (claimed.fence(), Box::new(claimed.clone()));
        let mut runs = self.lock();
        let all_asked = runs.all_asked;
        let entry = runs.entries.entry(fence).or_insert_with(Entry::new);
        entry.claimed = Some(claimed);
        if let Some(reason) = all_asked {
            entry.stop.ask(reason);
        }
        Registered {
            live: Arc::clone(self),
            fence,
            stop: entry.stop.clone(),
        }
    }

    /// Asks a run to stop, now or when it registers, so long after somebody wished it.
    pub(crate) fn ask(&self, fence: Fence, reason: StopReason, late: Duration) {
        let mut runs = self.lock();
        let entry = runs.entries.entry(fence).or_insert_with(Entry::new);
        entry.stop.ask_late(reason, late);
    }

    /// Stops a run's guest now.
    pub(crate) fn interrupt(&self, fence: Fence, reason: StopReason) {
        let mut runs = self.lock();
        let entry = runs.entries.entry(fence).or_insert_with(Entry::new);
        entry.stop.ask(reason);
        entry.stop.interrupt();
    }

    /// Asks every run to stop, those that register later included.
    pub(crate) fn ask_all(&self, reason: StopReason) {
        let mut runs = self.lock();
        runs.all_asked = Some(reason);
        runs.entries
            .values()
            .for_each(|entry| entry.stop.ask(reason));
    }

    /// Stops every guest now.
    pub(crate) fn interrupt_all(&self) {
        self.lock()
            .entries
            .values()
            .for_each(|entry| entry.stop.interrupt());
    }

    /// Stops the guest of every run that is registered now, and none that comes later; how many.
    pub(crate) fn interrupt_running(&self, reason: StopReason) -> usize {
        let runs = self.lock();
        let running = runs.entries.values().filter(|entry| entry.is_running());
        running
            .map(|entry| {
                entry.stop.ask(reason);
                entry.stop.interrupt();
            })
            .count()
    }

    /// Whether a run is registered here.
    pub(crate) fn has(&self, fence: Fence) -> bool {
        self.lock()
            .entries
            .get(&fence)
            .is_some_and(Entry::is_running)
    }

    /// The task as a run that is registered was claimed.
    pub(crate) fn claimed(&self, fence: Fence) -> Option<Task> {
        let runs = self.lock();
        let claimed = runs.entries.get(&fence)?.claimed.as_deref();
        claimed.cloned()
    }

    /// How many runs are registered.
    pub(crate) fn count(&self) -> usize {
        self.lock()
            .entries
            .values()
            .filter(|entry| entry.is_running())
            .count()
    }

    /// Runs that are registered.
    pub(crate) fn running(&self) -> Vec<Fence> {
        let runs = self.lock();
        let running = runs.entries.iter().filter(|(_, entry)| entry.is_running());
        running.map(|(fence, _)| *fence).collect()
    }

    /// Stops for runs that have not registered.
    pub(crate) fn unclaimed(&self) -> Vec<Fence> {
        let runs = self.lock();
        let unclaimed = runs.entries.iter().filter(|(_, entry)| !entry.is_running());
        unclaimed.map(|(fence, _)| *fence).collect()
    }

    /// Forgets a stop, unless its run has registered.
    pub(crate) fn forget_unclaimed(&self, fence: Fence) {
        let mut runs = self.lock();
        let entry = runs.entries.get(&fence);
        if entry.is_some_and(|entry| !entry.is_running()) {
            runs.entries.remove(&fence);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Runs> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn new() -> Self {
        Self {
            stop: StopSignal::new(),
            claimed: None,
        }
    }

    fn is_running(&self) -> bool {
        self.claimed.is_some()
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.live.lock().entries.remove(&self.fence);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use taskhost_model::ids::RunId;
    use taskhost_model::time::Timestamp;

    fn claimed() -> Task {
        let now = Timestamp::from_ms(1);
        let task = serde_json::json!({
            "id": "t", "type": "hello", "space": "default", "status": "in_progress",
            "created_at": now, "requested_by": "somebody", "version": 1, "revision": 1,
            "run": {
                "id": RunId::new(), "state": "running", "attempt": 1, "max_attempts": 3,
                "priority": 0, "due_at": now, "rank": 0, "lease_number": 1,
            },
        });
        serde_json::from_value(task).unwrap()
    }

    #[test]
    fn a_stop_before_the_run_registers_is_not_lost() {
        let live = Arc::new(Live::default());
        let task = claimed();
        live.ask(task.fence(), StopReason::User, Duration::ZERO);
        assert!(live.claimed(task.fence()).is_none());
        let run = live.register(&task);
        assert_eq!(run.stop.asked(), Some(StopReason::User));
        assert_eq!(live.claimed(task.fence()), Some(task.clone()));
        drop(run);
        assert!(!live.has(task.fence()));
    }

    #[test]
    fn who_registers_after_all_were_asked_is_asked_too() {
        let live = Arc::new(Live::default());
        live.ask_all(StopReason::Drain);
        assert_eq!(
            live.register(&claimed()).stop.asked(),
            Some(StopReason::Drain)
        );
    }

    #[test]
    fn unclaimed_stops_are_forgotten_and_runs_are_not() {
        let live = Arc::new(Live::default());
        let (running, expected, gone) = (claimed(), claimed(), claimed());
        let _run = live.register(&running);
        live.ask(expected.fence(), StopReason::User, Duration::ZERO);
        live.ask(gone.fence(), StopReason::User, Duration::ZERO);
        assert_eq!(live.unclaimed().len(), 2);
        live.forget_unclaimed(gone.fence());
        live.forget_unclaimed(running.fence());
        assert!(live.has(running.fence()));
        assert_eq!(
            live.register(&expected).stop.asked(),
            Some(StopReason::User)
        );
        assert_eq!(live.register(&gone).stop.asked(), None);
    }
}

//! Limits all memories and tables of one run together, and those of all runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use taskhost_clients::error::{ClientError, ErrorCode};
use taskhost_clients::room::AnswerMemory;
use wasmtime::{Error, ResourceLimiter};

use crate::engine::CORE_INSTANCES_MAX;
use crate::meter::Meter;

/// A table's element is a pointer, and may have another beside it in the engine.
const TABLE_ELEMENT_BYTES: usize = 16;
/// As many as the pool gives to one component: a component that was loaded can be run.
const INSTANCES_MAX: usize = CORE_INSTANCES_MAX as usize;

/// Of each run so much at most is its own, and not counted against what all have together: a
/// short task is never refused for what others take.
const OWN_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// What runs may take together, beside what is each one's own: that never comes to more than the
/// same again, however many there are at once.
#[derive(Debug)]
pub(crate) struct MemoryBudget {
    limit_bytes: u64,
    own_bytes: u64,
    taken_bytes: AtomicU64,
    /// The budget that this one is a part of.
    whole: Option<Arc<Self>>,
}

/// Counts what a run's memories and tables take together.
#[derive(Debug)]
pub(crate) struct MemoryLimit {
    limit_bytes: u64,
    used_bytes: u64,
    /// The first refusal, if there was one.
    refused: Option<Refused>,
    budget: Arc<MemoryBudget>,
    meter: Arc<Meter>,
}

/// What of a budget is taken for a while; given back when dropped.
#[derive(Debug)]
pub(crate) struct Held {
    bytes: u64,
    budget: Arc<MemoryBudget>,
}

/// Whose limit it was that kept a run from more memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The run's own.
    OfRun,
    /// That of all runs together or of those of one component.
    OfAll(Full),
}

/// The limit of several runs that had no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full {
    pub(crate) limit_bytes: u64,
    /// Whether the run would get what it wanted, if it were the only one.
    pub(crate) fits_alone: bool,
}

impl MemoryBudget {
    /// Of so many runs at once.
    pub(crate) fn of(limit_bytes: u64, runs_max: usize) -> Self {
        Self {
            limit_bytes,
            own_bytes: OWN_BYTES_MAX.min(limit_bytes / (runs_max as u64).max(1)),
            taken_bytes: AtomicU64::new(0),
            whole: None,
        }
    }

    /// Half of it, for the runs of one component: they never leave all others without.
    pub(crate) fn half(whole: &Arc<Self>) -> Self {
        Self {
            limit_bytes: whole.limit_bytes / 2,
            own_bytes: whole.own_bytes,
            taken_bytes: AtomicU64::new(0),
            whole: Some(Arc::clone(whole)),
        }
    }

    /// What of a run's bytes counts against it.
    fn shared(&self, used_bytes: u64) -> u64 {
        used_bytes.saturating_sub(self.own_bytes)
    }

    /// Takes what a run needs that has so many bytes and wants so many; how many were taken.
    fn grow(&self, used_bytes: u64, wanted_bytes: u64) -> Result<u64, Full> {
        let more = self.shared(wanted_bytes) - self.shared(used_bytes);
        if more > 0 {
            self.take(more).map_err(|limit_bytes| Full {
                limit_bytes,
                fits_alone: self.shared(wanted_bytes) <= self.limit_bytes,
            })?;
        }
        Ok(more)
    }

    /// The limit that has no room for so many bytes more, if one has none.
    fn take(&self, bytes: u64) -> Result<(), u64> {
        let taken = |taken: u64| {
            let taken = taken.saturating_add(bytes);
            (taken <= self.limit_bytes).then_some(taken)
        };
        let order = Ordering::Relaxed;
        let own = self.taken_bytes.fetch_update(order, order, taken);
        own.map_err(|_| self.limit_bytes)?;
        let of_whole = self
            .whole
            .as_ref()
            .map_or(Ok(()), |whole| whole.take(bytes));
        of_whole.inspect_err(|_| {
            self.taken_bytes.fetch_sub(bytes, Ordering::Relaxed);
        })
    }

    fn give_back(&self, bytes: u64) {
        self.taken_bytes.fetch_sub(bytes, Ordering::Relaxed);
        if let Some(whole) = &self.whole {
            whole.give_back(bytes);
        }
    }
}

impl MemoryLimit {
    pub(crate) fn new(limit_bytes: u64, budget: Arc<MemoryBudget>, meter: Arc<Meter>) -> Self {
        Self {
            limit_bytes,
            used_bytes: 0,
            refused: None,
            budget,
            meter,
        }
    }

    /// Takes room for what the host keeps for the run while a call of it waits, as if it were the
    /// run's own; the limit that has none, if there is no room.
    pub(crate) fn hold(&self, bytes: usize) -> Result<Held, Full> {
        let wanted = self.used_bytes.saturating_add(bytes as u64);
        Ok(Held {
            bytes: self.budget.grow(self.used_bytes, wanted)?,
            budget: Arc::clone(&self.budget),
        })
    }

    /// Whether the run has wanted more than it could get, and by whose limit.
    pub(crate) fn refused(&self) -> Option<Refused> {
        self.refused
    }

    fn grow(&mut self, by_bytes: usize, is_within_maximum: bool) -> bool {
        let used = self.used_bytes.saturating_add(by_bytes as u64);
        if !is_within_maximum || used > self.limit_bytes {
            self.refuse(Refused::OfRun);
            return false;
        }
        if let Err(full) = self.budget.grow(self.used_bytes, used) {
            self.refuse(Refused::OfAll(full));
            return false;
        }
        // Never taken back: a growth that fails after this counts all the same, which costs
        // only a run that is out of memory anyway.
        self.used_bytes = used;
        self.meter.note_memory(used);
        true
    }

    fn refuse(&mut self, by: Refused) {
        self.refused.get_or_insert(by);
    }
}

impl AnswerMemory for MemoryBudget {
    fn take_for_answer(&self, bytes: u64) -> Result<(), ClientError> {
        // That of one call is small beside the limit: 8 MiB at most.
        let full = |limit_bytes| Full {
            limit_bytes,
            fits_alone: true,
        };
        Ok(self.take(bytes).map_err(full)?)
    }

    fn give_back_of_answer(&self, bytes: u64) {
        self.give_back(bytes);
    }
}

impl From<Full> for ClientError {
    /// What a call is told that brings or is brought too much.
    fn from(full: Full) -> Self {
        let limit_mib = full.limit_bytes >> 20;
        if full.fits_alone {
            let message = format!(
                "the {limit_mib} MiB are taken that the host gives to all runs (half of them to \
                 those of one component), and what a call brings and is answered counts as well \
                 until it ends: bring or ask for less at a time, or end with this error to be run \
                 again later"
            );
            return Self {
                retryable: true,
                ..Self::new(ErrorCode::HostOutOfMemory, message)
            };
        }
        let message = format!(
            "what the call brings has to be kept until it is answered, and is more than the \
             {limit_mib} MiB that the host gives to all runs of a component together: bring less \
             at a time"
        );
        Self::new(ErrorCode::TooLarge, message)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.give_back(self.bytes);
    }
}

impl Drop for MemoryLimit {
    fn drop(&mut self) {
        self.budget.give_back(self.budget.shared(self.used_bytes));
    }
}

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> Result<bool, Error> {
        let is_within = maximum.is_none_or(|maximum| desired <= maximum);
        Ok(self.grow(desired.saturating_sub(current), is_within))
    }

    fn memory_grow_failed(&mut self, _: Error) -> Result<(), Error> {
        self.refuse(Refused::OfRun);
        Ok(())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> Result<bool, Error> {
        let is_within = maximum.is_none_or(|maximum| desired <= maximum);
        let by_bytes = desired
            .saturating_sub(current)
            .saturating_mul(TABLE_ELEMENT_BYTES);
        Ok(self.grow(by_bytes, is_within))
    }

    fn table_grow_failed(&mut self, _: Error) -> Result<(), Error> {
        self.refuse(Refused::OfRun);
        Ok(())
    }

    fn instances(&self) -> usize {
        INSTANCES_MAX
    }

    fn memories(&self) -> usize {
        INSTANCES_MAX
    }

    fn tables(&self) -> usize {
        INSTANCES_MAX
    }
}

#[cfg(test)]
mod tests {
    use taskhost_model::task::Usage;

    use super::*;
    use std::time::Duration;

    const MIB: usize = 1024 * 1024;

    fn limit(limit_bytes: u64) -> MemoryLimit {
        of_all(limit_bytes, &Arc::new(MemoryBudget::of(u64::MAX, 1)))
    }

    /// What refuses a run that only has to wait for others.
    fn full(mib: usize) -> Full {
        Full {
            limit_bytes: (mib * MIB) as u64,
            fits_alone: true,
        }
    }

    fn of_all(limit_bytes: u64, budget: &Arc<MemoryBudget>) -> MemoryLimit {
        let meter = Arc::new(Meter::new(Duration::ZERO, Usage::default()));
        MemoryLimit::new(limit_bytes, Arc::clone(budget), meter)
    }

    #[test]
    fn memories_and_tables_count_together() {
        let mut limit = limit(1000);
        assert!(limit.memory_growing(0, 500, None).unwrap());
        assert!(limit.table_growing(0, 10, None).unwrap());
        assert!(limit.memory_growing(500, 840, None).unwrap());
        assert_eq!(limit.refused(), None);
        assert!(!limit.table_growing(10, 11, None).unwrap());
        assert_eq!(limit.refused(), Some(Refused::OfRun));
        assert_eq!(limit.meter.usage(Usage::default()).peak_memory_bytes, 1000);
    }

    #[test]
    fn failed_growth_never_makes_room() {
        let mut limit = limit(1000);
        assert!(limit.memory_growing(0, 1000, None).unwrap());
        limit.memory_grow_failed(Error::msg("no")).unwrap();
        assert!(!limit.memory_growing(0, 1, None).unwrap());
    }

    #[test]
    fn a_maximum_of_its_own_takes_nothing() {
        let mut limit = limit(1000);
        assert!(!limit.memory_growing(0, 200, Some(100)).unwrap());
        assert!(limit.memory_growing(0, 1000, None).unwrap());
    }

    #[test]
    fn runs_share_what_is_beyond_their_own() {
        let budget = Arc::new(MemoryBudget::of(10 * MIB as u64, 2));
        let run = || of_all(64 * MIB as u64, &budget);
        let (mut first, mut second, mut small) = (run(), run(), run());
        assert!(first.memory_growing(0, 12 * MIB, None).unwrap());
        assert!(!second.memory_growing(0, 7 * MIB, None).unwrap());
        assert_eq!(second.refused(), Some(Refused::OfAll(full(10))));
        assert!(second.memory_growing(0, 6 * MIB, None).unwrap());
        assert!(small.memory_growing(0, 4 * MIB, None).unwrap());
        assert!(!small.memory_growing(4 * MIB, 4 * MIB + 1, None).unwrap());
        drop(first);
        assert!(small.memory_growing(4 * MIB, 12 * MIB, None).unwrap());
        drop((second, small));
        assert_eq!(budget.taken_bytes.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn what_is_kept_for_a_call_counts_as_the_runs_own() {
        let budget = Arc::new(MemoryBudget::of(10 * MIB as u64, 2));
        let (mut first, second) = (of_all(MIB as u64, &budget), of_all(MIB as u64, &budget));
        assert!(first.memory_growing(0, MIB, None).unwrap());
        let held = first.hold(13 * MIB).unwrap();
        assert_eq!(second.hold(5 * MIB).unwrap_err(), full(10));
        let little = second.hold(4 * MIB).unwrap();
        let never = Full {
            fits_alone: false,
            ..full(10)
        };
        assert_eq!(second.hold(15 * MIB).unwrap_err(), never);
        drop(held);
        let held = second.hold(14 * MIB).unwrap();
        drop((first, second, little, held));
        assert_eq!(budget.taken_bytes.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn one_component_leaves_half_to_the_others() {
        let all = Arc::new(MemoryBudget::of(20 * MIB as u64, 5));
        let [greedy, other] = [(); 2].map(|()| Arc::new(MemoryBudget::half(&all)));
        let run = |budget| of_all(64 * MIB as u64, budget);
        let (mut first, mut second) = (run(&greedy), run(&greedy));
        assert!(first.memory_growing(0, 10 * MIB, None).unwrap());
        assert!(!second.memory_growing(0, 9 * MIB, None).unwrap());
        assert_eq!(second.refused(), Some(Refused::OfAll(full(10))));
        assert!(second.memory_growing(0, 8 * MIB, None).unwrap());
        let (mut third, mut fourth) = (run(&other), run(&other));
        assert!(third.memory_growing(0, 14 * MIB, None).unwrap());
        assert!(!fourth.memory_growing(0, 5 * MIB, None).unwrap());
        drop((first, second, third, fourth));
        let left = [&all, &greedy, &other].map(|it| it.taken_bytes.load(Ordering::Relaxed));
        assert_eq!(left, [0; 3]);
    }

    #[test]
    fn however_many_run_they_have_twice_the_budget_at_most() {
        const RUNS: usize = 8_000;
        let budget_bytes = 1024 * MIB;
        let all = Arc::new(MemoryBudget::of(budget_bytes as u64, RUNS));
        let mut runs: Vec<_> = (0..RUNS).map(|_| of_all(u64::MAX, &all)).collect();
        let granted = |run: &mut MemoryLimit| run.memory_growing(0, 4 * MIB, None).unwrap();
        let large = runs.iter_mut().map(granted).filter(|granted| *granted);
        let taken = large.count() * 4 * MIB;
        assert!(
            (budget_bytes / 2..=2 * budget_bytes).contains(&taken),
            "{taken}"
        );
        // Each has its part of it all the same.
        let own = |run: &mut MemoryLimit| run.memory_growing(0, budget_bytes / RUNS, None);
        assert!(
            runs.iter_mut()
                .all(|run| run.used_bytes > 0 || own(run).unwrap())
        );
    }
}

//! Limits all memories and tables of one run together.

use std::sync::Arc;

use wasmtime::{Error, ResourceLimiter};

use crate::engine::CORE_INSTANCES_MAX;
use crate::meter::Meter;

/// A table's element is a pointer, and may have another beside it in the engine.
const TABLE_ELEMENT_BYTES: usize = 16;
/// As many as the pool gives to one component: a component that was loaded can be run.
const INSTANCES_MAX: usize = CORE_INSTANCES_MAX as usize;

/// Counts what a run's memories and tables take together.
#[derive(Debug)]
pub(crate) struct MemoryLimit {
    limit_bytes: u64,
    used_bytes: u64,
    is_exceeded: bool,
    meter: Arc<Meter>,
}

impl MemoryLimit {
    pub(crate) fn new(limit_bytes: u64, meter: Arc<Meter>) -> Self {
        Self {
            limit_bytes,
            used_bytes: 0,
            is_exceeded: false,
            meter,
        }
    }

    /// Whether the run has wanted more than it could get.
    pub(crate) fn is_exceeded(&self) -> bool {
        self.is_exceeded
    }

    fn grow(&mut self, by_bytes: usize, is_within_maximum: bool) -> bool {
        let used = self.used_bytes.saturating_add(by_bytes as u64);
        let fits = is_within_maximum && used <= self.limit_bytes;
        if fits {
            // Never taken back: a growth that fails after this counts all the same, which costs
            // only a run that is out of memory anyway.
            self.used_bytes = used;
            self.meter.note_memory(used);
        } else {
            self.is_exceeded = true;
        }
        fits
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
        self.is_exceeded = true;
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
        self.is_exceeded = true;
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
    use super::*;
    use std::time::Duration;

    #[test]
    fn memories_and_tables_count_together() {
        let meter = Arc::new(Meter::new(Duration::ZERO));
        let mut limit = MemoryLimit::new(1000, Arc::clone(&meter));
        assert!(limit.memory_growing(0, 500, None).unwrap());
        assert!(limit.table_growing(0, 10, None).unwrap());
        assert!(limit.memory_growing(500, 840, None).unwrap());
        assert!(!limit.is_exceeded());
        assert!(!limit.table_growing(10, 11, None).unwrap());
        assert!(limit.is_exceeded());
        assert_eq!(meter.usage(0).peak_memory_bytes, 1000);
    }

    #[test]
    fn failed_growth_never_makes_room() {
        let mut limit = MemoryLimit::new(1000, Arc::new(Meter::new(Duration::ZERO)));
        assert!(limit.memory_growing(0, 1000, None).unwrap());
        limit.memory_grow_failed(Error::msg("no")).unwrap();
        assert!(!limit.memory_growing(0, 1, None).unwrap());
    }

    #[test]
    fn a_maximum_of_its_own_takes_nothing() {
        let mut limit = MemoryLimit::new(1000, Arc::new(Meter::new(Duration::ZERO)));
        assert!(!limit.memory_growing(0, 200, Some(100)).unwrap());
        assert!(limit.memory_growing(0, 1000, None).unwrap());
    }
}

//! Measures what is not counted as it happens, for whoever asks this host for its metrics.

use std::time::Duration;

use metrics::{Unit, describe_gauge, gauge};

use crate::backlog;
use crate::core::Tasks;
use crate::telemetry;

/// An answer of the embedded store, which no other host changes, counts for so long …
const FRESH_HERE: Duration = Duration::from_secs(2);
/// … and one of a store that others ask as well.
const FRESH_AMONG_OTHERS: Duration = Duration::from_secs(15);

const SLOTS: &str = "taskhost_slots";
const AVAILABLE: &str = "taskhost_slots_available";

/// Says what all numbers of this crate mean. Whoever collects them calls it once.
pub fn describe() {
    telemetry::describe();
    backlog::describe();
    describe_gauge!(SLOTS, Unit::Count, "How many runs may be at work at once");
    describe_gauge!(AVAILABLE, Unit::Count, "How many more may begin");
}

impl Tasks {
    /// Sets what is measured when somebody asks.
    pub async fn measure(&self) {
        let core = &self.0;
        #[expect(clippy::cast_precision_loss, reason = "there are never so many slots")]
        for (name, slots) in [
            (SLOTS, core.settings.slots),
            (AVAILABLE, core.slots.available_permits()),
        ] {
            gauge!(name).set(slots as f64);
        }
        let fresh = match core.hosts {
            None => FRESH_HERE,
            Some(_) => FRESH_AMONG_OTHERS,
        };
        let now = core.clock.now();
        core.backlog.measure(&*core.tasks, fresh, now).await;
    }
}

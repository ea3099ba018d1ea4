//! The clocks of WASI in a test of a task type, where time is skipped: they show it.

use std::time::{Duration, Instant, UNIX_EPOCH};

use taskhost_clients::virtual_time::Time;
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtxBuilder};

/// What the clocks say of themselves.
const RESOLUTION: Duration = Duration::from_millis(1);

/// Lets the guest's clocks show a time that is skipped.
pub(crate) fn show_virtual_time(time: &Time, builder: &mut WasiCtxBuilder) {
    if time.is_skipped() {
        builder
            .wall_clock(Wall(time.clone()))
            .monotonic_clock(Monotonic(time.clone(), Instant::now()));
    }
}

struct Wall(Time);

impl HostWallClock for Wall {
    fn resolution(&self) -> Duration {
        RESOLUTION
    }

    fn now(&self) -> Duration {
        let real = UNIX_EPOCH.elapsed().unwrap_or_default();
        real.saturating_add(self.0.skipped_so_far())
    }
}

struct Monotonic(Time, Instant);

impl HostMonotonicClock for Monotonic {
    fn resolution(&self) -> u64 {
        u64::try_from(RESOLUTION.as_nanos()).unwrap_or(1)
    }

    fn now(&self) -> u64 {
        let shown = self.1.elapsed().saturating_add(self.0.skipped_so_far());
        u64::try_from(shown.as_nanos()).unwrap_or(u64::MAX)
    }
}

//! Counts and measures guests, for whoever asks this host for its metrics.

use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_histogram, histogram};
use taskhost_clients::stop::StopReason;

/// How long it took to make an instance of a component.
pub const INSTANTIATE_SECONDS: &str = "taskhost_guest_instantiate_seconds";
const INTERRUPTS: &str = "taskhost_guest_interrupts_total";

/// The bounds of [`INSTANTIATE_SECONDS`].
pub const BOUNDS: [f64; 10] = [
    0.000_01, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.005, 0.025, 0.1, 1.0,
];

/// Says what the numbers mean. Whoever collects them calls it once.
pub fn describe() {
    describe_histogram!(
        INSTANTIATE_SECONDS,
        Unit::Seconds,
        "How long it took to make an instance of a component"
    );
    describe_counter!(
        INTERRUPTS,
        Unit::Count,
        "Guests that did not end by themselves, by why they had to"
    );
}

pub(crate) fn instantiated(took: Duration) {
    histogram!(INSTANTIATE_SECONDS).record(took);
}

/// A guest was ended; `None`: since it has computed for longer than it may.
pub(crate) fn interrupted(reason: Option<StopReason>) {
    let reason = reason.map_or("out-of-cpu", StopReason::as_str);
    counter!(INTERRUPTS, "reason" => reason).increment(1);
}

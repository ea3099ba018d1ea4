//! Measures what operations of the store take, for whoever asks this host for its metrics.

use std::time::Instant;

use metrics::{Unit, counter, describe_counter, describe_histogram, histogram};

use crate::error::StoreError;

/// How long an operation took; a write until it was on disk, with what it waited for its turn.
pub const SECONDS: &str = "taskhost_store_seconds";
const ERRORS: &str = "taskhost_store_errors_total";

/// The bounds of [`SECONDS`].
pub const BOUNDS: [f64; 12] = [
    0.000_1, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 5.0, 30.0,
];

/// Says what the numbers mean. Whoever collects them calls it once.
pub fn describe() {
    describe_histogram!(
        SECONDS,
        Unit::Seconds,
        "How long operations of the store took, their waiting included"
    );
    describe_counter!(
        ERRORS,
        Unit::Count,
        "Operations of the store that could not be carried out"
    );
}

/// Measures one operation. `operation` is one of few names.
pub(crate) async fn measured<T>(
    operation: &'static str,
    work: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let begun = Instant::now();
    let result = work.await;
    note(operation, begun, &result);
    result
}

/// Notes an operation that was begun then.
pub(crate) fn note<T>(operation: &'static str, begun: Instant, result: &Result<T, StoreError>) {
    histogram!(SECONDS, "operation" => operation).record(begun.elapsed());
    if let Err(StoreError::Unavailable { .. } | StoreError::DiskFull) = result {
        counter!(ERRORS, "operation" => operation).increment(1);
    }
}

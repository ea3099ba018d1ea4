//! Collects what the crates of this host count and measure, for `/metrics`: in this process, and
//! sent to nobody.

use std::sync::OnceLock;
use std::time::Duration;

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use taskhost_service::hosts::resident;
use taskhost_service::{measure, telemetry};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// One for the process, as what counts has no other way to it.
static COLLECTED: OnceLock<PrometheusHandle> = OnceLock::new();

const LIVE: &str = "taskhost_runs_live";
const WATCHERS: &str = "taskhost_http_watchers";
const BUILD: &str = "taskhost_build_info";
const MEMORY: &str = "process_resident_memory_bytes";
const LAG: &str = "taskhost_loop_lag_seconds";
/// Requests that were answered.
pub(crate) const REQUESTS: &str = "taskhost_http_requests_total";
/// How long it took until the head of an answer was there.
pub(crate) const REQUEST_SECONDS: &str = "taskhost_http_request_seconds";

/// Between two looks at how late the executor wakes who sleeps.
const LAG_INTERVAL: Duration = Duration::from_millis(500);
/// The bounds of [`LAG`] and [`REQUEST_SECONDS`].
const SHORT_SECONDS: [f64; 10] = [
    0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5, 30.0,
];

/// Collects from now on. Again is the same.
pub(crate) fn collect() {
    COLLECTED.get_or_init(|| {
        let builder = builder().unwrap_or_else(|error| {
            tracing::error!(%error, "what is measured has no bounds");
            PrometheusBuilder::new()
        });
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::error!("something else collects metrics in this process: /metrics is empty");
        }
        describe();
        handle
    });
}

fn builder() -> Result<PrometheusBuilder, BuildError> {
    let seconds = Matcher::Suffix("_seconds".to_owned());
    let builder = PrometheusBuilder::new().set_buckets_for_metric(seconds, &telemetry::SECONDS)?;
    let own: [(&str, &[f64]); 5] = [
        (
            taskhost_store::telemetry::SECONDS,
            &taskhost_store::telemetry::BOUNDS,
        ),
        (
            taskhost_runtime::telemetry::INSTANTIATE_SECONDS,
            &taskhost_runtime::telemetry::BOUNDS,
        ),
        (telemetry::MEMORY, &telemetry::BYTES),
        (LAG, &SHORT_SECONDS),
        (REQUEST_SECONDS, &SHORT_SECONDS),
    ];
    own.into_iter()
        .try_fold(builder, |builder, (name, bounds)| {
            builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), bounds)
        })
}

fn describe() {
    taskhost_store::telemetry::describe();
    taskhost_runtime::telemetry::describe();
    measure::describe();
    describe_gauge!(LIVE, Unit::Count, "Runs on this host at this moment");
    describe_gauge!(
        WATCHERS,
        Unit::Count,
        "Requests that wait for changes, streams of events among them"
    );
    describe_gauge!(BUILD, Unit::Count, "1, with the program's version");
    describe_gauge!(MEMORY, Unit::Bytes, "Memory of this process");
    describe_histogram!(
        LAG,
        Unit::Seconds,
        "How late the executor of HTTP and of the service wakes who sleeps"
    );
    describe_counter!(
        REQUESTS,
        Unit::Count,
        "Requests that were answered, by route and class of status"
    );
    describe_histogram!(
        REQUEST_SECONDS,
        Unit::Seconds,
        "From a request's head to the head of its answer, by route; those that wait for changes \
         take as long as that"
    );
    gauge!(BUILD, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
}

/// Measures what shows over time alone, and puts together now and then what nobody asks for, so
/// that it does not pile up.
pub(crate) async fn keep(stop: CancellationToken) {
    let mut put_together_at = Instant::now();
    loop {
        let until = Instant::now() + LAG_INTERVAL;
        tokio::select! {
            () = tokio::time::sleep_until(until) => {}
            () = stop.cancelled() => return,
        }
        histogram!(LAG).record(until.elapsed());
        if put_together_at.elapsed() < telemetry::UPKEEP_INTERVAL {
            continue;
        }
        put_together_at = Instant::now();
        if let Some(collected) = COLLECTED.get() {
            collected.run_upkeep();
        }
    }
}

/// All of it, as Prometheus reads it. `live` runs are on this host, and `watchers` wait for
/// changes.
pub(crate) fn written(live: usize, watchers: usize) -> String {
    #[expect(clippy::cast_precision_loss, reason = "what is counted is less")]
    for (name, number) in [
        (LIVE, live as u64),
        (WATCHERS, watchers as u64),
        (MEMORY, resident::bytes().unwrap_or_default()),
    ] {
        gauge!(name).set(number as f64);
    }
    COLLECTED
        .get()
        .map(PrometheusHandle::render)
        .unwrap_or_default()
}

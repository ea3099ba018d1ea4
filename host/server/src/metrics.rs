//! Collects what the service counts, for `/metrics`: in this process, and sent to nobody.

use std::sync::OnceLock;

use metrics::{Unit, describe_gauge, gauge};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use taskhost_service::telemetry;
use tokio_util::sync::CancellationToken;

/// One for the process, as what counts has no other way to it.
static COLLECTED: OnceLock<PrometheusHandle> = OnceLock::new();
const LIVE: &str = "taskhost_runs_live";

/// Collects from now on. Again is the same.
pub(crate) fn collect() {
    COLLECTED.get_or_init(|| {
        let builder = PrometheusBuilder::new();
        let seconds = Matcher::Suffix("_seconds".to_owned());
        let builder = builder
            .set_buckets_for_metric(seconds, &telemetry::SECONDS)
            .unwrap_or_else(|_| PrometheusBuilder::new());
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::error!("something else collects metrics in this process: /metrics is empty");
        }
        telemetry::describe();
        describe_gauge!(LIVE, Unit::Count, "Runs on this host at this moment");
        handle
    });
}

/// Puts together now and then what nobody asks for, so that it does not pile up.
pub(crate) async fn keep(stop: CancellationToken) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(telemetry::UPKEEP_INTERVAL) => {}
            () = stop.cancelled() => return,
        }
        if let Some(collected) = COLLECTED.get() {
            collected.run_upkeep();
        }
    }
}

/// All of it, as Prometheus reads it. `live` runs are on this host.
pub(crate) fn written(live: usize) -> String {
    #[expect(clippy::cast_precision_loss, reason = "there are never so many runs")]
    gauge!(LIVE).set(live as f64);
    COLLECTED
        .get()
        .map(PrometheusHandle::render)
        .unwrap_or_default()
}

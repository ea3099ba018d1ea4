//! Guests whose results take long to be checked.

use std::time::Instant;

use serde_json::json;
use taskhost_e2e::tasks::task;

use crate::guests::{Honest, home, row};

#[tokio::test]
async fn a_run_can_be_stopped_while_its_result_is_checked() {
    let rows = ["completed", "canceled"].map(|ends| row("slow-schema", json!({}), ends, ""));
    let host = home(&rows).start().await;
    let [completes, canceled] = &rows;
    let begun = Instant::now();
    host.schedule("whole", "slow-schema", json!({})).await;
    completes.check(&host.ends("whole").await);
    let whole = begun.elapsed();

    let honest = Honest::begin(&host, "checked").await;
    let body = json!({"type": "slow-schema", "params": {}, "timeout_ms": 600_000});
    host.put(&task("stopped"), &body).await.expect(201);
    // It returns soon after it has said so, without having heard of the cancel.
    host.moves("stopped").await;
    let begun = Instant::now();
    host.verb("stopped", "cancel").await.expect(200);
    canceled.check(&host.ends("stopped").await);
    let stopped = begun.elapsed();
    assert!(stopped < whole / 4, "{stopped:?} of {whole:?}");
    honest.are_well(&host).await;
}

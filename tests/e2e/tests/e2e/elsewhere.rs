//! Two hosts on one cluster.

use serde_json::json;
use taskhost_e2e::PATIENCE;
use taskhost_e2e::cluster::Cluster;
use taskhost_e2e::home::Home;
use taskhost_e2e::tasks::task;

#[tokio::test]
async fn what_one_host_runs_the_other_shows_and_cancels_and_outlives() {
    let Some(cluster) = Cluster::find("two") else {
        return;
    };
    let (first_home, second_home) = (Home::with(&["checkpointed"]), Home::new());
    let first = cluster.start(&first_home).await;
    let second = cluster.start(&second_home).await;
    let long = json!({"steps": 100_000, "step_ms": 100});
    first.schedule("long", "checkpointed", long).await;
    let running = |task: &serde_json::Value| task["run"]["state"] == "running";
    second.until("long", running).await;
    let cancel = format!("{}/cancel", task("long"));
    second.post(&cancel, &json!({})).await.expect(200);
    first.reaches("long", "canceled").await;

    let short = json!({"steps": 3});
    second.schedule("short", "checkpointed", short).await;
    first.reaches("short", "completed").await;
    first.stop().await;
    second.reaches("short", "completed").await;
    let again = cluster.start(&first_home).await;
    again.reaches("short", "completed").await;
    // It sees the other one when it has looked.
    let both = async {
        loop {
            let hosts = again.get("/v1/hosts").await.expect(200);
            if hosts["hosts"].as_array().map(Vec::len) == Some(2) {
                break;
            }
        }
    };
    tokio::time::timeout(PATIENCE, both).await.unwrap();
    again.stop().await;
    second.stop().await;
}

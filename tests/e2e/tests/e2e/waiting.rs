//! Why a task waits that is to run.

use serde_json::{Value, json};
use taskhost_e2e::home::Home;
use taskhost_e2e::tasks::task;

fn reason(task: &Value) -> &str {
    task["run"]["waiting_for"].as_str().unwrap_or_default()
}

/// Complaint: a queue that stands still, and nobody knows why. The sixth reason, `no_version`,
/// needs a version that goes between a schedule and its claim: `pushes.rs` of the service has it.
#[tokio::test]
async fn every_waiting_task_says_why() {
    let home = Home::with(&["cooperative", "hello-task", "one-at-a-time", "sleeper"]);
    home.settings(
        "runs.slots = 3\n[types.cooperative]\nruns_at_once = 1\n\
         [[allow]]\ntype = \"one-at-a-time\"\nchildren = [\"one-at-a-time\"]\n",
    );
    let host = home.start().await;
    host.schedule("works", "cooperative", json!({})).await;
    host.moves("works").await;
    let limited = host.schedule("limited", "cooperative", json!({})).await;
    assert_eq!(reason(&limited), "type_limit", "{limited:#}");
    assert_eq!(limited["concurrency_key"], "*");
    let params = json!({"key": "a", "ms": 600_000});
    host.schedule("holds", "one-at-a-time", params.clone())
        .await;
    host.moves("holds").await;
    let keyed = host.schedule("keyed", "one-at-a-time", params).await;
    assert_eq!(reason(&keyed), "key", "{keyed:#}");
    let body = json!({"type": "hello", "params": {"name": "x"}, "run_at": "2999-01-01T00:00:00Z"});
    let later = host.put(&task("later"), &body).await.expect(201);
    assert_eq!(reason(&later), "run_at", "{later:#}");
    host.post("/v1/task-types/hello/pause", &json!({}))
        .await
        .expect(200);
    let paused = host.schedule("paused", "hello", json!({"name": "x"})).await;
    assert_eq!(reason(&paused), "paused", "{paused:#}");
    host.schedule("third", "sleeper", json!({"ms": 600_000}))
        .await;
    let full = host.schedule("full", "sleeper", json!({"ms": 1})).await;
    assert_eq!(reason(&full), "slot", "{full:#}");
    let page = host.get("/v1/spaces/default/tasks").await.expect(200);
    for listed in page["tasks"].as_array().unwrap() {
        let waits = listed["run"]["state"] == "queued";
        assert_eq!(waits, !reason(listed).is_empty(), "{listed:#}");
        assert_eq!(
            waits,
            listed["run"]["waiting_because"].is_string(),
            "{listed:#}"
        );
    }
    let shown = host.cli(&["status", "limited"]).await.done();
    assert!(shown.contains("its concurrency key `*`"), "{shown}");
}

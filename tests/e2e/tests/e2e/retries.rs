//! Failures: what is tried again, what is not, and the limits on time.

use serde_json::{Value, json};
use taskhost_e2e::home::Home;
use taskhost_e2e::tasks::task;

#[tokio::test]
async fn a_retryable_error_is_tried_again_up_to_the_attempts() {
    let host = Home::with(&["fails"]).start().await;
    let params = json!({"code": "busy", "retryable": true, "succeed_on_attempt": 3});
    let done = host.run("succeeds", "fails", params).await;
    assert_eq!(
        (&done["status"], &done["attempt"]),
        (&json!("completed"), &json!(3))
    );
    assert_eq!(done["run"]["attempt"], 3);

    let params = json!({"code": "busy", "message": "come back", "retryable": true,
        "details": {"queue": 7}});
    let failed = host.run("fails", "fails", params).await;
    assert_eq!(failed["status"], "failed");
    assert_eq!(
        (&failed["run"]["attempt"], &failed["run"]["max_attempts"]),
        (&json!(3), &json!(3))
    );
    let error = &failed["error"];
    assert_eq!(
        (&error["kind"], &error["code"]),
        (&json!("task"), &json!("busy"))
    );
    assert_eq!(error["message"], "come back");
    assert_eq!(error["details"], json!({"queue": 7}));
}

#[tokio::test]
async fn other_errors_are_for_good() {
    let host = Home::with(&["fails", "panic"]).start().await;
    let failed = host
        .run("fails", "fails", json!({"code": "no-such-thing"}))
        .await;
    assert_eq!(
        (&failed["status"], &failed["run"]["attempt"]),
        (&json!("failed"), &json!(1))
    );
    assert_eq!(failed["error"]["retryable"], false);
    let failed = host.run("panics", "panic", json!({"message": "oh"})).await;
    assert_eq!(
        (&failed["error"]["kind"], &failed["run"]["attempt"]),
        (&json!("trap"), &json!(1))
    );
}

#[tokio::test]
async fn a_waiting_retry_shows_itself_and_no_error_yet() {
    let host = Home::with(&["fails"]).start().await;
    let params = json!({"code": "busy", "retryable": true, "retry_after_ms": 3_600_000});
    host.schedule("t", "fails", params).await;
    let waits = host
        .until("t", |task| task["run"]["state"] == "waiting_retry")
        .await;
    assert_eq!(waits["status"], "in_progress");
    assert!(waits.get("error").is_none() && waits.get("last_failed_at").is_none());
    let due = waits["run"]["due_at"].as_str().unwrap();
    assert!(due > waits["created_at"].as_str().unwrap());
}

#[tokio::test]
async fn the_deadline_ends_a_run() {
    let host = Home::with(&["sleeper", "endless-loop", "cooperative"])
        .start()
        .await;
    for (id, params) in [
        ("sleeper", json!({"ms": 3_600_000})),
        ("endless-loop", json!({})),
        ("cooperative", json!({})),
    ] {
        let body = json!({"type": id, "params": params, "timeout_ms": 200});
        host.put(&task(id), &body).await.expect(201);
    }
    for id in ["sleeper", "endless-loop", "cooperative"] {
        let failed = host.reaches(id, "failed").await;
        assert_eq!(failed["error"]["kind"], "deadline", "{failed:#}");
    }
}

#[tokio::test]
async fn computing_is_limited_and_waiting_is_not() {
    let host = Home::with(&["spin", "endless-loop", "sleeper"])
        .start()
        .await;
    let loops = if taskhost_e2e::long() { 32 } else { 8 };
    // The limit of `spin` is 300 ms of computing. It shares two cores with guests that only spin,
    // so it takes longer than that by the clock on the wall. What it computes is work, not time:
    // a neighbor on the same core makes the work twice as long, hence a third of the limit.
    let spinning: Vec<String> = (0..loops).map(|n| format!("loop-{n}")).collect();
    for id in &spinning {
        host.schedule(id, "endless-loop", json!({})).await;
    }
    host.schedule("honest", "spin", json!({"cpu_ms": 100}))
        .await;
    host.schedule("greedy", "spin", json!({"cpu_ms": 3_000}))
        .await;
    host.schedule("waits", "sleeper", json!({"ms": 1_000}))
        .await;
    let honest = host.reaches("honest", "completed").await;
    let computed_ms = honest["usage"]["cpu_ms"].as_u64().unwrap_or(u64::MAX);
    let took_ms = honest["payload"]["took_ms"].as_u64().unwrap_or(0);
    assert!(computed_ms * 2 < took_ms, "{honest:#}");
    let greedy = host.reaches("greedy", "failed").await;
    assert_eq!(greedy["error"]["kind"], "out_of_cpu", "{greedy:#}");
    let waits = host.reaches("waits", "completed").await;
    assert!(waits["usage"]["cpu_ms"].as_u64() < Some(200), "{waits:#}");
    for id in &spinning {
        host.verb(id, "cancel").await.expect(200);
    }
    for id in &spinning {
        host.reaches(id, "canceled").await;
    }
}

#[tokio::test]
async fn each_run_has_an_instance_of_its_own() {
    let host = Home::with(&["counter"]).start().await;
    for _ in 0..3 {
        let done: Value = host.run("t", "counter", json!({})).await;
        assert_eq!(done["payload"], json!({"runs": 1}));
    }
}

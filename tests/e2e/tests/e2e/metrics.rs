//! `/metrics`: what an operator of a task queue wants to know is there, with what happened.

use serde_json::json;
use taskhost_e2e::home::Home;
use taskhost_e2e::tasks::task;

/// Complaint 17: what waits is seen, by type, with how long.
#[tokio::test]
async fn what_waits_is_counted_and_how_long_the_oldest_does() {
    let home = Home::with(&["hello-task", "sleeper"]);
    home.settings("runs.slots = 1\n");
    let host = home.start().await;
    host.schedule("long", "sleeper", json!({"ms": 600_000}))
        .await;
    host.until("long", |task| task["run"]["state"] == "running")
        .await;
    for id in ["a", "b"] {
        host.schedule(id, "hello", json!({"name": id})).await;
    }
    let waiting = "taskhost_backlog_runs{type=\"hello\"}";
    let is_two = async || (host.metric(waiting).await == Some(2.0)).then_some(());
    host.see("two runs wait", is_two).await;
    let oldest = host
        .metric("taskhost_backlog_oldest_seconds{type=\"hello\"}")
        .await;
    assert!(
        oldest.is_some_and(|it| (0.0..600.0).contains(&it)),
        "{oldest:?}"
    );
    assert_eq!(host.metric("taskhost_slots").await, Some(1.0));
    assert_eq!(host.metric("taskhost_slots_available").await, Some(0.0));
    host.verb("long", "cancel").await.expect(200);
    host.reaches("b", "completed").await;
    let is_none = async || (host.metric(waiting).await == Some(0.0)).then_some(());
    host.see("nothing waits", is_none).await;
}

#[tokio::test]
async fn the_whole_set_is_there() {
    let home = Home::with(&["hello-task", "ignores-cancel"]);
    let host = home.start().await;
    host.run("one", "hello", json!({"name": "Ada"})).await;
    host.schedule("two", "ignores-cancel", json!({"how": "spin"}))
        .await;
    host.until("two", |task| task["progress"]["message"] == "started")
        .await;
    host.verb("two", "cancel").await.expect(200);
    host.reaches("two", "canceled").await;
    host.get("/v1/spaces/default/tasks/one?since=x")
        .await
        .problem(400, "invalid");
    host.get("/nowhere").await.problem(404, "not-found");
    let watched = host.events(&task_events("one"), None).await;
    // It is measured twice a second.
    let lag = async || {
        let text = host.get("/metrics").await.text;
        text.contains("taskhost_loop_lag_seconds_count")
            .then_some(())
    };
    host.see("the lag of the executor", lag).await;
    let text = host.get("/metrics").await.text;
    let line = |wanted: &str| {
        assert!(text.lines().any(|one| one == wanted), "{wanted} in\n{text}");
    };
    for wanted in [
        "taskhost_runs_total{type=\"hello\",outcome=\"completed\"} 1",
        "taskhost_runs_total{type=\"ignores-cancel\",outcome=\"canceled\"} 1",
        "taskhost_cancel_seconds_count{type=\"ignores-cancel\"} 1",
        "taskhost_guest_interrupts_total{reason=\"user\"} 1",
        "taskhost_run_peak_memory_bytes_count{type=\"hello\"} 1",
        "taskhost_run_cpu_seconds_count{type=\"hello\"} 1",
        "taskhost_lease_renew_failures_total 0",
        "taskhost_runs_reclaimed_total 0",
        "taskhost_http_watchers 1",
        "taskhost_http_requests_total{method=\"GET\",route=\"/v1/spaces/{space}/tasks/{id}\",\
         status=\"4xx\"} 1",
        "taskhost_http_requests_total{method=\"none\",route=\"none\",status=\"4xx\"} 1",
        "taskhost_http_request_seconds_count{method=\"POST\",\
         route=\"/v1/spaces/{space}/tasks/{id}/cancel\"} 1",
    ] {
        line(wanted);
    }
    drop(watched);
    for begun in [
        "taskhost_store_seconds_count{operation=\"schedule\"}",
        "taskhost_store_seconds_count{operation=\"find\"}",
        "taskhost_guest_instantiate_seconds_count",
        "taskhost_loop_lag_seconds_count",
        "process_resident_memory_bytes",
        "taskhost_build_info{version=",
    ] {
        assert!(
            text.lines().any(|one| one.starts_with(begun)),
            "{begun} in\n{text}"
        );
    }
    // Base units, and `_total` where it only grows.
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').unwrap();
        assert_eq!(name.ends_with("_total"), kind == "counter", "{line}");
        assert!(!name.contains("_ms") && !name.contains("milli"), "{line}");
    }
}

fn task_events(id: &str) -> String {
    format!("{}/events", task(id))
}

/// M3: what an earlier process was running is taken back at once, and counted.
#[tokio::test]
async fn what_a_killed_host_was_running_is_counted_as_reclaimed() {
    let home = Home::with(&["sleeper"]);
    let host = home.start().await;
    host.schedule("one", "sleeper", json!({"ms": 600_000}))
        .await;
    host.until("one", |task| task["run"]["state"] == "running")
        .await;
    host.kill().await;
    let host = home.start().await;
    assert_eq!(
        host.metric("taskhost_runs_reclaimed_total").await,
        Some(1.0)
    );
}

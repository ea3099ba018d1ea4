//! The straight line: schedule, run, read, acknowledge, schedule again, delete.

use serde_json::json;
use taskhost_e2e::home::Home;
use taskhost_e2e::tasks::task;

#[tokio::test]
async fn hello_from_schedule_to_acknowledge() {
    let host = Home::with(&["hello-task"]).start().await;
    let answer = host.get(&task("greet")).await;
    assert_eq!(answer.expect(200), json!({"status": "not_started"}));
    assert_eq!(
        (answer.header("etag"), answer.header("cache-control")),
        ("\"0\"", "no-store")
    );

    let scheduled = host
        .schedule("greet", "hello", json!({"name": "you"}))
        .await;
    assert_eq!(scheduled["status"], "in_progress");
    assert_eq!(scheduled["run"]["attempt"], 1);

    let done = host.reaches("greet", "completed").await;
    assert_eq!(done["payload"], json!({"greeting": "Hello, you!"}));
    assert_eq!(
        done["greeting"], "Hello, you!",
        "payload keys also stand at the top"
    );
    assert_eq!(
        (&done["id"], &done["type"]),
        (&json!("greet"), &json!("hello"))
    );
    assert_eq!(
        (&done["space"], &done["requested_by"]),
        (&json!("default"), &json!("local"))
    );
    assert_eq!(done["run"]["id"], scheduled["run"]["id"]);
    assert_eq!(done["progress"]["message"], "Hello, you!");
    for key in [
        "cpu_ms",
        "host_wait_ms",
        "peak_memory_bytes",
        "host_calls",
        "tokens",
    ] {
        assert!(done["usage"][key].is_u64(), "{key} in {done:#}");
    }
    for key in ["created_at", "last_completed_at"] {
        let time = done[key].as_str().unwrap();
        assert!(
            time.len() == "2026-01-01T00:00:00.000Z".len() && time.ends_with('Z'),
            "{time}"
        );
    }
    assert!(done["run"]["started_at"].is_string());
    assert!(done.get("error").is_none() && done.get("last_failed_at").is_none());

    let acknowledged = host.verb("greet", "acknowledge").await.expect(200);
    assert_eq!(acknowledged["status"], "acknowledged");
    assert_eq!(acknowledged["acknowledged_by"], "local");
    assert_eq!(acknowledged["payload"], done["payload"]);
    host.verb("greet", "acknowledge")
        .await
        .problem(409, "not-completed");

    host.delete(&task("greet")).await.expect(204);
    assert_eq!(host.task("greet").await, json!({"status": "not_started"}));
    host.delete(&task("greet")).await.problem(404, "not-found");
    host.stop().await;
}

#[tokio::test]
async fn scheduling_again_replaces_the_run_and_keeps_what_was_last() {
    let host = Home::with(&["hello-task", "fails"]).start().await;
    let first = host.run("t", "hello", json!({"name": "a"})).await;
    let failed = host.run("t", "fails", json!({"code": "broken"})).await;
    assert_eq!(failed["status"], "failed");
    assert_eq!(failed["last_completed_at"], first["last_completed_at"]);
    assert!(failed.get("payload").is_none() && failed.get("greeting").is_none());
    assert_ne!(failed["run"]["id"], first["run"]["id"]);
    let last = host.run("t", "hello", json!({"name": "b"})).await;
    assert_eq!(last["last_failed_at"], failed["last_failed_at"]);
    assert!(last.get("error").is_none());
    assert_eq!(last["greeting"], "Hello, b!");
    assert_ne!(last["last_completed_at"], first["last_completed_at"]);
}

#[tokio::test]
async fn a_live_run_is_not_started_twice() {
    let host = Home::with(&["cooperative", "hello-task"]).start().await;
    let first = host
        .schedule("t", "cooperative", json!({"a": 1, "b": 2}))
        .await;
    let body = json!({"type": "cooperative", "params": {"b": 2, "a": 1}});
    let same = host.put(&task("t"), &body).await.expect(200);
    assert_eq!(same["outcome"], "already_running");
    assert_eq!(same["run"]["id"], first["run"]["id"]);
    assert_eq!(same["params"], json!({"a": 1, "b": 2}));
    let body = json!({"type": "cooperative", "params": {"a": 2}});
    let other = host
        .put(&task("t"), &body)
        .await
        .problem(409, "already-running");
    assert_eq!(
        (&other["task_id"], &other["run_id"]),
        (&json!("t"), &first["run"]["id"])
    );
    assert_eq!(other["params"], json!({"a": 1, "b": 2}));
    let body = json!({"type": "hello", "params": {"name": "x"}});
    let other = host
        .put(&task("t"), &body)
        .await
        .problem(409, "already-running");
    let said = other["detail"].as_str().unwrap();
    assert!(said.contains("of the type `cooperative`"), "{said}");
}

#[tokio::test]
async fn spaces_are_apart() {
    let host = Home::with(&["hello-task"]).start().await;
    let elsewhere = "/v1/spaces/other/tasks/t";
    let body = json!({"type": "hello", "params": {"name": "x"}});
    host.put(elsewhere, &body).await.expect(201);
    assert_eq!(host.task("t").await["status"], "not_started");
    assert_eq!(
        host.get("/v1/spaces/default/tasks").await.expect(200),
        json!({"tasks": []})
    );
}

#[tokio::test]
async fn a_task_waits_until_it_is_due_and_priority_goes_first() {
    let home = Home::with(&["hello-task", "sleeper"]);
    home.settings("runs.slots = 1\n");
    let host = home.start().await;
    let later = json!({"type": "hello", "params": {"name": "x"}, "run_at": "2100-01-01T00:00:00Z"});
    let later = host.put(&task("later"), &later).await.expect(201);
    assert_eq!(later["run"]["due_at"], "2100-01-01T00:00:00.000Z");

    host.schedule("first", "sleeper", json!({"ms": 1000})).await;
    host.until("first", |task| task["run"]["state"] == "running")
        .await;
    let hello =
        |priority: i32| json!({"type": "hello", "params": {"name": "x"}, "priority": priority});
    host.put(&task("low"), &hello(-1)).await.expect(201);
    host.put(&task("high"), &hello(1)).await.expect(201);
    let low = host.reaches("low", "completed").await;
    let high = host.reaches("high", "completed").await;
    let started = |task: &serde_json::Value| task["run"]["started_at"].as_str().unwrap().to_owned();
    assert!(started(&high) < started(&low), "{high:#} {low:#}");
    assert_eq!(host.task("later").await["run"]["state"], "queued");
}

#[tokio::test]
async fn progress_is_seen_while_the_run_goes_on() {
    let host = Home::with(&["cooperative"]).start().await;
    host.schedule("t", "cooperative", json!({})).await;
    let early = host
        .until("t", |task| task["progress"]["done"].as_u64() >= Some(1))
        .await;
    assert_eq!(
        (&early["status"], &early["run"]["state"]),
        (&json!("in_progress"), &json!("running"))
    );
    let before = early["progress"]["done"].as_u64().unwrap();
    let later = host
        .until("t", |task| task["progress"]["done"].as_u64() > Some(before))
        .await;
    assert!(later["revision"].as_u64() > early["revision"].as_u64());
    assert_eq!(
        later["version"], early["version"],
        "progress is no new version"
    );
}

#[tokio::test]
async fn the_log_holds_what_the_run_wrote() {
    let host = Home::with(&["log-flood"]).start().await;
    let done = host
        .run("t", "log-flood", json!({"lines": 3, "bytes": 10}))
        .await;
    let run = done["run"]["id"].as_str().unwrap();
    let log = host.get(&format!("{}/runs/{run}/log", task("t"))).await;
    assert_eq!(log.status, 200);
    // Each line once through the contract, once on standard output, once on standard error.
    assert_eq!(log.text.matches("xxxxxxxxxx").count(), 9, "{}", log.text);
    assert!(log.text.contains("\"number\":2"), "{}", log.text);

    let flooded = host
        .run("t", "log-flood", json!({"lines": 2000, "bytes": 2000}))
        .await;
    assert_eq!(flooded["status"], "completed");
    let run = flooded["run"]["id"].as_str().unwrap();
    let log = host.get(&format!("{}/runs/{run}/log", task("t"))).await;
    assert!(
        (900_000..1_300_000).contains(&log.text.len()),
        "{} bytes",
        log.text.len()
    );
    assert!(log.text.contains("dropped"), "it says what it dropped");
}

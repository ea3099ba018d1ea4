//! What becomes of a version of a task type: active, back again, deleted; and types that pause.

use serde_json::{Value, json};
use taskhost_e2e::component::{Steps, component, greeter, stepping};
use taskhost_e2e::home::Home;
use taskhost_e2e::host::Host;
use taskhost_e2e::tasks::task;

fn version(digest: &Value) -> String {
    format!(
        "/v1/task-types/greeter/versions/{}",
        digest.as_str().unwrap()
    )
}

async fn push(host: &Host, number: &str) -> Value {
    let pushed = host.push_bytes(greeter(number, &json!({}))).await;
    pushed.expect(201)["digest"].clone()
}

async fn greeting(host: &Host) -> Value {
    host.run("t", "greeter", json!({})).await["payload"].clone()
}

#[tokio::test]
async fn an_earlier_version_comes_back_and_a_restart_does_not_undo_it() {
    let home = Home::new();
    home.add_bytes("first", &greeter("1", &json!({})));
    let host = home.start().await;
    let first = host.get("/v1/task-types/greeter").await.expect(200)["active"].clone();
    home.add_bytes("second", &greeter("2", &json!({})));
    host.see("the second version", async || {
        (greeting(&host).await == "2").then_some(())
    })
    .await;
    let back = host.decide("greeter", &first, "activate").await.expect(200);
    assert_eq!(
        (&back["state"], &back["version"]),
        (&json!("active"), &json!("1"))
    );
    assert_eq!(greeting(&host).await, "1");
    host.stop().await;
    let host = home.start().await;
    assert_eq!(greeting(&host).await, "1");
    assert_eq!(host.version("greeter", &first).await["state"], "active");
    let unknown = json!("0".repeat(64));
    let answer = host.decide("greeter", &unknown, "activate").await;
    answer.problem(404, "not-found");
    let answer = host.decide("nobody", &first, "activate").await;
    answer.problem(404, "unknown-task-type");
    let answer = host.decide("greeter", &json!("abc"), "activate").await;
    answer.names("digest");
}

#[tokio::test]
async fn a_version_is_deleted_once_no_run_needs_it() {
    let home = Home::new();
    home.settings("runs.slots = 1\n");
    let host = home.start().await;
    let descriptor = json!({"id": "greeter", "version": "1", "title": "Sleeps",
        "collections": ["greetings"]});
    let steps = Steps {
        failing_attempts: 0,
        retry_after_ms: 0,
        sleep_ms: 3_600_000,
    };
    let sleeps = stepping(&descriptor.to_string(), "\"1\"", steps);
    let first = host.push_bytes(sleeps).await.expect(201)["digest"].clone();
    host.schedule("runs", "greeter", json!({})).await;
    host.until("runs", |task| task["run"]["state"] == "running")
        .await;
    let second = push(&host, "2").await;
    assert_eq!(host.version("greeter", &first).await["runs_pinned"], 1);
    let answer = host.delete(&version(&first)).await;
    let detail = answer.problem(409, "version-in-use")["detail"].clone();
    assert!(
        detail.as_str().unwrap().contains("cancel or await"),
        "{detail}"
    );
    // Nothing is pinned to the active one yet, but a task waits for it.
    host.schedule("waits", "greeter", json!({})).await;
    host.delete(&version(&second))
        .await
        .problem(409, "version-in-use");

    host.verb("runs", "cancel").await.expect(200);
    host.reaches("runs", "canceled").await;
    host.reaches("waits", "completed").await;
    host.delete(&version(&first)).await.expect(204);
    host.delete(&version(&first))
        .await
        .problem(404, "not-found");
    host.delete(&version(&second)).await.expect(204);
    let gone = host.get("/v1/task-types/greeter").await;
    gone.problem(404, "unknown-task-type");
    let body = json!({"type": "greeter", "params": {}});
    let answer = host.put(&task("t"), &body).await;
    answer.problem(404, "unknown-task-type");
    // Its label is free again.
    let other = json!({"id": "other", "version": "1", "title": "O", "collections": ["greetings"]});
    let other = component(&other.to_string(), "1");
    host.push_bytes(other).await.expect(201);
}

#[tokio::test]
async fn tasks_of_a_paused_type_wait_say_why_and_go_on() {
    let home = Home::new();
    let host = home.start().await;
    push(&host, "1").await;
    let other = json!({"id": "other", "version": "1", "title": "Goes on"});
    let other = component(&other.to_string(), "1");
    host.push_bytes(other).await.expect(201);
    let reason = json!({"reason": "it floods the other side"});
    let paused = host
        .post("/v1/task-types/greeter/pause", &reason)
        .await
        .expect(200);
    assert_eq!(paused["paused"]["reason"], reason["reason"], "{paused:#}");
    let scheduled = host.schedule("waits", "greeter", json!({})).await;
    let why = scheduled["run"]["waiting_because"]
        .as_str()
        .unwrap()
        .to_owned();
    for part in ["`greeter` is paused since", "it floods the other side"] {
        assert!(why.contains(part), "{why}");
    }
    // Claims go on meanwhile: of others.
    let other = host.run("other", "other", json!({})).await;
    assert_eq!(other["status"], "completed");
    assert_eq!(other["run"].get("waiting_for"), None);
    host.stop().await;

    let host = home.start().await;
    host.run("other", "other", json!({})).await;
    let waits = host.task("waits").await;
    assert_eq!(
        (&waits["status"], &waits["run"]["state"]),
        (&json!("in_progress"), &json!("queued"))
    );
    assert_eq!(waits["run"]["waiting_for"], "paused");
    assert_eq!(waits["run"]["waiting_because"], why);
    let list = host
        .get("/v1/spaces/default/tasks?type=greeter")
        .await
        .expect(200);
    assert_eq!(list["tasks"][0]["run"]["waiting_because"], why);
    let shown = host.cli(&["status", "waits"]).await.done();
    assert!(shown.contains("it floods the other side"), "{shown}");
    let listed = host.cli(&["types", "list"]).await.done();
    assert!(listed.contains("active, paused"), "{listed}");
    assert!(listed.contains("taskhost types resume greeter"), "{listed}");

    let resumed = host.cli(&["types", "resume", "greeter"]).await.done();
    assert!(resumed.contains("goes on"), "{resumed}");
    let done = host.reaches("waits", "completed").await;
    assert_eq!(
        (&done["payload"], done["run"].get("waiting_for")),
        (&json!("1"), None)
    );
}

#[tokio::test]
async fn a_pause_holds_for_the_next_attempt_too() {
    let host = Home::new().start().await;
    let steps = Steps {
        failing_attempts: 1,
        retry_after_ms: 1,
        sleep_ms: 0,
    };
    let descriptor = json!({"id": "greeter", "version": "1", "title": "Fails first"});
    let failing = stepping(&descriptor.to_string(), "\"1\"", steps);
    host.push_bytes(failing).await.expect(201);
    host.cli(&["types", "pause", "greeter"]).await.done();
    host.schedule("t", "greeter", json!({})).await;
    // A newer version makes nothing go on.
    push(&host, "2").await;
    assert!(host.task("t").await["run"]["waiting_for"].is_string());
    assert_eq!(host.task("t").await["run"]["state"], "queued");
    host.post("/v1/task-types/greeter/resume", &json!({}))
        .await
        .expect(200);
    assert_eq!(host.reaches("t", "completed").await["payload"], "2");
    for verb in ["pause", "resume"] {
        let path = format!("/v1/task-types/nobody/{verb}");
        let answer = host.post(&path, &json!({})).await;
        answer.problem(404, "unknown-task-type");
    }
    let long = json!({"reason": "x".repeat(2000)});
    host.post("/v1/task-types/greeter/pause", &long)
        .await
        .names("reason");
    let unknown = json!({"why": "x"});
    host.post("/v1/task-types/greeter/pause", &unknown)
        .await
        .names("why");
}

#[tokio::test]
async fn what_the_settings_are_against_is_shown_as_rejected() {
    let home = Home::new();
    let host = home.start().await;
    let large = greeter("1", &json!({"limits": {"memory_mib": 512}}));
    let pushed = host.push_bytes(large).await.expect(201);
    host.stop().await;
    home.settings("task_type_limits.memory_mib = 256\n");
    let host = home.start().await;
    let version = host.version("greeter", &pushed["digest"]).await;
    assert_eq!(version["state"], "rejected", "{version:#}");
    let reason = version["reason"].as_str().unwrap();
    assert!(
        reason.contains("`limits.memory_mib` asks for 512"),
        "{reason}"
    );
    let listed = host.cli(&["types", "list"]).await.done();
    assert!(
        listed.contains("rejected") && listed.contains("asks for 512"),
        "{listed}"
    );
    let body = json!({"type": "greeter", "params": {}});
    let answer = host.put(&task("t"), &body).await;
    answer.problem(404, "unknown-task-type");
    host.stop().await;
    home.settings("");
    let host = home.start().await;
    assert_eq!(greeting(&host).await, "1");
}

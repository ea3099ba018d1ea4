//! Task types come and go while the host runs: upload, replace, drain, retire.

use serde_json::{Value, json};
use taskhost_e2e::component::{component, greeter};
use taskhost_e2e::home::Home;
use taskhost_e2e::host::Host;
use taskhost_e2e::tasks::task;

async fn states(host: &Host, type_id: &str) -> Vec<(String, String)> {
    let view = host
        .get(&format!("/v1/task-types/{type_id}"))
        .await
        .expect(200);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let versions = view["versions"].as_array().unwrap().iter();
    versions
        .map(|each| (text(&each["version"]), text(&each["state"])))
        .collect()
}

#[tokio::test]
async fn an_uploaded_type_runs_at_once() {
    let host = Home::new().start().await;
    assert_eq!(
        host.get("/v1/task-types").await.expect(200)["task_types"],
        json!([])
    );
    let pushed = host.push("hello-task").await.expect(201);
    assert_eq!(
        (&pushed["id"], &pushed["state"]),
        (&json!("hello"), &json!("active"))
    );
    let digest = pushed["digest"].as_str().unwrap();
    assert!(
        digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_hexdigit()),
        "{digest}"
    );
    assert_eq!(pushed["changes"], json!(["new task type `hello`"]));
    assert_eq!(
        host.run("t", "hello", json!({"name": "x"})).await["status"],
        "completed"
    );

    let view = host.get("/v1/task-types/hello").await.expect(200);
    assert_eq!(
        (&view["title"], &view["active"]),
        (&json!("Say hello"), &json!(digest))
    );
    assert_eq!(
        view["params_schema"]["properties"]["name"]["type"],
        "string"
    );
    assert_eq!(view["versions"][0]["runs_pinned"], 0);
    let list = host.get("/v1/task-types").await.expect(200);
    assert_eq!(list["task_types"][0], view);

    let again = host.push("hello-task").await.expect(200);
    assert_eq!(
        (&again["digest"], &again["state"]),
        (&json!(digest), &json!("active"))
    );
}

#[tokio::test]
async fn a_new_version_takes_over_and_the_old_one_is_retired() {
    let host = Home::new().start().await;
    host.push_bytes(greeter("1", &json!({}))).await.expect(201);
    assert_eq!(host.run("t", "greeter", json!({})).await["payload"], "1");
    let more = json!({"collections": ["greetings"], "limits": {"memory_mib": 128}});
    let pushed = host.push_bytes(greeter("2", &more)).await.expect(201);
    let changes = pushed["changes"].to_string();
    for part in ["newly wants: collection `greetings`", "64 → 128", "1 → 2"] {
        assert!(changes.contains(part), "{part} in {changes}");
    }
    assert_eq!(host.run("t", "greeter", json!({})).await["payload"], "2");
    let expected = [("2", "active"), ("1", "retired")].map(|(a, b)| (a.to_owned(), b.to_owned()));
    assert_eq!(states(&host, "greeter").await, expected);
    // The way back is to upload the old one again.
    let back = host.push_bytes(greeter("1", &json!({}))).await.expect(200);
    assert_eq!(back["state"], "active");
    let changes = back["changes"].to_string();
    for part in ["from now on it is the active version", "2 → 1"] {
        assert!(changes.contains(part), "{part} in {changes}");
    }
    assert_eq!(host.run("t", "greeter", json!({})).await["payload"], "1");
    let expected = [("2", "retired"), ("1", "active")].map(|(a, b)| (a.to_owned(), b.to_owned()));
    assert_eq!(states(&host, "greeter").await, expected);
}

#[tokio::test]
async fn a_run_keeps_the_version_that_it_began_with() {
    let home = Home::with(&["sleeper"]);
    home.settings("runs.slots = 1\n");
    let host = home.start().await;
    host.schedule("t", "sleeper", json!({"ms": 3_600_000}))
        .await;
    let runs = host
        .until("t", |task| task["run"]["state"] == "running")
        .await;
    host.schedule("queued", "sleeper", json!({"ms": 1})).await;
    let descriptor = json!({"id": "sleeper", "version": "2.0.0", "title": "No sleep"});
    let next = component(&descriptor.to_string(), "\"awake\"");
    let next = host.push_bytes(next).await.expect(201);
    let view = host.get("/v1/task-types/sleeper").await.expect(200);
    assert_eq!(view["versions"][1]["state"], "draining", "{view:#}");
    assert_eq!(view["versions"][1]["runs_pinned"], 1);
    assert_eq!(view["versions"][1]["digest"], runs["run"]["digest"]);
    host.verb("t", "cancel").await.expect(200);
    host.reaches("t", "canceled").await;
    let queued = host.reaches("queued", "completed").await;
    assert_eq!(
        (&queued["payload"], &queued["run"]["digest"]),
        (&json!("awake"), &next["digest"])
    );
    host.see("the old version retired", async || {
        (states(&host, "sleeper").await[1].1 == "retired").then_some(())
    })
    .await;
}

#[tokio::test]
async fn params_of_what_waits_are_checked_against_the_version_that_runs() {
    let home = Home::with(&["sleeper"]);
    home.settings("runs.slots = 1\n");
    let host = home.start().await;
    host.push_bytes(greeter("1", &json!({}))).await.expect(201);
    host.schedule("first", "sleeper", json!({"ms": 3_600_000}))
        .await;
    host.until("first", |task| task["run"]["state"] == "running")
        .await;
    host.schedule("waits", "greeter", json!({"name": 7})).await;
    let schema = json!({"params_schema": {"properties": {"name": {"type": "string"}}}});
    host.push_bytes(greeter("2", &schema)).await.expect(201);
    host.verb("first", "cancel").await.expect(200);
    let failed = host.reaches("waits", "failed").await;
    assert_eq!(failed["error"]["kind"], "incompatible", "{failed:#}");
    assert!(
        failed["error"]["message"]
            .as_str()
            .unwrap()
            .contains("name"),
        "{failed:#}"
    );
}

#[tokio::test]
async fn a_collection_belongs_to_who_declared_it_first() {
    let host = Home::with(&["cooperative"]).start().await;
    let descriptor = json!({"id": "thief", "version": "1", "title": "Takes",
        "collections": ["cooperative"]});
    let answer = host
        .push_bytes(component(&descriptor.to_string(), "1"))
        .await;
    let problem = answer.problem(422, "invalid-component");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("`cooperative` belongs to"), "{detail}");
    host.get("/v1/task-types/thief")
        .await
        .problem(404, "unknown-task-type");
}

#[tokio::test]
async fn types_outlive_the_host() {
    let home = Home::new();
    let host = home.start().await;
    host.push("hello-task").await.expect(201);
    host.push_bytes(greeter("1", &json!({}))).await.expect(201);
    host.push_bytes(greeter("2", &json!({}))).await.expect(201);
    host.stop().await;
    let host = home.start().await;
    let body = json!({"type": "greeter", "params": {}});
    host.put(&task("t"), &body).await.expect(201);
    assert_eq!(host.reaches("t", "completed").await["payload"], "2");
    assert_eq!(
        host.run("h", "hello", json!({"name": "x"})).await["status"],
        "completed"
    );
}

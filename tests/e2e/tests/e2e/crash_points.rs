//! The host dies at every named point of a write, and nothing that was answered is lost.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};
use taskhost_e2e::answer::Answer;
use taskhost_e2e::component::component;
use taskhost_e2e::home::Home;
use taskhost_e2e::host::Host;
use taskhost_e2e::tasks::{TERMINAL, stream, task};
use taskhost_store::crash::POINTS;

/// What was answered before the host died.
#[derive(Debug, Default)]
struct Answered {
    /// Tasks that were scheduled.
    scheduled: Vec<&'static str>,
    /// Tasks that had ended, with their answers.
    ended: Vec<Answer>,
    acknowledged: bool,
    deleted: bool,
    /// The last task was canceled, or was to be.
    canceled: bool,
    /// How many of [`PUSHED`] were accepted.
    pushes: usize,
    /// Documents in the stream.
    ingested: u64,
}

/// Of the task that keeps checkpoints.
const STEPS: u64 = 3;

/// Tasks that end by themselves, with their types.
const ENDING: [(&str, &str); 4] = [
    ("acknowledged", "hello"),
    ("deleted", "hello"),
    ("kept", "hello"),
    ("in_steps", "checkpointed"),
];

/// Versions of one type, in the order of their uploads: at last the way back to an older one.
const PUSHED: [&str; 3] = ["1", "2", "1"];

async fn push(host: &Host, version: &str) -> reqwest::Result<()> {
    let descriptor = format!(r#"{{"id":"pushed","version":"{version}","title":"Pushed"}}"#);
    let push = host.request(Method::POST, "/v1/task-types");
    let push = push.header("content-type", "application/wasm");
    let pushed = host
        .try_send(push.body(component(&descriptor, "1")))
        .await?;
    assert!(pushed.status == 200 || pushed.status == 201, "{pushed:?}");
    Ok(())
}

/// Answers how many documents were accepted.
async fn ingest(host: &Host) -> reqwest::Result<u64> {
    let lines = "{\"message\":\"a\"}\n{\"message\":\"b\"}\n";
    let ingest = host.request(Method::POST, &format!("{}/documents", stream("s")));
    let ingest = ingest
        .header("content-type", "application/x-ndjson")
        .body(lines);
    let answer = host.try_send(ingest).await?.json();
    Ok(answer["accepted"].as_u64().unwrap())
}

/// Does everything that has crash points, in an order that passes all of them; ends when the
/// host no longer answers.
async fn everything(host: &Host, answered: &mut Answered) -> reqwest::Result<()> {
    let send = async |method: Method, path: String, body: Value| {
        host.try_send(host.request(method, &path).json(&body)).await
    };
    let schedule = async |id: &str, type_id: &str, on: Option<&str>| {
        let params = match type_id {
            "checkpointed" => json!({"steps": STEPS}),
            _ => json!({"name": "x"}),
        };
        let mut body = json!({"type": type_id, "params": params});
        if let Some(stream) = on {
            body["stream"] = json!(stream);
        }
        send(Method::PUT, task(id), body).await
    };
    send(Method::PUT, stream("s"), json!({})).await?;
    answered.ingested = ingest(host).await?;
    for version in PUSHED {
        push(host, version).await?;
        answered.pushes += 1;
    }
    for (id, type_id) in ENDING {
        if schedule(id, type_id, None).await?.status == 201 {
            answered.scheduled.push(id);
        }
        let path = format!("{}?wait=30s&since=", task(id));
        let mut seen = send(Method::GET, task(id), json!({})).await?;
        while !TERMINAL.contains(&seen.json()["status"].as_str().unwrap()) {
            seen = send(
                Method::GET,
                format!("{path}{}", seen.json()["revision"]),
                json!({}),
            )
            .await?;
        }
        answered.ended.push(seen);
    }
    let acknowledge = format!("{}/acknowledge", task("acknowledged"));
    answered.acknowledged = send(Method::POST, acknowledge, json!({})).await?.status == 200;
    answered.deleted = send(Method::DELETE, task("deleted"), json!({}))
        .await?
        .status
        == 204;
    if schedule("canceled", "cooperative", Some("s")).await?.status == 201 {
        answered.scheduled.push("canceled");
    }
    let mut seen = send(Method::GET, task("canceled"), json!({})).await?;
    while !seen.json()["progress"].is_object() {
        let since = seen.json()["revision"].clone();
        let path = format!("{}?wait=30s&since={since}", task("canceled"));
        seen = send(Method::GET, path, json!({})).await?;
    }
    let cancel = format!("{}/cancel", task("canceled"));
    answered.canceled = send(Method::POST, cancel, json!({})).await?.status == 200;
    loop {
        let since = seen.json()["revision"].clone();
        let path = format!("{}?wait=30s&since={since}", task("canceled"));
        let now = send(Method::GET, path, json!({})).await?;
        if now.status == 200 && now.json()["status"] == "canceled" {
            return Ok(());
        }
        seen = if now.status == 200 { now } else { seen };
    }
}

/// After the restart: what was answered is there, and everything ends.
async fn nothing_is_lost(host: &Host, answered: &Answered) {
    what_had_ended_stays(host, answered).await;
    for id in &answered.scheduled {
        let now = host.task(id).await["status"].clone();
        // It may have been deleted though nobody was told.
        assert!(
            now != "not_started" || *id == "deleted",
            "{id} was answered"
        );
    }
    if answered.deleted {
        let now = host.task("deleted").await;
        assert_eq!(now, json!({"status": "not_started"}));
    }
    // A cancel that nobody was told of may be there or not.
    if !answered.canceled && host.task("canceled").await["status"] == "in_progress" {
        let running = |task: &Value| task["run"]["state"] == "running";
        host.until("canceled", running).await;
        host.verb("canceled", "cancel").await.expect(200);
    }
    everything_ends(host).await;
    if let Some(last) = answered.pushes.checked_sub(1) {
        let pushed = host.get("/v1/task-types/pushed").await.expect(200);
        // The next one may be active though nobody was told.
        let version = pushed["version"].as_str().unwrap();
        assert!(
            PUSHED[last..].iter().take(2).any(|one| *one == version),
            "{pushed:#}"
        );
    }
    if answered.ingested > 0 {
        let query = json!({"from": 0, "to": "2100-01-01T00:00:00Z"});
        let count = host.post(&format!("{}/count", stream("s")), &query).await;
        assert_eq!(count.expect(200)["value"], answered.ingested);
    }
}

async fn what_had_ended_stays(host: &Host, answered: &Answered) {
    for before in &answered.ended {
        let before = before.json();
        let id = before["id"].as_str().unwrap();
        let now = host.task(id).await;
        if id == "deleted" && now["status"] == "not_started" {
            continue;
        }
        assert_eq!(now["payload"], before["payload"]);
        assert_eq!(now["run"]["id"], before["run"]["id"]);
        let acknowledged = now["status"] == "acknowledged" && id == "acknowledged";
        assert!(acknowledged || now["status"] == "completed", "{now:#}");
        assert!(acknowledged || id != "acknowledged" || !answered.acknowledged);
    }
}

async fn everything_ends(host: &Host) {
    let list = host.get("/v1/spaces/default/tasks").await.expect(200);
    let mut ids = BTreeSet::new();
    for each in list["tasks"].as_array().unwrap() {
        let id = each["id"].as_str().unwrap();
        let ended = host.ends(id).await;
        let status = ended["status"].clone();
        if id == "in_steps" {
            assert_eq!(ended["payload"]["sum"], 6, "no step is lost or done twice");
        }
        match id {
            "canceled" => assert_eq!(status, "canceled"),
            _ => assert!(
                status == "completed" || status == "acknowledged",
                "{id}: {status}"
            ),
        }
        assert!(ids.insert(id), "{id} has two documents");
    }
}

/// One life that ends at the point, and the next one. Answers whether the point was passed.
async fn dies_at(point: &str) -> bool {
    let home = Home::with(&["hello-task", "cooperative", "checkpointed"]);
    let mut answered = Answered::default();
    if point.contains("host_lost") {
        // It is passed when a host starts after one that died with a run.
        let host = home.start().await;
        host.schedule("canceled", "cooperative", json!({})).await;
        answered.scheduled.push("canceled");
        host.moves("canceled").await;
        host.kill().await;
    }
    let passed = match home.start_doomed(point).await {
        Err(_) => true,
        Ok(host) => {
            let died = everything(&host, &mut answered).await.is_err();
            host.kill().await;
            died
        }
    };
    let host = home.start().await;
    nothing_is_lost(&host, &answered).await;
    host.stop().await;
    passed
}

#[tokio::test]
async fn a_host_that_dies_at_a_named_point_loses_nothing() {
    let mut unpassed = Vec::new();
    for point in POINTS {
        if !dies_at(point).await {
            unpassed.push(point);
        }
    }
    assert!(
        unpassed.is_empty(),
        "points that were not passed: {unpassed:?}"
    );
}

#[tokio::test]
async fn points_are_passed_more_than_once() {
    for point in [
        "after_schedule_commit:3",
        "before_claim_commit:2",
        "after_end_commit:2",
    ] {
        assert!(dies_at(point).await, "{point}");
    }
}

#[tokio::test]
async fn a_wrong_point_is_refused() {
    let home = Home::with(&[]);
    let started = home.start_doomed("no_such_point").await;
    let status = started.expect_err("it started");
    assert!(status.code().is_some_and(|code| code != 0), "{status}");
}

//! Onboarding: a parent that has two others do the work, one after the other.

use serde_json::{Value, json};
use taskhost_e2e::host::Host;
use taskhost_e2e::model::{self, ModelServer, Said, Seen};
use taskhost_e2e::tasks::stream;

use super::{IDENTIFICATION, ONBOARDING, QUERIES, home, home_with, range, started, told, with};

/// The children, in the order in which they were spawned.
async fn children(host: &Host) -> Vec<Value> {
    let listed = host.get("/v1/spaces/default/tasks?limit=100").await;
    let listed = listed.expect(200);
    let mut tasks = listed["tasks"].as_array().unwrap().clone();
    tasks.retain(|task| task.get("parent").is_some());
    tasks.sort_by_key(|task| task["parent"]["key"] == "queries");
    tasks
}

/// Each child was run once, and the parent says in short what came of it.
async fn is_whole(host: &Host, done: &Value) {
    assert_eq!(done["status"], "completed", "{done:#}");
    let children = children(host).await;
    let types: Vec<_> = children.iter().map(|it| it["type"].as_str()).collect();
    assert_eq!(types, [Some(IDENTIFICATION), Some(QUERIES)]);
    let payload = &done["payload"];
    for (child, part) in children.iter().zip(["features_task", "queries_task"]) {
        assert_eq!(child["status"], "completed", "{child:#}");
        assert_eq!(child["run"]["attempt"], 1, "{child:#}");
        assert_eq!(child["stream"], "logs");
        assert_eq!(
            (&payload[part]["id"], &payload[part]["status"]),
            (&child["id"], &child["status"])
        );
    }
    let names = payload["features_task"]["names"].as_array().unwrap();
    let titles = payload["queries_task"]["titles"].as_array().unwrap();
    assert!(names.len() > 5 && titles.len() > 2, "{payload:#}");
    assert!(payload.get("note").is_none(), "{payload:#}");
}

/// A model of no use to identification, and without an answer to whoever asks for queries.
async fn silent() -> ModelServer {
    let script = |seen: &Seen, _| match is_for_queries(seen) {
        true => Said::Nothing,
        false => Said::Json(model::text("{}")),
    };
    ModelServer::start(script).await
}

fn is_for_queries(seen: &Seen) -> bool {
    told(seen).0.starts_with("You write detection queries")
}

async fn until_queries_are_asked_for(host: &Host, server: &ModelServer) {
    host.see("a request for a query", async || {
        server.seen().iter().any(is_for_queries).then_some(())
    })
    .await;
}

#[tokio::test]
async fn it_completes_on_a_host_with_one_slot() {
    for parked in ["", "runs.parked = 0\n"] {
        let host = started(&home(&format!("runs.slots = 1\n{parked}"))).await;
        let params = with(&json!({"save_queries": true}));
        host.schedule_on("logs", "t", ONBOARDING, params).await;
        let done = host.reaches("t", "completed").await;
        is_whole(&host, &done).await;
        let path = format!("{}/collections/queries", stream("logs"));
        let kept = host.get(&path).await.expect(200);
        let kept = kept["documents"].as_array().unwrap().len();
        assert_eq!(done["payload"]["queries_task"]["saved"], kept);
    }
}

#[tokio::test]
async fn it_goes_on_after_its_host_was_killed_and_starts_nothing_twice() {
    for (parked, key) in [("", "features"), ("runs.parked = 0\n", "queries")] {
        let home = home(parked);
        let host = started(&home).await;
        host.schedule_on("logs", "t", ONBOARDING, range()).await;
        host.see("the child that the host is killed under", async || {
            let all = children(&host).await;
            all.iter()
                .any(|it| it["parent"]["key"] == key)
                .then_some(())
        })
        .await;
        host.kill().await;
        let host = home.start().await;
        let done = host.reaches("t", "completed").await;
        is_whole(&host, &done).await;
    }
}

#[tokio::test]
async fn its_cancel_is_that_of_the_child_that_works() {
    let server = silent().await;
    let host = started(&home_with(&server, "runs.slots = 2\n")).await;
    let params = with(&json!({"connector": "small"}));
    host.schedule_on("logs", "t", ONBOARDING, params).await;
    until_queries_are_asked_for(&host, &server).await;
    host.verb("t", "cancel").await.expect(200);
    let ended = host.reaches("t", "canceled").await;
    assert!(ended.get("error").is_none_or(Value::is_null), "{ended:#}");
    // The client that waited for the model has gone.
    server.until_given_up(1).await;
    let child = children(&host).await[1]["id"].as_str().unwrap().to_owned();
    let child = host.reaches(&child, "canceled").await;
    assert_eq!(child["run"]["cancel_reason"], "its parent has ended");
    assert_eq!(children(&host).await[0]["status"], "completed");
}

#[tokio::test]
async fn a_child_that_somebody_cancels_is_told_and_no_failure() {
    let server = silent().await;
    let host = started(&home_with(&server, "")).await;
    let params = with(&json!({"connector": "small"}));
    host.schedule_on("logs", "t", ONBOARDING, params).await;
    until_queries_are_asked_for(&host, &server).await;
    let child = children(&host).await[1]["id"].as_str().unwrap().to_owned();
    host.verb(&child, "cancel").await.expect(200);
    let done = host.reaches("t", "completed").await;
    let payload = &done["payload"];
    assert_eq!(payload["queries_task"]["status"], "canceled", "{payload:#}");
    assert!(
        payload["note"].as_str().unwrap().contains(&child),
        "{payload:#}"
    );
}

/// It is given up since its host has died under it; the parent was in the store meanwhile.
#[tokio::test]
async fn a_child_that_fails_is_why_it_fails() {
    let server = silent().await;
    let home = home_with(&server, "runs.parked = 0\nruns.crashes_max = 1\n");
    let host = started(&home).await;
    let params = with(&json!({"connector": "small"}));
    host.schedule_on("logs", "t", ONBOARDING, params).await;
    until_queries_are_asked_for(&host, &server).await;
    let child = children(&host).await[1]["id"].as_str().unwrap().to_owned();
    host.kill().await;
    let host = home.start().await;
    let child = host.reaches(&child, "failed").await;
    let failed = host.reaches("t", "failed").await;
    assert_eq!(
        failed["error"]["code"], child["error"]["code"],
        "{failed:#}"
    );
    let (said, why) = (&failed["error"]["message"], &child["error"]["message"]);
    assert!(
        said.as_str().unwrap().contains(why.as_str().unwrap()),
        "{failed:#}"
    );
}

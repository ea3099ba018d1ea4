//! Running tasks again: one, or all that a filter finds; their history, and when they go.

use serde_json::{Value, json};
use taskhost_e2e::home::Home;
use taskhost_e2e::host::Host;
use taskhost_e2e::tasks::task;

const BULK: &str = "/v1/spaces/default/bulk";

async fn retry(host: &Host, id: &str, fresh: bool) -> Value {
    let path = format!("{}/retry", task(id));
    host.post(&path, &json!({"fresh": fresh})).await.expect(201)
}

#[tokio::test]
async fn a_task_is_run_again_with_its_params() {
    let host = Home::with(&["fails", "hello-task"]).start().await;
    host.run("t", "hello", json!({"name": "you"})).await;
    let again = retry(&host, "t", false).await;
    assert_eq!(again["status"], "in_progress");
    let done = host.ends("t").await;
    assert_eq!(done["payload"]["greeting"], "Hello, you!");
    assert_eq!(done["run"]["id"], again["run"]["id"]);
    host.verb("absent", "retry").await.problem(404, "not-found");
    let path = format!("{}/retry", task("t"));
    host.post(&path, &json!({"frsh": true})).await.names("frsh");
}

/// Complaint: a retry that begins from the start what was nearly done.
#[tokio::test]
async fn a_retry_goes_on_where_the_run_was_and_a_fresh_one_does_not() {
    let host = Home::with(&["checkpointed"]).start().await;
    let stopped = async || {
        host.until("t", |task| task["progress"]["done"].as_u64() >= Some(2))
            .await;
        host.verb("t", "cancel").await.expect(200);
        host.reaches("t", "canceled").await
    };
    host.schedule("t", "checkpointed", json!({"steps": 8, "step_ms": 100}))
        .await;
    stopped().await;
    retry(&host, "t", false).await;
    let done = host.ends("t").await;
    assert_eq!(done["payload"]["sum"], 36, "{done:#}");
    assert!(
        done["payload"]["found_done"].as_u64() >= Some(2),
        "{done:#}"
    );
    // What has completed has nothing to go on with, and what is canceled need not.
    retry(&host, "t", false).await;
    stopped().await;
    retry(&host, "t", true).await;
    let fresh = host.ends("t").await;
    assert_eq!(fresh["payload"], json!({"sum": 36, "found_done": 0}));
}

#[tokio::test]
async fn a_retry_leaves_a_live_run_alone_and_wants_the_version_that_was_read() {
    let host = Home::with(&["cooperative", "fails"]).start().await;
    host.schedule("t", "cooperative", json!({})).await;
    let runs = host.moves("t").await;
    let answer = host.verb("t", "retry").await.expect(200);
    assert_eq!(answer["outcome"], "already_running");
    assert_eq!(answer["run"]["id"], runs["run"]["id"]);
    host.verb("t", "cancel").await.expect(200);
    let refused = host.verb("t", "retry").await;
    if refused.status != 201 {
        refused.problem(409, "cancellation-in-progress");
    }
    let failed = host.run("f", "fails", json!({"code": "x"})).await;
    let path = format!("{}/retry", task("f"));
    let with = |version: &str| {
        let request = host.request(reqwest::Method::POST, &path);
        request.header("if-match", format!("\"{version}\""))
    };
    host.send(with("1")).await.problem(412, "version-mismatch");
    let version = failed["version"].as_str().unwrap();
    host.send(with(version)).await.expect(201);
    host.ends("f").await;
    host.send(with(version))
        .await
        .problem(412, "version-mismatch");
}

/// R1-like: of two who run it again at once one makes the run, and both are told of the same.
#[tokio::test]
async fn two_retries_at_once_make_one_run() {
    let host = Home::with(&["fails", "cooperative"]).start().await;
    host.schedule("t", "cooperative", json!({})).await;
    host.moves("t").await;
    host.verb("t", "cancel").await.expect(200);
    host.reaches("t", "canceled").await;
    let answers = futures_util::future::join_all((0..8).map(|_| host.verb("t", "retry"))).await;
    let made = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(made, 1);
    let runs: Vec<Value> = answers
        .iter()
        .map(|it| it.json()["run"]["id"].clone())
        .collect();
    assert!(runs.iter().all(|run| *run == runs[0]), "{runs:?}");
    let history = host.get(&format!("{}/runs", task("t"))).await.expect(200);
    assert_eq!(history["runs"].as_array().unwrap().len(), 2);
}

/// Complaint: nobody knows what the run before this one did.
#[tokio::test]
async fn former_runs_are_shown_with_their_logs() {
    let host = Home::with(&["fails", "log-flood"]).start().await;
    let mut runs = Vec::new();
    for _ in 0..12 {
        let failed = host
            .run("t", "fails", json!({"code": "no", "message": "luck"}))
            .await;
        runs.push(failed["run"]["id"].clone());
    }
    let history = host.get(&format!("{}/runs", task("t"))).await.expect(200);
    let shown = history["runs"].as_array().unwrap();
    let ids: Vec<&Value> = shown.iter().map(|run| &run["id"]).collect();
    let expected: Vec<&Value> = runs.iter().rev().take(10).collect();
    assert_eq!(ids, expected);
    for run in shown {
        assert_eq!(run["status"], "failed");
        assert_eq!(run["error"]["code"], "no");
        assert!(run["usage"]["cpu_ms"].is_u64(), "{run:#}");
        assert!(run["ended_at"].is_string() && run["requested_by"] == "local");
    }
    let log = async |run: &Value| {
        let run = run.as_str().unwrap();
        host.get(&format!("{}/runs/{run}/log", task("t"))).await
    };
    log(&runs[5]).await.expect(200);
    log(&runs[0]).await.problem(404, "not-found");
    host.delete(&task("t")).await.expect(204);
    log(&runs[5]).await.problem(404, "not-found");
    host.get(&format!("{}/runs", task("t")))
        .await
        .problem(404, "not-found");
}

#[tokio::test]
async fn a_log_is_followed_until_the_run_has_ended() {
    let host = Home::with(&["log-flood", "cooperative"]).start().await;
    host.schedule("t", "cooperative", json!({})).await;
    let runs = host.moves("t").await;
    let run = runs["run"]["id"].as_str().unwrap();
    let path = format!("{}/runs/{run}/log?follow=true", task("t"));
    let mut events = host.events(&path, None).await;
    host.verb("t", "cancel").await.expect(200);
    host.reaches("t", "canceled").await;
    let (mut lines, mut last) = (0, String::new());
    loop {
        let event = events.next().await.expect("an end is told");
        match event.name.as_str() {
            "end" => break,
            name => assert_eq!(name, "log"),
        }
        (lines, last) = (lines + 1, event.id);
    }
    assert_eq!(events.next().await, None);
    let whole = host.get(&format!("{}/runs/{run}/log", task("t"))).await;
    assert_eq!(whole.text.lines().count(), lines);
    if lines > 0 {
        // Whoever has all of it is told of the end alone.
        let mut rest = host.events(&path, Some(&last)).await;
        assert_eq!(rest.next().await.unwrap().name, "end");
    }
    host.get(&path.replace("true", "maybe"))
        .await
        .names("follow");
}

#[tokio::test]
async fn dead_tasks_are_listed_by_their_error_and_run_again() {
    let host = Home::with(&["fails", "panic", "hello-task"]).start().await;
    for id in ["a", "b"] {
        host.run(id, "fails", json!({"code": "x"})).await;
    }
    host.run("p", "panic", json!({"message": "oh"})).await;
    host.run("fine", "hello", json!({"name": "x"})).await;
    let listed = async |query: &str| {
        let page = host
            .get(&format!("/v1/spaces/default/tasks?{query}"))
            .await
            .expect(200);
        let ids = page["tasks"].as_array().unwrap().iter();
        let ids = ids.map(|task| task["id"].as_str().unwrap().to_owned());
        (ids.collect::<Vec<_>>(), page["counts"].clone())
    };
    let (dead, counts) = listed("status=failed&counts=true").await;
    assert_eq!(dead, ["p", "b", "a"]);
    assert_eq!(counts, json!({"failed": 3, "completed": 1}));
    assert_eq!(
        listed("error_kind=trap").await,
        (vec!["p".to_owned()], Value::Null)
    );
    assert_eq!(
        listed("error_kind=deadline,trap&type=fails").await.0.len(),
        0
    );
    host.get("/v1/spaces/default/tasks?error_kind=oops")
        .await
        .names("error_kind");

    let filter = json!({"op": "retry", "filter": {"error_kind": "task"}, "dry_run": true});
    let dry = host.post(BULK, &filter).await.expect(200);
    assert_eq!(
        (&dry["matched"], &dry["dry_run"]),
        (&json!(2), &json!(true))
    );
    assert_eq!(dry["results"][0]["outcome"], "would_be_done");
    let before = host.task("a").await;
    let filter = json!({"op": "retry", "filter": {"error_kind": "task"}});
    let redriven = host.post(BULK, &filter).await.expect(200);
    assert_eq!(redriven["matched"], 2);
    for result in redriven["results"].as_array().unwrap() {
        assert_eq!(
            (&result["found"], &result["outcome"]),
            (&json!("failed"), &json!("done"))
        );
    }
    assert_ne!(host.ends("a").await["run"]["id"], before["run"]["id"]);
}

#[tokio::test]
async fn many_tasks_are_canceled_acknowledged_and_deleted_at_once() {
    let host = Home::with(&["cooperative", "hello-task"]).start().await;
    for n in 0..5 {
        host.schedule(&format!("c{n}"), "cooperative", json!({}))
            .await;
        host.run(&format!("h{n}"), "hello", json!({"name": "x"}))
            .await;
    }
    let bulk = async |body: Value| host.post(BULK, &body).await;
    let canceled = bulk(json!({"op": "cancel", "filter": {"type": "cooperative"},
        "reason": "night"}))
    .await
    .expect(200);
    assert_eq!(canceled["matched"], 5);
    let ended = host.reaches("c0", "canceled").await;
    assert_eq!(ended["run"]["cancel_reason"], "night");
    let acknowledged = bulk(
        json!({"op": "acknowledge", "filter": {"status": "completed"},
        "limit": 2}),
    )
    .await
    .expect(200);
    assert_eq!(acknowledged["matched"], 2);
    let rest = bulk(
        json!({"op": "acknowledge", "filter": {"status": ["completed"]},
        "cursor": acknowledged["next"]}),
    )
    .await
    .expect(200);
    assert_eq!((&rest["matched"], rest.get("next")), (&json!(3), None));
    for n in 0..5 {
        host.reaches(&format!("c{n}"), "canceled").await;
        assert_eq!(host.task(&format!("h{n}")).await["status"], "acknowledged");
    }
    let deleted = bulk(json!({"op": "delete", "filter": {"all": true}}))
        .await
        .expect(200);
    assert_eq!(deleted["matched"], 10);
    let left = host.get("/v1/spaces/default/tasks").await.expect(200);
    assert_eq!(left["tasks"], json!([]));
    for (body, field) in [
        (json!({"op": "cancel", "filter": {}}), "filter"),
        (json!({"op": "cancel"}), "filter"),
        (json!({"op": "pause", "filter": {"all": true}}), "op"),
        (
            json!({"op": "delete", "filter": {"all": true}, "reason": "x"}),
            "reason",
        ),
        (
            json!({"op": "delete", "filter": {"typ": "x"}}),
            "filter.typ",
        ),
        (
            json!({"op": "delete", "filter": {"all": true}, "limit": 0}),
            "limit",
        ),
    ] {
        bulk(body).await.names(field);
    }
}

/// Complaint: finished tasks that pile up for ever.
#[tokio::test]
async fn what_has_ended_says_when_it_goes_and_goes() {
    let home = Home::with(&["hello-task", "cooperative"]);
    home.settings("runs.retention_s = 1\n");
    let host = home.start().await;
    host.schedule("runs", "cooperative", json!({})).await;
    let done = host.run("t", "hello", json!({"name": "x"})).await;
    let (ended, expires) = (&done["last_completed_at"], &done["expires_at"]);
    assert!(expires.as_str() > ended.as_str(), "{done:#}");
    let gone = host
        .until("t", |task| task["status"] == "not_started")
        .await;
    assert_eq!(gone, json!({"status": "not_started"}));
    let runs = host.task("runs").await;
    assert_eq!(
        (&runs["status"], runs.get("expires_at")),
        (&json!("in_progress"), None)
    );
}

/// The queue timeout is one of four limits on time, with an error kind of its own; and what an
/// operator decides of a type goes before what its descriptor says.
#[tokio::test]
async fn an_operator_decides_of_a_type() {
    let home = Home::with(&["fails", "cooperative"]);
    home.settings(
        "runs.slots = 1\n[types.cooperative]\nqueue_timeout_s = 1\n\
         [types.fails]\nattempts = 5\nretry_backoff_ms = 1\nretry_backoff_max_s = 1\n",
    );
    let host = home.start().await;
    let params = json!({"code": "busy", "retryable": true});
    let failed = host.run("f", "fails", params).await;
    assert_eq!(failed["run"]["attempt"], 5, "{failed:#}");
    host.schedule("first", "cooperative", json!({})).await;
    host.moves("first").await;
    host.schedule("second", "cooperative", json!({})).await;
    let late = host.reaches("second", "failed").await;
    assert_eq!(late["error"]["kind"], "queue_timeout", "{late:#}");
    assert_eq!(host.task("first").await["status"], "in_progress");
}

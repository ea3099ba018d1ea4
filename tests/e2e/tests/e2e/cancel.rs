//! Cancel: stored, asked, forced. And delete, which nothing comes back from.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;
use taskhost_e2e::home::Home;
use taskhost_e2e::tasks::{stream, task};

/// What a canceled run may take at most here: its grace (100 ms) and a busy machine. It is less
/// than the grace that a type has by default, 5 s.
pub(crate) const SOON: Duration = Duration::from_secs(4);

#[tokio::test]
async fn a_cooperative_guest_leaves_things_in_order() {
    let host = Home::with(&["cooperative"]).start().await;
    host.fill("s", [json!({"message": "x"})]).await;
    host.schedule_on("s", "t", "cooperative", json!({})).await;
    host.moves("t").await;
    let body = json!({"reason": "not needed"});
    let asked = host
        .post(&format!("{}/cancel", task("t")), &body)
        .await
        .expect(200);
    assert_eq!(asked["status"], "being_canceled");
    assert_eq!(asked["run"]["cancel_reason"], "not needed");
    let canceled = host.reaches("t", "canceled").await;
    assert_eq!(canceled["canceled_by"], "local");
    assert!(canceled["last_canceled_at"].is_string());
    assert!(
        canceled["progress"]["done"].as_u64() >= Some(1),
        "partial progress stays visible"
    );
    assert!(canceled.get("payload").is_none() && canceled.get("error").is_none());
    let saved = format!("{}/collections/cooperative/last", stream("s"));
    assert_eq!(host.get(&saved).await.expect(200)["body"]["reason"], "user");
}

#[tokio::test]
async fn a_guest_that_does_not_listen_is_stopped() {
    let host = Home::with(&["ignores-cancel", "endless-loop"])
        .start()
        .await;
    for how in ["spin", "report", "sleep", "park"] {
        host.schedule(how, "ignores-cancel", json!({"how": how}))
            .await;
        host.moves(how).await;
    }
    host.schedule("loop", "endless-loop", json!({})).await;
    host.until("loop", |task| task["run"]["started_at"].is_string())
        .await;
    for id in ["spin", "report", "sleep", "park", "loop"] {
        let begun = Instant::now();
        host.verb(id, "cancel").await.expect(200);
        host.reaches(id, "canceled").await;
        assert!(begun.elapsed() < SOON, "{id} took {:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn a_parked_guest_is_gone_at_once() {
    let host = Home::with(&["sleeper"]).start().await;
    host.schedule("t", "sleeper", json!({"ms": 3_600_000}))
        .await;
    host.until("t", |task| task["run"]["started_at"].is_string())
        .await;
    let begun = Instant::now();
    host.verb("t", "cancel").await.expect(200);
    host.reaches("t", "canceled").await;
    // Its grace is 5 s: it returned when its sleep answered `canceled`.
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn what_does_not_run_is_canceled_at_once() {
    let home = Home::with(&["sleeper", "fails"]);
    home.settings("runs.slots = 1\n");
    let host = home.start().await;
    host.schedule("runs", "sleeper", json!({"ms": 3_600_000}))
        .await;
    host.until("runs", |task| task["run"]["state"] == "running")
        .await;
    host.schedule("waits", "sleeper", json!({"ms": 1})).await;
    assert_eq!(
        host.verb("waits", "cancel").await.expect(200)["status"],
        "canceled"
    );

    host.verb("runs", "cancel").await.expect(200);
    host.reaches("runs", "canceled").await;
    let later = json!({"code": "busy", "retryable": true, "retry_after_ms": 3_600_000});
    host.schedule("retries", "fails", later).await;
    host.until("retries", |task| task["run"]["state"] == "waiting_retry")
        .await;
    assert_eq!(
        host.verb("retries", "cancel").await.expect(200)["status"],
        "canceled"
    );
}

#[tokio::test]
async fn cancel_answers_the_true_status() {
    let host = Home::with(&["hello-task"]).start().await;
    assert_eq!(
        host.verb("t", "cancel").await.expect(200)["status"],
        "not_started"
    );
    let done = host.run("t", "hello", json!({"name": "x"})).await;
    let late = host.verb("t", "cancel").await.expect(200);
    assert_eq!(
        (&late["status"], &late["version"]),
        (&json!("completed"), &done["version"])
    );
    host.verb("t", "acknowledge").await.expect(200);
    assert_eq!(
        host.verb("t", "cancel").await.expect(200)["status"],
        "acknowledged"
    );
}

#[tokio::test]
async fn nothing_is_scheduled_while_a_cancel_is_under_way() {
    let host = Home::with(&["ignores-cancel", "hello-task"]).start().await;
    host.schedule("t", "ignores-cancel", json!({"how": "sleep"}))
        .await;
    host.moves("t").await;
    host.verb("t", "cancel").await.expect(200);
    let body = json!({"type": "hello", "params": {"name": "x"}});
    let early = host.put(&task("t"), &body).await;
    if early.status != 201 {
        early.problem(409, "cancellation-in-progress");
        host.reaches("t", "canceled").await;
        host.put(&task("t"), &body).await.expect(201);
    }
    host.reaches("t", "completed").await;
}

#[tokio::test]
async fn a_deleted_run_cannot_bring_its_task_back() {
    let host = Home::with(&["cooperative", "ignores-cancel", "hello-task"])
        .start()
        .await;
    for (id, type_id, params) in [
        ("asks", "cooperative", json!({})),
        ("reports", "ignores-cancel", json!({"how": "report"})),
        ("spins", "ignores-cancel", json!({"how": "spin"})),
    ] {
        let mut events = host.events(&format!("{}/events", task(id)), None).await;
        host.schedule(id, type_id, params).await;
        host.moves(id).await;
        host.delete(&task(id)).await.expect(204);
        assert_eq!(host.task(id).await, json!({"status": "not_started"}));
        events.until("deleted", |_| true).await;
        // The new run of the same id is claimed only when the old one's guest is gone.
        let done = host.run(id, "hello", json!({"name": id})).await;
        assert_eq!(done["greeting"], format!("Hello, {id}!"));
        host.delete(&task(id)).await.expect(204);
    }
    let list = host
        .send(host.request(Method::GET, "/v1/spaces/default/tasks"))
        .await;
    assert_eq!(list.expect(200), json!({"tasks": []}));
}

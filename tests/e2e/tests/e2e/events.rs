//! Events of one task: in order, resumable, and honest about what was missed.

use std::time::Instant;

use serde_json::json;
use taskhost_e2e::home::Home;
use taskhost_e2e::tasks::task;

#[tokio::test]
async fn a_run_is_told_from_beginning_to_end() {
    let host = Home::with(&["log-flood", "cooperative"]).start().await;
    let path = format!("{}/events", task("t"));
    let mut events = host.events(&path, None).await;
    let first = events.next().await.unwrap();
    assert_eq!(
        (first.name.as_str(), &first.data["status"]),
        ("status", &json!("not_started"))
    );
    host.schedule("t", "log-flood", json!({"lines": 3, "bytes": 4}))
        .await;
    events
        .until("status", |data| data["status"] == "in_progress")
        .await;
    let line = events.until("log", |data| data["message"] == "xxxx").await;
    assert!(
        line.data["level"].is_string() && line.data["at"].is_string(),
        "{line:?}"
    );
    events
        .until("status", |data| data["status"] == "completed")
        .await;

    host.schedule("t", "cooperative", json!({})).await;
    let moved = events
        .until("progress", |data| data["progress"]["done"] != 0)
        .await;
    assert_eq!(moved.data["status"], "in_progress");
    host.verb("t", "cancel").await.expect(200);
    events
        .until("status", |data| data["status"] == "being_canceled")
        .await;
    events
        .until("status", |data| data["status"] == "canceled")
        .await;
    host.delete(&task("t")).await.expect(204);
    let gone = events.until("deleted", |_| true).await;
    assert_eq!(gone.data["id"], "t");
}

#[tokio::test]
async fn a_client_that_comes_back_goes_on_or_reads_again() {
    let host = Home::with(&["hello-task"]).start().await;
    let path = format!("{}/events", task("t"));
    host.run("t", "hello", json!({"name": "a"})).await;
    let mut events = host.events(&path, None).await;
    let seen = events.next().await.unwrap();
    assert_eq!(seen.data["status"], "completed");

    // Nothing has happened since: the next event is news.
    let mut resumed = host.events(&path, Some(&seen.id)).await;
    host.verb("t", "acknowledge").await.expect(200);
    let next = resumed.next().await.unwrap();
    assert_eq!(
        (next.name.as_str(), &next.data["status"]),
        ("status", &json!("acknowledged"))
    );

    // Something has: the first event says so, and the state follows.
    for cursor in [seen.id.as_str(), "no such cursor"] {
        let mut late = host.events(&path, Some(cursor)).await;
        assert_eq!(late.next().await.unwrap().name, "reset");
        assert_eq!(late.next().await.unwrap().data["status"], "acknowledged");
    }
}

#[tokio::test]
async fn ids_grow_and_no_status_is_told_twice() {
    let host = Home::with(&["hello-task"]).start().await;
    let mut events = host.events(&format!("{}/events", task("t")), None).await;
    host.schedule("t", "hello", json!({"name": "a"})).await;
    let mut told = Vec::new();
    loop {
        let event = events.next().await.unwrap();
        if event.name != "log" {
            told.push((event.id.clone(), event.data["revision"].as_u64()));
        }
        if event.data["status"] == "completed" {
            break;
        }
    }
    let revisions: Vec<_> = told.iter().map(|(_, revision)| revision).collect();
    assert!(
        revisions.windows(2).all(|pair| pair[0] < pair[1]),
        "{told:?}"
    );
}

#[tokio::test]
async fn progress_is_told_at_most_twice_a_second_and_the_last_is_not_lost() {
    let host = Home::with(&["progress-flood"]).start().await;
    let mut events = host.events(&format!("{}/events", task("t")), None).await;
    let begun = Instant::now();
    host.schedule("t", "progress-flood", json!({"calls": 100_000}))
        .await;
    let mut told = 0;
    let last = loop {
        let event = events.next().await.unwrap();
        if event.data["status"] == "completed" {
            break event;
        }
        told += u64::from(event.name == "progress");
    };
    assert_eq!(last.data["progress"]["done"], 100_000);
    assert!(told <= 2 * begun.elapsed().as_secs() + 2, "{told} times");
}

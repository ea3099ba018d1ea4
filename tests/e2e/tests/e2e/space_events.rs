//! The events of a space: filtered, resumed, and reset when they cannot be.

use serde_json::json;
use taskhost_e2e::home::Home;

const EVENTS: &str = "/v1/spaces/default/events";

#[tokio::test]
async fn a_space_is_followed_with_filters() {
    let host = Home::with(&["hello-task", "fails"]).start().await;
    let mut all = host.events(EVENTS, None).await;
    let mut failures = host
        .events(&format!("{EVENTS}?type=fails&status=failed"), None)
        .await;
    host.run("a", "hello", json!({"name": "x"})).await;
    host.run("b", "fails", json!({"code": "x"})).await;
    let completed = all
        .until("status", |task| task["status"] == "completed")
        .await;
    assert_eq!(completed.data["id"], "a");
    let failed = all.until("status", |task| task["status"] == "failed").await;
    assert_eq!(failed.data["id"], "b");
    let only = failures.next().await.unwrap();
    assert_eq!(
        (only.name.as_str(), &only.data["id"]),
        ("status", &json!("b"))
    );
    host.delete("/v1/spaces/default/tasks/a").await.expect(204);
    let deleted = all.until("deleted", |_| true).await;
    assert_eq!(deleted.data, json!({"id": "a"}));
    host.get(&format!("{EVENTS}?typ=x")).await.names("typ");
}

#[tokio::test]
async fn whoever_comes_back_goes_on_or_is_told_to_read_again() {
    let home = Home::with(&["hello-task"]);
    let host = home.start().await;
    let mut events = host.events(EVENTS, None).await;
    host.run("a", "hello", json!({"name": "x"})).await;
    let seen = events
        .until("status", |task| task["status"] == "completed")
        .await;
    drop(events);
    host.run("b", "hello", json!({"name": "x"})).await;
    let mut back = host.events(EVENTS, Some(&seen.id)).await;
    let next = back.next().await.unwrap();
    assert_eq!(
        (next.name.as_str(), &next.data["id"]),
        ("status", &json!("b"))
    );
    drop(back);
    host.stop().await;
    // Another life does not know what was told in this one.
    let host = home.start().await;
    let mut back = host.events(EVENTS, Some(&seen.id)).await;
    assert_eq!(back.next().await.unwrap().name, "reset");
    host.run("c", "hello", json!({"name": "x"})).await;
    let next = back.next().await.unwrap();
    assert_eq!(next.data["id"], "c");
    let mut other = host.events(EVENTS, Some("nonsense")).await;
    assert_eq!(other.next().await.unwrap().name, "reset");
}

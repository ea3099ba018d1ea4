//! Concurrency keys: runs of one key one after the other, of others beside them, also when a host
//! dies.

use serde_json::{Value, json};
use taskhost_e2e::home::Home;
use taskhost_e2e::host::Host;

const GUEST: &str = "one-at-a-time";

fn home() -> Home {
    let home = Home::with(&[GUEST]);
    home.settings("[[allow]]\ntype = \"one-at-a-time\"\nchildren = [\"one-at-a-time\"]\n");
    home
}

async fn schedule(host: &Host, id: &str, key: &str, ms: u64) -> Value {
    host.schedule(id, GUEST, json!({"key": key, "ms": ms}))
        .await
}

fn waiting_for(task: &Value) -> &str {
    task["run"]["waiting_because"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn the_same_key_waits_and_another_one_does_not() {
    let host = home().start().await;
    let view = host.get("/v1/task-types/one-at-a-time").await.expect(200);
    assert_eq!(view["concurrency"], json!({"key": "/key", "max": 1}));
    schedule(&host, "first", "a", 600_000).await;
    host.moves("first").await;
    let second = schedule(&host, "second", "a", 1).await;
    assert_eq!(second["concurrency_key"], "a", "{second:#}");
    assert!(waiting_for(&second).contains("its concurrency key `a`"));
    schedule(&host, "other", "b", 1).await;
    host.reaches("other", "completed").await;
    let page = host.get("/v1/spaces/default/tasks").await.expect(200);
    let listed = page["tasks"].as_array().unwrap();
    let why = |id: &str| {
        let found = listed.iter().find(|task| task["id"] == id);
        waiting_for(found.unwrap()).to_owned()
    };
    assert!(why("second").contains("`a`"), "{page:#}");
    assert_eq!((why("first"), why("other")), (String::new(), String::new()));
    let shown = host.cli(&["status", "second"]).await.done();
    assert!(shown.contains("its concurrency key `a`"), "{shown}");
    host.verb("first", "cancel").await.expect(200);
    let second = host.reaches("second", "completed").await;
    assert_eq!(waiting_for(&second), "");
    host.stop().await;
}

#[tokio::test]
async fn runs_of_a_key_do_not_overlap() {
    let host = home().start().await;
    let ids: Vec<String> = (0..16).map(|number| format!("t{number}")).collect();
    for (number, id) in ids.iter().enumerate() {
        schedule(&host, id, ["a", "b"][number % 2], 20).await;
    }
    let mut times = [Vec::new(), Vec::new()];
    for (number, id) in ids.iter().enumerate() {
        let payload = &host.reaches(id, "completed").await["payload"];
        let at = |name: &str| payload[name].as_u64().unwrap();
        times[number % 2].push((at("began_us"), at("ended_us")));
    }
    for of_key in &mut times {
        of_key.sort_unstable();
        let alone = of_key.windows(2).all(|pair| pair[0].1 <= pair[1].0);
        assert!(alone, "{of_key:?}");
    }
    let span = |of_key: &[(u64, u64)]| (of_key[0].0, of_key[of_key.len() - 1].1);
    let (a, b) = (span(&times[0]), span(&times[1]));
    assert!(a.0 < b.1 && b.0 < a.1, "both at once: {a:?} {b:?}");
}

#[tokio::test]
async fn a_host_that_is_killed_holds_no_key() {
    let home = home();
    let host = home.start().await;
    schedule(&host, "first", "a", 600_000).await;
    host.moves("first").await;
    schedule(&host, "second", "a", 1).await;
    schedule(&host, "third", "a", 1).await;
    host.kill().await;
    let host = home.start().await;
    // The first has a new place in the queue, behind those that have waited.
    host.reaches("second", "completed").await;
    host.reaches("third", "completed").await;
    let first = host
        .until("first", |task| task["run"]["state"] == "running")
        .await;
    assert_eq!(first["run"]["crashes"], 1, "{first:#}");
    let fourth = schedule(&host, "fourth", "a", 1).await;
    assert!(waiting_for(&fourth).contains("`a`"), "{fourth:#}");
    host.verb("first", "cancel").await.expect(200);
    host.reaches("fourth", "completed").await;
}

#[tokio::test]
async fn a_child_cannot_wait_for_its_own_parent() {
    let host = home().start().await;
    for (id, child) in [("same", "a"), ("another", "b")] {
        let params = json!({"key": "a", "ms": 1, "child": child});
        host.schedule(id, GUEST, params).await;
    }
    let same = host.reaches("same", "completed").await;
    let refused = &same["payload"]["child"];
    assert_eq!(refused["code"], "conflict", "{same:#}");
    let message = refused["message"].as_str().unwrap();
    assert!(message.contains("the task `same`") && message.contains("give the child another key"));
    let another = host.reaches("another", "completed").await;
    assert_eq!(another["payload"]["child"], "completed", "{another:#}");
}

#[tokio::test]
async fn of_two_that_would_wait_for_each_others_child_one_is_refused() {
    let host = home().start().await;
    for (id, key, child) in [("p", "a", "b"), ("q", "b", "a")] {
        let params = json!({"key": key, "ms": 700, "child": child});
        host.schedule(id, GUEST, params).await;
    }
    let mut ends = Vec::new();
    for id in ["p", "q"] {
        let ended = host.reaches(id, "completed").await;
        ends.push(ended["payload"]["child"].clone());
    }
    let refused: Vec<_> = ends.iter().filter(|end| end.is_object()).collect();
    assert_eq!(refused.len(), 1, "{ends:?}");
    assert_eq!(refused[0]["code"], "conflict", "{ends:?}");
    let message = refused[0]["message"].as_str().unwrap();
    assert!(message.contains("by way of its own children"), "{message}");
    assert!(ends.contains(&json!("completed")), "{ends:?}");
}

//! Versions and waiting: `If-Match`, `If-None-Match`, long-poll.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;
use taskhost_e2e::answer::Answer;
use taskhost_e2e::home::Home;
use taskhost_e2e::host::Host;
use taskhost_e2e::tasks::task;

async fn with(host: &Host, method: Method, path: &str, header: (&str, &str)) -> Answer {
    let request = host
        .request(method.clone(), path)
        .header(header.0, header.1);
    let request = match method {
        Method::PUT => request.json(&json!({"type": "hello", "params": {"name": "x"}})),
        _ => request,
    };
    host.send(request).await
}

#[tokio::test]
async fn every_change_honors_if_match() {
    let host = Home::with(&["hello-task"]).start().await;
    host.run("t", "hello", json!({"name": "x"})).await;
    let read = host.get(&task("t")).await;
    let current = read.header("etag").to_owned();
    assert_eq!(
        current,
        format!("\"{}\"", read.json()["version"].as_str().unwrap())
    );
    let changes = [
        (Method::PUT, task("t")),
        (Method::POST, format!("{}/cancel", task("t"))),
        (Method::POST, format!("{}/acknowledge", task("t"))),
        (Method::DELETE, task("t")),
    ];
    for (method, path) in &changes {
        for stale in ["\"0\"", "\"99999\"", "\"what\""] {
            let answer = with(&host, method.clone(), path, ("if-match", stale)).await;
            answer.problem(412, "version-mismatch");
        }
    }
    assert_eq!(host.get(&task("t")).await.header("etag"), current);
    let acknowledge = format!("{}/acknowledge", task("t"));
    let answer = with(&host, Method::POST, &acknowledge, ("if-match", &current)).await;
    answer.expect(200);
    with(&host, Method::DELETE, &task("t"), ("if-match", &current))
        .await
        .expect(412);
    let now = answer.header("etag");
    with(&host, Method::DELETE, &task("t"), ("if-match", now))
        .await
        .expect(204);
}

#[tokio::test]
async fn if_none_match_schedules_only_when_absent() {
    let host = Home::with(&["hello-task"]).start().await;
    let absent = ("if-none-match", "*");
    with(&host, Method::PUT, &task("t"), absent)
        .await
        .expect(201);
    let again = with(&host, Method::PUT, &task("t"), absent).await;
    again.problem(412, "version-mismatch");
    host.reaches("t", "completed").await;
    host.delete(&task("t")).await.expect(204);
    with(&host, Method::PUT, &task("t"), absent)
        .await
        .expect(201);
}

#[tokio::test]
async fn reading_takes_no_notice_of_if_none_match() {
    let host = Home::with(&["hello-task"]).start().await;
    host.run("t", "hello", json!({"name": "x"})).await;
    let etag = host.get(&task("t")).await.header("etag").to_owned();
    let read = with(&host, Method::GET, &task("t"), ("if-none-match", &etag)).await;
    assert_eq!(read.expect(200)["status"], "completed");
}

#[tokio::test]
async fn a_long_poll_ends_with_the_change_or_with_its_time() {
    let host = Home::with(&["hello-task"]).start().await;
    let begun = Instant::now();
    let nothing = host.get(&format!("{}?wait=200ms&since=0", task("t"))).await;
    assert_eq!((nothing.status, nothing.text.as_str()), (304, ""));
    assert!(begun.elapsed() >= Duration::from_millis(200));

    let waiting = host.request(Method::GET, &format!("{}?wait=30s&since=0", task("t")));
    let waiting = tokio::spawn(waiting.send());
    host.schedule("t", "hello", json!({"name": "x"})).await;
    let begun = Instant::now();
    assert_eq!(waiting.await.unwrap().unwrap().status(), 200);
    assert!(begun.elapsed() < Duration::from_secs(10));

    let done = host.reaches("t", "completed").await;
    let since = done["revision"].as_u64().unwrap();
    let at_once = host
        .get(&format!("{}?wait=30s&since={}", task("t"), since - 1))
        .await;
    assert_eq!(at_once.expect(200)["revision"], since);
    let ended = host
        .get(&format!("{}?wait=10ms&since={since}", task("t")))
        .await;
    assert_eq!(ended.status, 304);
}

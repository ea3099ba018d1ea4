//! Bad input gets a problem document that names the mistake, and nothing is half-written.

use reqwest::Method;
use serde_json::{Value, json};
use taskhost_e2e::home::Home;
use taskhost_e2e::tasks::{stream, task};

#[tokio::test]
async fn wrong_schedules_name_their_field() {
    let host = Home::with(&["hello-task", "feature-identification"])
        .start()
        .await;
    host.put(&stream("s"), &json!({})).await.expect(201);
    let hello = |params: Value| json!({"type": "hello", "params": params});
    let identify = |params: Value| {
        let id = "streams_feature_identification";
        json!({"type": id, "stream": "s", "params": params})
    };
    for (body, field) in [
        (hello(json!({})), "params.name"),
        (hello(json!({"name": 7})), "params.name"),
        (hello(json!([])), "params"),
        (json!({"params": {}}), "type"),
        (json!({"type": "Not An Id", "params": {}}), "type"),
        (
            json!({"type": "hello", "params": {"name": "x"}, "color": 1}),
            "color",
        ),
        (
            json!({"type": "hello", "params": {"name": "x"}, "priority": 101}),
            "priority",
        ),
        (
            json!({"type": "hello", "params": {"name": "x"}, "timeout_ms": 0}),
            "timeout_ms",
        ),
        (
            json!({"type": "hello", "params": {"name": "x"}, "timeout_ms": -1}),
            "timeout_ms",
        ),
        (
            json!({"type": "hello", "params": {"name": "x"}, "run_at": "noon"}),
            "run_at",
        ),
        (
            json!({"type": "hello", "params": {"name": "x"}, "stream": "s"}),
            "stream",
        ),
        (
            json!({"type": "hello", "params": {"name": "x"}, "stream": "../x"}),
            "stream",
        ),
        (
            json!({"type": "streams_feature_identification", "params": {}}),
            "stream",
        ),
        (identify(json!({"end": 5})), "params.start"),
        (identify(json!({"start": 1, "end": "noon"})), "params.end"),
        (
            identify(json!({"start": 1, "end": 5, "sample_size": 0})),
            "params.sample_size",
        ),
    ] {
        host.put(&task("t"), &body).await.names(field);
        assert_eq!(host.task("t").await["status"], "not_started", "{body}");
    }
}

#[tokio::test]
async fn what_does_not_exist_is_said_by_name() {
    let host = Home::with(&["hello-task", "streams-reader"]).start().await;
    let unknown = json!({"type": "greet", "params": {}});
    let answer = host.put(&task("t"), &unknown).await;
    let problem = answer.problem(404, "unknown-task-type");
    assert!(
        problem["detail"].as_str().unwrap().contains("`greet`"),
        "{problem:#}"
    );
    let unknown = json!({"type": "streams-reader", "stream": "none", "params": {"request": {}}});
    let problem = host
        .put(&task("t"), &unknown)
        .await
        .problem(404, "unknown-stream");
    assert!(
        problem["detail"].as_str().unwrap().contains("`none`"),
        "{problem:#}"
    );
    for path in [
        "/v1/nothing",
        "/v1/spaces/default/tasks/t/nothing",
        "/v2",
        "/internal/streams",
    ] {
        host.get(path).await.problem(404, "not-found");
    }
    let answer = host.delete("/livez").await;
    answer.problem(405, "method-not-allowed");
    let reserved = json!({"type": "hello", "params": {"name": "x"}});
    let answer = host
        .put(&task("streams_feature_identification_s"), &reserved)
        .await;
    answer.problem(403, "id-not-available");
}

#[tokio::test]
async fn wrong_ids_are_refused_everywhere() {
    let host = Home::with(&["hello-task"]).start().await;
    let body = json!({"type": "hello", "params": {"name": "x"}});
    let long = "x".repeat(256);
    for id in [
        ".hidden",
        "a%2Fb",
        "a%00b",
        "%20",
        "%F0%9F%98%80",
        long.as_str(),
    ] {
        host.put(&task(id), &body).await.names("id");
        host.get(&task(id)).await.names("id");
    }
    // A route of its own, so that no task can have the name.
    let bulk = host.put(&task("bulk"), &body).await;
    bulk.problem(405, "method-not-allowed");
    host.get("/v1/spaces/NoSpace/tasks/t").await.names("space");
    host.put(&stream("-dash"), &json!({})).await.names("stream");
    host.get("/v1/task-types/Hello").await.names("type");
    host.put(&task(&long[..255]), &body).await.expect(201);
}

#[tokio::test]
async fn broken_bodies() {
    let host = Home::with(&["hello-task"]).start().await;
    let put = |kind: &'static str, body: Vec<u8>| {
        let request = host
            .request(Method::PUT, &task("t"))
            .header("content-type", kind);
        host.send(request.body(body))
    };
    const JSON: &str = "application/json";
    put(JSON, b"{\"type\":\"hel".to_vec()).await.names("body");
    put(JSON, Vec::new()).await.names("body");
    put(JSON, b"{\"type\":\"hello\xff\"}".to_vec())
        .await
        .names("body");
    put("text/plain", b"{}".to_vec())
        .await
        .problem(415, "unsupported-media-type");
    let deep = format!(
        "{{\"type\":\"hello\",\"params\":{}{}}}",
        "[".repeat(70),
        "]".repeat(70)
    );
    put(JSON, deep.into_bytes()).await.names("params");
    let deeper = "[".repeat(200_000);
    put(JSON, deeper.into_bytes()).await.problem(400, "invalid");
    let large = json!({"type": "hello", "params": {"name": "x".repeat(1024 * 1024)}});
    let problem = host.put(&task("t"), &large).await.problem(413, "too-large");
    assert!(
        problem["detail"].as_str().unwrap().contains("1048576"),
        "{problem:#}"
    );
    put(JSON, vec![b' '; 40 * 1024 * 1024])
        .await
        .problem(413, "too-large");
    let whole = vec![b'\n'; 32 * 1024 * 1024 + 1];
    host.put(&stream("s"), &json!({})).await.expect(201);
    host.ingest("s", whole).await.problem(413, "too-large");
    assert_eq!(host.task("t").await["status"], "not_started");
}

#[tokio::test]
async fn hostile_values_are_kept_exactly_or_refused() {
    let host = Home::with(&["hello-task"]).start().await;
    for name in [
        "NUL \0",
        "\u{202e}\u{1b}[2J",
        "😀",
        "\"\\",
        "\u{7f}\u{80}\u{ffff}",
    ] {
        let done = host.run("t", "hello", json!({"name": name})).await;
        assert_eq!(done["greeting"], format!("Hello, {name}!"));
    }
    for raw in ["\"\\ud800\"", "1e400", "123456789012345678901234567890"] {
        let body = format!("{{\"type\":\"hello\",\"params\":{{\"name\":\"x\",\"more\":{raw}}}}}");
        let request = host.request(Method::PUT, &task("refused"));
        let request = request
            .header("content-type", "application/json")
            .body(body);
        host.send(request).await.problem(400, "invalid");
    }
    assert_eq!(host.task("refused").await["status"], "not_started");
}

#[tokio::test]
async fn a_web_page_of_elsewhere_is_kept_out() {
    let host = Home::new().start().await;
    let with = |name: &'static str, value: &'static str| {
        host.send(host.request(Method::GET, "/v1/info").header(name, value))
    };
    with("host", "evil.example")
        .await
        .problem(403, "host-not-allowed");
    with("origin", "http://evil.example")
        .await
        .problem(403, "origin-not-allowed");
    let own: &'static str = Box::leak(host.url.clone().into_boxed_str());
    assert_eq!(with("origin", own).await.expect(200)["name"], "taskhost");
}

#[tokio::test]
async fn verbs_take_no_or_an_empty_body() {
    let host = Home::with(&["hello-task"]).start().await;
    host.run("t", "hello", json!({"name": "x"})).await;
    let path = format!("{}/acknowledge", task("t"));
    host.post(&path, &json!({"what": 1})).await.names("what");
    host.upload(&path, "application/json", "").await.expect(200);
    let path = format!("{}/cancel", task("t"));
    host.post(&path, &json!({"reason": 7}))
        .await
        .names("reason");
    host.upload(&path, "application/json", "").await.expect(200);
}

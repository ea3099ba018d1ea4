//! What is no task type for this host is refused, in words, and changes nothing.

use serde_json::{Value, json};
use taskhost_e2e::component::{component, component_with, importing};
use taskhost_e2e::home::Home;
use taskhost_e2e::host::Host;
use taskhost_e2e::places;

/// Sees the bytes refused with every one of these words, and that nothing else changed.
async fn refused(host: &Host, bytes: Vec<u8>, words: &[&str]) {
    let before = host.get("/v1/task-types").await.expect(200)["task_types"].clone();
    let answer = host.push_bytes(bytes).await;
    let problem = answer.problem(422, "invalid-component");
    assert!(
        !problem["errors"].as_array().unwrap().is_empty(),
        "{problem:#}"
    );
    let detail = problem["detail"].as_str().unwrap();
    for word in words {
        assert!(detail.contains(word), "`{word}` in: {detail}");
    }
    assert_eq!(
        host.get("/v1/task-types").await.expect(200)["task_types"],
        before
    );
}

#[tokio::test]
async fn a_truncated_component() {
    let host = Home::with(&["hello-task"]).start().await;
    let whole = std::fs::read(places::component("fails")).unwrap();
    for length in [1, 7, 8, 9, 100, whole.len() / 2, whole.len() - 1] {
        refused(&host, whole[..length].to_vec(), &[]).await;
    }
    host.push_bytes(whole).await.expect(201);
}

#[tokio::test]
async fn what_is_no_component_at_all() {
    let host = Home::new().start().await;
    refused(&host, Vec::new(), &[]).await;
    refused(&host, b"#!/bin/sh\necho hello\n".to_vec(), &[]).await;
    refused(&host, b"\0asm\x01\0\0\0".to_vec(), &["core module"]).await;
    let mut garbage = std::fs::read(places::component("fails")).unwrap();
    let middle = garbage.len() / 2;
    garbage[middle..middle + 1000].fill(0xff);
    refused(&host, garbage, &[]).await;
}

#[tokio::test]
async fn a_component_of_another_world() {
    let host = Home::new().start().await;
    refused(
        &host,
        b"\0asm\x0d\0\x01\0".to_vec(),
        &["taskhost:task/task"],
    )
    .await;
    let socket = r#"(import "wasi:sockets/ip-name-lookup@9.0.0" (instance))"#;
    refused(&host, importing(socket), &["wasi:sockets/ip-name-lookup"]).await;
    let other = r#"(import "acme:things/lamp@1.0.0" (instance (export "on" (func))))"#;
    refused(&host, importing(other), &["acme:things/lamp"]).await;
}

#[tokio::test]
async fn a_component_for_a_newer_host() {
    let host = Home::new().start().await;
    let newer = r#"(import "taskhost:task/streams@1.0.0" (instance (export "watch" (func))))"#;
    refused(&host, importing(newer), &["streams", "watch"]).await;
    let later = r#"(import "taskhost:task/streams@7.0.0" (instance (export "count" (func))))"#;
    refused(&host, importing(later), &["streams@7.0.0"]).await;
    let interface = r#"(import "taskhost:task/siblings@1.0.0" (instance (export "spawn" (func))))"#;
    refused(&host, importing(interface), &["siblings"]).await;
}

#[tokio::test]
async fn a_component_that_cannot_say_what_it_is() {
    let host = Home::with(&["hello-task"]).start().await;
    for (guest, words) in [
        ("bad-descriptor", ["descri"]),
        ("loops-in-describe", ["describe"]),
        ("panics-in-describe", ["I do not know what I am"]),
        ("huge-descriptor", ["262144"]),
    ] {
        let bytes = std::fs::read(places::component(guest)).unwrap();
        refused(&host, bytes, &words).await;
    }
    // Nothing of it stays behind: others load and run.
    assert_eq!(
        host.run("t", "hello", json!({"name": "x"})).await["status"],
        "completed"
    );
}

#[tokio::test]
async fn a_descriptor_that_asks_for_too_much_or_makes_no_sense() {
    let host = Home::new().start().await;
    let good = json!({"id": "good", "version": "1", "title": "Good"});
    for (key, value, words) in [
        ("id", json!("Not An Id"), vec!["`id`"]),
        ("id", Value::Null, vec!["`id`"]),
        ("version", json!(""), vec!["`version`"]),
        (
            "limits",
            json!({"memory_mib": 4096}),
            vec!["`limits.memory_mib`", "4096", "1024"],
        ),
        (
            "limits",
            json!({"cpu_ms": 0, "wall_s": 0}),
            vec!["`limits.cpu_ms`", "`limits.wall_s`"],
        ),
        ("grace_ms", json!(60_000), vec!["`grace_ms`", "30000"]),
        (
            "retry",
            json!({"attempts": 11}),
            vec!["`retry.attempts`", "10"],
        ),
        ("collections", json!(["a", "a"]), vec!["`a`"]),
        ("params_schema", json!({"type": 7}), vec!["params_schema"]),
        (
            "params_schema",
            json!({"$ref": "http://example.org/s.json"}),
            vec!["params_schema"],
        ),
        (
            "result_schema",
            json!({"type": "number", "minimum": "x"}),
            vec!["result_schema"],
        ),
        ("stream", json!("sometimes"), vec!["`stream`"]),
    ] {
        let mut descriptor = good.clone();
        descriptor[key] = value;
        refused(&host, component(&descriptor.to_string(), "1"), &words).await;
    }
    let mut descriptor = good.clone();
    descriptor["color"] = json!("red");
    let pushed = host
        .push_bytes(component(&descriptor.to_string(), "1"))
        .await
        .expect(201);
    assert!(
        pushed["warnings"].to_string().contains("`color`"),
        "{pushed:#}"
    );
}

#[tokio::test]
async fn a_body_that_is_too_large_or_of_another_kind() {
    let host = Home::new().start().await;
    let answer = host.push_bytes(vec![0; 64 * 1024 * 1024 + 1]).await;
    let problem = answer.problem(413, "too-large");
    assert!(
        problem["detail"].as_str().unwrap().contains("67108864"),
        "{problem:#}"
    );
    let answer = host.upload("/v1/task-types", "text/plain", "hello").await;
    answer.problem(415, "unsupported-media-type");
}

#[test]
fn what_is_assembled_here_is_valid_otherwise() {
    let import = r#"(import "taskhost:task/streams@1.0.0" (instance (export "watch" (func))))"#;
    for bytes in [component("{}", "1"), importing(import)] {
        wasmparser::validate(&bytes).unwrap();
    }
}

/// Each definition refers to the next one, and the last to the first.
fn chain(length: usize, through: impl Fn(Value) -> Value) -> Value {
    let next = |number: usize| json!({"$ref": format!("#/$defs/{:x}", number % length)});
    let definitions = (0..length).map(|n| (format!("{n:x}"), through(next(n + 1))));
    let definitions: serde_json::Map<String, Value> = definitions.collect();
    json!({"$ref": "#/$defs/0", "$defs": definitions})
}

#[tokio::test]
async fn schemas_that_would_end_the_host() {
    let host = Home::new().start().await;
    let described = |schema: Value| {
        let descriptor = json!({"id": "s", "version": "1", "title": "S", "result_schema": schema});
        component(&descriptor.to_string(), "{}")
    };
    let items = |next: Value| json!({"items": next});
    for schema in [
        chain(6_000, |next| next),
        chain(400, items),
        chain(60, |next| json!({"allOf": [next.clone(), next]})),
    ] {
        refused(&host, described(schema), &["result_schema"]).await;
    }
    assert_eq!(host.get("/livez").await.status, 200);
}

#[tokio::test]
async fn as_many_instances_as_the_pool_has_can_run() {
    let host = Home::new().start().await;
    let empty =
        "(core module $empty) ".to_owned() + &"(core instance (instantiate $empty))".repeat(200);
    let descriptor = json!({"id": "many", "version": "1", "title": "Many"}).to_string();
    let bytes = component_with(&descriptor, "1", &empty);
    host.push_bytes(bytes).await.expect(201);
    assert_eq!(
        host.run("t", "many", json!({})).await["status"],
        "completed"
    );
}

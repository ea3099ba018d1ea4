//! Prompts and whatever else people of a space keep for task types to read.

use reqwest::Method;
use serde_json::{Value, json};
use taskhost_e2e::home::Home;

const PROMPTS: &str = "/v1/spaces/default/collections/prompts";

#[tokio::test]
async fn people_keep_prompts_for_the_types_that_read_them() {
    let host = Home::with(&["hello-task"]).start().await;
    let one = format!("{PROMPTS}/feature_identification");
    let unread = host.put(&one, &json!({"text": "x"})).await;
    let why = unread.problem(404, "not-found").to_string();
    assert!(why.contains("`space_collections`"), "{why}");

    host.push("feature-identification").await.expect(201);
    host.get(&one).await.problem(404, "not-found");
    for text in ["first", "second"] {
        let kept = host.put(&one, &json!({"text": text})).await;
        assert!(kept.expect(200)["version"].is_string());
        let read = host.get(&one).await.expect(200);
        assert_eq!(read["body"], json!({"text": text}));
        let listed = host.get(PROMPTS).await.expect(200);
        assert_eq!(listed["documents"].as_array().map(Vec::len), Some(1));
    }
    // In place of what was read, or not at all.
    let read = host.get(&one).await;
    let version = read.header("etag").to_owned();
    let mut over = Vec::new();
    for text in ["third", "fourth"] {
        let put = host.request(Method::PUT, &one).header("if-match", &version);
        over.push(host.send(put.json(&json!({"text": text}))).await);
    }
    over.pop().unwrap().problem(412, "version-mismatch");
    over.pop().unwrap().expect(200);
    let outdated = host
        .request(Method::DELETE, &one)
        .header("if-match", &version);
    host.send(outdated).await.problem(412, "version-mismatch");
    assert_eq!(host.get(&one).await.expect(200)["body"]["text"], "third");

    let elsewhere = host.get("/v1/spaces/other/collections/prompts").await;
    assert_eq!(elsewhere.expect(200)["documents"], json!([]));
    for bad in [json!([]), json!("x"), Value::Null] {
        host.put(&one, &bad).await.problem(400, "invalid");
    }
    let long = json!({"text": "x".repeat(1 << 20)});
    host.put(&one, &long).await.problem(413, "too-large");
    host.delete(&one).await.expect(204);
    host.delete(&one).await.problem(404, "not-found");
    // What tasks own is not written here.
    let owned = host
        .put("/v1/spaces/default/collections/features/a", &json!({}))
        .await;
    owned.problem(404, "not-found");
}

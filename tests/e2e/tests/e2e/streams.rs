//! Streams and their documents, from outside and as a task sees them.

use serde_json::{Value, json};
use taskhost_e2e::home::Home;
use taskhost_e2e::tasks::stream;

/// Ten documents, one each second from the epoch's 1000th on; every second one is an error.
fn ten() -> impl Iterator<Item = Value> {
    (0..10).map(|n| {
        let level = if n % 2 == 0 { "info" } else { "error" };
        json!({"@timestamp": (1_000 + n) * 1_000, "message": format!("line {n}"), "level": level})
    })
}

const ALL: (u64, u64) = (0, 10_000_000);

#[tokio::test]
async fn a_stream_is_made_read_listed_and_deleted() {
    let host = Home::new().start().await;
    let path = stream("app.logs-1");
    host.get(&path).await.problem(404, "unknown-stream");
    let body = json!({"description": "what the app says", "retention_days": 7});
    let made = host.put(&path, &body).await.expect(201);
    assert_eq!(made["description"], "what the app says");
    assert_eq!(made["retention_days"], 7);
    host.put(&path, &body).await.expect(200);
    host.put(&stream("other"), &json!({})).await.expect(201);
    assert_eq!(host.get(&path).await.expect(200)["retention_days"], 7);
    let list = host.get("/v1/spaces/default/streams").await.expect(200);
    assert_eq!(list["streams"].as_array().unwrap().len(), 2, "{list:#}");
    assert_eq!(
        host.get("/v1/spaces/elsewhere/streams").await.expect(200),
        json!({"streams": []})
    );
    host.delete(&path).await.expect(204);
    host.delete(&path).await.problem(404, "unknown-stream");
    host.get(&path).await.problem(404, "unknown-stream");
}

#[tokio::test]
async fn broken_lines_are_told_and_the_others_are_kept() {
    let host = Home::new().start().await;
    host.ingest("s", "{}\n")
        .await
        .problem(404, "unknown-stream");
    host.put(&stream("s"), &json!({})).await.expect(201);
    let lines: Vec<Vec<u8>> = vec![
        br#"{"@timestamp":"2026-01-01T00:00:00Z","message":"fine"}"#.to_vec(),
        br#"{"message":"cut of"#.to_vec(),
        b"".to_vec(),
        br#"["no object"]"#.to_vec(),
        br#"{"@timestamp":"yesterday","message":"no time"}"#.to_vec(),
        b"{\"message\":\"no UTF-8: \xff\"}".to_vec(),
        br#"{"message":"without a time"}"#.to_vec(),
        format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)).into_bytes(),
        br#"{"@timestamp":1767225600000,"message":"NUL \u0000 and \ud83d\ude00"}"#.to_vec(),
        br#"{"message":"no newline at the end"}"#.to_vec(),
    ];
    let answer = host.ingest("s", lines.join(&b'\n')).await.expect(200);
    assert_eq!(answer["accepted"], 4, "{answer:#}");
    let rejected = answer["rejected"].as_array().unwrap();
    let numbers: Vec<u64> = rejected
        .iter()
        .map(|each| each["line"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, [2, 4, 5, 6, 8], "{answer:#}");
    assert!(
        rejected
            .iter()
            .all(|each| !each["reason"].as_str().unwrap().is_empty())
    );
    let body = json!({"from": 0, "to": "2100-01-01T00:00:00Z"});
    let count = host
        .post(&format!("{}/count", stream("s")), &body)
        .await
        .expect(200);
    assert_eq!(count["value"], 4);
    let body = json!({"from": 1_767_225_600_000_u64, "to": 1_767_225_600_001_u64, "size": 10});
    let sample = host
        .post(&format!("{}/sample", stream("s")), &body)
        .await
        .expect(200);
    assert!(
        sample.to_string().contains("NUL \\u0000 and 😀"),
        "{sample}"
    );
}

#[tokio::test]
async fn counting_and_sampling_by_condition() {
    let host = Home::new().start().await;
    host.fill("s", ten()).await;
    for (query, expected) in [
        (json!({"from": 0, "to": ALL.1}), 10),
        (json!({"from": 1_002_000, "to": 1_005_000}), 3),
        (
            json!({"from": "1970-01-01T00:16:42Z", "to": "1970-01-01T00:16:45.000Z"}),
            3,
        ),
        (
            json!({"from": 0, "to": ALL.1, "where": {"field": "level", "eq": "error"}}),
            5,
        ),
        (
            json!({"from": 0, "to": ALL.1, "where": {"and": [
                {"field": "level", "eq": "error"},
                {"not": {"field": "message", "endsWith": "9"}},
            ]}}),
            4,
        ),
        (
            json!({"from": 0, "to": ALL.1, "where": {"field": "nothing", "exists": true}}),
            0,
        ),
        (
            json!({"from": 0, "to": ALL.1, "where": {"field": "message", "contains": "LINE"}}),
            10,
        ),
        (json!({"from": 0, "to": ALL.1, "where": {"never": {}}}), 0),
    ] {
        let answer = host
            .post(&format!("{}/count", stream("s")), &query)
            .await
            .expect(200);
        assert_eq!(answer["value"], expected, "{query}");
    }
    let query = json!({"from": 0, "to": ALL.1, "size": 4, "seed": 7});
    let sample = host
        .post(&format!("{}/sample", stream("s")), &query)
        .await
        .expect(200);
    let documents = sample["documents"].as_array().unwrap();
    assert_eq!((documents.len(), &sample["matched"]), (4, &json!(10)));
    let mut times: Vec<&str> = documents
        .iter()
        .map(|each| each["@timestamp"].as_str().unwrap())
        .collect();
    times.sort_unstable();
    times.dedup();
    assert_eq!(times.len(), 4, "without repetition");
    let again = host
        .post(&format!("{}/sample", stream("s")), &query)
        .await
        .expect(200);
    assert_eq!(again, sample, "the same seed, the same sample");
}

#[tokio::test]
async fn wrong_queries_name_their_field() {
    let host = Home::new().start().await;
    host.fill("s", ten()).await;
    for verb in ["count", "sample"] {
        let path = format!("{}/{verb}", stream("s"));
        for (query, field) in [
            (json!({"from": 5, "to": 5}), "from"),
            (json!({"to": 5}), "from"),
            (json!({"from": "noon", "to": 5}), "from"),
            (json!({"from": 0, "to": 5, "whree": {}}), "whree"),
            (
                json!({"from": 0, "to": 5, "where": {"field": "a", "like": "b"}}),
                "where",
            ),
        ] {
            let body = host.post(&path, &query).await.problem(400, "invalid");
            let named = body["errors"].as_array().unwrap().iter().any(|error| {
                let name = error["field"].as_str().unwrap();
                name.starts_with(field) || error["problem"].as_str().unwrap().contains(field)
            });
            assert!(named, "`{field}` for {query} in {body:#}");
        }
        let elsewhere = format!("{}/{verb}", stream("unknown"));
        host.post(&elsewhere, &json!({"from": 0, "to": 1}))
            .await
            .problem(404, "unknown-stream");
    }
}

#[tokio::test]
async fn a_task_sees_its_own_stream_and_no_other() {
    let host = Home::with(&["streams-reader"]).start().await;
    host.fill("mine", ten()).await;
    host.fill("yours", ten()).await;
    let request = json!({"from": 0, "to": ALL.1, "size": 3, "seed": 1,
        "where": {"field": "level", "eq": "error"}});
    let params = json!({"request": request});
    host.schedule_on("mine", "own", "streams-reader", params)
        .await;
    let seen = host.reaches("own", "completed").await["payload"].clone();
    assert_eq!(seen["count"]["value"], 5, "{seen:#}");
    for batch in [&seen["sample"], &seen["sample_many"][1], &seen["search"]] {
        assert_eq!(batch["documents"].as_array().unwrap().len(), 3, "{seen:#}");
    }
    assert_eq!(
        seen["search"]["documents"][0]["message"], "line 9",
        "newest first"
    );
    assert!(seen["search"]["next"].is_string() && seen["sample"]["next"].is_null());
    assert!(
        seen["field_stats"].to_string().contains("level"),
        "{seen:#}"
    );

    let params = json!({"request": {"from": 0, "to": 1}, "stream": "yours"});
    host.schedule_on("mine", "other", "streams-reader", params.clone())
        .await;
    host.schedule("none", "streams-reader", params).await;
    for id in ["other", "none"] {
        let seen = host.reaches(id, "completed").await["payload"].clone();
        for call in [
            "describe",
            "count",
            "sample",
            "sample_many",
            "field_stats",
            "search",
        ] {
            assert_eq!(seen[call]["error"]["code"], "denied", "{call} in {seen:#}");
        }
    }
}

#[tokio::test]
async fn a_deleted_stream_is_not_found_by_its_task_and_takes_its_collections_along() {
    let host = Home::with(&["streams-reader", "cooperative"]).start().await;
    host.fill("s", ten()).await;
    host.schedule_on("s", "saves", "cooperative", json!({}))
        .await;
    host.moves("saves").await;
    host.verb("saves", "cancel").await.expect(200);
    host.reaches("saves", "canceled").await;
    let saved = format!("{}/collections/cooperative", stream("s"));
    assert_eq!(
        host.get(&saved).await.expect(200)["documents"][0]["id"],
        "last"
    );
    host.delete(&stream("s")).await.expect(204);
    host.get(&saved).await.problem(404, "unknown-stream");
    host.put(&stream("s"), &json!({})).await.expect(201);
    assert_eq!(host.get(&saved).await.expect(200), json!({"documents": []}));
    let count = json!({"from": 0, "to": ALL.1});
    let count = host
        .post(&format!("{}/count", stream("s")), &count)
        .await
        .expect(200);
    assert_eq!(count["value"], 0);
}

#[tokio::test]
async fn collections_are_read_page_by_page() {
    let host = Home::with(&["documents-roundtrip"]).start().await;
    host.fill("s", ten()).await;
    host.schedule_on("s", "t", "documents-roundtrip", json!({}))
        .await;
    let done = host.reaches("t", "completed").await;
    let expected = json!({
        "again": "conflict",
        "outdated": "conflict",
        "applied": ["ok", "ok", "ok", "ok", "ok", "not-found", "conflict"],
        "even": [["b0", "b2"], ["b4"]],
        "read": [true, {"n": 2}],
        "gone": true,
    });
    assert_eq!(done["payload"], expected, "{done:#}");
    let path = format!("{}/collections/roundtrip", stream("s"));
    let first = host.get(&format!("{path}?limit=2")).await.expect(200);
    assert_eq!(first["documents"][1]["id"], "b1");
    let next = first["next"].as_str().unwrap();
    let rest = host.get(&format!("{path}?cursor={next}")).await.expect(200);
    assert_eq!(rest["documents"].as_array().unwrap().len(), 3, "{rest:#}");
    let one = host.get(&format!("{path}/b1")).await.expect(200);
    assert_eq!(one["body"], json!({"n": 1, "even": false}));
    host.get(&format!("{path}/nothing"))
        .await
        .problem(404, "not-found");
    host.get(&format!("{path}?limit=0")).await.names("limit");
}

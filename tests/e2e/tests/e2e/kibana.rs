//! Kibana's routes, with feature identification behind them.

use serde_json::{Value, json};
use taskhost_e2e::home::Home;
use taskhost_e2e::host::Host;
use taskhost_e2e::tasks::stream;

const TASK: &str = "streams_feature_identification_logs";
const IDENTIFY: &str = "/internal/streams/logs/features/_identify";
const ACTION: &str = "/internal/streams/logs/features/_task";

/// Two sources that nobody would take for one.
fn two_sources() -> impl Iterator<Item = Value> {
    (0..400).map(|n| {
        let message = if n % 2 == 0 {
            let (status, bytes) = (200 + n % 3, 100 + n);
            format!(
                "10.0.0.{} - - [24/Nov/2026:12:00:00 +0000] \"GET /a/{n} HTTP/1.1\" {status} \
                {bytes} \"-\" \"curl/8.0\"",
                n % 250
            )
        } else {
            format!(
                "2026-11-24T12:00:00.000Z INFO [worker-{}] com.example.Queue: took job {n} \
                from queue high after {} ms",
                n % 4,
                n * 3
            )
        };
        json!({"@timestamp": 1_000_000 + n, "message": message})
    })
}

async fn host() -> Host {
    let host = Home::with(&["feature-identification"]).start().await;
    host.fill("logs", two_sources()).await;
    host
}

async fn status(host: &Host) -> Value {
    host.get("/internal/streams/logs/features/_status")
        .await
        .expect(200)
}

fn range() -> Value {
    json!({"from": 1_000_000, "to": 2_000_000, "connectorId": "any"})
}

#[tokio::test]
async fn identify_from_schedule_to_acknowledge() {
    let host = host().await;
    assert_eq!(status(&host).await, json!({"status": "not_started"}));
    let scheduled = host
        .post(&format!("{IDENTIFY}?schedule=true"), &range())
        .await
        .expect(200);
    assert_eq!(scheduled, json!({"status": "in_progress"}));
    let done = host.reaches(TASK, "completed").await;
    assert_eq!(done["stream"], "logs");

    let shown = status(&host).await;
    assert_eq!(shown["status"], "completed");
    assert_eq!(shown["documents_sampled"], 400);
    assert!(shown["duration_ms"].is_u64());
    let features = shown["features"].as_array().unwrap();
    assert!(features.len() >= 2, "{shown:#}");
    for feature in features {
        for key in [
            "uuid",
            "id",
            "name",
            "title",
            "description",
            "filter",
            "evidence",
        ] {
            assert!(!feature[key].is_null(), "{key} in {feature:#}");
        }
        assert_eq!(feature["type"], "system");
        assert!(
            feature["confidence"]
                .as_f64()
                .is_some_and(|c| (0.0..=100.0).contains(&c))
        );
        // What the feature says of itself is what the host counts.
        let query = json!({"from": 1_000_000, "to": 2_000_000, "where": feature["filter"]});
        let count = host
            .post(&format!("{}/count", stream("logs")), &query)
            .await
            .expect(200);
        assert!(count["value"].as_u64() >= Some(100), "{feature:#}");
    }
    let post = host
        .send(host.request(reqwest::Method::POST, IDENTIFY))
        .await
        .expect(200);
    assert_eq!(post, shown, "without an action it is the status");

    let acknowledged = host
        .post(&format!("{IDENTIFY}?acknowledge=true"), &json!({}))
        .await;
    assert_eq!(acknowledged.expect(200)["status"], "acknowledged");
    let again = host
        .post(&format!("{IDENTIFY}?acknowledge=true"), &json!({}))
        .await;
    again.problem(409, "not-completed");
}

/// The uuids of the systems in a list of features, in order.
fn uuids(list: &Value) -> Vec<String> {
    let each = list["features"].as_array().unwrap().iter();
    let each = each.filter(|one| one["type"] == "system");
    let mut all: Vec<String> = each
        .map(|f| f["uuid"].as_str().unwrap().to_owned())
        .collect();
    all.sort();
    all
}

#[tokio::test]
async fn a_feature_that_is_found_again_keeps_its_uuid() {
    let host = host().await;
    let schedule = json!({"action": "schedule", "from": 1_000_000, "to": 2_000_000});
    let identified = async || {
        host.post(ACTION, &schedule).await.expect(200);
        let done = host.reaches(TASK, "completed").await;
        let listed = host
            .get("/internal/streams/logs/features")
            .await
            .expect(200);
        assert_eq!(uuids(&listed), uuids(&done));
        listed
    };
    let first = identified().await;
    let second = identified().await;
    assert_eq!(uuids(&second), uuids(&first));
    for key in ["last_seen", "expires_at"] {
        let at = |list: &Value| list["features"][0][key].as_str().unwrap().to_owned();
        assert!(at(&second) > at(&first), "{key}: {second:#}");
    }
}

#[tokio::test]
async fn actions_in_the_body_do_the_same() {
    let host = host().await;
    let act = async |body: Value| host.post(ACTION, &body).await;
    let schedule = json!({"action": "schedule", "from": "1970-01-01T00:16:40Z", "to": 2_000_000});
    assert_eq!(act(schedule).await.expect(200)["status"], "in_progress");
    host.reaches(TASK, "completed").await;
    let late = act(json!({"action": "cancel"})).await.expect(200);
    assert_eq!(
        late["status"], "completed",
        "the true status, not being_canceled"
    );
    assert_eq!(
        act(json!({"action": "acknowledge"})).await.expect(200)["status"],
        "acknowledged"
    );
}

#[tokio::test]
async fn wrong_requests() {
    let host = host().await;
    for (path, body, field) in [
        (format!("{IDENTIFY}?schedule=true"), json!({}), "from"),
        (
            format!("{IDENTIFY}?schedule=true"),
            json!({"from": 5, "to": 5}),
            "from",
        ),
        (
            format!("{IDENTIFY}?schedule=true"),
            json!({"from": 5, "to": "x"}),
            "to",
        ),
        (
            format!("{IDENTIFY}?schedule=true&cancel=true"),
            range(),
            "query",
        ),
        (format!("{IDENTIFY}?cancel=maybe"), json!({}), "cancel"),
        (ACTION.to_owned(), json!({"action": "stop"}), "action"),
        (ACTION.to_owned(), json!({}), "action"),
        (
            ACTION.to_owned(),
            json!({"action": "schedule", "from": 9, "to": 1}),
            "from",
        ),
    ] {
        host.post(&path, &body).await.names(field);
    }
    for path in ["_identify?schedule=true", "_task"] {
        let path = format!("/internal/streams/unknown/features/{path}");
        let body = if path.ends_with("_task") {
            json!({"action": "cancel"})
        } else {
            range()
        };
        host.post(&path, &body).await.problem(404, "unknown-stream");
    }
    for path in ["features/_status", "features"] {
        let answer = host.get(&format!("/internal/streams/unknown/{path}")).await;
        answer.problem(404, "unknown-stream");
    }
    let early = host.post(ACTION, &json!({"action": "acknowledge"})).await;
    early.problem(409, "not-completed");
    assert_eq!(status(&host).await, json!({"status": "not_started"}));
}

#[tokio::test]
async fn tasks_are_listed_and_deleted() {
    let host = host().await;
    host.post(&format!("{IDENTIFY}?schedule=true"), &range())
        .await
        .expect(200);
    host.reaches(TASK, "completed").await;
    let listed = host.get("/internal/streams/_tasks").await.expect(200);
    let only = &listed["tasks"][0];
    assert_eq!(
        (&only["id"], listed["tasks"].as_array().unwrap().len()),
        (&json!(TASK), 1)
    );
    assert!(only["created_at"].is_string());
    let path = format!("/internal/streams/_tasks/{TASK}");
    assert_eq!(
        host.delete(&path).await.expect(200),
        json!({"acknowledged": true})
    );
    host.delete(&path).await.problem(404, "not-found");
    assert_eq!(status(&host).await, json!({"status": "not_started"}));
}

#[tokio::test]
async fn a_failed_run_shows_its_error_as_a_text() {
    let host = host().await;
    let body = json!({"type": "streams_feature_identification", "stream": "logs",
        "params": {"start": 0, "end": 2_000_000}, "timeout_ms": 1});
    host.put(&taskhost_e2e::tasks::task(TASK), &body)
        .await
        .expect(201);
    host.reaches(TASK, "failed").await;
    let shown = status(&host).await;
    assert_eq!(shown["status"], "failed");
    assert!(
        shown["error"].as_str().is_some_and(|text| !text.is_empty()),
        "{shown:#}"
    );
}

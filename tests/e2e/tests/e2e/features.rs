//! The life of features over HTTP: what a run has found, edited, excluded, restored and removed by
//! people, one by one and many at once.

use reqwest::Method;
use serde_json::{Value, json};
use taskhost_e2e::home::Home;
use taskhost_e2e::host::Host;
use taskhost_e2e::tasks::stream;
use taskhost_model::time::Timestamp;

const KIBANA: &str = "/internal/streams/logs/features";
const OWN: &str = "/v1/spaces/default/streams/logs/features";

async fn host() -> Host {
    let host = Home::with(&["page-states"]).start().await;
    let documents = (0..10).map(|n| json!({"message": if n < 4 { "alpha" } else { "beta" }}));
    host.fill("logs", documents).await;
    host
}

fn alpha() -> Value {
    json!({"name": "Alpha", "filter": {"field": "message", "contains": "alpha"}})
}

async fn names(host: &Host, path: &str) -> Vec<String> {
    let listed = host.get(path).await.expect(200);
    let features = listed["features"].as_array().unwrap().iter();
    let name = |one: &Value| one["name"].as_str().unwrap().to_owned();
    features.map(name).collect()
}

#[tokio::test]
async fn somebody_makes_edits_excludes_restores_and_removes_one() {
    let host = host().await;
    let one = format!("{KIBANA}/mine");
    let made = host.put(&one, &alpha()).await;
    let first = made.header("etag").to_owned();
    let made = made.expect(201);
    assert_eq!(
        (&made["source"], &made["status"]),
        (&json!("person"), &json!("active"))
    );
    assert_eq!((&made["uuid"], &made["count"]), (&json!("mine"), &json!(4)));
    assert_eq!(made.get("edited"), None, "nobody has found it another way");

    // The whole of it goes back as it came; a filter is counted anew.
    let mut whole = made.clone();
    whole["filter"] = json!({"field": "message", "contains": "beta"});
    whole["count"] = json!(4_711);
    let changed = host.put(&format!("{OWN}/mine"), &whole).await.expect(200);
    assert_eq!(
        (&changed["count"], &changed["edited"]),
        (&json!(6), &json!(["filter"]))
    );
    let outdated = host.request(Method::PUT, &one).header("if-match", &first);
    let outdated = host.send(outdated.json(&json!({"name": "x"}))).await;
    outdated.problem(412, "version-mismatch");
    // So are all other changes.
    for (method, path) in [
        (Method::DELETE, one.clone()),
        (Method::POST, format!("{one}/exclude")),
        (Method::POST, format!("{one}/restore")),
    ] {
        let outdated = host.request(method, &path).header("if-match", &first);
        let outdated = host.send(outdated.json(&json!({}))).await;
        outdated.problem(412, "version-mismatch");
    }
    let read = host.get(&one).await;
    assert!(!read.header("etag").is_empty());
    assert_eq!(read.expect(200), changed);

    let excluded = host
        .post(&format!("{one}/exclude"), &json!({}))
        .await
        .expect(200);
    assert_eq!(
        (&excluded["status"], &excluded["excluded_by"]),
        (&json!("excluded"), &json!("local"))
    );
    assert_eq!(names(&host, KIBANA).await, [""; 0]);
    assert_eq!(
        names(&host, &format!("{OWN}?excluded=true")).await,
        ["Alpha"]
    );
    let restored = host
        .post(&format!("{OWN}/mine/restore"), &json!({}))
        .await
        .expect(200);
    assert_eq!(
        (&restored["status"], restored.get("excluded_by")),
        (&json!("active"), None)
    );
    assert_eq!(names(&host, OWN).await, ["Alpha"]);
    host.delete(&one).await.expect(200);
    for again in ["", "/exclude", "/restore"] {
        let path = format!("{one}{again}");
        let answer = match again {
            "" => host.delete(&path).await,
            _ => host.post(&path, &json!({})).await,
        };
        answer.problem(404, "not-found");
    }
}

#[tokio::test]
async fn what_is_wrong_names_its_field_and_changes_nothing() {
    let host = host().await;
    let one = format!("{OWN}/mine");
    for (body, field) in [
        (json!({"name": "x"}), "filter"),
        (json!({"filter": {"always": {}}}), "name"),
        (json!({"name": "", "filter": {"always": {}}}), "name"),
        (
            json!({"name": "x", "filter": {"field": "message"}}),
            "filter",
        ),
        (
            json!({"name": "x", "filter": {"field": "message", "matches": "."}}),
            "filter",
        ),
        (
            json!({"name": "x", "filter": {"always": {}}, "colour": "red"}),
            "colour",
        ),
        (
            json!({"name": "x", "filter": {"always": {}}, "tags": "a"}),
            "tags",
        ),
    ] {
        host.put(&one, &body).await.names(field);
    }
    host.get(&format!("{OWN}?excluded=maybe"))
        .await
        .names("excluded");
    host.put(&format!("{OWN}/-x"), &alpha()).await.names("uuid");
    let elsewhere = "/internal/streams/nowhere/features/mine";
    host.put(elsewhere, &alpha())
        .await
        .problem(404, "unknown-stream");
    assert_eq!(names(&host, OWN).await, [""; 0]);
}

#[tokio::test]
async fn many_at_once_stand_each_for_itself() {
    let host = host().await;
    let bulk = format!("{KIBANA}/_bulk");
    let mut named = alpha();
    named["uuid"] = json!("a");
    let operations = json!({"operations": [
        {"index": {"feature": named}},
        {"index": {"feature": alpha()}},
        {"index": {"feature": {"name": "x"}}},
        {"exclude": {"id": "a"}},
        {"delete": {"id": "nothing"}},
        {"delete": {"id": "-no id"}},
        {"restore": {"id": "a"}},
        {"delete": {"id": "a"}},
    ]});
    let answer = host.post(&bulk, &operations).await.expect(200);
    let results = answer["results"].as_array().unwrap();
    let outcomes: Vec<&str> = results
        .iter()
        .map(|one| one["outcome"].as_str().unwrap())
        .collect();
    let wanted = [
        "created", "created", "refused", "updated", "refused", "refused", "updated", "deleted",
    ];
    assert_eq!(outcomes, wanted);
    assert_eq!(answer["errors"], true);
    assert_eq!(results[2]["problem"]["errors"][0]["field"], "filter");
    assert_eq!(results[4]["problem"]["code"], "not-found");
    let chosen = results[1]["id"].as_str().unwrap();
    assert_eq!(chosen.len(), 36, "an id of the host's: {chosen}");
    assert_eq!(names(&host, KIBANA).await, ["Alpha"]);
    let unknown = json!({"operations": [{"burn": {"id": "a"}}]});
    host.post(&bulk, &unknown).await.problem(400, "invalid");
    let many = json!({"operations": vec![json!({"delete": {"id": "a"}}); 1_001]});
    host.post(&bulk, &many).await.names("operations");
}

/// What a person says is taken or refused, and never passed over.
#[tokio::test]
async fn what_cannot_be_changed_is_refused_by_its_name() {
    let host = host().await;
    let one = format!("{OWN}/mine");
    let mut new = alpha();
    new["status"] = json!("excluded");
    host.put(&one, &new).await.names("status");
    host.put(&one, &alpha()).await.expect(201);
    for (body, field) in [
        (json!({"status": "excluded"}), "status"),
        (json!({"type": "host"}), "type"),
    ] {
        host.put(&one, &body).await.names(field);
    }
    let subtype = json!({"subtype": "web server", "properties": {"a": 1}});
    let changed = host.put(&one, &subtype).await.expect(200);
    assert_eq!(changed["subtype"], "web server", "{changed}");
    assert_eq!(changed["properties"], json!({"a": 1}), "{changed}");
}

/// What has expired is shown to nobody; what is excluded does not expire.
#[tokio::test]
async fn what_nobody_finds_again_is_forgotten() {
    let host = host().await;
    host.fill("nothing", [json!({"message": "a"})]).await;
    let params = json!({"start": 0, "end": 1});
    host.schedule_on("nothing", "run", "streams_feature_identification", params)
        .await;
    host.reaches("run", "completed").await;
    let features = format!("{}/features", stream("nothing"));
    let with_excluded = format!("{features}?excluded=true");
    let kept = format!("{}/collections/features/old", stream("nothing"));
    host.get(&kept).await.expect(200);
    assert_eq!(names(&host, &features).await, [""; 0]);
    assert_eq!(names(&host, &with_excluded).await, [""; 0]);
    // A time is no person's to set.
    let edit = json!({"expires_at": "2090-01-01T00:00:00Z"});
    let again = host
        .put(&format!("{features}/old"), &edit)
        .await
        .expect(200);
    let expires_at = again["expires_at"].as_str().unwrap();
    assert!(expires_at > "2026" && expires_at < "2090", "{again}");
    assert_eq!(names(&host, &features).await, ["old"]);
    host.post(&format!("{features}/old/exclude"), &json!({}))
        .await
        .expect(200);
    assert_eq!(names(&host, &features).await, [""; 0]);
    assert_eq!(names(&host, &with_excluded).await, ["old"]);
}

/// What the operator has set is how long features are kept, where nobody says otherwise.
#[tokio::test]
async fn the_setting_says_how_long_features_are_kept() {
    let home = Home::with(&["feature-identification"]);
    home.settings("features.keep_days = 40\n");
    let host = home.start().await;
    let lines = (0..200).map(|n| json!({"message": format!("sshd[{n}]: session {n} opened")}));
    host.fill("logs", lines).await;
    let at = |time: &Value| Timestamp::parse(time.as_str().unwrap()).unwrap();
    let mut params = json!({"start": 0, "end": 4_000_000_000_000_i64});
    for (id, days) in [("set", 40), ("asked", 3)] {
        if id == "asked" {
            params["keep_days"] = json!(days);
        }
        host.schedule_on("logs", id, "streams_feature_identification", params.clone())
            .await;
        let done = host.reaches(id, "completed").await;
        let feature = &done["payload"]["features"][0];
        let kept = at(&feature["expires_at"]).since(at(&feature["last_seen"]));
        assert_eq!(kept.as_secs(), days * 24 * 60 * 60, "{feature:#}");
    }
}

/// What becomes of runs is counted, by type and outcome.
#[tokio::test]
async fn runs_are_counted() {
    let home = Home::with(&["hello-task", "fails", "sleeper"]);
    let host = home.start().await;
    host.run("one", "hello", json!({"name": "Ada"})).await;
    host.schedule("two", "fails", json!({"code": "x", "retryable": true}))
        .await;
    host.reaches("two", "failed").await;
    host.schedule("three", "sleeper", json!({"ms": 600_000}))
        .await;
    host.until("three", |task| task["run"]["state"] == "running")
        .await;
    let numbers = host.get("/metrics").await;
    assert!(numbers.header("content-type").starts_with("text/plain"));
    assert!(
        numbers.text.contains("\ntaskhost_runs_live 1\n"),
        "{}",
        numbers.text
    );
    host.verb("three", "cancel").await.expect(200);
    host.reaches("three", "canceled").await;
    let text = host.get("/metrics").await.text;
    for line in [
        "taskhost_tasks_scheduled_total{type=\"hello\"} 1",
        "taskhost_runs_total{type=\"hello\",outcome=\"completed\"} 1",
        "taskhost_runs_total{type=\"fails\",outcome=\"failed\"} 1",
        "taskhost_runs_total{type=\"sleeper\",outcome=\"canceled\"} 1",
        "taskhost_run_failures_total{type=\"fails\",kind=\"task\"} 1",
        "taskhost_run_retries_total{type=\"fails\"} 2",
        "taskhost_run_tokens_total{type=\"hello\"} 0",
        "taskhost_run_seconds_count{type=\"hello\",outcome=\"completed\"} 1",
        "taskhost_run_wait_seconds_count{type=\"hello\"} 1",
    ] {
        assert!(text.lines().any(|one| one == line), "{line} in\n{text}");
    }
    assert!(!text.contains("Ada") && !text.contains("three"), "{text}");
}

/// A pause is no failure of an attempt, and what each attempt has used is counted once.
#[tokio::test]
async fn pauses_and_failures_are_counted_apart_and_their_use_once() {
    let host = Home::with(&["fails"]).start().await;
    let paused = json!({"code": "rate-limited", "retryable": true, "retry_after_ms": 1});
    host.schedule("one", "fails", paused).await;
    let failed = host.reaches("one", "failed").await;
    let pauses = failed["run"]["pauses"].as_u64().unwrap();
    assert_eq!((pauses, &failed["run"]["attempt"]), (20, &json!(3)));
    // The last attempt has begun once; the first one once more for each pause.
    let calls = failed["usage"]["host_calls"].as_u64().unwrap();
    assert!(calls > 0, "{failed:#}");
    let all = calls * (pauses + 3);
    let text = host.get("/metrics").await.text;
    for line in [
        "taskhost_run_pauses_total{type=\"fails\"} 20".to_owned(),
        "taskhost_run_retries_total{type=\"fails\"} 2".to_owned(),
        format!("taskhost_run_host_calls_total{{type=\"fails\"}} {all}"),
    ] {
        assert!(text.lines().any(|one| one == line), "{line} in\n{text}");
    }
}

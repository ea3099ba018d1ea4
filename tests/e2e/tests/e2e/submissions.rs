//! Tasks whose id the host makes, once for each key; and many tasks in one body.

use reqwest::Method;
use serde_json::{Value, json};
use taskhost_e2e::answer::Answer;
use taskhost_e2e::home::Home;
use taskhost_e2e::host::Host;
use taskhost_e2e::tasks::task;

const TASKS: &str = "/v1/spaces/default/tasks";
const BULK: &str = "/v1/spaces/default/tasks/bulk";

async fn submit(host: &Host, key: Option<&str>, body: &Value) -> Answer {
    let mut request = host.request(Method::POST, TASKS).json(body);
    if let Some(key) = key {
        request = request.header("idempotency-key", key);
    }
    host.send(request).await
}

fn hello(name: &str) -> Value {
    json!({"type": "hello", "params": {"name": name}})
}

#[tokio::test]
async fn the_host_makes_an_id_and_says_where_the_task_is() {
    let host = Home::with(&["hello-task"]).start().await;
    let answer = submit(&host, None, &hello("x")).await;
    let accepted = answer.expect(202);
    let id = accepted["id"].as_str().unwrap();
    assert_eq!(answer.header("location"), task(id));
    assert_eq!(host.ends(id).await["status"], "completed");
    let other = submit(&host, None, &hello("x")).await.expect(202);
    assert_ne!(other["id"], accepted["id"]);
    let mut with_id = hello("x");
    with_id["id"] = json!("mine");
    submit(&host, None, &with_id).await.names("id");
    submit(&host, None, &json!({"type": "none"}))
        .await
        .problem(404, "unknown-task-type");
    let wrong = json!({"type": "hello", "params": {"name": 7}});
    submit(&host, None, &wrong).await.problem(400, "invalid");
}

#[tokio::test]
async fn a_repeated_request_is_answered_as_the_first_one() {
    let host = Home::with(&["hello-task"]).start().await;
    let first = submit(&host, Some("order 17"), &hello("x")).await;
    let id = first.expect(202)["id"].as_str().unwrap().to_owned();
    host.ends(&id).await;
    let again = submit(&host, Some("order 17"), &hello("x")).await;
    assert_eq!((again.status, &again.text), (202, &first.text));
    assert_eq!(again.header("location"), first.header("location"));
    submit(&host, Some("order 17"), &hello("y"))
        .await
        .problem(422, "key-reused");
    let other = submit(&host, Some("order 18"), &hello("x"))
        .await
        .expect(202);
    assert_ne!(other["id"], json!(id));
    // Also when the task was run again, or deleted.
    host.verb(&id, "retry").await.expect(201);
    host.ends(&id).await;
    assert_eq!(
        submit(&host, Some("order 17"), &hello("x")).await.text,
        first.text
    );
    host.delete(&task(&id)).await.expect(204);
    assert_eq!(
        submit(&host, Some("order 17"), &hello("x")).await.text,
        first.text
    );
    assert_eq!(host.task(&id).await["status"], "not_started");
    // A key counts in its space.
    let path = "/v1/spaces/elsewhere/tasks";
    let request = host
        .request(Method::POST, path)
        .header("idempotency-key", "order 17");
    let elsewhere = host.send(request.json(&hello("x"))).await.expect(202);
    assert_ne!(elsewhere["id"], json!(id));
    for wrong in ["", &"k".repeat(256), "t\u{e9}"] {
        submit(&host, Some(wrong), &hello("x"))
            .await
            .names("Idempotency-Key");
    }
}

#[tokio::test]
async fn of_first_requests_at_once_one_makes_the_task() {
    let host = Home::with(&["hello-task"]).start().await;
    let body = hello("x");
    let requests = (0..16).map(|_| submit(&host, Some("k"), &body));
    let answers = futures_util::future::join_all(requests).await;
    for answer in &answers {
        assert_eq!((answer.status, &answer.text), (202, &answers[0].text));
    }
    let listed = host.get(TASKS).await.expect(200);
    assert_eq!(listed["tasks"].as_array().unwrap().len(), 1);
}

/// The key and the task are one write: a host that is killed leaves both or none.
#[tokio::test]
async fn a_host_that_dies_in_the_middle_has_kept_both_or_none() {
    for point in ["before_schedule_commit", "after_schedule_commit"] {
        let home = Home::with(&["hello-task"]);
        let host = home.start_doomed(point).await.unwrap();
        let request = host.request(Method::POST, TASKS).json(&hello("x"));
        let sent = host.try_send(request.header("idempotency-key", "k")).await;
        assert!(sent.is_err(), "{point}: {sent:?}");
        host.died().await;
        let host = home.start().await;
        let first = submit(&host, Some("k"), &hello("x")).await;
        let again = submit(&host, Some("k"), &hello("x")).await;
        assert_eq!((first.status, &first.text), (202, &again.text), "{point}");
        let id = first.json()["id"].as_str().unwrap().to_owned();
        assert_eq!(host.ends(&id).await["status"], "completed", "{point}");
        let listed = host.get(TASKS).await.expect(200);
        assert_eq!(listed["tasks"].as_array().unwrap().len(), 1, "{point}");
    }
}

async fn bulk(host: &Host, lines: impl Into<Vec<u8>>) -> Value {
    host.upload(BULK, "application/x-ndjson", lines)
        .await
        .expect(200)
}

#[tokio::test]
async fn each_line_of_a_batch_stands_alone() {
    let host = Home::with(&["hello-task", "cooperative"]).start().await;
    host.schedule("busy", "cooperative", json!({})).await;
    let lines = [
        r#"{"id":"a","type":"hello","params":{"name":"x"}}"#,
        r#"{"type":"hello","params":{"name":"y"}}"#,
        "",
        "{",
        r#"{"id":"b","type":"none"}"#,
        r#"{"id":"c","type":"hello","params":{"name":7}}"#,
        r#"{"id":"a","type":"hello","params":{"name":"x"}}"#,
        r#"{"id":"busy","type":"cooperative"}"#,
        r#"{"id":"busy","type":"hello","params":{"name":"x"}}"#,
        r#"{"id":"a/b","type":"hello","params":{"name":"x"}}"#,
        r#"{"id":"last","type":"hello","params":{"name":"x"}}"#,
    ];
    let answer = bulk(&host, lines.join("\n")).await;
    let told = answer["results"].as_array().unwrap().iter().map(|result| {
        let what = result["outcome"]
            .as_str()
            .or(result["problem"]["code"].as_str());
        (result["line"].as_u64().unwrap(), what.unwrap())
    });
    let mut told: Vec<(u64, &str)> = told.collect();
    told.sort_unstable();
    // The seventh may find the first at work, or over already.
    let seventh = told.remove(5);
    assert_eq!(seventh.0, 7);
    assert!(
        ["already_running", "scheduled"].contains(&seventh.1),
        "{seventh:?}"
    );
    assert_eq!(
        told,
        [
            (1, "scheduled"),
            (2, "scheduled"),
            (4, "invalid"),
            (5, "unknown-task-type"),
            (6, "invalid"),
            (8, "already_running"),
            (9, "already-running"),
            (10, "invalid"),
            (11, "scheduled"),
        ]
    );
    assert_eq!(answer["accepted"], 5);
    for id in ["a", "last"] {
        assert_eq!(host.ends(id).await["status"], "completed");
    }
    host.upload(BULK, "application/json", "{}")
        .await
        .problem(415, "unsupported-media-type");
    let nothing = host.upload(BULK, "application/x-ndjson", "").await;
    nothing.names("body");
    host.get(BULK).await.problem(405, "method-not-allowed");
}

#[tokio::test]
async fn many_tasks_are_accepted_and_none_is_lost() {
    let home = Home::with(&["hello-task"]);
    let host = home.start().await;
    let line = |n: usize| {
        format!(
            "{}\n",
            json!({"id": format!("t{n}"), "type": "hello",
        "params": {"name": "x"}})
        )
    };
    let answer = bulk(&host, (0..2_000).map(line).collect::<String>()).await;
    assert_eq!(answer["accepted"], 2_000);
    host.kill().await;
    let host = home.start().await;
    for id in ["t0", "t777", "t1999"] {
        assert_eq!(host.ends(id).await["status"], "completed");
    }
    let counts = async || {
        let page = host
            .get("/v1/spaces/default/tasks?counts&limit=1")
            .await
            .expect(200);
        page["counts"]["completed"]
            .as_u64()
            .filter(|count| *count == 2_000)
    };
    host.see("all of them completed", counts).await;
}

/// T18: what is hostile is stored exactly or refused, and costs no other line.
#[tokio::test]
async fn hostile_lines_are_refused_or_kept_exactly() {
    let host = Home::with(&["hello-task"]).start().await;
    let long = format!(
        r#"{{"type":"hello","params":{{"name":"{}"}}}}"#,
        "x".repeat(32 << 20)
    );
    let deep = format!(
        r#"{{"type":"hello","params":{}1{}}}"#,
        "[".repeat(5_000),
        "]".repeat(5_000)
    );
    let lines = [
        r#"{"id":"nul","type":"hello","params":{"name":"a\u0000b"}}"#,
        r#"{"type":"hello","params":{"name":"\ud800"}}"#,
        r#"{"type":"hello","params":{"name":"x","n":1e400}}"#,
        r#"{"type":"hello","params":{"name":"x"},"priority":9007199254740993}"#,
        r#"{"type":"hello","params":{"name":"x","n":18446744073709551616}}"#,
        &deep,
        &long,
        r#"{"type":"hello","params":{"name":"x"},"type":"hello"}"#,
        "\u{feff}{}",
        r#"{"id":"after","type":"hello","params":{"name":"x"}}"#,
    ];
    let mut body = lines.join("\n").into_bytes();
    body.extend_from_slice(b"\n\"\xff\xfe\"\n");
    let answer = bulk(&host, body).await;
    let accepted: Vec<u64> = answer["results"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|result| result.get("outcome").is_some())
        .map(|result| result["line"].as_u64().unwrap())
        .collect();
    assert_eq!(
        answer["results"].as_array().unwrap().len(),
        11,
        "{answer:#}"
    );
    assert_eq!(accepted, [1, 10], "{answer:#}");
    assert_eq!(
        host.ends("nul").await["payload"]["greeting"],
        "Hello, a\u{0}b!"
    );
    host.ends("after").await;
    for line in &lines[1..6] {
        let answer = host.upload(TASKS, "application/json", *line).await;
        assert_eq!(answer.status, 400, "{line:.60}: {answer:?}");
    }
    let answer = host.upload(TASKS, "application/json", long).await;
    answer.problem(413, "too-large");
}

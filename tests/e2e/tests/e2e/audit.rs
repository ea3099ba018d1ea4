//! The audit log: who has changed what, from where, and what became of it.

use reqwest::Method;
use serde_json::{Value, json};
use taskhost_e2e::home::Home;
use taskhost_e2e::host::Host;
use taskhost_e2e::tasks::{stream, task};

async fn entries(host: &Host, query: &str) -> Vec<Value> {
    let page = host.get(&format!("/v1/audit?{query}")).await.expect(200);
    page["entries"].as_array().cloned().unwrap()
}

fn shown(entry: &Value) -> (String, String, String) {
    let text = |key: &str| entry[key].as_str().unwrap_or("-").to_owned();
    (text("deed"), text("target"), text("outcome"))
}

#[tokio::test]
async fn every_change_is_kept_with_who_and_from_where() {
    let home = Home::with(&["hello-task", "sleeper"]);
    let host = home.start().await;
    host.put(&stream("logs"), &json!({})).await.expect(201);
    let line = "{\"message\":\"not for the log\"}\n";
    let path = format!("{}/documents", stream("logs"));
    host.upload(&path, "application/x-ndjson", line)
        .await
        .expect(200);
    host.run("t", "hello", json!({"name": "s3cret-param"}))
        .await;
    let again = json!({"type": "hello", "params": {"name": "Ada"}});
    host.put(&task("t"), &again).await.expect(201);
    host.ends("t").await;
    host.verb("t", "acknowledge").await.expect(200);
    host.verb("t", "acknowledge")
        .await
        .problem(409, "not-completed");
    host.verb("t", "cancel").await.expect(200);
    host.delete(&task("t")).await.expect(204);
    host.post("/v1/task-types/hello/pause", &json!({"reason": "s3cret"}))
        .await
        .expect(200);
    host.post("/v1/task-types/hello/resume", &json!({}))
        .await
        .expect(200);
    host.delete(&stream("logs")).await.expect(204);
    let found: Vec<_> = entries(&host, "by=local&limit=1000")
        .await
        .iter()
        .map(shown)
        .collect();
    let of = |deed: &str, target: &str, outcome: &str| {
        (deed.to_owned(), target.to_owned(), outcome.to_owned())
    };
    let expected = [
        of("stream.delete", "logs", "done"),
        of("type.resume", "hello", "done"),
        of("type.pause", "hello", "done"),
        of("task.delete", "t", "done"),
        of("task.cancel", "t", "unchanged"),
        of("task.acknowledge", "t", "refused"),
        of("task.acknowledge", "t", "done"),
        of("task.schedule", "t", "done"),
        of("task.schedule", "t", "done"),
        of("stream.ingest", "logs", "done"),
        of("stream.put", "logs", "done"),
    ];
    assert_eq!(found, expected);
    let pushed = entries(&host, "deed=type.push").await;
    assert_eq!(pushed.len(), 2, "{pushed:#?}");
    assert!(
        pushed
            .iter()
            .all(|entry| entry["by"] == "host" && entry["from"].is_null())
    );
    let one = &entries(&host, "deed=task.delete").await[0];
    assert_eq!(one["from"], "127.0.0.1", "{one:#}");
    assert_eq!(one["space"], "default");
    let all = host.get("/v1/audit?limit=1000").await.text;
    assert!(
        !all.contains("s3cret") && !all.contains("not for the log"),
        "{all}"
    );
    host.stop().await;
    // What was found again at the next start is no change.
    let host = home.start().await;
    assert_eq!(entries(&host, "deed=type.push").await.len(), 2);
    host.stop().await;
}

#[tokio::test]
async fn pages_of_the_log_are_whole_and_wrong_wishes_are_told() {
    let host = Home::with(&["hello-task"]).start().await;
    for number in 0..7 {
        host.put(&stream(&format!("s{number}")), &json!({}))
            .await
            .expect(201);
    }
    host.run("t", "hello", json!({"name": "Ada"})).await;
    host.delete(&task("t")).await.expect(204);
    let (mut path, mut count) = ("/v1/audit?limit=3".to_owned(), 0);
    loop {
        let page = host.get(&path).await.expect(200);
        count += page["entries"].as_array().unwrap().len();
        match page["next"].as_str() {
            Some(next) => path = format!("/v1/audit?limit=3&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(count, 10);
    for wrong in ["cursor=x", "limit=0", "from=noon", "other=1", "space=A"] {
        let field = wrong.split('=').next().unwrap();
        host.get(&format!("/v1/audit?{wrong}")).await.names(field);
    }
    let printed = host
        .cli(&["audit", "--deed", "task", "--limit", "1"])
        .await
        .done();
    assert!(
        printed.contains("task.delete") && !printed.contains("task.schedule"),
        "{printed}"
    );
    host.stop().await;
}

#[tokio::test]
async fn a_change_that_outlives_the_host_has_its_entry() {
    let home = Home::with(&["hello-task"]);
    home.start().await.stop().await;
    let died = home.start_doomed("after_schedule_commit:1").await.unwrap();
    let body = json!({"type": "hello", "params": {"name": "Ada"}});
    let request = died.request(Method::PUT, &task("t")).json(&body);
    assert!(
        died.try_send(request).await.is_err(),
        "it dies before it answers"
    );
    died.died().await;
    let host = home.start().await;
    host.ends("t").await;
    let kept = entries(&host, "deed=task.schedule").await;
    assert_eq!(kept.len(), 1, "{kept:#?}");
    assert_eq!(kept[0]["target"], "t");
    assert!(kept[0]["outcome"].is_null(), "nobody was told: {kept:#?}");
    host.stop().await;
}

/// Each task of many once as well, also one that takes the place of another.
#[tokio::test]
async fn what_is_submitted_tried_again_and_planned_is_kept_once() {
    let (host, _) = Home::with(&["hello-task"]).start_for_people().await;
    let hello = json!({"type": "hello", "params": {"name": "Ada"}});
    let made = host.post("/v1/spaces/default/tasks", &hello).await;
    let made = made.expect(202)["id"].as_str().unwrap().to_owned();
    host.ends(&made).await;
    host.verb(&made, "retry").await.expect(201);
    host.ends(&made).await;
    let line = |id: &str| {
        let mut line = hello.clone();
        line["id"] = json!(id);
        format!("{line}\n")
    };
    let wrong = json!({"id": "c", "type": "nobody"});
    let lines = format!("{}{}{wrong}\n", line("a"), line("b"));
    for (lines, accepted) in [(lines, 2), (line("a"), 1)] {
        let path = "/v1/spaces/default/tasks/bulk";
        let answer = host.upload(path, "application/x-ndjson", lines).await;
        let answer = answer.expect(200);
        assert_eq!(answer["accepted"], accepted, "{answer:#}");
        host.ends("a").await;
        host.ends("b").await;
    }
    let found = async |deed: &str| -> Vec<_> {
        let found = entries(&host, &format!("deed={deed}&limit=1000")).await;
        found.iter().map(shown).collect()
    };
    let of = |deed: &str, target: &str| (deed.to_owned(), target.to_owned(), "done".to_owned());
    let expected = [
        of("task.schedule", "a"),
        of("task.schedule", "b"),
        of("task.schedule", "a"),
        of("task.retry", &made),
        of("task.schedule", &made),
    ];
    assert_eq!(found("task").await, expected);

    let path = "/v1/spaces/default/schedules/s";
    let mut body = hello.clone();
    body["interval"] = json!("1h");
    host.put(path, &body).await.expect(201);
    for (verb, status) in [("pause", 200), ("resume", 200), ("run", 202)] {
        let answer = host.post(&format!("{path}/{verb}"), &json!({})).await;
        answer.expect(status);
    }
    host.delete(path).await.expect(204);
    let deeds = ["delete", "run", "resume", "pause", "put"];
    let expected = deeds.map(|deed| of(&format!("schedule.{deed}"), "s"));
    assert_eq!(found("schedule").await, expected);
    host.stop().await;
}

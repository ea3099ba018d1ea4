//! The list of tasks: filters, order, cursors.

use serde_json::json;
use taskhost_e2e::home::Home;
use taskhost_e2e::host::Host;

async fn ids(host: &Host, query: &str) -> Vec<String> {
    let page = host
        .get(&format!("/v1/spaces/default/tasks?{query}"))
        .await
        .expect(200);
    let tasks = page["tasks"].as_array().unwrap().iter();
    tasks
        .map(|task| task["id"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn filters_select_and_the_newest_comes_first() {
    let host = Home::with(&["hello-task", "fails", "cooperative"])
        .start()
        .await;
    host.fill("logs", [json!({"message": "x"})]).await;
    host.run("a-hello", "hello", json!({"name": "x"})).await;
    host.run("b-fails", "fails", json!({"code": "x"})).await;
    let b = host.task("b-fails").await;
    host.schedule_on("logs", "c-runs", "cooperative", json!({}))
        .await;
    host.run("d-hello", "hello", json!({"name": "x"})).await;
    host.verb("d-hello", "acknowledge").await.expect(200);

    assert_eq!(
        ids(&host, "").await,
        ["d-hello", "c-runs", "b-fails", "a-hello"]
    );
    for (query, expected) in [
        ("status=completed", vec!["a-hello"]),
        ("status=completed,failed", vec!["b-fails", "a-hello"]),
        ("status=in_progress", vec!["c-runs"]),
        ("status=canceled", vec![]),
        ("type=hello", vec!["d-hello", "a-hello"]),
        ("type=hello&status=acknowledged", vec!["d-hello"]),
        ("stream=logs", vec!["c-runs"]),
        ("requested_by=nobody", vec![]),
        ("requested_by=local&limit=1", vec!["d-hello"]),
        ("q=HELLO", vec!["d-hello", "a-hello"]),
        ("q=%25", vec![]),
        (
            &format!("created_after={}", b["created_at"].as_str().unwrap()),
            vec!["d-hello", "c-runs"],
        ),
    ] {
        assert_eq!(ids(&host, query).await, expected, "{query}");
    }
    let page = host
        .get("/v1/spaces/default/tasks?status=completed")
        .await
        .expect(200);
    assert!(
        page["tasks"][0].get("payload").is_none(),
        "a list carries no payloads"
    );
    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=x", "limit"),
        ("status=cancelled", "status"),
        ("cursor=x", "cursor"),
        ("created_after=noon", "created_after"),
        ("sort=id", "sort"),
    ] {
        host.get(&format!("/v1/spaces/default/tasks?{query}"))
            .await
            .names(field);
    }
}

#[tokio::test]
async fn a_cursor_leads_past_everything_once() {
    let host = Home::with(&["hello-task"]).start().await;
    let mut all: Vec<String> = (0..25).map(|n| format!("t{n:02}")).collect();
    for id in &all {
        host.schedule(id, "hello", json!({"name": "x"})).await;
    }
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/v1/spaces/default/tasks?limit=7{cursor}");
        let page = host.get(&path).await.expect(200);
        let tasks = page["tasks"].as_array().unwrap();
        seen.extend(
            tasks
                .iter()
                .map(|task| task["id"].as_str().unwrap().to_owned()),
        );
        let Some(next) = page["next"].as_str() else {
            break;
        };
        assert_eq!(tasks.len(), 7);
        cursor = format!("&cursor={next}");
        // What comes in between changes nothing for what existed.
        host.schedule(&format!("new{}", seen.len()), "hello", json!({"name": "x"}))
            .await;
    }
    all.reverse();
    assert_eq!(seen, all);
}

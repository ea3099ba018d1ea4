//! A host's life: ready, alone on its folder, drained on SIGTERM, and after a restart.

use rustix::process::{Signal, kill_process};
use serde_json::json;
use taskhost_e2e::home::Home;
use taskhost_e2e::tasks::{stream, task};

#[tokio::test]
async fn a_ready_host_says_so() {
    let home = Home::new();
    let host = home.start().await;
    assert!(host.url.starts_with("http://127.0.0.1:"), "{}", host.url);
    host.get("/livez").await.expect(200);
    host.get("/readyz").await.expect(200);
    let info = host.get("/v1/info").await.expect(200);
    assert_eq!(
        (&info["name"], &info["mode"]),
        (&json!("taskhost"), &json!("single-user"))
    );
    host.stop().await;
}

#[tokio::test]
async fn the_only_host_lists_itself_and_hears_no_hints() {
    let host = Home::with(&["hello-task"]).start().await;
    let hosts = host.get("/v1/hosts").await.expect(200);
    let all = hosts["hosts"].as_array().unwrap();
    assert_eq!(all.len(), 1, "{hosts}");
    assert_eq!(all[0]["this"], json!(true));
    assert_eq!(all[0]["state"], json!("alive"));
    assert_eq!(all[0]["slots"], json!(64));
    assert!(all[0]["task_types"]["hello"].is_string(), "{hosts}");
    let listed = host.cli(&["hosts"]).await.done();
    assert!(
        listed.contains("alive") && listed.contains("of 64"),
        "{listed}"
    );
    host.post("/internal/hosts/hint", &json!({"types": true}))
        .await
        .expect(404);
    host.stop().await;
}

#[tokio::test]
async fn a_second_host_on_the_same_folder_is_refused() {
    let home = Home::new();
    let host = home.start().await;
    let output = home.refused().await;
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(
        error.contains(&host.pid().as_raw_nonzero().to_string()),
        "names the first: {error}"
    );
    host.get("/readyz").await.expect(200);
    host.kill().await;
    home.start().await.stop().await;
}

#[tokio::test]
async fn a_folder_with_other_files_in_it_is_fine() {
    let home = Home::new();
    std::fs::write(home.data().join("notes.txt"), "mine").unwrap();
    home.start().await.stop().await;
    assert_eq!(
        std::fs::read_to_string(home.data().join("notes.txt")).unwrap(),
        "mine"
    );
}

#[tokio::test]
async fn sigterm_hands_running_work_back_and_ends_open_streams() {
    let home = Home::with(&["cooperative", "ignores-cancel", "hello-task"]);
    let host = home.start().await;
    host.fill("s", [json!({"message": "x"})]).await;
    host.schedule_on("s", "listens", "cooperative", json!({}))
        .await;
    host.schedule("spins", "ignores-cancel", json!({"how": "spin"}))
        .await;
    let before = host.moves("listens").await;
    host.moves("spins").await;
    let mut events = host
        .events(&format!("{}/events", task("listens")), None)
        .await;
    let waiting = host.request(
        reqwest::Method::GET,
        &format!("{}?wait=60s&since=9", task("no")),
    );
    let waiting = tokio::spawn(waiting.send());
    events.next().await.unwrap();
    host.stop().await;
    while events.next().await.is_some() {}
    drop(waiting.await.unwrap());

    let host = home.start().await;
    for id in ["listens", "spins"] {
        let again = host
            .until(id, |task| task["run"]["state"] == "running")
            .await;
        assert_eq!(
            again["run"]["attempt"], 1,
            "a drain counts no attempt: {again:#}"
        );
        assert_eq!(again["run"]["crashes"], 0, "{again:#}");
    }
    let listens = host.task("listens").await;
    assert_eq!(listens["run"]["id"], before["run"]["id"]);
    assert!(listens["run"]["lease_number"].as_u64() > before["run"]["lease_number"].as_u64());
    let saved = format!("{}/collections/cooperative/last", stream("s"));
    assert_eq!(
        host.get(&saved).await.expect(200)["body"]["reason"],
        "drain"
    );
    for id in ["listens", "spins"] {
        host.verb(id, "cancel").await.expect(200);
        host.reaches(id, "canceled").await;
    }
}

#[tokio::test]
async fn a_draining_host_takes_nothing_new() {
    let home = Home::with(&["cooperative", "hello-task"]);
    let host = home.start().await;
    host.schedule("t", "cooperative", json!({})).await;
    host.moves("t").await;
    kill_process(host.pid(), Signal::TERM).unwrap();
    // Either it still answers, and then with 503 once it drains, or it is gone.
    let body = json!({"type": "hello", "params": {"name": "x"}});
    let mut last = 0;
    for n in 0..10_000 {
        let request = host
            .request(reqwest::Method::PUT, &task(&format!("late-{n}")))
            .json(&body);
        match host.try_send(request).await {
            Ok(answer) if answer.status == 201 => last = n + 1,
            Ok(answer) => {
                answer.problem(503, "stopping");
                assert!(!answer.header("retry-after").is_empty(), "{answer:?}");
            }
            Err(_) => break,
        }
    }
    assert_eq!(host.died().await.code(), Some(0));
    let host = home.start().await;
    for n in 0..last {
        host.reaches(&format!("late-{n}"), "completed").await;
    }
}

#[tokio::test]
async fn a_killed_host_counts_a_crash_and_goes_on() {
    let home = Home::with(&["cooperative", "hello-task"]);
    home.settings("runs.crashes_max = 2\n");
    let mut host = home.start().await;
    let done = host.run("done", "hello", json!({"name": "x"})).await;
    host.schedule("t", "cooperative", json!({})).await;
    for crashes in 1..=2 {
        host.until("t", |task| task["run"]["state"] == "running")
            .await;
        host.kill().await;
        host = home.start().await;
        let now = host.task("t").await;
        assert_eq!(now["run"]["crashes"], crashes, "{now:#}");
        assert_eq!(
            now["run"]["attempt"], 1,
            "a lost host counts no attempt: {now:#}"
        );
    }
    let failed = host.reaches("t", "failed").await;
    assert_eq!(failed["error"]["kind"], "host_lost");
    assert_eq!(
        host.task("done").await,
        done,
        "what has ended stays as it was"
    );
}

#[tokio::test]
async fn a_cancel_outlives_the_host() {
    let home = Home::with(&["ignores-cancel"]);
    let host = home.start().await;
    host.schedule("t", "ignores-cancel", json!({"how": "sleep"}))
        .await;
    host.moves("t").await;
    let asked = host.verb("t", "cancel").await.expect(200);
    host.kill().await;
    let host = home.start().await;
    let canceled = host.reaches("t", "canceled").await;
    assert_eq!(canceled["run"]["id"], asked["run"]["id"]);
}

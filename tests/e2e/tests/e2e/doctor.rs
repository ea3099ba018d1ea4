//! `taskhost doctor`, on a host that runs and on one that does not: what it finds, and its exit
//! codes. And the log as JSON, and what `/v1/hosts` says of a host.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};
use taskhost_e2e::home::{Home, program};
use taskhost_e2e::host::{Cli, Host};

async fn doctor(home: &Home, more: &[&str]) -> Cli {
    let mut command = program();
    command
        .arg("doctor")
        .arg("--config")
        .arg(home.settings_file());
    command.arg("--data").arg(home.data()).args(more);
    // What another host on this machine says is none of these tests' business.
    command.env("TASKHOST_URL", "http://127.0.0.1:1");
    Cli::of(command).await
}

async fn findings(home: &Home) -> (Option<i32>, Vec<Value>) {
    let said = doctor(home, &["--json"]).await;
    let answer: Value = serde_json::from_str(&said.out).unwrap_or_else(|e| panic!("{e}: {said:?}"));
    (said.code, answer["findings"].as_array().unwrap().clone())
}

fn find<'a>(findings: &'a [Value], about: &str, what: &str) -> &'a Value {
    let is_it = |it: &&Value| it["about"] == about && it["what"].as_str().unwrap().contains(what);
    let found = findings.iter().find(is_it);
    found.unwrap_or_else(|| panic!("no {about}: {what} in {findings:#?}"))
}

/// Whatever is not well says why, and what to do.
fn check(findings: &[Value]) {
    for finding in findings {
        let is_told = finding["why"].is_string() && finding["do"].is_string();
        assert_eq!(is_told, finding["state"] != "ok", "{finding}");
    }
}

#[tokio::test]
async fn a_host_that_runs_and_the_same_when_it_is_stopped() {
    let home = Home::with(&["hello-task", "sleeper"]);
    home.settings("runs.slots = 1\n");
    let host = home.start().await;
    host.run("one", "hello", json!({"name": "x"})).await;
    let (code, found) = findings(&home).await;
    check(&found);
    assert_eq!(code, Some(0), "{found:#?}");
    find(&found, "lock", "held by the host that runs");
    find(&found, "store", "every page of it is well");
    find(&found, "host", "ready at http://127.0.0.1:");
    find(&found, "task types", "2 active");
    find(&found, "hosts", "0 of 1 slots used");

    host.schedule("long", "sleeper", json!({"ms": 600_000}))
        .await;
    host.until("long", |task| task["run"]["state"] == "running")
        .await;
    let (code, found) = findings(&home).await;
    assert_eq!(code, Some(0), "{found:#?}");
    let full = find(&found, "hosts", "1 of 1 slots used");
    assert_eq!(full["why"], "all its slots are taken");
    host.kill().await;

    let (code, found) = findings(&home).await;
    check(&found);
    assert_eq!(code, Some(0), "{found:#?}");
    find(&found, "lock", "free");
    find(&found, "store", "1 unfinished tasks");
    assert_eq!(find(&found, "host", "none answers")["state"], "warning");
    let said = doctor(&home, &[]).await.done();
    assert!(said.contains("ok       version: taskhost "), "{said}");
}

#[tokio::test]
async fn what_is_wrong_is_told_with_what_to_do_and_exit_code_1() {
    let home = Home::with(&["hello-task"]);
    home.add_bytes("nonsense", b"no component");
    let host = home.start().await;
    host.get("/v1/info").await.expect(200);
    std::fs::set_permissions(home.data(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let (code, found) = findings(&home).await;
    check(&found);
    assert_eq!(code, Some(1), "{found:#?}");
    let refused = find(&found, "task types", "`nonsense.wasm` is refused");
    assert_eq!(refused["state"], "problem");
    find(&found, "data folder", "others may write to it (mode 777)");
    host.stop().await;

    // Damage in the middle of a file, which no host has seen yet.
    let path = home.data().join("tasks.sqlite");
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 4096].fill(0xa5);
    std::fs::write(&path, bytes).unwrap();
    let (code, found) = findings(&home).await;
    assert_eq!(code, Some(1), "{found:#?}");
    let damaged = found.iter().find(|it| it["about"] == "store").unwrap();
    assert_eq!(damaged["state"], "problem", "{damaged}");
    assert!(
        damaged["do"].as_str().unwrap().contains("taskhost restore"),
        "{damaged}"
    );

    home.settings("runs.slots = 0\n");
    let said = doctor(&home, &[]).await;
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(
        said.out.contains("PROBLEM  settings") && said.out.contains("runs.slots"),
        "{said:?}"
    );
}

#[tokio::test]
async fn it_knows_tokens_and_tells_no_secret() {
    let home = Home::with(&["hello-task"]);
    let (host, admin) = home.start_for_people().await;
    let wanted = json!({"name": "vera", "roles": {"default": "viewer"}});
    let vera = host.holder(&wanted).await;
    let (code, found) = findings(&home).await;
    check(&found);
    assert_eq!(code, Some(0), "{found:#?}");
    find(&found, "tokens", "2 are accepted, 1 of them an admin's");
    // Without a token the host itself does not tell more than that it is ready.
    find(&found, "host", "ready at http://127.0.0.1:");
    let refused = find(&found, "hosts", "the host does not tell");
    assert_eq!(refused["state"], "warning", "{refused}");
    // With an admin's everything is told, and the token is not.
    let mut command = program();
    command
        .arg("doctor")
        .arg("--config")
        .arg(home.settings_file());
    command.arg("--data").arg(home.data()).arg("--json");
    command.env("TASKHOST_TOKEN", &admin.token);
    let said = Cli::of(command).await.done();
    assert!(said.contains("1 active"), "{said}");
    for token in [&admin.token, &vera.token] {
        let secret = token.rsplit('_').next().unwrap();
        assert!(!said.contains(secret), "{said}");
    }
    let path = format!("/v1/tokens/{}", admin.id);
    let request = host.request(reqwest::Method::DELETE, &path);
    host.send(request).await.expect(200);
    let (_, found) = findings(&home).await;
    let none = find(&found, "tokens", "1 are accepted, and none is an admin's");
    assert_eq!(none["state"], "warning", "{none}");
    host.stop().await;
    home.settings("identity = \"none\"\n");
    let (_, found) = findings(&home).await;
    let open = find(&found, "tokens", "nobody is asked for one");
    assert_eq!(open["state"], "warning", "{open}");
}

#[tokio::test]
async fn the_log_is_an_object_a_line_where_that_is_wanted() {
    let home = Home::with(&["fails"]);
    let mut command = home.serve();
    command
        .args(["--log-format", "json"])
        .env("TASKHOST_NONSENSE", "1");
    let host = Host::of(command).await;
    host.schedule("f", "fails", json!({"code": "x", "message": "two\nlines"}))
        .await;
    host.reaches("f", "failed").await;
    let is_told = async || host.log().contains("a run failed").then_some(());
    host.see("the failure in the log", is_told).await;
    let log = host.log();
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    let failed = lines
        .iter()
        .find(|it| it["message"] == "a run failed")
        .unwrap();
    assert_eq!(
        (&failed["task"], &failed["level"]),
        (&json!("f"), &json!("INFO")),
        "{failed}"
    );
    assert!(lines.iter().any(|it| {
        it["message"]
            .as_str()
            .unwrap()
            .contains("TASKHOST_NONSENSE")
    }));
    host.stop().await;
}

#[tokio::test]
async fn hosts_say_what_they_have_and_why_they_claim_nothing() {
    let home = Home::with(&[]);
    let host = home.start().await;
    let own = async || host.get("/v1/hosts").await.expect(200)["hosts"][0].clone();
    let idle = own().await;
    assert!(
        idle["memory_bytes"].as_u64().unwrap() > 1024 * 1024,
        "{idle}"
    );
    assert_eq!(idle["draining"], false);
    assert_eq!(
        idle["not_claiming"],
        "no task type is active and not paused"
    );
    assert!(!idle["version"].as_str().unwrap().is_empty(), "{idle}");
    home.add("hello-task");
    host.push("hello-task").await;
    let claims = async || own().await.get("not_claiming").is_none().then_some(());
    host.see("it claims", claims).await;
}

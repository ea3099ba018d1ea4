//! Recordings: who may have a run recorded and read it, and that it ends again as it did.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use taskhost_e2e::answer::Answer;
use taskhost_e2e::component::replaced;
use taskhost_e2e::component::with_origins;
use taskhost_e2e::home::Home;
use taskhost_e2e::host::Host;
use taskhost_e2e::places;
use taskhost_e2e::plain_server::{Server, answer};
use taskhost_e2e::tasks::task;

const ALLOWED: &str = "[[allow]]\nrecord = true\n";

async fn host_with(components: &[&str]) -> (Home, Host) {
    let home = Home::with(components);
    home.settings(ALLOWED);
    let host = home.start().await;
    (home, host)
}

async fn recorded(host: &Host, id: &str, type_id: &str, params: Value) -> Value {
    let body = json!({"type": type_id, "params": params, "record": true});
    host.put(&task(id), &body).await.expect(201);
    host.ends(id).await
}

async fn recording(host: &Host, id: &str) -> Answer {
    host.get(&format!("{}/recording", task(id))).await
}

/// Exit code and what `--json` prints.
async fn replayed(host: &Host, arguments: &[&str]) -> (Option<i32>, Value) {
    let said = host.cli(&[&["replay", "--json"], arguments].concat()).await;
    let object = serde_json::from_str(&said.out).unwrap_or_else(|_| panic!("{said:?}"));
    (said.code, object)
}

#[tokio::test]
async fn a_run_is_recorded_read_and_ends_again_as_it_did() {
    let (home, host) = host_with(&["hello-task", "checkpointed"]).await;
    let params = r#"{"name":"you"}"#;
    let schedule = [
        "schedule", "hello", "--id", "t", "--params", params, "--record", "--watch",
    ];
    let said = host.cli(&schedule).await.done();
    assert!(
        said.contains("recorded   for a day after its end: taskhost replay t"),
        "{said}"
    );
    assert_eq!(host.task("t").await["record"], true);
    let text = recording(&host, "t").await;
    assert_eq!(text.status, 200, "{text:?}");
    let lines: Vec<Value> = text
        .text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines[0]["type"], "hello", "{lines:#?}");
    assert_eq!(lines[0]["params"], params, "{lines:#?}");
    assert!(
        lines.iter().any(|line| line["call"] == "progress.report"),
        "{lines:#?}"
    );
    assert_eq!(
        lines.last().unwrap()["end"]["status"],
        "completed",
        "{lines:#?}"
    );

    let said = host.cli(&["replay", "t"]).await.done();
    for words in ["1 progress.report", "Hello, you!", "ok: completed with"] {
        assert!(said.contains(words), "{words} in:\n{said}");
    }
    // Twice as long, with bytes and errors among its answers.
    let done = recorded(&host, "steps", "checkpointed", json!({"steps": 3})).await;
    let run = host.task("steps").await["run"]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let (code, by_run) = replayed(&host, &[&run]).await;
    assert_eq!(
        (code, &by_run["run"]),
        (Some(0), &serde_json::json!(run)),
        "{by_run:#}"
    );
    let nobodys = host
        .cli(&["replay", "019aa000-0000-7000-8000-000000000000"])
        .await;
    assert!(
        nobodys.err.contains("no task or latest run of that id"),
        "{}",
        nobodys.err
    );
    let (code, said) = replayed(&host, &["steps"]).await;
    assert_eq!((code, &said["ok"]), (Some(0), &json!(true)), "{said:#}");
    assert_eq!(said["calls"]["state.save"], 3, "{said:#}");
    let result: Value = serde_json::from_str(said["now"]["result"].as_str().unwrap()).unwrap();
    assert_eq!(result, done["payload"], "{said:#}");
    // What it has saved is replayed without the host's recording, and for its owner alone.
    let file = home.path().join("kept");
    let kept = file.to_str().unwrap();
    host.cli(&["replay", "steps", "--save", kept]).await.done();
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert_eq!(host.delete(&task("steps")).await.status, 204);
    assert_eq!(recording(&host, "steps").await.status, 404);
    let (code, said) = replayed(&host, &[kept]).await;
    assert_eq!((code, &said["ok"]), (Some(0), &json!(true)), "{said:#}");
}

#[tokio::test]
async fn what_is_kept_is_sealed_with_a_key_of_the_host_alone() {
    let (home, host) = host_with(&["hello-task"]).await;
    let name = "a-name-that-is-nowhere-else";
    recorded(&host, "t", "hello", json!({"name": name})).await;
    assert!(recording(&host, "t").await.text.contains(name));
    let key = home.data().join("host.key");
    assert_eq!(
        fs::metadata(&key).unwrap().permissions().mode() & 0o777,
        0o600
    );
    host.stop().await;
    fs::write(&key, [7; 32]).unwrap();
    let host = home.start().await;
    let other = recording(&host, "t").await;
    assert_eq!(other.status, 500, "{other:?}");
    assert!(
        other.text.contains("another key than the host has now"),
        "{other:?}"
    );
    fs::remove_file(&key).unwrap();
    let missing = recording(&host, "t").await;
    assert!(missing.text.contains("host.key is missing"), "{missing:?}");
    assert!(!key.exists(), "none is made to read with");
}

#[tokio::test]
async fn recording_is_off_and_is_the_operators_to_allow() {
    let home = Home::with(&["hello-task"]);
    let host = home.start().await;
    let body = json!({"type": "hello", "params": {"name": "x"}, "record": true});
    let refused = host.put(&task("t"), &body).await;
    assert_eq!(refused.status, 400, "{refused:?}");
    let detail = refused.text.replace("\\n", "\n").replace("\\\"", "\"");
    let setting = "`record = true` in the `[[allow]]` that has `type = \"hello\"`";
    assert!(detail.contains(setting), "{detail}");
    host.run("t", "hello", json!({"name": "x"})).await;
    assert_eq!(host.task("t").await.get("record"), None);
    assert_eq!(recording(&host, "t").await.status, 404);
    let said = host.cli(&["replay", "t"]).await;
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(
        said.err.contains("there is no recording of the task"),
        "{said:?}"
    );
    assert!(!home.data().join("host.key").exists());
}

#[tokio::test]
async fn a_trap_is_the_same_trap_and_another_component_says_where_it_differs() {
    let (home, host) = host_with(&["panic", "hello-task"]).await;
    let failed = recorded(&host, "p", "panic", json!({"message": "on purpose"})).await;
    assert_eq!(failed["error"]["kind"], "trap", "{failed:#}");
    let (code, said) = replayed(&host, &["p"]).await;
    assert_eq!(code, Some(0), "{said:#}");
    assert_eq!(
        said["now"]["error"]["message"], failed["error"]["message"],
        "{said:#}"
    );

    recorded(&host, "t", "hello", json!({"name": "you"})).await;
    let built = fs::read(places::component("hello-task")).unwrap();
    let file = home.path().join("other.wasm");
    fs::write(&file, replaced(&built, b"Hello, ", b"Hallo, ")).unwrap();
    let component = ["t", "--component", file.to_str().unwrap()];
    let (code, said) = replayed(&host, &component).await;
    assert_eq!((code, &said["ok"]), (Some(1), &json!(false)), "{said:#}");
    let verdict = said["verdict"].as_str().unwrap();
    assert!(
        verdict.contains("differs from the recording: recorded `"),
        "{said:#}"
    );
    assert_ne!(said["digest"], said["recorded_digest"], "{said:#}");
}

#[tokio::test]
async fn no_secret_is_recorded() {
    const SECRET: &str = "a-secret/that:nobody+sees";
    let server = Server::new(|seen| answer("200 OK", "set-cookie: letmein\r\n", seen)).await;
    let home = Home::new();
    let origin = &server.origin;
    let origins = [("http://127.0.0.1:18080", origin.as_str())];
    home.add_bytes("http-digest", &with_origins("http-digest", &origins));
    fs::write(home.path().join("value"), format!("{SECRET}\n")).unwrap();
    home.settings(&format!(
        "[[allow]]\ntype = \"http-digest\"\nrecord = true\nsecrets = [\"http-digest-token\"]\n\
         http = [{{ origin = \"https://example.org\" }}, {{ origin = \"{origin}\" }}]\n\
         [secrets.http-digest-token]\nfile = \"value\"\norigins = [\"{origin}\"]\n\
         [outbound]\nopen_networks = [\"127.0.0.0/8\"]\n"
    ));
    let host = home.start().await;
    let params = json!({"url": server.url("/a"), "with_token": true});
    let done = recorded(&host, "t", "http-digest", params).await;
    assert_eq!(done["status"], "completed", "{done:#}");
    assert!(server.seen().join("").contains(SECRET), "it was sent");
    let text = recording(&host, "t").await.text;
    assert!(text.contains(r#"["authorization","*"]"#), "{text}");
    assert!(text.contains(r#"["set-cookie","*"]"#), "{text}");
    let body = text
        .split("\"body\":\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next());
    let body = STANDARD.decode(body.unwrap()).unwrap();
    let body = String::from_utf8(body).unwrap();
    assert!(body.contains("GET /a"), "{body}");
    for hidden in [SECRET, "letmein"] {
        assert!(
            !text.contains(hidden) && !body.contains(hidden),
            "{text} {body}"
        );
    }
    let (code, said) = replayed(&host, &["t"]).await;
    assert_eq!(code, Some(0), "{said:#}");
}

//! The command line: what it prints, and its exit codes.

use std::process::Stdio;

use serde_json::{Value, json};
use taskhost_e2e::home::{Home, program};
use taskhost_e2e::host::{Cli, Host};
use taskhost_e2e::places;
use tokio::io::{AsyncBufReadExt, BufReader};

async fn json_of(host: &Host, arguments: &[&str]) -> Value {
    let text = host.cli(&[arguments, &["--json"]].concat()).await.done();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[tokio::test]
async fn a_task_from_schedule_to_acknowledge() {
    let host = Home::with(&["hello-task", "fails", "cooperative"])
        .start()
        .await;
    let name = r#"{"name":"you"}"#;
    let said = host
        .cli(&["schedule", "hello", "--id", "t", "--params", name])
        .await
        .done();
    assert!(said.contains('t'), "{said}");
    let watched = host.cli(&["watch", "t"]).await.done();
    assert!(watched.contains("completed"), "{watched}");
    assert!(
        !watched.contains('\u{1b}') && !watched.contains('\r'),
        "no terminal: {watched:?}"
    );
    let shown = host.cli(&["status", "t"]).await.done();
    assert!(
        shown.contains("completed") && shown.contains("Hello, you!"),
        "{shown}"
    );
    assert_eq!(
        json_of(&host, &["status", "t"]).await["greeting"],
        "Hello, you!"
    );
    let done = host.cli(&["acknowledge", "t"]).await.done();
    assert!(done.contains("acknowledged"), "{done}");
    let again = host.cli(&["acknowledge", "t"]).await.done();
    assert_eq!(again, "t: acknowledged already\n");

    let params = r#"{"code":"so-be-it","message":"no \u001b[2J luck"}"#;
    let failed = host
        .cli(&[
            "schedule", "fails", "--id", "f", "--params", params, "--watch",
        ])
        .await;
    assert_eq!(failed.code, Some(1), "{failed:?}");
    let said = format!("{}{}", failed.out, failed.err);
    assert!(
        said.contains("luck") && !said.contains('\u{1b}'),
        "{said:?}"
    );

    host.cli(&["schedule", "cooperative", "--id", "c"])
        .await
        .done();
    host.moves("c").await;
    host.cli(&["cancel", "c"]).await.done();
    let canceled = host.cli(&["watch", "c"]).await;
    assert_eq!(canceled.code, Some(3), "{canceled:?}");

    let list = host.cli(&["list"]).await.done();
    for id in ["t", "f", "c"] {
        assert!(list.lines().any(|line| line.contains(id)), "{list}");
    }
    assert_eq!(
        json_of(&host, &["list"]).await["tasks"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
}

#[tokio::test]
async fn params_from_a_file_and_a_stream_from_another() {
    let home = Home::with(&["hello-task", "streams-reader"]);
    let host = home.start().await;
    let params = home.path().join("params.json");
    std::fs::write(&params, r#"{"name":"file"}"#).unwrap();
    let at = format!("@{}", params.display());
    host.cli(&["schedule", "hello", "--id", "t", "--params", &at, "--watch"])
        .await
        .done();
    assert_eq!(host.task("t").await["greeting"], "Hello, file!");

    let (plain, lines) = (
        home.path().join("plain.log"),
        home.path().join("lines.ndjson"),
    );
    std::fs::write(&plain, "first line\nsecond line\n").unwrap();
    std::fs::write(&lines, "{\"message\":\"a\"}\nbroken\n{\"message\":\"b\"}\n").unwrap();
    let said = host
        .cli(&["ingest", "plain", plain.to_str().unwrap()])
        .await
        .done();
    assert!(said.contains('2'), "{said}");
    let said = host
        .cli(&["ingest", "lines", lines.to_str().unwrap()])
        .await;
    assert!(
        format!("{}{}", said.out, said.err).contains("line 2"),
        "{said:?}"
    );
    for (stream, count) in [("plain", 2), ("lines", 2)] {
        let query = json!({"from": 0, "to": "2100-01-01T00:00:00Z"});
        let path = format!("/v1/spaces/default/streams/{stream}/count");
        assert_eq!(
            host.post(&path, &query).await.expect(200)["value"],
            count,
            "{stream}"
        );
    }
}

#[tokio::test]
async fn types_are_pushed_and_listed() {
    let host = Home::new().start().await;
    let hello = places::component("hello-task");
    let said = host
        .cli(&["types", "push", hello.to_str().unwrap()])
        .await
        .done();
    assert!(
        said.contains("hello") && !said.contains("already"),
        "{said}"
    );
    let again = host
        .cli(&["types", "push", hello.to_str().unwrap()])
        .await
        .done();
    assert!(again.contains("already"), "{again}");
    let list = host.cli(&["types", "list"]).await.done();
    assert!(list.contains("hello") && list.contains("active"), "{list}");
    assert_eq!(
        json_of(&host, &["types", "list"]).await["task_types"][0]["id"],
        "hello"
    );
    let bad = places::component("bad-descriptor");
    let refused = host.cli(&["types", "push", bad.to_str().unwrap()]).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.err.contains("descri"), "{refused:?}");
    let missing = host.cli(&["types", "push", "no-such-file.wasm"]).await;
    assert_eq!(missing.code, Some(2), "{missing:?}");
    assert!(missing.err.contains("no-such-file.wasm"), "{missing:?}");
}

#[tokio::test]
async fn what_is_wrong_is_said_on_standard_error_with_its_exit_code() {
    let host = Home::with(&["hello-task"]).start().await;
    for (arguments, code, words) in [
        (
            vec!["schedule", "hello", "--id", "t", "--params", "{"],
            2,
            "params",
        ),
        (
            vec!["schedule", "hello", "--id", "t", "--params", "{}"],
            1,
            "name",
        ),
        (vec!["schedule", "nothing", "--id", "t"], 1, "nothing"),
        (vec!["schedule"], 2, "Usage"),
        (vec!["no-such-command"], 2, "no-such-command"),
        (vec!["status"], 2, "Usage"),
        (vec!["ingest", "s", "no-such-file"], 2, "no-such-file"),
    ] {
        let said = host.cli(&arguments).await;
        assert!(said.out.is_empty(), "{said:?}");
        assert_eq!(said.code, Some(code), "{arguments:?}: {said:?}");
        assert!(said.err.contains(words), "{arguments:?}: {said:?}");
    }
    let none = host.cli(&["status", "nothing-here", "--json"]).await;
    assert!(none.out.contains("not_started") && none.err.contains("there is no task"));
    assert_eq!(none.code, Some(1));
    let none = host.cli(&["cancel", "nothing-here"]).await;
    assert!(none.out.is_empty() && none.err.contains("there is no task"));
    assert_eq!(none.code, Some(1));
}

#[tokio::test]
async fn a_host_that_cannot_be_reached() {
    let mut command = program();
    command.args(["status", "t", "--url", "http://127.0.0.1:1"]);
    let said = Cli::of(command).await;
    assert_eq!(said.code, Some(4), "{said:?}");
    assert!(said.err.contains("127.0.0.1:1"), "{said:?}");
}

#[tokio::test]
async fn help_and_version() {
    for arguments in [
        vec!["--help"],
        vec!["serve", "--help"],
        vec!["types", "push", "--help"],
    ] {
        let mut command = program();
        command.args(arguments);
        assert!(Cli::of(command).await.done().contains("Usage"));
    }
    let mut command = program();
    command.arg("--version");
    assert_eq!(Cli::of(command).await.done(), "taskhost 0.1.0\n");
}

#[tokio::test]
async fn what_is_printed_steers_no_terminal() {
    let host = Home::with(&["fails"]).start().await;
    let message = "no \u{1b}[2J\u{9b}31m\u{7f} \u{202e}luck";
    let params = json!({"code": "c", "message": message}).to_string();
    let failed = [
        "schedule", "fails", "--id", "f", "--params", &params, "--watch",
    ];
    host.cli(&failed).await;
    let steers = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
    for arguments in [vec!["status", "f"], vec!["watch", "f"], vec!["list"]] {
        for json in [false, true] {
            let mut arguments = arguments.clone();
            arguments.extend(json.then_some("--json"));
            let said = host.cli(&arguments).await;
            assert!(!said.out.contains(steers), "{arguments:?}: {:?}", said.out);
        }
    }
    let shown = host.cli(&["status", "f", "--json"]).await.done();
    let task: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(task["error"]["message"], message);

    let bad = "\u{1b}[31m\u{9b}\u{202e}x";
    for arguments in [
        vec!["serve", "--listen", bad],
        vec!["serve", "--config", bad],
        vec!["serve", "--task-types", bad, "--listen", "127.0.0.1:0"],
        vec!["schedule", bad],
        vec![bad],
        vec!["status", "f", "--url", bad],
        vec!["types", "push", bad],
    ] {
        let home = Home::new();
        let mut command = program();
        command.current_dir(home.path()).args(&arguments);
        let said = Cli::of(command).await;
        assert!(matches!(said.code, Some(1 | 2)), "{arguments:?}: {said:?}");
        // The log colors nothing where there is no terminal.
        assert!(!said.err.contains(steers), "{arguments:?}: {:?}", said.err);
        assert!(said.err.contains("\\u{202e}x"), "{arguments:?}: {said:?}");
    }
}

#[tokio::test]
async fn files_are_read_up_to_a_limit() {
    let home = Home::with(&["hello-task"]);
    let host = home.start().await;
    let folder = home.path().to_str().unwrap();
    let in_folder = format!("@{folder}");
    for (arguments, words) in [
        (vec!["types", "push", "/dev/zero"], "more than 64.0 MiB"),
        (vec!["types", "push", folder], "is a folder"),
        (
            vec!["schedule", "hello", "--params", "@/dev/zero"],
            "more than 64.0 MiB",
        ),
        (
            vec!["schedule", "hello", "--params", &in_folder],
            "is a folder",
        ),
        (vec!["check-config", "/dev/zero"], "more than 1.0 MiB"),
        (vec!["check-config", folder], "is a folder"),
    ] {
        let said = host.cli(&arguments).await;
        assert_eq!(said.code, Some(2), "{arguments:?}: {said:?}");
        assert!(said.err.contains(words), "{arguments:?}: {said:?}");
    }
}

#[tokio::test]
async fn a_line_that_is_too_long_is_rejected_and_the_others_go_on() {
    let home = Home::new();
    let host = home.start().await;
    let long = "x".repeat((16 << 20) + 1);
    // As JSON each of these control characters has six bytes.
    let grows = "\u{1}".repeat(8 << 20);
    let file = home.path().join("long.log");
    std::fs::write(&file, format!("first\n{long}\nthird\n{grows}\nlast\n")).unwrap();
    let said = host.cli(&["ingest", "s", file.to_str().unwrap()]).await;
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(
        said.out.contains("3 documents accepted, 2 rejected"),
        "{said:?}"
    );
    let lines: Vec<&str> = said.err.lines().collect();
    assert_eq!(lines.len(), 2, "{said:?}");
    assert!(
        lines[0].starts_with("line 2: has 16777217 bytes"),
        "{said:?}"
    );
    assert!(lines[1].starts_with("line 4: has "), "{said:?}");
}

#[tokio::test]
async fn an_id_that_was_never_scheduled_is_told_and_a_late_cancel_too() {
    let host = Home::with(&["hello-task"]).start().await;
    for command in ["status", "watch", "cancel", "acknowledge", "log", "delete"] {
        let said = host.cli(&[command, "nothing-here"]).await;
        assert_eq!(said.code, Some(1), "{command}: {said:?}");
        let words = "there is no task `nothing-here` in space `default`";
        assert!(said.err.contains(words), "{command}: {said:?}");
        // Whoever watches sees each status that the host tells.
        let told = if command == "watch" {
            "not_started\n"
        } else {
            ""
        };
        assert_eq!(said.out, told, "{command}: {said:?}");
    }
    let name = r#"{"name":"you"}"#;
    let arguments = [
        "schedule", "hello", "--id", "t", "--params", name, "--watch",
    ];
    host.cli(&arguments).await.done();
    let late = host.cli(&["cancel", "t"]).await.done();
    assert_eq!(late, "t: completed, it had ended already\n");
}

#[tokio::test]
async fn the_latest_log_is_shown_and_a_task_is_deleted() {
    let host = Home::with(&["log-flood", "hello-task"]).start().await;
    host.run("t", "log-flood", json!({"lines": 2, "bytes": 10}))
        .await;
    let log = host.cli(&["log", "t"]).await.done();
    // Each line once through the contract, once on standard output, once on standard error.
    assert_eq!(log.lines().count(), 6, "{log}");
    assert!(log.lines().all(|line| line.contains("xxxxxxxxxx")), "{log}");
    let log = host.cli(&["log", "t", "--json"]).await.done();
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(lines.iter().all(|line| line["at"].is_string()), "{log}");

    host.run("h", "hello", json!({"name": "you"})).await;
    let silent = host.cli(&["log", "h"]).await;
    assert_eq!((silent.code, silent.out.as_str()), (Some(0), ""));
    assert!(silent.err.contains("has logged nothing"), "{silent:?}");

    let deleted = host.cli(&["delete", "t"]).await.done();
    assert_eq!(deleted, "t: deleted\n");
    assert_eq!(host.cli(&["status", "t"]).await.code, Some(1));
}

#[tokio::test]
async fn a_wait_and_a_cancel_are_shown_with_their_time_and_reason() {
    let host = Home::with(&["fails"]).start().await;
    let params = r#"{"code":"c","retryable":true,"retry_after_ms":3600000}"#;
    host.cli(&["schedule", "fails", "--id", "w", "--params", params])
        .await
        .done();
    let waits = host
        .until("w", |task| task["run"]["state"] == "waiting_retry")
        .await;
    let due = waits["run"]["due_at"].as_str().unwrap();
    let shown = host.cli(&["status", "w"]).await.done();
    assert!(shown.contains(due), "{due} in {shown}");
    let list = host.cli(&["list"]).await.done();
    assert!(list.contains(due), "{due} in {list}");
    host.cli(&["cancel", "w", "--reason", "too slow"])
        .await
        .done();
    let shown = host.cli(&["status", "w"]).await.done();
    assert!(shown.contains("by local: too slow"), "{shown}");
}

#[tokio::test]
async fn watch_says_that_the_host_has_gone_and_gives_up() {
    let home = Home::with(&["cooperative"]);
    let host = home.start().await;
    host.cli(&["schedule", "cooperative", "--id", "c"])
        .await
        .done();
    host.moves("c").await;
    let mut command = program();
    command.args(["watch", "c", "--url", &host.url]);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut watching = command.spawn().unwrap();
    let mut lines = BufReader::new(watching.stdout.take().unwrap()).lines();
    let first = lines.next_line().await.unwrap().unwrap();
    assert!(first.starts_with("in_progress"), "{first}");
    host.kill().await;
    let ended = watching.wait_with_output().await.unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(4), "{said}");
    assert!(
        said.starts_with("the host does not answer any more"),
        "{said}"
    );
    assert!(said.contains("cannot reach the host"), "{said}");
}

#[tokio::test]
async fn a_settings_file_is_named_either_way_and_odd_variables_are_told() {
    let home = Home::new();
    let file = home.settings_file();
    for arguments in [vec!["check-config"], vec!["check-config", "--config"]] {
        let mut command = program();
        command.args(arguments).arg(&file);
        command
            .env("TASKHOST_CONFIG", "not-read")
            .env("TASKHOST_SLOTS", "3");
        let said = Cli::of(command).await;
        assert_eq!(said.code, Some(0), "{said:?}");
        let meant = "warning: TASKHOST_SLOTS is no setting and does nothing: did you mean \
                     TASKHOST_RUNS_SLOTS?\n";
        assert_eq!(said.err, meant);
    }
    let mut command = home.serve();
    command.env("TASKHOST_LISTNE", "x");
    let host = Host::of(command).await;
    assert!(
        host.log().contains("did you mean TASKHOST_LISTEN?"),
        "{}",
        host.log()
    );
    host.stop().await;
    let mut command = program();
    command.arg("check-config");
    assert_eq!(Cli::of(command).await.code, Some(2));
}

#[tokio::test]
async fn a_data_folder_that_is_a_file_is_named() {
    let home = Home::new();
    let mut command = program();
    command.args(["serve", "--listen", "127.0.0.1:0", "--data"]);
    command.arg(home.settings_file());
    let said = Cli::of(command).await;
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.err.contains("the data folder"), "{said:?}");
    assert!(!said.err.contains("task-types"), "{said:?}");
}

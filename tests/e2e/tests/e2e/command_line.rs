//! The command line: what it prints, and its exit codes.

use serde_json::{Value, json};
use taskhost_e2e::home::{Home, program};
use taskhost_e2e::host::{Cli, Host};
use taskhost_e2e::places;

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
    let again = host.cli(&["acknowledge", "t"]).await;
    assert_eq!(again.code, Some(1), "{again:?}");
    assert!(again.err.contains("acknowledged"), "{again:?}");

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
    assert!(said.contains("hello"), "{said}");
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
    assert!(matches!(missing.code, Some(1 | 2)), "{missing:?}");
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
        (vec!["ingest", "s", "no-such-file"], 1, "no-such-file"),
    ] {
        let said = host.cli(&arguments).await;
        assert!(said.out.is_empty(), "{said:?}");
        let fits = said.code == Some(code) || (code == 1 && said.code == Some(2));
        assert!(fits && said.err.contains(words), "{arguments:?}: {said:?}");
    }
    let none = host.cli(&["status", "nothing-here"]).await;
    assert!(none.out.contains("not_started") && none.err.contains("there is no task"));
    assert_eq!(none.code, Some(0));
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

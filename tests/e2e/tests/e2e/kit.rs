//! `taskhost test` and `taskhost check`: what an author runs; and checkpoints over a real kill.

use serde_json::{Value, json};
use taskhost_e2e::home::{Home, program};
use taskhost_e2e::host::Cli;
use taskhost_e2e::places;

async fn kit(command: &str, component: &str, arguments: &[&str]) -> Cli {
    let mut program = program();
    program.arg(command).arg(places::component(component));
    program.args(arguments);
    Cli::of(program).await
}

/// One JSON object, as `--json` prints it.
async fn tested(component: &str, arguments: &[&str]) -> (Option<i32>, Value) {
    let arguments = [arguments, &["--json"]].concat();
    let said = kit("test", component, &arguments).await;
    let object = serde_json::from_str(&said.out).unwrap_or_else(|_| panic!("{said:?}"));
    (said.code, object)
}

#[tokio::test]
async fn a_component_is_tested_as_a_host_runs_it() {
    let folder = places::top().join("examples/hello-task/fixtures");
    let said = kit(
        "test",
        "hello-task",
        &["--fixtures", folder.to_str().unwrap()],
    )
    .await;
    assert_eq!(said.code, Some(0), "{said:?}");
    for words in [
        "hello 1.0.0: a host takes it",
        "Hello, you!",
        "calls      1 progress.report",
        "ok: completed, with the result of result.json",
    ] {
        assert!(said.out.contains(words), "{words} in:\n{}", said.out);
    }
    let (code, said) = tested("hello-task", &["--params", r#"{"name":"x"}"#]).await;
    assert_eq!((code, &said["ok"]), (Some(0), &json!(true)), "{said:#}");
    let expected = ["--params", r#"{"name":"x"}"#, "--expect", "failed"];
    let (code, said) = tested("hello-task", &expected).await;
    assert_eq!((code, &said["ok"]), (Some(1), &json!(false)), "{said:#}");
}

#[tokio::test]
async fn a_killed_host_goes_on_at_the_checkpoint() {
    // load, then sleep, save and report in each step: the ninth call is the third save.
    let arguments = [
        "--params",
        r#"{"steps":5,"step_ms":40000}"#,
        "--kill-at",
        "9",
    ];
    let (code, said) = tested("checkpointed", &arguments).await;
    assert_eq!(code, Some(0), "{said:#}");
    let payload = &said["task"]["payload"];
    assert_eq!(payload, &json!({"sum": 15, "found_done": 2}), "{said:#}");
    assert_eq!(said["task"]["run"]["crashes"], 1, "{said:#}");
}

#[tokio::test]
async fn a_call_fails_and_a_cancel_comes_where_it_was_asked() {
    let params = ["--params", r#"{"steps":5}"#];
    let fails = [&params[..], &["--fail", "state.save:3"]].concat();
    let (code, said) = tested("checkpointed", &fails).await;
    assert_eq!(code, Some(0), "{said:#}");
    assert_eq!(said["task"]["run"]["attempt"], 2, "{said:#}");
    assert_eq!(said["task"]["payload"]["found_done"], 2, "{said:#}");
    let canceled = [&params[..], &["--cancel-at", "4"]].concat();
    let (code, said) = tested("checkpointed", &canceled).await;
    assert_eq!(code, Some(0), "{said:#}");
    assert_eq!(said["task"]["status"], "canceled");
    // What is saved goes on working, what reports does not.
    assert_eq!(said["calls"]["progress.report"], 1, "{said:#}");
}

#[tokio::test]
async fn wrong_use_is_told_so() {
    for (arguments, words) in [
        (["--fail", "sample"], "streams.sample:2"),
        (["--fixtures", "/nowhere"], "is no folder"),
        (["--params", "{"], "is no JSON"),
    ] {
        let said = kit("test", "hello-task", &arguments).await;
        assert_eq!(said.code, Some(2), "{said:?}");
        assert!(said.err.contains(words), "{words} in:\n{}", said.err);
    }
}

#[tokio::test]
async fn a_component_is_checked_as_a_host_would() {
    let said = kit("check", "hello-task", &[]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    for words in [
        "hello 1.0.0: a host takes it",
        "memory_mib",
        "taskhost:task/progress@",
    ] {
        assert!(said.out.contains(words), "{words} in:\n{}", said.out);
    }
    assert!(
        said.out.contains("contract   taskhost:task@1.0.0"),
        "{said:?}"
    );
    assert!(said.out.contains("params     {name: string}"), "{said:?}");
    let mut program = program();
    program.arg("check").arg(places::top().join("README.md"));
    let said = Cli::of(program).await;
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(
        said.err.contains("WebAssembly") || said.err.contains("component"),
        "{said:?}"
    );
}

#[tokio::test]
async fn what_is_refused_is_told_with_what_its_file_says() {
    let said = kit("check", "bad-descriptor", &[]).await;
    assert_eq!(said.code, Some(1), "{said:?}");
    for words in [
        "  size       ",
        "contract   taskhost:task@1.0.0",
        "imports    ",
    ] {
        assert!(said.out.contains(words), "{words} in:\n{}", said.out);
    }
    assert!(!said.err.is_empty(), "{said:?}");
}

#[tokio::test]
async fn what_waits_for_approval_is_told_with_the_setting_to_paste() {
    let said = kit("check", "http-digest", &[]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    for words in [
        "it waits for an operator's approval: it wants ",
        "    [[allow]]\n    type = \"http-digest\"\n",
    ] {
        assert!(said.out.contains(words), "{words} in:\n{}", said.out);
    }
    // Pasted, it does what it says.
    let setting: Vec<&str> = said
        .out
        .lines()
        .filter_map(|line| line.strip_prefix("    "))
        .collect();
    let folder = tempfile::tempdir_in(places::scratch()).unwrap();
    let file = folder.path().join("host.toml");
    std::fs::write(&file, setting.join("\n")).unwrap();
    let said = kit(
        "check",
        "http-digest",
        &["--config", file.to_str().unwrap()],
    )
    .await;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(!said.out.contains("waits for an operator"), "{said:?}");
}

#[tokio::test]
async fn a_name_that_no_crate_can_have_and_a_link_to_nowhere_are_refused() {
    let folder = tempfile::tempdir_in(places::scratch()).unwrap();
    std::os::unix::fs::symlink("nowhere", folder.path().join("dangling")).unwrap();
    for (name, words) in [
        (
            "taskhost-sdk",
            "`taskhost-sdk` cannot be the name: a crate has it",
        ),
        ("async", "it is a word of the language Rust"),
        ("dangling", "dangling exists already"),
    ] {
        let mut program = program();
        program.arg("new").arg(name).current_dir(folder.path());
        let said = Cli::of(program).await;
        assert_eq!(said.code, Some(2), "{said:?}");
        assert!(said.err.contains(words), "{words} in:\n{}", said.err);
    }
}

#[tokio::test]
async fn a_checkpointed_task_survives_kill_9() {
    let home = Home::with(&["checkpointed"]);
    let host = home.start().await;
    let params = json!({"steps": 30, "step_ms": 100});
    host.schedule("t", "checkpointed", params).await;
    host.until("t", |task| task["progress"]["done"].as_u64() >= Some(5))
        .await;
    host.kill().await;
    let host = home.start().await;
    let done = host.reaches("t", "completed").await;
    assert_eq!(done["payload"]["sum"], 465, "{done:#}");
    assert!(
        done["payload"]["found_done"].as_u64() >= Some(5),
        "{done:#}"
    );
}

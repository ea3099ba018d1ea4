//! `taskhost test`: what it does to a task's calls really happens, and its time is virtual.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use taskhost_e2e::home::program;
use taskhost_e2e::host::Cli;
use taskhost_e2e::places;

/// What none of these tests takes, and what is waited for in each of them.
const LONG: Duration = Duration::from_secs(30);

async fn cli(component: &str, params: &Value, arguments: &[&str]) -> Cli {
    let mut program = program();
    program.arg("test").arg(places::component(component));
    program.arg("--params").arg(params.to_string());
    program.args(arguments);
    Cli::of(program).await
}

/// What `--json` prints.
async fn tested(component: &str, params: Value, arguments: &[&str]) -> Value {
    let arguments = [arguments, &["--json"]].concat();
    let said = cli(component, &params, &arguments).await;
    serde_json::from_str(&said.out).unwrap_or_else(|_| panic!("{said:?}"))
}

/// The same, and it took no time.
async fn at_once(component: &str, params: Value, arguments: &[&str]) -> Value {
    let began = Instant::now();
    let said = tested(component, params, arguments).await;
    assert_eq!(said["ok"], true, "{said:#}");
    assert!(began.elapsed() < LONG, "{:?}: {said:#}", began.elapsed());
    said
}

#[tokio::test]
async fn what_never_happens_fails_the_test() {
    let params = json!({"name": "x"});
    for (arguments, words) in [
        (
            ["--kill-at", "500"],
            "call 500 was never reached: the test had 1 call, and nobody killed the host",
        ),
        (
            ["--cancel-at", "2"],
            "call 2 was never reached: the test had 1 call, and nobody canceled the task",
        ),
        (
            ["--fail", "progress.report:3"],
            "call 3 of progress.report was never reached, and did not fail: the test had 1 call",
        ),
    ] {
        let said = cli("hello-task", &params, &arguments).await;
        assert_eq!(said.code, Some(1), "{said:?}");
        assert!(said.out.contains(words), "{words} in:\n{}", said.out);
    }
    let said = cli("hello-task", &params, &["--fail", "streams.samlpe:3"]).await;
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(
        said.err.contains("did you mean `streams.sample`?"),
        "{said:?}"
    );
}

#[tokio::test]
async fn each_call_is_told_with_its_number_and_answer() {
    let arguments = ["--trace", "--fail", "state.save:1"];
    let said = tested("checkpointed", json!({"steps": 2}), &arguments).await;
    assert_eq!(said["ok"], true, "{said:#}");
    let trace = said["trace"].as_array().unwrap();
    let numbers: Vec<u64> = trace
        .iter()
        .map(|call| call["number"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, (1..=trace.len() as u64).collect::<Vec<_>>());
    let saves: Vec<&Value> = trace
        .iter()
        .filter(|call| call["name"] == "state.save")
        .collect();
    let answer = saves[0]["answer"].as_str().unwrap();
    assert!(
        answer.starts_with("unavailable: this test lets call 1"),
        "{said:#}"
    );
    assert_eq!(saves[1]["answer"], "ok", "{said:#}");
    let said = cli("hello-task", &json!({"name": "x"}), &["--trace"]).await;
    assert!(
        said.out.contains("call 1     progress.report: ok"),
        "{said:?}"
    );
}

#[tokio::test]
async fn sleeps_of_both_kinds_move_every_clock_and_take_no_time() {
    let said = at_once("naps", json!({"ms": 200_000}), &[]).await;
    let payload = &said["task"]["payload"];
    for clock in ["monotonic_ms", "wall_ms", "remaining_less_ms"] {
        let shown = payload[clock].as_u64().unwrap();
        assert!((200_000..230_000).contains(&shown), "{clock}: {said:#}");
    }
    let said = at_once("sleeper", json!({"ms": 200_000}), &[]).await;
    assert!(
        said["task"]["payload"]["slept_ms"].as_u64() >= Some(200_000),
        "{said:#}"
    );
    assert!(said["slept_ms"].as_u64() >= Some(190_000), "{said:#}");
}

#[tokio::test]
async fn a_deadline_comes_in_virtual_time() {
    // Its limit is the usual one, 300 s.
    for guest in ["sleeper", "naps"] {
        let arguments = ["--expect", "failed"];
        let said = at_once(guest, json!({"ms": 3_600_000}), &arguments).await;
        assert_eq!(said["task"]["error"]["kind"], "deadline", "{said:#}");
    }
}

#[tokio::test]
async fn pauses_between_attempts_take_no_time() {
    let params = json!({"code": "x", "retryable": true, "retry_after_ms": 60_000,
        "succeed_on_attempt": 3});
    let said = at_once("fails", params, &[]).await;
    assert_eq!(said["task"]["payload"]["attempt"], 3, "{said:#}");
    assert!(said["slept_ms"].as_u64() >= Some(115_000), "{said:#}");
}

#[tokio::test]
async fn children_sleep_at_the_same_time_and_their_parent_waits_for_them() {
    let params = json!({"from": 0, "to": 10, "parts": 4, "part_ms": 60_000});
    let said = at_once("fan-out", params, &[]).await;
    assert_eq!(said["task"]["payload"]["sum"], 45, "{said:#}");
    let slept = said["slept_ms"].as_u64().unwrap();
    assert!((50_000..150_000).contains(&slept), "{said:#}");
    // Nobody ends the child: the wait is over in time.
    let spawn = json!({"spawn": {"key": "a", "task_type": "sleeper", "params": {"ms": 250_000}}});
    let steps = json!([spawn, {"wait": {"ids": ["a"], "ms": 60_000}}, {"cancel": "a"}]);
    let sleeper = places::component("sleeper");
    let also = ["--also", sleeper.to_str().unwrap()];
    let said = at_once("parent", json!({"steps": steps}), &also).await;
    assert_eq!(
        said["task"]["payload"]["answers"][1],
        Value::Null,
        "{said:#}"
    );
}

//! What a run reaches: what it was granted, and nothing else.

use serde_json::{Value, json};
use taskhost_model::error::ErrorKind;
use taskhost_model::task::LogLevel;

use crate::bench::{MIB, TestRun, completed, failed, guest, load, run_guest, runtime};
use crate::wat;

#[tokio::test]
async fn nothing_outside_is_granted() {
    let (exit, _) = run_guest("opens-things", "{}").await;
    let got = completed(&exit);
    for (what, outcome) in got.as_object().unwrap() {
        let is_refused = match outcome {
            Value::String(text) => text.starts_with("refused") || what == "current_folder",
            number => *number == json!(0),
        };
        assert!(is_refused, "{what}: {outcome}");
    }
}

#[tokio::test]
async fn its_stream_answers_every_question() {
    let params = r#"{"request":{"from":0,"to":100,"size":3,"seed":1}}"#;
    let (exit, _) = run_guest("streams-reader", params).await;
    let got = completed(&exit);
    assert_eq!(got["describe"]["documents"], json!(10), "{got}");
    assert_eq!(got["count"], json!({"value": 10, "relation": "eq"}));
    assert_eq!(got["sample"]["documents"].as_array().unwrap().len(), 3);
    assert_eq!(
        got["sample_many"][0]["documents"],
        got["sample"]["documents"]
    );
    assert_eq!(got["search"]["documents"][0]["message"], json!("line 9"));
    assert!(got["search"]["next"].is_string());
    assert_eq!(got["field_stats"]["documents"], json!(3));
    assert_eq!(exit.usage.host_calls, 7);
}

#[tokio::test]
async fn another_stream_is_denied() {
    let params = r#"{"request":{"from":0,"to":100},"stream":"logs.other"}"#;
    let (exit, _) = run_guest("streams-reader", params).await;
    for (call, answer) in completed(&exit).as_object().unwrap() {
        assert_eq!(answer["error"]["code"], json!("denied"), "{call}");
    }
}

#[tokio::test]
async fn a_wrong_request_is_invalid() {
    let (exit, _) = run_guest("streams-reader", r#"{"request":{"from":5,"to":1}}"#).await;
    let got = completed(&exit);
    let error = &got["count"]["error"];
    assert_eq!(error["code"], json!("invalid"));
    assert_eq!(error["details"]["errors"][0]["field"], json!("from"));
    assert_eq!(got["sample_many"][1]["error"]["code"], json!("invalid"));
}

#[tokio::test]
async fn collections_keep_what_is_stored() {
    let (exit, _) = run_guest("documents-roundtrip", "{}").await;
    let expected = json!({
        "again": "conflict",
        "outdated": "conflict",
        "applied": ["ok", "ok", "ok", "ok", "ok", "not-found", "conflict"],
        "even": [["b0", "b2"], ["b4"]],
        "read": [true, {"n": 2}],
        "gone": true,
    });
    assert_eq!(completed(&exit), expected);
}

#[tokio::test]
async fn hostile_calls_are_answered() {
    let runtime = runtime();
    let component = guest(&runtime, "hostile-calls").await;
    let run = TestRun::with_memory(256 * MIB).await;
    let exit = run.run(&runtime, &component, "{}").await;
    let got = completed(&exit);
    let expected = [
        ("count no JSON", "invalid"),
        ("count huge cursor", "too-large"),
        ("sample deep condition", "too-large"),
        ("search lone surrogate", "invalid"),
        ("sample-many many", "too-large"),
        ("describe stream `an-other`", "denied"),
        ("open `features`", "denied"),
        ("open with []", "invalid"),
        ("open ten thousand", "too-large"),
        ("apply beyond 64 bits", "invalid"),
        ("apply dense", "ok"),
        ("count infinite seed", "invalid"),
        ("count negative size", "invalid"),
        ("query none", "invalid"),
        ("query all", "invalid"),
        ("query with a made-up cursor", "invalid"),
        ("query deep", "too-large"),
        ("get with a huge id", "invalid"),
        ("apply without id", "invalid"),
        ("apply infinite", "invalid"),
        ("apply lone surrogate", "invalid"),
        ("apply deep", "invalid"),
        ("apply huge", "too-large"),
        ("apply many", "too-large"),
        ("apply nothing", "ok"),
        ("progress huge message", "ok"),
    ];
    for (call, code) in expected {
        assert_eq!(got[call], json!(code), "{call} in {got:#}");
    }
    let said = run.said.progress();
    assert!(said.iter().all(|progress| progress.message.len() <= 1024));
    assert!(
        run.said
            .log()
            .iter()
            .all(|line| line.message.len() <= 8 * 1024)
    );
}

#[tokio::test]
async fn handles_that_are_none_trap() {
    for what in ["dropped", "forged"] {
        let (exit, _) = run_guest("hostile-calls", &json!({"what": what}).to_string()).await;
        assert_eq!(failed(&exit).kind, ErrorKind::Trap, "{what}");
    }
}

/// The same pollable may stand in a list many times, and the host keeps the list.
#[tokio::test]
async fn no_more_pollables_are_waited_for_than_there_can_be() {
    let runtime = runtime();
    let polls = |count: u32| {
        format!(
            "(local $at i32) (local $pollable i32)
             (local.set $pollable (call $subscribe (i64.const 1000000)))
             (local.set $at (i32.const 32768))
             (loop $next
                 (i32.store (local.get $at) (local.get $pollable))
                 (local.set $at (i32.add (local.get $at) (i32.const 4)))
                 (br_if $next (i32.lt_u (local.get $at) (i32.const {}))))
             (call $poll (i32.const 32768) (i32.const {count}) (i32.const 64)) {}",
            32_768 + 4 * count,
            wat::COMPLETES
        )
    };
    let component = load(&runtime, wat::runs("", &polls(1024))).await;
    let exit = TestRun::new().await.run(&runtime, &component, "{}").await;
    assert_eq!(completed(&exit), json!({}));
    let component = load(&runtime, wat::runs("", &polls(1025))).await;
    let exit = TestRun::new().await.run(&runtime, &component, "{}").await;
    let error = failed(&exit);
    assert_eq!(error.kind, ErrorKind::Trap, "{error:?}");
    assert!(error.message.contains("at most 1024"), "{}", error.message);
}

#[tokio::test]
async fn outputs_go_into_the_log() {
    let (exit, run) = run_guest("log-flood", r#"{"lines":2,"bytes":3}"#).await;
    assert_eq!(completed(&exit), json!({"lines": 2}));
    let log = run.said.log();
    let lines: Vec<_> = log
        .iter()
        .map(|line| (line.level, line.message.as_str()))
        .collect();
    let [info, warn] = [(LogLevel::Info, "xxx"), (LogLevel::Warn, "xxx")];
    assert_eq!(lines, [info, info, warn, info, info, warn]);
    assert_eq!(log[1].fields, Some(json!({"source": "stdout"})));
}

#[tokio::test]
async fn a_flood_of_lines_is_bounded_and_counted() {
    let (exit, run) = run_guest("log-flood", r#"{"lines":500,"bytes":20000}"#).await;
    assert_eq!(completed(&exit), json!({"lines": 500}));
    let log = run.said.log();
    let bytes: usize = log
        .iter()
        .map(|line| serde_json::to_string(line).unwrap().len() + 1)
        .sum();
    assert!(bytes as u64 <= MIB, "{bytes}");
    let last = log.last().unwrap();
    let dropped = 1500 - (log.len() - 1);
    assert!(
        last.message
            .starts_with(&format!("{dropped} more lines were dropped")),
        "{last:?}"
    );
}

//! Every way in which a run ends by itself.

use std::time::Duration;

use serde_json::json;
use taskhost_model::error::ErrorKind;
use taskhost_runtime::ExitOutcome;

use crate::bench::{MIB, TestRun, completed, failed, guest, load, run_guest, runtime};
use crate::wat;

#[tokio::test]
async fn a_result_completes() {
    let runtime = runtime();
    let echo = wat::runs("", "(call $ok (local.get $params) (local.get $length))");
    let component = load(&runtime, echo).await;
    let run = TestRun::new().await;
    let exit = run.run(&runtime, &component, r#"{"a":[1,"ä"]}"#).await;
    assert_eq!(completed(&exit), json!({"a": [1, "ä"]}));
    assert_eq!(exit.usage.peak_memory_bytes, 64 * 1024);
}

#[tokio::test]
async fn each_run_has_a_memory_of_its_own() {
    let runtime = runtime();
    let component = guest(&runtime, "counter").await;
    for _ in 0..3 {
        let exit = TestRun::new().await.run(&runtime, &component, "{}").await;
        assert_eq!(completed(&exit), json!({"runs": 1}));
        assert!(exit.usage.peak_memory_bytes > MIB / 2, "{:?}", exit.usage);
    }
}

#[tokio::test]
async fn errors_of_its_own_are_passed_on() {
    let params = r#"{"code":"no-data","message":"nothing there","retryable":true,
        "retry_after_ms":1500,"details":{"a":1},"succeed_on_attempt":2}"#;
    let (exit, _) = run_guest("fails", params).await;
    let error = failed(&exit);
    assert_eq!(
        (error.kind, error.code.as_str()),
        (ErrorKind::Task, "no-data")
    );
    assert_eq!(
        (error.message.as_str(), error.retryable),
        ("nothing there", true)
    );
    assert_eq!(error.details, Some(json!({"a": 1})));
    let ExitOutcome::Failed { retry_after, .. } = exit.outcome else {
        unreachable!()
    };
    assert_eq!(retry_after, Some(Duration::from_millis(1500)));
}

#[tokio::test]
async fn computing_too_long_is_out_of_cpu() {
    let runtime = runtime();
    let component = guest(&runtime, "endless-loop").await;
    let mut run = TestRun::new().await;
    run.limits.cpu = Duration::from_millis(50);
    let exit = run.run(&runtime, &component, "{}").await;
    assert_eq!(failed(&exit).kind, ErrorKind::OutOfCpu);
    assert!(
        failed(&exit).message.contains("50 ms"),
        "{:?}",
        failed(&exit)
    );
    // One tick late at most, by the guest's own clock, and what the machine adds.
    assert!((50..100).contains(&exit.usage.cpu_ms), "{:?}", exit.usage);
}

#[tokio::test]
async fn allocating_without_end_is_out_of_memory() {
    let (exit, run) = run_guest("memory-bomb", "{}").await;
    let error = failed(&exit);
    assert_eq!(error.kind, ErrorKind::OutOfMemory, "{error:?}");
    assert!(error.message.contains("64 MiB") && error.message.contains("memory_mib"));
    let peak = exit.usage.peak_memory_bytes;
    assert!(peak > 32 * MIB && peak <= run.limits.memory_bytes, "{peak}");
}

#[tokio::test]
async fn tables_count_as_memory() {
    let runtime = runtime();
    let fields = "(table $t 1 100000 funcref)";
    let body = format!(
        "(table.grow $t (ref.null func) (i32.const 60000)) (i32.const -1) (i32.eq)
         (if (then unreachable)) {}",
        wat::COMPLETES
    );
    let component = load(&runtime, wat::runs(fields, &body)).await;
    let exit = TestRun::with_memory(MIB)
        .await
        .run(&runtime, &component, "{}")
        .await;
    assert_eq!(completed(&exit), json!({}));
    assert!(exit.usage.peak_memory_bytes > 900_000, "{:?}", exit.usage);
    let exit = TestRun::with_memory(MIB / 2)
        .await
        .run(&runtime, &component, "{}")
        .await;
    assert_eq!(failed(&exit).kind, ErrorKind::OutOfMemory);
}

#[tokio::test]
async fn a_run_that_does_without_more_memory_completes() {
    let runtime = runtime();
    let body = format!("(drop (memory.grow (i32.const 60000))) {}", wat::COMPLETES);
    let component = load(&runtime, wat::runs("", &body)).await;
    let exit = TestRun::new().await.run(&runtime, &component, "{}").await;
    assert_eq!(completed(&exit), json!({}));
}

#[tokio::test]
async fn a_trap_tells_where_and_what_came_before() {
    let (exit, _) = run_guest("panic", r#"{"message":"oh"}"#).await;
    let report = failed(&exit).details.clone().unwrap();
    let lines = report["log"].as_array().unwrap();
    assert!(lines.len() <= 5, "{report}");
    let says = |line: &serde_json::Value| line.as_str().unwrap().contains("oh");
    assert!(lines.iter().any(says), "{report}");

    let runtime = runtime();
    let body = "(call $sleep (i64.const 0) (i32.const 64)) unreachable";
    let component = load(&runtime, wat::runs("", body)).await;
    let exit = TestRun::new().await.run(&runtime, &component, "{}").await;
    let report = failed(&exit).details.clone().unwrap();
    assert_eq!(report["last_call"], "context.sleep");
    assert_eq!(report["frames"][0], "its_run", "{report}");
}

#[tokio::test]
async fn traps_say_what_happened() {
    let (exit, run) = run_guest("panic", r#"{"message":"the disk of my dreams"}"#).await;
    let error = failed(&exit);
    assert_eq!(error.kind, ErrorKind::Trap);
    assert!(
        error
            .message
            .contains("panicked: the disk of my dreams at "),
        "{error:?}"
    );
    assert!(
        run.said
            .log()
            .iter()
            .any(|line| line.message.contains("the disk of my dreams"))
    );

    let (exit, _) = run_guest("trap", "{}").await;
    assert_eq!(failed(&exit).kind, ErrorKind::Trap);
    assert!(
        failed(&exit).message.contains("unreachable"),
        "{:?}",
        failed(&exit)
    );

    let (exit, _) = run_guest("deep-recursion", "{}").await;
    assert_eq!(failed(&exit).kind, ErrorKind::Trap);
}

#[tokio::test]
async fn calls_nested_too_deeply_trap() {
    let runtime = runtime();
    let fields = "(func $deeper (param i64) (result i64)
        (i64.add (call $deeper (i64.add (local.get 0) (i64.const 1))) (i64.const 1)))";
    let body = format!("(drop (call $deeper (i64.const 0))) {}", wat::COMPLETES);
    let component = load(&runtime, wat::runs(fields, &body)).await;
    let exit = TestRun::new().await.run(&runtime, &component, "{}").await;
    assert!(
        failed(&exit).message.contains("nested too deeply"),
        "{:?}",
        failed(&exit)
    );
}

#[tokio::test]
async fn what_is_no_result_is_refused() {
    let cases = [
        ("not-json", "{}", "is not JSON"),
        ("big-result", r#"{"kib":1024}"#, "at most 1048576"),
        ("big-result", r#"{"kib":8000}"#, "at most 1048576"),
        ("deep-json", "{}", "deeper than 64 levels"),
    ];
    for (name, params, words) in cases {
        let (exit, _) = run_guest(name, params).await;
        assert_eq!(failed(&exit).kind, ErrorKind::InvalidResult, "{name}");
        assert!(
            failed(&exit).message.contains(words),
            "{name}: {:?}",
            failed(&exit)
        );
    }
    let (exit, _) = run_guest("big-result", r#"{"kib":1000}"#).await;
    assert!(
        matches!(exit.outcome, ExitOutcome::Completed(_)),
        "{:?}",
        exit.outcome
    );
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_is_no_result() {
    let runtime = runtime();
    let large = "(drop (memory.grow (i32.const 500)))
        (call $ok (i32.const 1024) (i32.const 26000000))";
    for (body, words) in [
        (
            "(i32.store8 (i32.const 600) (i32.const 255)) (call $ok (i32.const 600) (i32.const 1))",
            "utf-8",
        ),
        ("(call $ok (i32.const -8) (i32.const 100))", "out of bounds"),
        (large, "more than 24 MiB"),
    ] {
        let component = load(&runtime, wat::runs("", body)).await;
        let exit = TestRun::new().await.run(&runtime, &component, "{}").await;
        assert_eq!(
            failed(&exit).kind,
            ErrorKind::InvalidResult,
            "{:?}",
            failed(&exit)
        );
        assert!(failed(&exit).message.contains(words), "{:?}", failed(&exit));
    }
}

#[tokio::test]
async fn arguments_that_cannot_be_read_end_the_run() {
    let runtime = runtime();
    let log = |at: i32, length: i32| {
        format!(
            "(drop (memory.grow (i32.const 500)))
             (call $log (i32.const 2) (i32.const {at}) (i32.const {length})
                 (i32.const 0) (i32.const 0) (i32.const 0))
             {}",
            wat::COMPLETES
        )
    };
    for (body, kind, words) in [
        (log(-8, 100), ErrorKind::Trap, "out of bounds"),
        (
            log(1024, 26_000_000),
            ErrorKind::OutOfMemory,
            "more than 24 MiB",
        ),
    ] {
        let component = load(&runtime, wat::runs("", &body)).await;
        let exit = TestRun::new().await.run(&runtime, &component, "{}").await;
        assert_eq!(failed(&exit).kind, kind, "{:?}", failed(&exit));
        assert!(failed(&exit).message.contains(words), "{:?}", failed(&exit));
    }
}

#[tokio::test]
async fn what_goes_wrong_before_the_first_function_is_the_components_fault() {
    let runtime = runtime();
    let fields = "(start $start) (func $start (call $log (i32.const 2) (i32.const -8)
        (i32.const 100) (i32.const 0) (i32.const 0) (i32.const 0)))";
    let component = load(&runtime, wat::runs(fields, wat::COMPLETES)).await;
    let exit = TestRun::new().await.run(&runtime, &component, "{}").await;
    assert_eq!(failed(&exit).kind, ErrorKind::Trap, "{:?}", failed(&exit));
    let described = runtime.describe(&component).await.unwrap_err();
    assert_eq!(described.0.kind, ErrorKind::Trap, "{described:?}");
}

#[tokio::test]
async fn limits_hold_before_the_first_function() {
    let runtime = runtime();
    let fields = "(start $start) (func $start (loop (br 0)))";
    let component = load(&runtime, wat::runs(fields, wat::COMPLETES)).await;
    let mut run = TestRun::new().await;
    run.limits.cpu = Duration::from_millis(20);
    let exit = run.run(&runtime, &component, "{}").await;
    assert_eq!(failed(&exit).kind, ErrorKind::OutOfCpu);

    let component = load(&runtime, wat::runs("(memory $more 100)", wat::COMPLETES)).await;
    let exit = TestRun::with_memory(MIB)
        .await
        .run(&runtime, &component, "{}")
        .await;
    assert_eq!(failed(&exit).kind, ErrorKind::OutOfMemory);
    let exit = TestRun::new().await.run(&runtime, &component, "{}").await;
    assert_eq!(completed(&exit), json!({}));
}

#[tokio::test]
async fn a_panic_of_the_host_ends_one_run() {
    let runtime = runtime();
    let component = load(&runtime, wat::runs("", wat::COMPLETES)).await;
    let run = TestRun::new().await;
    let request = run.request_with("{}", || panic!("the host's own mistake"));
    let exit = runtime.run(&component, request).await;
    assert_eq!(failed(&exit).kind, ErrorKind::Internal);
    assert!(failed(&exit).message.contains("the host's own mistake"));
    let exit = TestRun::new().await.run(&runtime, &component, "{}").await;
    assert_eq!(completed(&exit), json!({}));
}

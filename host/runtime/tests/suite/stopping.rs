//! Asking a run to stop, and ending it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use taskhost_clients::stop::StopReason;
use taskhost_model::ids::{DocumentId, Label, Space, StreamName};
use taskhost_runtime::{ExitOutcome, RunExit, Runtime};
use taskhost_store::documents::Scope;

use crate::bench::{STREAM, TestRun, completed, failed, guest, load, runtime};
use crate::wat;

/// Far more than the promise, which is observed elsewhere: a test machine has other things to do.
const SOON: Duration = Duration::from_secs(3);

async fn stopped_while_running(
    runtime: &Runtime,
    name: &str,
    params: &str,
    run: &TestRun,
) -> (RunExit, Duration) {
    let component = guest(runtime, name).await;
    let running = run.run(runtime, &component, params);
    let stopping = async {
        run.said.until_progress().await;
        let asked_at = Instant::now();
        run.stop.ask(StopReason::User);
        asked_at
    };
    let (exit, asked_at) = tokio::join!(running, stopping);
    (exit, asked_at.elapsed())
}

#[tokio::test]
async fn whatever_it_does_it_is_ended_after_its_grace() {
    let runtime = runtime();
    for how in ["spin", "report", "sleep"] {
        let run = TestRun::new().await;
        let params = json!({"how": how}).to_string();
        let (exit, took) = stopped_while_running(&runtime, "ignores-cancel", &params, &run).await;
        assert_eq!(
            exit.outcome,
            ExitOutcome::Stopped(StopReason::User),
            "{how}"
        );
        // The host takes what timers are late off it, and is seldom early by some of that.
        let least = run.limits.grace - Duration::from_millis(1);
        assert!((least..least + SOON).contains(&took), "{how} {took:?}");
        println!("{how}: gone {took:?} after it was asked");
    }
}

#[tokio::test]
async fn a_cooperative_one_leaves_things_in_order() {
    let runtime = runtime();
    let mut run = TestRun::new().await;
    run.limits.grace = Duration::from_secs(60);
    let (exit, took) = stopped_while_running(&runtime, "cooperative", "{}", &run).await;
    assert_eq!(exit.outcome, ExitOutcome::Stopped(StopReason::User));
    assert!(took < SOON, "{took:?}");
    let scope = Scope {
        space: Space::parse("default").unwrap(),
        stream: Some(StreamName::parse(STREAM).unwrap()),
        label: Label::parse("cooperative").unwrap(),
    };
    let id = DocumentId::parse("last").unwrap();
    let saved = run
        .stores
        .documents
        .get(&scope, &id)
        .await
        .unwrap()
        .unwrap();
    assert!(saved.body.contains(r#""reason":"user""#), "{}", saved.body);
}

#[tokio::test]
async fn an_interrupt_waits_for_nothing() {
    let runtime = runtime();
    let spin = load(&runtime, wat::runs("", "(loop (br 0)) unreachable")).await;
    let park = format!(
        "(call $sleep (i64.const 100000000) (i32.const 16)) {}",
        wat::COMPLETES
    );
    let park = load(&runtime, wat::runs("", &park)).await;
    for (name, component) in [("spinning", spin), ("parked", park)] {
        let mut run = TestRun::new().await;
        run.limits.grace = Duration::from_secs(600);
        let started = Arc::new(tokio::sync::Notify::new());
        let note = Arc::clone(&started);
        let request = run.request_with("{}", move || note.notify_one());
        let running = runtime.run(&component, request);
        let interrupting = async {
            started.notified().await;
            let now = Instant::now();
            run.stop.ask(StopReason::Drain);
            run.stop.interrupt();
            now
        };
        let (exit, interrupted_at) = tokio::join!(running, interrupting);
        let took = interrupted_at.elapsed();
        assert_eq!(
            exit.outcome,
            ExitOutcome::Stopped(StopReason::Drain),
            "{name}"
        );
        assert!(took < SOON, "{name} {took:?}");
        println!("{name}: gone {took:?} after the interrupt");
    }
}

#[tokio::test]
async fn one_that_lost_its_lease_has_no_grace() {
    let runtime = runtime();
    let component = guest(&runtime, "endless-loop").await;
    let mut run = TestRun::new().await;
    run.limits.grace = Duration::from_secs(600);
    let stop = run.stop.clone();
    let request = run.request_with("{}", move || stop.ask(StopReason::Fenced));
    let exit = runtime.run(&component, request).await;
    assert_eq!(exit.outcome, ExitOutcome::Stopped(StopReason::Fenced));
}

#[tokio::test]
async fn at_its_deadline_it_is_told_so() {
    let runtime = runtime();
    let component = guest(&runtime, "sleeper").await;
    let mut run = TestRun::new().await;
    run.limits.wall = Duration::from_millis(50);
    run.limits.grace = Duration::from_secs(600);
    let exit = run.run(&runtime, &component, r#"{"ms":100000000}"#).await;
    assert_eq!(exit.outcome, ExitOutcome::Stopped(StopReason::Deadline));

    let component = guest(&runtime, "endless-loop").await;
    let mut run = TestRun::new().await;
    run.limits.wall = Duration::from_millis(50);
    run.limits.grace = Duration::from_millis(20);
    let exit = run.run(&runtime, &component, "{}").await;
    assert_eq!(exit.outcome, ExitOutcome::Stopped(StopReason::Deadline));
}

#[tokio::test]
async fn told_it_has_no_result() {
    let runtime = runtime();
    // Asks until it is told, and returns a fine result.
    let body = format!(
        "(loop (br_if 0 (i32.eqz (call $cancel_requested)))) {}",
        wat::COMPLETES
    );
    let component = load(&runtime, wat::runs("", &body)).await;
    let mut run = TestRun::new().await;
    run.limits.grace = Duration::from_secs(600);
    let stop = run.stop.clone();
    let request = run.request_with("{}", move || stop.ask(StopReason::User));
    let exit = runtime.run(&component, request).await;
    assert_eq!(exit.outcome, ExitOutcome::Stopped(StopReason::User));
}

#[tokio::test]
async fn never_told_it_completes() {
    let runtime = runtime();
    let component = load(&runtime, wat::runs("", wat::COMPLETES)).await;
    let mut run = TestRun::new().await;
    run.limits.grace = Duration::from_secs(600);
    let stop = run.stop.clone();
    let request = run.request_with("{}", move || stop.ask(StopReason::User));
    let exit = runtime.run(&component, request).await;
    assert_eq!(completed(&exit), json!({}));

    // Nor does a trap become a stop.
    let component = guest(&runtime, "trap").await;
    let run = TestRun::new().await;
    let stop = run.stop.clone();
    let request = run.request_with("{}", move || stop.ask(StopReason::User));
    let exit = runtime.run(&component, request).await;
    assert!(failed(&exit).message.contains("unreachable"));
}

#[tokio::test]
async fn asked_before_it_begins_it_never_does() {
    let runtime = runtime();
    let component = load(&runtime, wat::runs("", wat::COMPLETES)).await;
    let run = TestRun::new().await;
    run.stop.ask(StopReason::User);
    let request = run.request_with("{}", || panic!("the guest is entered"));
    let exit = runtime.run(&component, request).await;
    assert_eq!(exit.outcome, ExitOutcome::Stopped(StopReason::User));
}

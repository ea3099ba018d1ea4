//! A host that is asked to stop (SIGTERM) while it has its hands full.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use taskhost_e2e::home::Home;
use taskhost_e2e::host::Host;

/// Of runs that end when they are asked to, and as many of those that do not.
const HALF: usize = 25;
/// Of those that do not heed it, so many compute; the others wait for a clock of their own.
const SPINNING: usize = 3;
/// What waits for a slot meanwhile.
const QUEUED: usize = 20;
const GRACE: Duration = Duration::from_secs(2);
/// Of the runs. It is longer than all of them take to begin, and than the grace.
const RUN_MS: u64 = 8_000;
/// What the host may take beyond the grace, on a machine that does other things too. (Promised is
/// 1 s.)
const BEYOND_GRACE: Duration = Duration::from_secs(8);

/// A run by its number.
fn run(n: usize) -> (String, &'static str, Value) {
    let id = format!("run-{n}");
    match n {
        _ if n < HALF => (id, "sleeper", json!({"ms": RUN_MS})),
        _ if n < 2 * HALF - SPINNING => (id, "naps", json!({"ms": RUN_MS})),
        _ => (id, "ignores-cancel", json!({"how": "spin"})),
    }
}

/// T19: claims stop at once, every run is handed back and not counted as an attempt, the host is
/// gone when its grace is over, and after a restart each ends once.
#[tokio::test]
async fn fifty_runs_at_work_are_handed_back_and_end_once() {
    let home = Home::with(&["sleeper", "naps", "ignores-cancel", "hello-task"]);
    home.settings(&format!(
        "runs.slots = {}\nshutdown_grace_s = {}\n",
        2 * HALF,
        GRACE.as_secs()
    ));
    let host = home.start().await;
    for n in 0..2 * HALF {
        let (id, type_id, params) = run(n);
        host.schedule(&id, type_id, params).await;
    }
    for n in 0..QUEUED {
        let id = format!("queued-{n}");
        host.schedule(&id, "hello", json!({"name": id})).await;
    }
    let before = at_work(&host).await;
    let asked_at = Instant::now();
    host.stop().await;
    let took = asked_at.elapsed();
    println!("gone after {took:?}, with a grace of {GRACE:?}");
    assert!(took < GRACE + BEYOND_GRACE, "{took:?}");

    let host = home.start().await;
    for n in 0..QUEUED {
        let ended = host.reaches(&format!("queued-{n}"), "completed").await;
        let claims = &ended["run"]["lease_number"];
        assert_eq!(
            *claims, 1,
            "nothing was claimed to be handed back: {ended:#}"
        );
        assert_ne!(ended["run"]["incarnation"], before[0]["run"]["incarnation"]);
    }
    for n in 0..2 * HALF {
        let (id, type_id, _) = run(n);
        if type_id == "ignores-cancel" {
            let again = |task: &Value| task["run"]["lease_number"] == 2;
            host.until(&id, again).await;
            host.verb(&id, "cancel").await.expect(200);
        }
    }
    for (n, before) in before.iter().enumerate() {
        let (id, type_id, _) = run(n);
        let ended = host.ends(&id).await;
        let status = match type_id {
            "ignores-cancel" => "canceled",
            _ => "completed",
        };
        assert_eq!(ended["status"], status, "{ended:#}");
        let run = &ended["run"];
        assert_eq!(run["id"], before["run"]["id"], "{ended:#}");
        let told = (&run["attempt"], &run["crashes"], &run["lease_number"]);
        assert_eq!(told, (&json!(1), &json!(0), &json!(2)), "{ended:#}");
    }
    host.stop().await;
}

/// All of them, once each has been begun and none has ended.
async fn at_work(host: &Host) -> Vec<Value> {
    let mut all = Vec::new();
    for n in 0..2 * HALF {
        let (id, ..) = run(n);
        let running = |task: &Value| task["run"]["state"] == "running";
        all.push(host.until(&id, running).await);
    }
    // The first may have been over before the last began.
    for task in &all {
        let now = host.task(task["id"].as_str().unwrap()).await;
        assert_eq!(now["run"], task["run"], "they are at work together");
    }
    all
}

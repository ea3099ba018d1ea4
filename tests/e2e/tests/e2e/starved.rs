//! Guests compute on every core, without end, and the host goes on as if they did not: nobody's
//! run is taken for lost, and whoever asks is answered.

use std::time::{Duration, Instant};

use serde_json::json;
use taskhost_e2e::home::Home;
use taskhost_e2e::long;

/// Guests that compute, for each core: so many that none has had its 10 s at the end of a minute.
const FOR_EACH_CORE: usize = 8;
/// Between two looks of somebody who asks.
const PACE: Duration = Duration::from_millis(25);
/// An answer that takes longer has been starved, however much else the machine does.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// The executor that answers, and on which hosts beat, is woken twice a second; at least so often
/// in so many seconds, on a machine that does other things too.
const WOKEN_EACH: Duration = Duration::from_secs(2);
const WOKEN: &str = "taskhost_loop_lag_seconds_count";

/// T9: no false `stale` and no lost run, the host's own work goes on, and the interface answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guests_that_compute_on_every_core_starve_nobody() {
    let lasts = Duration::from_secs(if long() { 60 } else { 10 });
    let cores = std::thread::available_parallelism().unwrap().get();
    let home = Home::with(&["ignores-cancel", "hello-task"]);
    let spinning: Vec<_> = (0..cores * FOR_EACH_CORE)
        .map(|n| format!("spins-{n}"))
        .collect();
    home.settings(&format!("runs.slots = {}\n", spinning.len() + 4));
    let host = home.start().await;
    for id in &spinning {
        host.schedule(id, "ignores-cancel", json!({"how": "spin"}))
            .await;
    }
    for id in &spinning {
        host.moves(id).await;
    }
    let woken_before = host.metric(WOKEN).await.unwrap_or_default();
    let (begun, mut answers) = (Instant::now(), Vec::new());
    let mut pace = tokio::time::interval(PACE);
    pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for n in 0_usize.. {
        if begun.elapsed() > lasts {
            break;
        }
        pace.tick().await;
        let asked_at = Instant::now();
        host.is_at_work_still(&spinning[n % spinning.len()]).await;
        answers.push(asked_at.elapsed());
        // What is short has its turn among them.
        let id = format!("short-{n}");
        let done = host.run(&id, "hello", json!({"name": id})).await;
        assert_eq!(done["status"], "completed", "{done:#}");
        assert_eq!(done["run"]["lease_number"], 1, "{done:#}");
    }
    answers.sort();
    let p99 = answers[answers.len() * 99 / 100];
    let (count, most) = (answers.len(), answers[answers.len() - 1]);
    println!(
        "{count} answers beside {} guests: p99 {p99:?}, at most {most:?}",
        spinning.len()
    );
    assert!(most < ANSWER_WITHIN, "{most:?}");
    let woken = host.metric(WOKEN).await.unwrap_or_default() - woken_before;
    let wanted = (lasts.as_secs() / WOKEN_EACH.as_secs()) as f64;
    assert!(woken >= wanted, "{woken} of {wanted}");
    for none in [
        "taskhost_lease_renew_failures_total",
        "taskhost_runs_reclaimed_total",
    ] {
        assert_eq!(host.metric(none).await, Some(0.0), "{none}");
    }
    for id in &spinning {
        host.is_at_work_still(id).await;
        host.verb(id, "cancel").await.expect(200);
    }
    for id in &spinning {
        host.reaches(id, "canceled").await;
    }
    host.stop().await;
}

//! Guests that do not end by themselves: canceled, out of time, or standing still.

use std::time::{Duration, Instant};

use serde_json::json;
use taskhost_e2e::tasks::task;

use crate::cancel::SOON;
use crate::guests::{Honest, home, row};

#[tokio::test]
async fn whoever_ignores_a_cancel_is_canceled_after_the_grace() {
    let rows = ["spin", "report", "sleep", "park"]
        .map(|how| row("ignores-cancel", json!({"how": how}), "canceled", ""));
    let host = home(&rows).start().await;
    for (n, row) in rows.iter().enumerate() {
        let id = format!("t-{n}");
        host.schedule(&id, row.guest, row.params.clone()).await;
        host.moves(&id).await;
    }
    let honest = Honest::begin(&host, "cancel").await;
    for (n, row) in rows.iter().enumerate() {
        let id = format!("t-{n}");
        let begun = Instant::now();
        host.verb(&id, "cancel").await.expect(200);
        row.check(&host.ends(&id).await);
        let took = begun.elapsed();
        // Of the grace of 100 ms, up to a twentieth is spent on storing the cancel.
        assert!(took >= Duration::from_millis(94), "{row:?}: {took:?}");
        assert!(took < SOON, "{row:?}: {took:?}");
    }
    honest.are_well(&host).await;
}

#[tokio::test]
async fn whoever_sleeps_past_the_deadline_has_missed_it() {
    let rows = [
        row("sleeper", json!({"ms": 3_600_000}), "deadline", "300 ms"),
        row("hostile-calls", json!({"what": "sleep"}), "deadline", ""),
        row("ignores-cancel", json!({"how": "sleep"}), "deadline", ""),
    ];
    let host = home(&rows).start().await;
    for (n, row) in rows.iter().enumerate() {
        let body = json!({"type": row.guest, "params": row.params, "timeout_ms": 300});
        host.put(&task(&format!("t-{n}")), &body).await.expect(201);
    }
    let honest = Honest::begin(&host, "deadline").await;
    for (n, row) in rows.iter().enumerate() {
        row.check(&host.ends(&format!("t-{n}")).await);
    }
    honest.are_well(&host).await;
}

#[tokio::test]
async fn whoever_stands_still_longer_than_it_may_is_ended() {
    let still = |how: &str, ends, words| row("stands-still", json!({"how": how}), ends, words);
    let rows = [
        still("compute", "no_progress", "limit of 1 s"),
        still("log", "no_progress", "`limits.no_progress_s`"),
        still("sleep", "completed", ""),
        still("move", "completed", ""),
    ];
    let host = home(&rows).start().await;
    for (n, row) in rows.iter().enumerate() {
        host.schedule(&format!("t-{n}"), row.guest, row.params.clone())
            .await;
    }
    let honest = Honest::begin(&host, "still").await;
    for (n, row) in rows.iter().enumerate() {
        row.check(&host.ends(&format!("t-{n}")).await);
    }
    honest.are_well(&host).await;
}

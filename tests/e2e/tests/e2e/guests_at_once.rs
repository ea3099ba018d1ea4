//! Sixty-four hostile guests at once: each ends as it has to, nobody is harmed, and what they took
//! is given back.

use std::time::{Duration, Instant};

use serde_json::json;
use taskhost_e2e::host::Host;
use taskhost_e2e::long;

use crate::guests::{HONEST, Honest, Row, home, row};
use crate::guests_reach::held;

/// How many.
const AT_ONCE: usize = 64;
/// What the pool keeps at most of each slot that was ever in use: `MEMORY_KEPT_BYTES` in
/// `host/runtime/src/engine.rs`. Beside what a fresh host holds, nothing else of it stays, however
/// many rounds there are; the guests had up to 64 MiB each.
const KEPT_BYTES_EACH: u64 = 1 << 20;
/// Within 5 % of what it held before is only a host that has been through it: of the slots of a
/// fresh one the pool keeps nothing yet (measured, settled, in MiB: 33 before the first round, then
/// 63, 73, 74, 80, 82, 83, 82, 82, 82). How much of them it keeps differs from round to round, so
/// that the most of the last rounds before is what counts.
const WARM_UPS: usize = 5;
const ROUNDS_BEFORE: usize = 3;
/// After one more round it has no more than this share of it.
const PERCENT_AFTER_ONE: u64 = 105;
/// And after so many further ones no more than so much on top for each of their guests (measured:
/// 10 KiB, SQLite's pages of their tasks).
const ROUNDS_AFTER: usize = 8;
const GUEST_BYTES_MAX: u64 = 32 << 10;
/// Memory that goes down goes down within that time.
const SETTLED_AFTER: Duration = Duration::from_secs(2);
/// What comes and goes all the time.
const LITTLE_BYTES: u64 = 1 << 20;

fn hostile() -> Vec<Row> {
    vec![
        row("greedy-loop", json!({"how": "compute"}), "out_of_cpu", ""),
        row("greedy-loop", json!({"how": "copy"}), "out_of_cpu", ""),
        row("memory-bomb", json!({}), "out_of_memory", ""),
        row("table-bomb", json!({}), "out_of_memory", ""),
        row("many-memories", json!({}), "out_of_memory", ""),
        row("deep-recursion", json!({}), "trap", ""),
        row("panic", json!({"message": "oh"}), "trap", "oh"),
        row("big-result", json!({"kib": 1_025}), "invalid_result", ""),
        row("not-text", json!({}), "invalid_result", ""),
        row("deep-json", json!({"depth": 1_000}), "invalid_result", ""),
        row(
            "log-flood",
            json!({"lines": 2_000, "bytes": 500}),
            "completed",
            "",
        ),
        row("progress-flood", json!({"calls": 100_000}), "completed", ""),
        row("stands-still", json!({"how": "log"}), "no_progress", ""),
        row("opens-things", json!({}), "completed", ""),
        row("hostile-calls", json!({}), "completed", ""),
        row(
            "hostile-calls",
            json!({"what": "huge", "call": "apply-many"}),
            "out_of_memory",
            "",
        ),
        row("hostile-calls", json!({"what": "forged"}), "trap", ""),
        row("ignores-cancel", json!({"how": "report"}), "canceled", ""),
    ]
}

#[tokio::test]
async fn sixty_four_at_once_leave_nothing_behind() {
    let rows = hostile();
    let home = home(&rows);
    home.settings("runs.slots = 100\n");
    let host = home.start().await;
    let slots = u64::try_from(AT_ONCE + HONEST).unwrap();
    let bytes_max = held_at_work(&host).await + slots * KEPT_BYTES_EACH;
    if !long() {
        // That all end well, nobody is harmed and nothing large stays takes one round; that
        // nothing small does takes seventeen.
        round(&host, &rows, "once").await;
        let given_back = async || Some(held_at_work(&host).await).filter(|b| *b <= bytes_max);
        host.see(&format!("at most {bytes_max} bytes"), given_back)
            .await;
        return;
    }
    for n in 0..WARM_UPS {
        round(&host, &rows, &format!("warm-{n}")).await;
    }
    let mut before = 0;
    for n in 0..ROUNDS_BEFORE {
        round(&host, &rows, &format!("before-{n}")).await;
        before = before.max(settled(&host).await);
    }
    round(&host, &rows, "one-more").await;
    let after_one = settled(&host).await;
    for n in 0..ROUNDS_AFTER {
        round(&host, &rows, &format!("after-{n}")).await;
    }
    let after = settled(&host).await;
    let [held_before, held_after_one, held_after] = [before, after_one, after].map(|b| b >> 10);
    println!("KiB: {held_before} before, {held_after_one} after one round, {held_after} after all");
    assert!(before.max(after_one) <= bytes_max, "{bytes_max} at most");
    assert!(after_one <= before / 100 * PERCENT_AFTER_ONE);
    let guests = u64::try_from(AT_ONCE * ROUNDS_AFTER).unwrap();
    assert!(after <= before + guests * GUEST_BYTES_MAX);
    // That the host's log tells of no panic is seen to when it goes.
}

async fn round(host: &Host, rows: &[Row], name: &str) {
    let all: Vec<(String, &Row)> = rows
        .iter()
        .cycle()
        .take(AT_ONCE)
        .enumerate()
        .map(|(n, row)| (format!("{name}-{n}"), row))
        .collect();
    for (id, row) in &all {
        host.schedule(id, row.guest, row.params.clone()).await;
    }
    let honest = Honest::begin(host, name).await;
    for (id, row) in &all {
        if row.guest == "ignores-cancel" {
            host.moves(id).await;
            host.verb(id, "cancel").await.expect(200);
        }
    }
    for (id, row) in &all {
        row.check(&host.ends(id).await);
    }
    honest.are_well(host).await;
}

/// What the host holds when it has given back what it gives back.
async fn settled(host: &Host) -> u64 {
    let least = std::cell::Cell::new((u64::MAX, Instant::now()));
    let steady = async || {
        let (bytes, since) = least.get();
        let now = held_at_work(host).await;
        if now + LITTLE_BYTES < bytes {
            least.set((now, Instant::now()));
            return None;
        }
        (since.elapsed() > SETTLED_AFTER).then_some(bytes)
    };
    host.see("memory that stays as it is", steady).await
}

/// What the host holds while it does a little: the allocator gives memory back when it is asked
/// for some.
async fn held_at_work(host: &Host) -> u64 {
    let done = host.run("breath", "hello", json!({"name": "you"})).await;
    assert_eq!(done["status"], "completed");
    held(host, "VmRSS:")
}

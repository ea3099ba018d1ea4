//! The throughput of `hello` on a new store against one that holds 1,000,000 finished and 100,000
//! pending tasks; what a finished one takes on disk; and how often a task waits for the disk.
//!
//! Takes some minutes. `aged 10000 1000` takes other numbers of finished and pending tasks.

use std::time::Instant;

use taskhost_benches::load::{Batches, in_batches, round};
use taskhost_benches::{line, machine, median, numbers, syncs};
use taskhost_e2e::home::Home;
use taskhost_e2e::host::Host;

const TASKS: usize = 10_000;
const ROUNDS: usize = 9;
const LATER: &str = r#"{"type":"hello","params":{"name":"you"},"run_at":"2999-01-01T00:00:00Z"}"#;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let [finished, pending] = numbers([1_000_000, 100_000]);
    let home = Home::with(&["hello-task"]);
    let host = home.start().await;
    round(&host.url, "warm", TASKS).await;
    let young = rates(&host, "young").await;
    round(&host.url, "fill", finished).await;
    let size = |name: &str| {
        let file = std::fs::metadata(home.data().join(name));
        file.expect("the store").len()
    };
    let bytes = size("tasks.sqlite") + size("tasks.sqlite-wal");
    let in_all = finished + TASKS * (ROUNDS + 1);
    let batches = Batches {
        tasks: pending,
        batch: 500,
        at_once: 2,
    };
    in_batches(&host.url, LATER, batches).await;
    let aged = rates(&host, "aged").await;
    println!("{}", machine());
    println!("new store:                {young:?} tasks/s");
    println!("{finished} finished, {pending} pending: {aged:?} tasks/s");
    let ratios: Vec<u64> = young
        .iter()
        .zip(&aged)
        .map(|(a, b)| b * 1_000 / a)
        .collect();
    let ratio = format!("{:.2}", median(&ratios) as f64 / 1e3);
    println!("{}", line("aged to new, median of the pairs", &ratio));
    let each = format!("{} B", bytes / in_all as u64);
    println!("{}", line("on disk, a finished task", &each));
    let counted = syncs::during(&host, async {
        round(&host.url, "traced", TASKS).await;
    });
    let syncs = syncs::a_task(counted.await, TASKS);
    println!("{}", line("fdatasync and fsync, a task", &syncs));
}

async fn rates(host: &Host, name: &str) -> Vec<u64> {
    let mut rates = Vec::new();
    for number in 0..ROUNDS {
        let begun = Instant::now();
        round(&host.url, &format!("{name}{number}"), TASKS).await;
        rates.push((TASKS as f64 / begun.elapsed().as_secs_f64()) as u64);
    }
    rates
}

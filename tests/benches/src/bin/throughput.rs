//! How many `hello` tasks a second go from scheduled to completed, with 64 in flight over HTTP.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use taskhost_benches::{line, machine, median, ms, percentile};
use taskhost_e2e::home::Home;
use taskhost_e2e::host::Host;
use taskhost_e2e::tasks::task;

const IN_FLIGHT: usize = 64;
const TASKS: usize = 4_000;
const ROUNDS: usize = 5;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let home = Home::with(&["hello-task"]);
    let host = Arc::new(home.start().await);
    // A first round warms up, and is not counted.
    round(&host, 0).await;
    let (mut rates, mut halves, mut tails) = (Vec::new(), Vec::new(), Vec::new());
    for number in 1..=ROUNDS {
        let begun = Instant::now();
        let times = round(&host, number).await;
        let took = begun.elapsed();
        rates.push((TASKS as f64 / took.as_secs_f64()) as u64);
        halves.push(percentile(&times, 50));
        tails.push(percentile(&times, 99));
    }
    println!("{}", machine());
    println!("{TASKS} tasks a round, {IN_FLIGHT} in flight, {ROUNDS} rounds: {rates:?} tasks/s");
    println!(
        "{}",
        line(
            "scheduled → completed",
            &format!("{} tasks/s", median(&rates))
        )
    );
    println!("{}", line("one task, p50", &ms(median(&halves))));
    println!("{}", line("one task, p99", &ms(median(&tails))));
}

/// Runs all tasks; how long each took.
async fn round(host: &Arc<Host>, number: usize) -> Vec<Duration> {
    let next = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..IN_FLIGHT)
        .map(|_| {
            let (host, next) = (Arc::clone(host), Arc::clone(&next));
            tokio::spawn(async move {
                let mut times = Vec::new();
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= TASKS {
                        return times;
                    }
                    let begun = Instant::now();
                    one(&host, &format!("r{number}-t{n}")).await;
                    times.push(begun.elapsed());
                }
            })
        })
        .collect();
    let mut all = Vec::new();
    for client in clients {
        all.extend(client.await.expect("a client that ends"));
    }
    all
}

async fn one(host: &Host, id: &str) {
    let body = json!({"type": "hello", "params": {"name": "you"}});
    let mut seen = host.put(&task(id), &body).await.expect(201);
    while seen["status"] != "completed" {
        assert_eq!(seen["status"], "in_progress", "{seen:#}");
        let path = format!("{}?wait=10s&since={}", task(id), seen["revision"]);
        seen = host.get(&path).await.expect(200);
    }
}

//! How many `hello` tasks a second go from scheduled to completed, with 64 in flight over HTTP:
//! single submissions, each followed by a long poll until it has completed.

use std::time::Instant;

use taskhost_benches::load::{IN_FLIGHT, bare_requests, round};
use taskhost_benches::{line, machine, median, ms, percentile};
use taskhost_e2e::home::Home;

const TASKS: usize = 10_000;
const ROUNDS: usize = 9;

/// One thread: the client takes as little of the cores as it can.
#[tokio::main(flavor = "current_thread")]
async fn main() {
    let host = Home::with(&["hello-task"]).start().await;
    // A first round warms up, and is not counted.
    round(&host.url, "r0", TASKS).await;
    let (mut rates, mut halves, mut tails) = (Vec::new(), Vec::new(), Vec::new());
    let mut bare = Vec::new();
    for number in 1..=ROUNDS {
        let begun = Instant::now();
        let times = round(&host.url, &format!("r{number}"), TASKS).await;
        let took = begun.elapsed();
        rates.push((TASKS as f64 / took.as_secs_f64()) as u64);
        halves.push(percentile(&times, 50));
        tails.push(percentile(&times, 99));
        let begun = Instant::now();
        bare_requests(&host.url, TASKS).await;
        bare.push((TASKS as f64 / begun.elapsed().as_secs_f64()) as u64);
    }
    println!("{}", machine());
    println!("{TASKS} tasks a round, {IN_FLIGHT} in flight, {ROUNDS} rounds: {rates:?} tasks/s");
    let rate = format!("{} tasks/s", median(&rates));
    println!("{}", line("scheduled → completed", &rate));
    println!("{}", line("one task, p50", &ms(median(&halves))));
    println!("{}", line("one task, p99", &ms(median(&tails))));
    let rate = format!("{} requests/s", median(&bare));
    println!("{}", line("the same client, bare requests", &rate));
    let ratio = format!("{:.2}", median(&rates) as f64 / median(&bare) as f64);
    println!("{}", line("tasks for each bare request", &ratio));
}

//! A host with ten task types that it knows from an earlier life: when it is ready, and what it
//! holds of memory, at rest and after a burst of tasks.

use std::time::{Duration, Instant};

use taskhost_benches::load::round;
use taskhost_benches::{line, machine, median, ms, resident_kib};
use taskhost_e2e::home::Home;

const TYPES: [&str; 10] = [
    "hello-task",
    "cooperative",
    "endless-loop",
    "ignores-cancel",
    "log-flood",
    "panic",
    "progress-flood",
    "sleeper",
    "stands-still",
    "trap",
];
const TASKS: usize = 10_000;
const ROUNDS: usize = 5;
/// As long as the memory may take to be given back.
const REST: Duration = Duration::from_secs(10);

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let home = Home::with(&TYPES);
    // It gets to know the types, and compiles them.
    home.start().await.stop().await;
    let (mut ready, mut at_rest, mut after) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..ROUNDS {
        let begun = Instant::now();
        let host = home.start().await;
        ready.push(begun.elapsed());
        rest().await;
        let before = resident_kib(&host);
        round(&host.url, &format!("r{number}"), TASKS).await;
        rest().await;
        at_rest.push(before);
        after.push(resident_kib(&host) * 100 / before);
        host.stop().await;
    }
    println!("{}", machine());
    println!("{} task types, {ROUNDS} starts", TYPES.len());
    println!("{}", line("started → ready", &ms(median(&ready))));
    let mib = format!("{:.1} MiB", median(&at_rest) as f64 / 1024.0);
    println!("{}", line("memory 10 s later (VmRSS)", &mib));
    let name = format!("the same 10 s after {TASKS} tasks");
    println!("{}", line(&name, &format!("{} %", median(&after))));
}

async fn rest() {
    // tidy: sleep allowed because what is measured is what is there after a while
    tokio::time::sleep(REST).await;
}

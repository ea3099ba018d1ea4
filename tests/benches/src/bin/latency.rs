//! How long one `hello` takes on a host that has nothing else to do.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use taskhost_benches::{line, machine, median, ms, ms_of_day, percentile};
use taskhost_e2e::home::Home;
use taskhost_e2e::host::Host;

const TASKS: usize = 200;
const ROUNDS: usize = 5;
/// Long enough for everything to be idle again.
const PAUSE: Duration = Duration::from_millis(10);

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let host = Home::with(&["hello-task"]).start().await;
    round(&host, 0).await;
    let mut rounds = Vec::new();
    for number in 1..=ROUNDS {
        rounds.push(round(&host, number).await);
    }
    println!("{}", machine());
    println!("one task at a time, {TASKS} a round, {ROUNDS} rounds");
    for hundredths in [50, 99] {
        let starts: Vec<u64> = rounds
            .iter()
            .map(|r| percentile(&r.starts_ms, hundredths))
            .collect();
        let ends: Vec<Duration> = rounds
            .iter()
            .map(|r| percentile(&r.ends, hundredths))
            .collect();
        // Times in answers have whole milliseconds.
        let start = format!("<= {} ms", median(&starts) + 1);
        println!(
            "{}",
            line(&format!("scheduled → started, p{hundredths}"), &start)
        );
        let name = format!("request sent → completed seen, p{hundredths}");
        println!("{}", line(&name, &ms(median(&ends))));
    }
}

struct Round {
    starts_ms: Vec<u64>,
    ends: Vec<Duration>,
}

async fn round(host: &Host, number: usize) -> Round {
    let mut round = Round {
        starts_ms: Vec::new(),
        ends: Vec::new(),
    };
    for n in 0..TASKS {
        let begun = Instant::now();
        let done = host
            .run(&format!("r{number}-t{n}"), "hello", json!({"name": "you"}))
            .await;
        round.ends.push(begun.elapsed());
        let at = |time: &Value| time.as_str().and_then(ms_of_day).expect("a time");
        let started = at(&done["run"]["started_at"]);
        round
            .starts_ms
            .push(started.saturating_sub(at(&done["created_at"])));
        // tidy: sleep allowed because the host has to be idle before the next one
        tokio::time::sleep(PAUSE).await;
    }
    round
}

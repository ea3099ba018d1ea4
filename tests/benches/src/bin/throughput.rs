//! How many `hello` tasks a second go from scheduled to completed, with 64 in flight over HTTP:
//! single submissions, each followed by a long poll until it has completed.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use taskhost_benches::wire::Wire;
use taskhost_benches::{line, machine, median, ms, percentile};
use taskhost_e2e::home::Home;

const IN_FLIGHT: usize = 64;
const TASKS: usize = 10_000;
const ROUNDS: usize = 9;
const BODY: &str = r#"{"type":"hello","params":{"name":"you"}}"#;

/// One thread: the client takes as little of the cores as it can.
#[tokio::main(flavor = "current_thread")]
async fn main() {
    let host = Home::with(&["hello-task"]).start().await;
    // A first round warms up, and is not counted.
    round(&host.url, 0).await;
    let (mut rates, mut halves, mut tails) = (Vec::new(), Vec::new(), Vec::new());
    for number in 1..=ROUNDS {
        let begun = Instant::now();
        let times = round(&host.url, number).await;
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
async fn round(url: &str, number: usize) -> Vec<Duration> {
    let next = Rc::new(Cell::new(0));
    let client = |next: Rc<Cell<usize>>, mut wire: Wire| async move {
        let mut times = Vec::with_capacity(TASKS / IN_FLIGHT * 2);
        loop {
            let n = next.get();
            if n >= TASKS {
                return times;
            }
            next.set(n + 1);
            let begun = Instant::now();
            one(
                &mut wire,
                &format!("/v1/spaces/default/tasks/r{number}-t{n}"),
            )
            .await;
            times.push(begun.elapsed());
        }
    };
    let here = tokio::task::LocalSet::new();
    let mut clients = Vec::new();
    for _ in 0..IN_FLIGHT {
        let wire = Wire::connect(url).await;
        clients.push(here.spawn_local(client(Rc::clone(&next), wire)));
    }
    here.await;
    let mut all = Vec::with_capacity(TASKS);
    for client in clients {
        all.extend(client.await.expect("a client that ends"));
    }
    all
}

async fn one(wire: &mut Wire, path: &str) {
    let said = wire.send("PUT", path, BODY).await;
    assert_eq!(said.status, 201, "{}", said.body);
    let mut revision = said.number("revision");
    loop {
        let since = revision.expect("a revision");
        let said = wire
            .send("GET", &format!("{path}?wait=10s&since={since}"), "")
            .await;
        assert_eq!(said.status, 200, "{}", said.body);
        if said.text("status") == Some("completed") {
            return;
        }
        assert_eq!(said.text("status"), Some("in_progress"), "{}", said.body);
        revision = said.number("revision");
    }
}

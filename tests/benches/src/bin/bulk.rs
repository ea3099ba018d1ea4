//! Tasks accepted a second in batches, every one on disk when its batch is answered: tasks that
//! wait for a later time, so that nothing but the acceptance is measured, and tasks that are due at
//! once, so that the host runs them meanwhile.
//!
//! `bulk 100000 500 2`: so many tasks, so many in a batch, so many batches at once.

use std::time::Instant;

use taskhost_benches::wire::Wire;
use taskhost_benches::{line, machine, median};
use taskhost_e2e::home::Home;

const ROUNDS: usize = 5;
const PATH: &str = "/v1/spaces/default/tasks/bulk";

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut wanted = std::env::args()
        .skip(1)
        .map(|text| text.parse().expect("a number"));
    let tasks: usize = wanted.next().unwrap_or(100_000);
    let batch: usize = wanted.next().unwrap_or(500);
    let at_once: usize = wanted.next().unwrap_or(2);
    let home = Home::with(&["hello-task"]);
    let host = home.start().await;
    println!("{}", machine());
    let later = r#"{"type":"hello","params":{"name":"you"},"run_at":"2999-01-01T00:00:00Z"}"#;
    let now = r#"{"type":"hello","params":{"name":"you"}}"#;
    for (name, body) in [("that wait", later), ("that are due", now)] {
        let mut rates = Vec::new();
        for _ in 0..ROUNDS {
            let begun = Instant::now();
            round(&host.url, body, (tasks, batch, at_once)).await;
            rates.push((tasks as f64 / begun.elapsed().as_secs_f64()) as u64);
        }
        println!("{rates:?} tasks/s {name}");
        let name = format!("tasks {name}, in batches of {batch}");
        println!("{}", line(&name, &format!("{}/s", median(&rates))));
    }
}

async fn round(url: &str, body: &str, (tasks, batch, at_once): (usize, usize, usize)) {
    let lines = format!("{body}\n").repeat(batch);
    let here = tokio::task::LocalSet::new();
    for _ in 0..at_once {
        let (mut wire, lines) = (Wire::connect(url).await, lines.clone());
        here.spawn_local(async move {
            for _ in 0..tasks / batch / at_once {
                let said = wire
                    .send_as("POST", PATH, "application/x-ndjson", &lines)
                    .await;
                assert_eq!(said.status, 200, "{}", said.body);
                assert_eq!(said.number("accepted"), Some(batch as u64), "{}", said.body);
            }
        });
    }
    here.await;
}

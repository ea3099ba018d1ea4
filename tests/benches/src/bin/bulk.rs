//! Tasks accepted a second in batches, every one on disk when its batch is answered, over one
//! connection and over four: tasks that wait for a later time, so that nothing but the acceptance
//! is measured, and tasks that are due at once, so that the host runs them meanwhile. Beside it
//! tasks of the first kind one a request, 64 at once. And how often a task waits for the disk.
//!
//! Each round of tasks that run begins when those of the round before have ended.
//! `bulk 5000 500` takes other numbers of tasks in a round and in a batch.

use std::time::Instant;

use taskhost_benches::load::{Batches, in_batches, singly};
use taskhost_benches::wire::Wire;
use taskhost_benches::{line, machine, median, numbers, syncs};
use taskhost_e2e::home::Home;
use taskhost_e2e::host::Host;

const ROUNDS: usize = 5;
const CONNECTIONS: [usize; 2] = [1, 4];
const LATER: &str = r#"{"type":"hello","params":{"name":"you"},"run_at":"2999-01-01T00:00:00Z"}"#;
const NOW: &str = r#"{"type":"hello","params":{"name":"you"}}"#;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let [tasks, batch] = numbers([50_000, 500]);
    println!("{}", machine());
    println!("{tasks} tasks a round, {batch} in a batch, {ROUNDS} rounds");
    for (name, body, is_singly) in [("that wait", LATER, true), ("that run", NOW, false)] {
        // What one kind leaves in the store is not in the way of the other.
        let host = Home::with(&["hello-task"]).start().await;
        let batches = CONNECTIONS.map(|at_once| Batches {
            tasks,
            batch,
            at_once,
        });
        // Once through, so that what is made once is there.
        accepted(&host, body, batches[1]).await;
        let (mut rates, mut single) = ([Vec::new(), Vec::new()], Vec::new());
        for number in 0..ROUNDS {
            for (rates, batches) in rates.iter_mut().zip(batches) {
                rates.push(accepted(&host, body, batches).await);
            }
            if is_singly {
                let (begun, some) = (Instant::now(), tasks / 5);
                singly(&host.url, &format!("single{number}"), body, some).await;
                single.push((some as f64 / begun.elapsed().as_secs_f64()) as u64);
            }
        }
        for (rates, batches) in rates.iter().zip(batches) {
            println!("{name}: {rates:?} tasks/s");
            let name = format!("tasks {name}, {}", connections(batches));
            println!("{}", line(&name, &format!("{} tasks/s", median(rates))));
            let counted = syncs::during(&host, async {
                accepted(&host, body, batches).await;
            });
            let syncs = syncs::a_task(counted.await, tasks);
            println!("{}", line("  fdatasync and fsync, a task", &syncs));
        }
        if is_singly {
            let rate = format!("{} tasks/s", median(&single));
            println!("{}", line(&format!("tasks {name}, one a request"), &rate));
        }
    }
}

fn connections(batches: Batches) -> String {
    match batches.at_once {
        1 => "1 connection".to_owned(),
        more => format!("{more} connections"),
    }
}

/// So many were accepted a second. Those that run have ended afterwards, but for a few.
async fn accepted(host: &Host, body: &str, batches: Batches) -> u64 {
    let begun = Instant::now();
    let last = in_batches(&host.url, body, batches).await;
    let rate = batches.tasks as f64 / begun.elapsed().as_secs_f64();
    if body == NOW {
        let mut wire = Wire::connect(&host.url).await;
        // Runs are claimed in the order of their acceptance.
        for id in last {
            wire.until(&id, "completed", 0).await;
        }
    }
    rate as u64
}

//! Short tasks, and the interface, beside 32 guests that compute without an end.

use std::time::{Duration, Instant};

use taskhost_benches::wire::Wire;
use taskhost_benches::{line, machine, median, ms, percentile};
use taskhost_e2e::home::Home;

const SPINNING: usize = 32;
const TASKS: usize = 1_000;
const ROUNDS: usize = 9;
const HELLO: &str = r#"{"type":"hello","params":{"name":"you"}}"#;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let host = Home::with(&["hello-task", "endless-loop"]).start().await;
    let mut wire = Wire::connect(&host.url).await;
    for n in 0..SPINNING {
        wire.schedule(&format!("loop-{n}"), r#"{"type":"endless-loop"}"#)
            .await;
    }
    let mut rounds = Vec::new();
    for number in 0..ROUNDS {
        rounds.push(round(&mut wire, number).await);
    }
    are_in_progress(&mut wire).await;
    println!("{}", machine());
    println!("{TASKS} short tasks a round, {ROUNDS} rounds, beside {SPINNING} endless loops");
    for hundredths in [50, 99] {
        let over = |times: fn(&Round) -> &[Duration]| {
            let each: Vec<_> = rounds
                .iter()
                .map(|round| percentile(times(round), hundredths))
                .collect();
            ms(median(&each))
        };
        let name = format!("one `hello`, p{hundredths}");
        println!("{}", line(&name, &over(|round| &round.tasks)));
        let name = format!("a list of 20, p{hundredths}");
        println!("{}", line(&name, &over(|round| &round.lists)));
    }
}

/// What was measured was beside all of them.
async fn are_in_progress(wire: &mut Wire) {
    for n in 0..SPINNING {
        let path = format!("/v1/spaces/default/tasks/loop-{n}");
        let said = wire.send("GET", &path, "").await;
        assert_eq!(said.text("status"), Some("in_progress"), "{}", said.body);
    }
}

struct Round {
    tasks: Vec<Duration>,
    lists: Vec<Duration>,
}

/// One short task after the other, and a list after each.
async fn round(wire: &mut Wire, number: usize) -> Round {
    let (mut tasks, mut lists) = (Vec::new(), Vec::new());
    for n in 0..TASKS {
        let (id, begun) = (format!("r{number}-t{n}"), Instant::now());
        let revision = wire.schedule(&id, HELLO).await;
        wire.until(&id, "completed", revision).await;
        tasks.push(begun.elapsed());
        let begun = Instant::now();
        let said = wire
            .send("GET", "/v1/spaces/default/tasks?limit=20", "")
            .await;
        assert_eq!(said.status, 200);
        lists.push(begun.elapsed());
    }
    Round { tasks, lists }
}

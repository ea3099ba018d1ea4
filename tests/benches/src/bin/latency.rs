//! How long one task takes on a host that has nothing else to do: from the request on its way to
//! the guest's first instructions, which read the clock, and to `completed` seen by the client.

use std::time::{Duration, Instant, SystemTime};

use taskhost_benches::wire::Wire;
use taskhost_benches::{line, machine, median, ms, percentile};
use taskhost_e2e::home::Home;

const TASKS: usize = 400;
const ROUNDS: usize = 9;
/// Long enough for everything to be idle again.
const PAUSE: Duration = Duration::from_millis(10);
const BODY: &str = r#"{"type":"sleeper","params":{"ms":0}}"#;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let host = Home::with(&["sleeper"]).start().await;
    let mut wire = Wire::connect(&host.url).await;
    round(&mut wire, 0).await;
    let mut rounds = Vec::new();
    for number in 1..=ROUNDS {
        rounds.push(round(&mut wire, number).await);
    }
    println!("{}", machine());
    println!("one task at a time, {TASKS} a round, {ROUNDS} rounds");
    for hundredths in [50, 99] {
        let over = |times: fn(&Round) -> &[Duration]| {
            let each: Vec<_> = rounds
                .iter()
                .map(|r| percentile(times(r), hundredths))
                .collect();
            ms(median(&each))
        };
        let name = format!("request sent → first guest instruction, p{hundredths}");
        println!("{}", line(&name, &over(|round| &round.starts)));
        let name = format!("request sent → completed seen, p{hundredths}");
        println!("{}", line(&name, &over(|round| &round.ends)));
    }
}

struct Round {
    starts: Vec<Duration>,
    ends: Vec<Duration>,
}

async fn round(wire: &mut Wire, number: usize) -> Round {
    let (mut starts, mut ends) = (Vec::new(), Vec::new());
    for n in 0..TASKS {
        let id = format!("r{number}-t{n}");
        let sent = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let (sent, begun) = (sent.expect("a clock"), Instant::now());
        let revision = wire.schedule(&id, BODY).await;
        let began_us = wire
            .until(&id, "completed", revision)
            .await
            .number("began_us");
        ends.push(begun.elapsed());
        let began = Duration::from_micros(began_us.expect("the guest's clock"));
        starts.push(began.saturating_sub(sent));
        // tidy: sleep allowed because the host has to be idle before the next one
        tokio::time::sleep(PAUSE).await;
    }
    Round { starts, ends }
}

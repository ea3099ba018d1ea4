//! Measures the service on Elasticsearch, without HTTP: tasks a second, requests to Elasticsearch
//! for each task by kind, the time from schedule to start, and what idle hosts ask.
//!
//! `tests/elasticsearch/with.sh cargo run --release -p taskhost-service --example elastic_service
//! [HOSTS] [TASKS] [ROUNDS]`

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what it shares with the suite has no caller to hand an error to"
)]

#[path = "../tests/suite/guest.rs"]
#[expect(dead_code, reason = "the suite's guest can do more than complete")]
mod guest;

#[path = "../tests/suite/cluster.rs"]
mod cluster;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use taskhost_model::status::Status;

use cluster::{Failure, Host, key, load, requests, somebody, start, wish};

const IN_FLIGHT: usize = 64;
const ALONE: usize = 100;
const IDLE: Duration = Duration::from_secs(20);

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse::<usize>());
    let mut number = |usual| numbers.next().unwrap_or(Ok(usual));
    let (count, tasks, rounds) = (number(1)?, number(5_000)?, number(5)?);
    let hosts = start(count, true).await?;
    load(&hosts, "warm", tasks, IN_FLIGHT).await?;
    for round in 0..rounds {
        let took = Measure::begin(&hosts);
        load(&hosts, &format!("r{round}"), tasks, IN_FLIGHT).await?;
        took.say("64 in flight", &hosts, tasks);
    }
    let took = Measure::begin(&hosts);
    let mut waits = alone(&hosts).await?;
    took.say("alone", &hosts, ALONE);
    waits.sort_unstable();
    println!(
        "schedule → start: p50 {} ms, p99 {} ms",
        waits[waits.len() / 2],
        waits[waits.len() * 99 / 100]
    );
    // The last look for work was a moment ago.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let took = Measure::begin(&hosts);
    tokio::time::sleep(IDLE).await;
    took.say(
        "idle (tasks: seconds × hosts)",
        &hosts,
        IDLE.as_secs() as usize * count,
    );
    Ok(())
}

/// One task at a time, of which nobody reads anything before it has ended; how many milliseconds
/// each waited for its start.
async fn alone(hosts: &[Host]) -> Result<Vec<i64>, Failure> {
    let mut waits = Vec::new();
    for number in 0..ALONE {
        let tasks = &hosts[number % hosts.len()].service.tasks;
        let (by, key) = (somebody()?, key(&format!("alone-{number}"))?);
        let mut watch = tasks.watch(&by, &key).await?;
        tasks.schedule(&by, key, wish()?).await?;
        loop {
            let task = watch.next().await?.task.clone();
            if task.status == Status::Completed {
                let started = task.run.started_at.ok_or("it has not started")?;
                waits.push(started.as_ms() - task.created_at.as_ms());
                break;
            }
        }
    }
    Ok(waits)
}

/// What something takes.
struct Measure {
    begun: Instant,
    requests: BTreeMap<&'static str, u64>,
}

impl Measure {
    fn begin(hosts: &[Host]) -> Self {
        Self {
            begun: Instant::now(),
            requests: requests(hosts),
        }
    }

    fn say(&self, what: &str, hosts: &[Host], count: usize) {
        let seconds = self.begun.elapsed().as_secs_f64();
        let (mut kinds, mut all) = (Vec::new(), 0);
        for (kind, sent) in requests(hosts) {
            let sent = sent - self.requests.get(kind).copied().unwrap_or(0);
            all += sent;
            if sent > 0 {
                kinds.push(format!("{kind} {:.3}", sent as f64 / count as f64));
            }
        }
        println!(
            "{what}: {:.0}/s, {:.3} requests each ({})",
            count as f64 / seconds,
            all as f64 / count as f64,
            kinds.join(", ")
        );
    }
}

//! The throughput of `hello` on a new store against one that holds 1,000,000 finished and 100,000
//! pending tasks; what a finished one takes on disk; and how often a task waits for the disk.
//!
//! Takes some minutes. `aged 10000 1000` takes other numbers of finished and pending tasks.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use taskhost_benches::load::round;
use taskhost_benches::wire::Wire;
use taskhost_benches::{line, machine, median, ms, percentile};
use taskhost_e2e::home::Home;
use taskhost_e2e::host::Host;

const TASKS: usize = 10_000;
const ROUNDS: usize = 9;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut wanted = std::env::args()
        .skip(1)
        .map(|text| text.parse().expect("a number"));
    let finished: usize = wanted.next().unwrap_or(1_000_000);
    let pending: usize = wanted.next().unwrap_or(100_000);
    let home = Home::with(&["hello-task"]);
    let host = home.start().await;
    round(&host.url, "warm", TASKS).await;
    let young = rates(&host, "young").await;
    round(&host.url, "fill", finished).await;
    let size = |name: &str| {
        let file = std::fs::metadata(home.data().join(name));
        file.expect("the store").len()
    };
    let bytes = size("tasks.sqlite") + size("tasks.sqlite-wal");
    let in_all = finished + TASKS * (ROUNDS + 1);
    let mut wire = Wire::connect(&host.url).await;
    for n in 0..pending {
        let body = r#"{"type":"hello","params":{"name":"you"},"run_at":"2999-01-01T00:00:00Z"}"#;
        wire.schedule(&format!("pending-{n}"), body).await;
    }
    let aged = rates(&host, "aged").await;
    let pages = pages(&mut wire).await;
    let claims = claims(&mut wire).await;
    println!("{}", machine());
    println!("new store:                {young:?} tasks/s");
    println!("{finished} finished, {pending} pending: {aged:?} tasks/s");
    let ratios: Vec<u64> = young
        .iter()
        .zip(&aged)
        .map(|(a, b)| b * 1_000 / a)
        .collect();
    let ratio = format!("{:.2}", median(&ratios) as f64 / 1e3);
    println!("{}", line("aged to new, median of the pairs", &ratio));
    let page = ms(percentile(&pages, 95));
    println!("{}", line("a page of the list, 95 of 100 within", &page));
    let claim = ms(percentile(&claims, 99));
    println!(
        "{}",
        line("a task with its claim, 99 of 100 within", &claim)
    );
    let each = format!("{} B", bytes / in_all as u64);
    println!("{}", line("on disk, a finished task", &each));
    let syncs = syncs(&host).await as f64 / TASKS as f64;
    println!(
        "{}",
        line("fdatasync and fsync, a task", &format!("{syncs:.3}"))
    );
}

/// How long pages of the list take: of all, of those that wait, of those that have failed.
async fn pages(wire: &mut Wire) -> Vec<Duration> {
    let mut times = Vec::new();
    for n in 0..300 {
        let query = ["", "&status=in_progress", "&type=hello", "&status=failed"][n % 4];
        let begun = Instant::now();
        let path = format!("/v1/spaces/default/tasks?limit=100{query}");
        assert_eq!(wire.send("GET", &path, "").await.status, 200);
        times.push(begun.elapsed());
    }
    times
}

/// How long a task takes from its schedule to its result, claim included, past all that is pending.
async fn claims(wire: &mut Wire) -> Vec<Duration> {
    let mut times = Vec::new();
    for n in 0..500 {
        let id = format!("claimed-{n}");
        let body = r#"{"type":"hello","params":{"name":"you"}}"#;
        let begun = Instant::now();
        let revision = wire.schedule(&id, body).await;
        wire.until(&id, "completed", revision).await;
        times.push(begun.elapsed());
    }
    times
}

async fn rates(host: &Host, name: &str) -> Vec<u64> {
    let mut rates = Vec::new();
    for number in 0..ROUNDS {
        let begun = Instant::now();
        round(&host.url, &format!("{name}{number}"), TASKS).await;
        rates.push((TASKS as f64 / begun.elapsed().as_secs_f64()) as u64);
    }
    rates
}

/// Counts in a round of its own: the tracer makes everything slower.
async fn syncs(host: &Host) -> u64 {
    let report = std::env::temp_dir().join(format!("taskhost-syncs-{}", std::process::id()));
    let pid = host.pid().as_raw_nonzero().to_string();
    let mut strace = Command::new("strace")
        .args(["-f", "-c", "-e", "trace=fdatasync,fsync", "-p", &pid, "-o"])
        .arg(&report)
        .stderr(Stdio::piped())
        .spawn()
        .expect("strace: apt-get install strace");
    let mut said = BufReader::new(strace.stderr.take().expect("it is piped")).lines();
    let attached = said.next().expect("strace says something").expect("text");
    assert!(attached.contains("attached"), "{attached}");
    std::thread::spawn(move || said.count());
    round(&host.url, "traced", TASKS).await;
    let tracer = Pid::from_raw(strace.id().cast_signed()).expect("a process");
    kill_process(tracer, Signal::INT).expect("strace runs");
    strace.wait().expect("strace ends");
    let text = std::fs::read_to_string(&report).expect("what strace has counted");
    std::fs::remove_file(&report).ok();
    let calls = text.lines().filter(|line| line.ends_with("sync"));
    let count = |line: &str| line.split_whitespace().nth(3)?.parse::<u64>().ok();
    calls.filter_map(count).sum()
}

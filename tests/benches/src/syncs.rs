//! Counts how often a host waits for the disk.

use std::io::{BufRead, BufReader, ErrorKind};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use taskhost_e2e::host::Host;

/// How often the host calls `fdatasync` or `fsync` while this is done; none where strace is not
/// there. The tracer makes everything slower: nothing else is measured meanwhile.
///
/// # Panics
/// When strace may not look at the host.
pub async fn during(host: &Host, work: impl Future<Output = ()>) -> Option<u64> {
    let report = std::env::temp_dir().join(format!("taskhost-syncs-{}", std::process::id()));
    let pid = host.pid().as_raw_nonzero().to_string();
    let strace = Command::new("strace")
        .args(["-f", "-c", "-e", "trace=fdatasync,fsync", "-p", &pid, "-o"])
        .arg(&report)
        .stderr(Stdio::piped())
        .spawn();
    let mut strace = match strace {
        Err(error) if error.kind() == ErrorKind::NotFound => return None,
        strace => strace.expect("strace starts"),
    };
    let mut said = BufReader::new(strace.stderr.take().expect("it is piped")).lines();
    let attached = said.next().expect("strace says something").expect("text");
    assert!(attached.contains("attached"), "{attached}");
    std::thread::spawn(move || said.count());
    work.await;
    let tracer = Pid::from_raw(strace.id().cast_signed()).expect("a process");
    kill_process(tracer, Signal::INT).expect("strace runs");
    strace.wait().expect("strace ends");
    let text = std::fs::read_to_string(&report).expect("what strace has counted");
    std::fs::remove_file(&report).ok();
    let calls = text.lines().filter(|line| line.ends_with("sync"));
    let count = |line: &str| line.split_whitespace().nth(3)?.parse::<u64>().ok();
    Some(calls.filter_map(count).sum())
}

/// How many that are a task, for a line of the report.
#[must_use]
pub fn a_task(syncs: Option<u64>, tasks: usize) -> String {
    syncs.map_or_else(
        || "needs strace".to_owned(),
        |syncs| format!("{:.4}", syncs as f64 / tasks as f64),
    )
}

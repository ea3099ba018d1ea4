//! Progress and log: what reaches the sink, however much a guest says.

use serde_json::json;
use taskhost_clients::error::ErrorCode;
use taskhost_clients::stop::StopReason;
use taskhost_model::task::LogLevel;

use crate::bench::{Bench, MIB, code};

#[tokio::test]
async fn progress_is_told_as_it_is() {
    let bench = Bench::new().await;
    let progress = &bench.clients.progress;
    progress.phase("sampling").unwrap();
    progress.report(3, Some(10), "three of ten").unwrap();
    progress.heartbeat().unwrap();
    progress.report(20, Some(10), &"ä".repeat(1000)).unwrap();
    progress.phase(&"p".repeat(1000)).unwrap();
    let said = bench.said.progress.lock().unwrap();
    assert_eq!(
        (said[0].done, said[0].phase.as_deref()),
        (0, Some("sampling"))
    );
    assert_eq!((said[1].done, said[1].total), (3, Some(10)));
    assert_eq!(
        (said[1].message.as_str(), said[1].updated_at),
        ("three of ten", Some(bench.clock.now()))
    );
    assert_eq!(said[2], said[1], "a heartbeat changes the time alone");
    assert_eq!((said[3].done, said[3].message.len()), (10, 1024));
    assert_eq!(
        (said[4].done, said[4].total, said[4].message.as_str()),
        (0, None, "")
    );
    assert_eq!(said[4].phase.as_ref().unwrap().len(), 128);
}

#[tokio::test]
async fn progress_tells_the_guest_to_stop() {
    let bench = Bench::new().await;
    bench.stop.ask(StopReason::Deadline);
    assert_eq!(
        code(bench.clients.progress.heartbeat()),
        ErrorCode::Deadline
    );
    assert!(bench.stop.told());
    assert!(bench.said.progress.lock().unwrap().is_empty());
}

#[tokio::test]
async fn lines_are_kept_cut_and_with_their_fields() {
    let bench = Bench::new().await;
    let log = &bench.clients.log;
    bench.stop.ask(StopReason::User);
    log.log(LogLevel::Info, "fine", Some(r#"{"n":1}"#));
    log.log(LogLevel::Warn, "no object", Some("[1]"));
    log.log(LogLevel::Warn, "no JSON", Some("{"));
    log.log(LogLevel::Debug, &"ä".repeat(8000), Some(r#"{"n":1}"#));
    log.log(LogLevel::Debug, "short", Some(&"x".repeat(20_000)));
    assert!(!bench.stop.told(), "the log goes on working");
    let lines = bench.said.log.lock().unwrap();
    assert_eq!(lines[0].fields, Some(json!({"n": 1})));
    assert_eq!(lines[1].fields, Some(json!("[1]")));
    assert_eq!(lines[2].fields, Some(json!("{")));
    assert_eq!(
        (lines[3].message.len(), &lines[3].fields),
        (8192, &Some(json!("")))
    );
    assert_eq!(
        lines[4].fields.as_ref().unwrap().as_str().unwrap().len(),
        8192 - 5
    );
}

#[tokio::test]
async fn a_run_logs_a_mebibyte_and_says_what_it_dropped() {
    let bench = Bench::new().await;
    for text in ["\u{1}".repeat(5000), "x".repeat(5000)] {
        for _ in 0..200 {
            bench.clients.log.log(LogLevel::Info, &text, None);
        }
    }
    bench.clients.finish();
    bench.clients.finish();
    let lines = bench.said.log.lock().unwrap();
    let bytes: usize = lines
        .iter()
        .map(|line| json!(line).to_string().len() + 1)
        .sum();
    assert!(bytes as u64 <= MIB, "{bytes}");
    let dropped = format!("{} more lines were dropped", 400 - (lines.len() - 1));
    assert!(
        lines.last().unwrap().message.starts_with(&dropped),
        "{:?}",
        lines.last()
    );
}

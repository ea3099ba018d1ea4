//! What guests reach for: nothing outside of the contract is there, and within it no argument
//! makes the host hold much.

use std::net::TcpListener;

use serde_json::{Value, json};
use taskhost_e2e::host::Host;

use crate::guests::{Honest, home, row};

/// What the host may allocate at once for one call, beside the guest's own memory. The engine
/// copies 24 MiB at most, and what the host makes of it is no larger.
const CALL_BYTES_MAX: u64 = 64 << 20;

#[tokio::test]
async fn nothing_outside_is_opened() {
    let mut opens = row("opens-things", json!({}), "completed", "");
    let home = home(std::slice::from_ref(&opens));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let (read, write) = (home.settings_file(), home.path().join("written"));
    opens.params = json!({
        "port": listener.local_addr().unwrap().port(),
        "read": read,
        "write": write,
    });
    let host = home.start().await;
    let honest = Honest::begin(&host, "opens").await;
    let ended = host.run("t", opens.guest, opens.params.clone()).await;
    opens.check(&ended);
    for (what, outcome) in ended["payload"].as_object().unwrap() {
        let nothing = match outcome {
            Value::String(text) => text.starts_with("refused") || what == "current_folder",
            number => *number == json!(0),
        };
        assert!(nothing, "{what}: {outcome}");
    }
    assert!(read.exists() && !write.exists());
    let visitor = listener.accept().unwrap_err();
    assert_eq!(visitor.kind(), std::io::ErrorKind::WouldBlock);
    honest.are_well(&host).await;
}

#[tokio::test]
async fn hostile_arguments_are_answered_and_cost_the_host_little() {
    let hostile = row("hostile-calls", json!({}), "completed", "");
    let host = home(std::slice::from_ref(&hostile)).start().await;
    host.fill("s", [json!({"message": "x"})]).await;
    // What the host's first tasks cost it is not counted.
    Honest::begin(&host, "first").await.are_well(&host).await;
    let before = peak(&host);
    host.schedule_on("s", "t", hostile.guest, hostile.params.clone())
        .await;
    let ended = host.ends("t").await;
    let grown = reached(&host).saturating_sub(before);
    hostile.check(&ended);
    let own = ended["usage"]["peak_memory_bytes"].as_u64().unwrap();
    assert!(
        grown <= own + CALL_BYTES_MAX,
        "{} MiB beside the guest's {} MiB",
        grown.saturating_sub(own) >> 20,
        own >> 20
    );
    let codes = [
        "ok",
        "invalid",
        "denied",
        "too-large",
        "not-found",
        "conflict",
    ];
    let calls = ended["payload"].as_object().unwrap();
    for (call, answer) in calls {
        let code = answer.as_str().unwrap();
        assert!(codes.contains(&code), "{call}: {answer}");
    }
    // With a stream there is everything to ask.
    assert!(calls.len() > 90, "{} calls", calls.len());
    assert_eq!(calls["open ten thousand"], "too-large");
    for (call, code) in [
        ("complete too much", "too-large"),
        ("complete schema that explodes", "invalid"),
        ("complete what is not granted", "denied"),
        ("complete-many much", "too-large"),
        ("budget-remaining", "ok"),
    ] {
        assert_eq!(calls[call], code, "{call}");
    }
    // Once more, beside honest tasks: what they take would have been counted as well.
    host.schedule_on("s", "again", hostile.guest, hostile.params.clone())
        .await;
    let honest = Honest::begin(&host, "beside").await;
    hostile.check(&host.ends("again").await);
    honest.are_well(&host).await;
}

#[tokio::test]
async fn what_is_no_handle_is_a_trap() {
    let rows =
        ["dropped", "forged"].map(|what| row("hostile-calls", json!({"what": what}), "trap", ""));
    let host = home(&rows).start().await;
    let honest = Honest::begin(&host, "handles").await;
    for row in &rows {
        row.check(&host.run("t", row.guest, row.params.clone()).await);
    }
    honest.are_well(&host).await;
}

#[tokio::test]
async fn more_than_a_call_carries_is_out_of_memory() {
    let huge = |call: &str| {
        let params = json!({"what": "huge", "call": call});
        row("hostile-calls", params, "out_of_memory", "24 MiB")
    };
    let host = home(&[huge("")]).start().await;
    host.fill("s", [json!({"message": "x"})]).await;
    let honest = Honest::begin(&host, "huge").await;
    for call in [
        "report",
        "phase",
        "log",
        "log-fields",
        "describe",
        "count",
        "sample",
        "sample-many",
        "field-stats",
        "search",
        "open",
        "open-options",
        "get",
        "query-filter",
        "query-cursor",
        "query-options",
        "apply",
        "apply-many",
        "apply-options",
    ] {
        let row = huge(call);
        let before = peak(&host);
        host.schedule_on("s", call, row.guest, row.params.clone())
            .await;
        let ended = host.ends(call).await;
        let grown = reached(&host).saturating_sub(before);
        row.check(&ended);
        let own = ended["usage"]["peak_memory_bytes"].as_u64().unwrap();
        assert!(grown <= own + CALL_BYTES_MAX, "{call}: {grown} of {own}");
    }
    honest.are_well(&host).await;
}

/// What each has the host keep while its call waits for the others' is sixteen times the text that
/// it holds itself. Those that find no room have their turn later, and it costs them no attempt.
#[tokio::test]
async fn what_many_calls_bring_at_once_is_within_the_memory_of_all() {
    const AT_ONCE: u64 = 32;
    const MEMORY_MIB: u64 = 128;
    let guest = "same-text-often";
    let home = home(&[row(guest, json!({}), "completed", "")]);
    home.settings(&format!("runs.memory_mib = {MEMORY_MIB}\n"));
    let host = home.start().await;
    assert_eq!(host.run("first", guest, json!({})).await["stored"], 16);
    let before = peak(&host);
    for n in 0..AT_ONCE {
        host.schedule(&format!("t-{n}"), guest, json!({})).await;
    }
    let (mut guests_bytes, mut pauses) = (0, 0);
    for n in 0..AT_ONCE {
        let ended = host.ends(&format!("t-{n}")).await;
        assert_eq!(
            (&ended["stored"], &ended["run"]["attempt"]),
            (&json!(16), &json!(1)),
            "{ended:#}"
        );
        pauses += ended["run"]["pauses"].as_u64().unwrap();
        guests_bytes += ended["usage"]["peak_memory_bytes"].as_u64().unwrap();
    }
    let grown = reached(&host).saturating_sub(before);
    let most = guests_bytes + ((MEMORY_MIB / 2) << 20) + CALL_BYTES_MAX;
    println!("{} of {} MiB, {pauses} pauses", grown >> 20, most >> 20);
    assert!(pauses > 0, "all had room at once");
    assert!(grown <= most, "{} MiB, {} at most", grown >> 20, most >> 20);
}

/// The most that a process has held, from now on; answers what it holds now.
fn peak(host: &Host) -> u64 {
    let file = format!("/proc/{}/clear_refs", host.pid().as_raw_nonzero());
    std::fs::write(file, "5").unwrap();
    reached(host)
}

/// The most that it has held since.
fn reached(host: &Host) -> u64 {
    held(host, "VmHWM:")
}

/// A line of the process's status, in bytes.
pub(crate) fn held(host: &Host, key: &str) -> u64 {
    let file = format!("/proc/{}/status", host.pid().as_raw_nonzero());
    let status = std::fs::read_to_string(file).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    let kib = line.unwrap().trim().strip_suffix(" kB").unwrap();
    kib.parse::<u64>().unwrap() * 1024
}

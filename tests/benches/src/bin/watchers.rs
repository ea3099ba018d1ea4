//! What it costs a host to have 1,000 watchers of a space's events at 100 changes of status a
//! second, each sent to every one of them: memory, and the host's time on its cores.
//!
//! `watchers 1000 100 20`: so many watchers, changes a second, seconds.

use std::time::Duration;

use taskhost_benches::wire::Wire;
use taskhost_benches::{line, machine, resident_kib};
use taskhost_e2e::home::Home;
use taskhost_e2e::host::Host;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut wanted = std::env::args()
        .skip(1)
        .map(|text| text.parse::<u64>().expect("a number"));
    let watchers = wanted.next().unwrap_or(1_000);
    let changes: u64 = wanted.next().unwrap_or(100);
    let seconds: u64 = wanted.next().unwrap_or(20);
    let home = Home::with(&["hello-task"]);
    home.settings("http.connections_max = 4096\n");
    let host = home.start().await;
    println!("{}", machine());
    let mut wire = Wire::connect(&host.url).await;
    // Once through, so that what is made once is there.
    change(&mut wire, changes, 2).await;
    let (before_kib, alone) = (resident_kib(&host), cpu_of(&host));
    change(&mut wire, changes, seconds).await;
    let alone = cpu_of(&host) - alone;
    let here = tokio::task::LocalSet::new();
    let heard = std::rc::Rc::new(std::cell::Cell::new(0_u64));
    for _ in 0..watchers {
        let (mut stream, heard) = (watch(&host.url).await, std::rc::Rc::clone(&heard));
        here.spawn_local(async move {
            let mut part = vec![0; 64 * 1024];
            while let Ok(length @ 1..) = stream.read(&mut part).await {
                let events = part[..length]
                    .windows(7)
                    .filter(|it| it == b"event: ")
                    .count();
                heard.set(heard.get() + events as u64);
            }
        });
    }
    let used = cpu_of(&host);
    here.run_until(change(&mut wire, changes, seconds)).await;
    let used = cpu_of(&host) - used;
    let kib = resident_kib(&host) - before_kib.min(resident_kib(&host));
    println!(
        "{}",
        line("events that were heard", &heard.get().to_string())
    );
    println!(
        "{}",
        line(
            "memory of the watchers",
            &format!("{:.1} MB", kib as f64 * 1.024e-3)
        )
    );
    let share = |ticks: u64| ticks as f64 / 100.0 / seconds as f64;
    println!(
        "{}",
        line("cores without watchers", &format!("{:.2}", share(alone)))
    );
    println!(
        "{}",
        line("cores with them", &format!("{:.2}", share(used)))
    );
}

/// Makes so many changes a second: a task that is scheduled for later, and canceled, is two.
async fn change(wire: &mut Wire, changes: u64, seconds: u64) {
    let body = r#"{"type":"hello","params":{"name":"you"},"run_at":"2999-01-01T00:00:00Z"}"#;
    let begun = Instant::now();
    for n in 0..changes * seconds / 2 {
        let path = format!("/v1/spaces/default/tasks/t-{}", n % 500);
        assert_eq!(wire.send("PUT", &path, body).await.status, 201);
        let cancel = format!("{path}/cancel");
        assert_eq!(wire.send("POST", &cancel, "").await.status, 200);
        let next = Duration::from_micros((n + 1) * 2_000_000 / changes);
        // tidy: sleep allowed because it is the pace that is asked for
        tokio::time::sleep_until(begun + next).await;
    }
}

async fn watch(url: &str) -> TcpStream {
    let host = url.strip_prefix("http://").expect("an address");
    let mut stream = TcpStream::connect(host).await.expect("a connection");
    let head = format!("GET /v1/spaces/default/events HTTP/1.1\r\nhost: {host}\r\n\r\n");
    stream
        .write_all(head.as_bytes())
        .await
        .expect("a sent request");
    stream
}

/// What a host has used of its cores, in hundredths of a second.
fn cpu_of(host: &Host) -> u64 {
    let path = format!("/proc/{}/stat", host.pid().as_raw_nonzero());
    let stat = std::fs::read_to_string(path).expect("the host runs");
    let rest = stat.rsplit_once(')').expect("its name").1;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks = |index: usize| fields[index].parse::<u64>().expect("a number");
    ticks(11) + ticks(12)
}

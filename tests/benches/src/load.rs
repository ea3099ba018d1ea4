//! The load of the throughput figures: `hello`, each submitted singly and followed by a long poll
//! until it has completed, with 64 in flight over each host, all on one thread; and tasks of any
//! kind, one a request or many.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::wire::{Door, Wire};

/// Tasks in flight over each host.
pub const IN_FLIGHT: usize = 64;
const BODY: &str = r#"{"type":"hello","params":{"name":"you"}}"#;

/// Runs so many tasks, with ids that begin with `prefix`; how long each took.
///
/// # Panics
/// When one of them does not complete.
pub async fn round(url: &str, prefix: &str, tasks: usize) -> Vec<Duration> {
    round_over(&[Door::open(url)], prefix, tasks).await
}

/// The same, with [`IN_FLIGHT`] over each of several hosts.
///
/// # Panics
/// When one of them does not complete.
pub async fn round_over(doors: &[Door], prefix: &str, tasks: usize) -> Vec<Duration> {
    let prefix = prefix.to_owned();
    let task = async move |wire: &mut Wire, n: usize| {
        let id = format!("{prefix}-{n}");
        let revision = wire.schedule(&id, BODY).await;
        wire.until(&id, "completed", revision).await;
    };
    in_flight(doors, tasks, task).await
}

/// Asks so often for what costs the host nothing but the request itself; how long each took. What
/// tasks cost beside it depends less on the machine than either does alone.
///
/// # Panics
/// When it is refused.
pub async fn bare_requests(url: &str, requests: usize) -> Vec<Duration> {
    let request = async |wire: &mut Wire, _| {
        assert_eq!(wire.send("GET", "/livez", "").await.status, 200);
    };
    in_flight(&[Door::open(url)], requests, request).await
}

/// Schedules so many tasks, one a request, with [`IN_FLIGHT`] at once.
///
/// # Panics
/// When one of them is refused.
pub async fn singly(url: &str, prefix: &str, body: &'static str, tasks: usize) {
    let prefix = prefix.to_owned();
    let request = async move |wire: &mut Wire, n: usize| {
        wire.schedule(&format!("{prefix}-{n}"), body).await;
    };
    in_flight(&[Door::open(url)], tasks, request).await;
}

/// How many tasks are scheduled, many a request.
#[derive(Debug, Clone, Copy)]
pub struct Batches {
    /// In all.
    pub tasks: usize,
    /// In one request.
    pub batch: usize,
    /// So many requests at once, each on a connection of its own.
    pub at_once: usize,
}

/// Schedules tasks that are all like this, many a request; the last one of each connection that
/// had any.
///
/// # Panics
/// When one of them is refused.
pub async fn in_batches(url: &str, body: &str, batches: Batches) -> Vec<String> {
    const PATH: &str = "/v1/spaces/default/tasks/bulk";
    let line = format!("{body}\n");
    let lines: Rc<str> = line.repeat(batches.batch).into();
    let left = Rc::new(Cell::new(batches.tasks));
    let connection = |mut wire: Wire| {
        let (lines, left) = (Rc::clone(&lines), Rc::clone(&left));
        let (batch, bytes) = (batches.batch, line.len());
        async move {
            let mut last = None;
            loop {
                let some = left.get().min(batch);
                if some == 0 {
                    return last;
                }
                left.set(left.get() - some);
                let (kind, lines) = ("application/x-ndjson", &lines[..some * bytes]);
                let said = wire.send_as("POST", PATH, kind, lines).await;
                assert_eq!(said.status, 200, "{}", said.body);
                assert_eq!(said.number("accepted"), Some(some as u64), "{}", said.body);
                last = said.last_text("id").map(str::to_owned);
            }
        }
    };
    let here = tokio::task::LocalSet::new();
    let mut connections = Vec::new();
    for _ in 0..batches.at_once {
        connections.push(here.spawn_local(connection(Wire::connect(url).await)));
    }
    here.await;
    let mut last = Vec::new();
    for connection in connections {
        last.extend(connection.await.expect("a connection that ends"));
    }
    last
}

async fn in_flight(
    doors: &[Door],
    count: usize,
    one: impl AsyncFn(&mut Wire, usize) + 'static,
) -> Vec<Duration> {
    let (next, one) = (Rc::new(Cell::new(0)), Rc::new(one));
    let client = |mut wire: Wire| {
        let (next, one) = (Rc::clone(&next), Rc::clone(&one));
        async move {
            let mut times = Vec::with_capacity(count / IN_FLIGHT * 2);
            loop {
                let n = next.get();
                if n >= count {
                    return times;
                }
                next.set(n + 1);
                let begun = Instant::now();
                one(&mut wire, n).await;
                times.push(begun.elapsed());
            }
        }
    };
    let here = tokio::task::LocalSet::new();
    let mut clients = Vec::new();
    for n in 0..IN_FLIGHT * doors.len() {
        let wire = Wire::through(&doors[n % doors.len()]).await;
        clients.push(here.spawn_local(client(wire)));
    }
    here.await;
    let mut all = Vec::with_capacity(count);
    for client in clients {
        all.extend(client.await.expect("a client that ends"));
    }
    all
}

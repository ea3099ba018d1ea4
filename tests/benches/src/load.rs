//! The load of the throughput figures: `hello`, each submitted singly and followed by a long poll
//! until it has completed, with 64 in flight, all on one thread.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::wire::Wire;

/// Tasks in flight.
pub const IN_FLIGHT: usize = 64;
const BODY: &str = r#"{"type":"hello","params":{"name":"you"}}"#;

/// Runs so many tasks, with ids that begin with `prefix`; how long each took.
///
/// # Panics
/// When one of them does not complete.
pub async fn round(url: &str, prefix: &str, tasks: usize) -> Vec<Duration> {
    let next = Rc::new(Cell::new(0));
    let client = |next: Rc<Cell<usize>>, mut wire: Wire, prefix: String| async move {
        let mut times = Vec::with_capacity(tasks / IN_FLIGHT * 2);
        loop {
            let n = next.get();
            if n >= tasks {
                return times;
            }
            next.set(n + 1);
            let begun = Instant::now();
            one(&mut wire, &format!("{prefix}-{n}")).await;
            times.push(begun.elapsed());
        }
    };
    let here = tokio::task::LocalSet::new();
    let mut clients = Vec::new();
    for _ in 0..IN_FLIGHT {
        let wire = Wire::connect(url).await;
        clients.push(here.spawn_local(client(Rc::clone(&next), wire, prefix.to_owned())));
    }
    here.await;
    let mut all = Vec::with_capacity(tasks);
    for client in clients {
        all.extend(client.await.expect("a client that ends"));
    }
    all
}

async fn one(wire: &mut Wire, id: &str) {
    let revision = wire.schedule(id, BODY).await;
    wire.until(id, "completed", revision).await;
}

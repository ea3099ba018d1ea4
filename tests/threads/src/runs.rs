//! The runs of a host: a stop reaches its run, whenever it comes, and nothing is left of either.

use std::sync::Arc;
use std::time::Duration;

use shuttle::future::block_on;
use shuttle::thread::{self, JoinHandle};
use taskhost_model::ids::RunId;
use taskhost_model::task::{Fence, Task};

use crate::live::{Live, Registered};
use crate::stop::StopReason;

/// A run starts and waits while it is asked to stop and is interrupted. Whoever interrupts it
/// has said why.
pub fn a_stop_of_one() {
    let live = Arc::new(Live::default());
    let asking = beside(&live, |live| {
        live.ask(fence(1), StopReason::User, Duration::ZERO)
    });
    let interrupting = beside(&live, |live| live.interrupt(fence(1), StopReason::Fenced));
    let running = beside(&live, |live| {
        let run = live.register(&claimed(1));
        assert!(live.has(fence(1)));
        block_on(run.stop.until_interrupted());
        assert!(run.stop.asked().is_some());
    });
    for thread in [asking, interrupting, running] {
        thread.join().unwrap();
    }
    assert!(!live.has(fence(1)));
    // Who has asked after the end has left something that the sweeper forgets.
    live.unclaimed()
        .into_iter()
        .for_each(|fence| live.forget_unclaimed(fence));
    assert_eq!(live.register(&claimed(1)).stop.asked(), None);
}

/// A host is drained while it starts two runs: both are asked, and then interrupted.
pub fn a_drain() {
    let live = Arc::new(Live::default());
    let starting = {
        let live = Arc::clone(&live);
        thread::spawn(move || [1, 2].map(|number| waits(live.register(&claimed(number)))))
    };
    live.ask_all(StopReason::Drain);
    let runs = starting.join().unwrap();
    live.interrupt_all();
    let heard = runs.map(|run| run.join().unwrap());
    assert_eq!(heard, [StopReason::Drain; 2]);
    assert_eq!(live.count(), 0);
}

/// Stops of runs that are not there are forgotten; one that starts meanwhile is not.
pub fn forgetting() {
    let live = Arc::new(Live::default());
    live.ask(fence(1), StopReason::User, Duration::ZERO);
    live.ask(fence(2), StopReason::User, Duration::ZERO);
    let forgetting = beside(&live, |live| {
        live.unclaimed()
            .into_iter()
            .for_each(|fence| live.forget_unclaimed(fence));
    });
    let run = live.register(&claimed(1));
    forgetting.join().unwrap();
    assert!(live.has(fence(1)));
    assert_eq!(live.unclaimed(), []);
    drop(run);
    assert_eq!(live.count(), 0);
}

fn waits(run: Registered) -> JoinHandle<StopReason> {
    thread::spawn(move || {
        let reason = block_on(run.stop.until_asked());
        block_on(run.stop.until_interrupted());
        reason
    })
}

fn beside(live: &Arc<Live>, what: impl FnOnce(&Arc<Live>) + Send + 'static) -> JoinHandle<()> {
    let live = Arc::clone(live);
    thread::spawn(move || what(&live))
}

fn fence(number: u64) -> Fence {
    Fence {
        run: run_id(number),
        lease_number: 1,
    }
}

fn claimed(number: u64) -> Task {
    let task = serde_json::json!({
        "id": "t", "type": "hello", "space": "default", "status": "in_progress",
        "created_at": 1, "requested_by": "somebody", "version": 1, "revision": 1,
        "run": {
            "id": run_id(number), "state": "running", "attempt": 1, "max_attempts": 3,
            "priority": 0, "due_at": 1, "rank": 0, "lease_number": 1,
        },
    });
    serde_json::from_value(task).unwrap()
}

/// The same ones each time, so that an order of steps can be repeated.
pub(crate) fn run_id(number: u64) -> RunId {
    RunId::parse(&format!("00000000-0000-0000-0000-{number:012}")).unwrap()
}

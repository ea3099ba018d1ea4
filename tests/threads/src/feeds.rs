//! Feeds of changes: whoever watches sees everything from then on, whoever else comes and goes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use shuttle::future::block_on;
use shuttle::thread;
use taskhost_model::ids::{Space, TaskId, TaskKey, TypeId};
use taskhost_model::task::Task;
use taskhost_model::time::Timestamp;
use taskhost_store::apply::{Decision, decide};
use taskhost_store::event::{Event, NewRun};

use crate::changes::{ChangeKind, Changes};
use crate::runs::run_id;

/// Changes of one task.
const CHANGES: u64 = 3;

/// One reads a feed that others open and leave while it is written.
pub fn of_one_task() {
    let changes = Arc::new(Changes::default());
    // Of the test, not of what is tested: no step of it is one to try.
    let begun = Arc::new(AtomicU64::new(0));
    let task = task();
    let key = task.key();
    let passing = [(); 2].map(|()| {
        let (changes, key) = (Arc::clone(&changes), key.clone());
        thread::spawn(move || drop(changes.watch(&key)))
    });
    let writing = {
        let (changes, begun) = (Arc::clone(&changes), Arc::clone(&begun));
        thread::spawn(move || {
            for revision in 1..=CHANGES {
                begun.store(revision, Ordering::SeqCst);
                let task = Task {
                    revision,
                    ..task.clone()
                };
                changes.publish(&task, ChangeKind::Progress);
            }
        })
    };
    let mut watch = changes.watch(&key);
    let before = begun.load(Ordering::SeqCst);
    let mut next = None;
    while before < CHANGES && next != Some(CHANGES + 1) {
        let revision = block_on(watch.next()).unwrap().task.revision;
        assert!(next.map_or(revision <= before + 1, |next| revision == next));
        next = Some(revision + 1);
    }
    writing.join().unwrap();
    for thread in passing {
        thread.join().unwrap();
    }
}

fn task() -> Task {
    let key = TaskKey {
        space: Space::parse("default").unwrap(),
        id: TaskId::parse("watched").unwrap(),
    };
    let run = NewRun {
        id: run_id(1),
        type_id: TypeId::parse("worker").unwrap(),
        stream: None,
        also_reads: Vec::new(),
        params: Arc::from("{}"),
        parent: None,
        concurrency_key: None,
        record: false,
        trace: None,
        requested_by: "somebody".to_owned(),
        key: None,
        priority: 0,
        due_at: Timestamp::from_ms(1),
        timeout_ms: None,
        max_attempts: 1,
        condition: None,
        keeps_checkpoints: false,
        receipt: None,
    };
    let event = Event::Schedule(Box::new(run));
    match decide(&key, None, &event, Timestamp::from_ms(1)) {
        Decision::Write(write) => write.task,
        Decision::Nothing(outcome) => unreachable!("{outcome:?}"),
    }
}

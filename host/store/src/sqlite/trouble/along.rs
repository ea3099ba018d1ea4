//! Trouble with what is claimed within the write that accepts it.

use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, mpsc as blocking};

// Tests may use what `lib.rs` lists below the store.
#[cfg(test)]
use crate::conformance::{along::Listener, given::claim_request};

use super::super::along::Along;
use super::super::readers::Readers;
use super::super::reserve::Reserve;
use super::super::writer::{Company, Writer};
use super::super::{File, connection, schema};
use super::*;
use crate::queue::{Claimer, Reservation, RunQueue as _, StoredTask};

async fn claimed(sqlite: &Sqlite, limit: usize) -> Vec<String> {
    let claimed = sqlite
        .claim(&claim_request(&["hello"], limit))
        .await
        .unwrap();
    ids(&claimed)
}

fn ids(claimed: &[StoredTask]) -> Vec<String> {
    let id = |stored: &StoredTask| stored.task.id.to_string();
    claimed.iter().map(id).collect()
}

async fn execute(sqlite: &Sqlite, sql: &'static str) {
    let work = move |connection: &Connection| Ok(connection.execute_batch(sql)?);
    sqlite.tasks.writer.write(Step::Other, work).await.unwrap();
}

/// Schedules tasks in one commit.
async fn schedule_together(sqlite: &Arc<Sqlite>, ids: &'static [&'static str]) {
    let go_on = held_up(sqlite).await;
    let mut callers = Vec::new();
    for id in ids {
        let sqlite = Arc::clone(sqlite);
        callers.push(tokio::spawn(
            async move { schedule(&sqlite, id, "{}").await },
        ));
        queued().await;
    }
    drop(go_on);
    for caller in callers {
        caller.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_claim_along_that_fails_halfway_leaves_the_tasks_to_claims() {
    let opened = open_with_component().await;
    let sqlite = &opened.sqlite;
    let (listener, mut heard) = Listener::new(2);
    sqlite.claim_along(listener);
    execute(
        sqlite,
        "CREATE TEMP TRIGGER halfway BEFORE UPDATE ON main.tasks WHEN NEW.place = 3 \
         AND NEW.id = 'b' BEGIN SELECT RAISE(ABORT, 'a test'); END",
    )
    .await;
    schedule_together(sqlite, &["a", "b"]).await;
    assert!(matches!(heard.try_recv(), Ok(None)));
    assert!(heard.try_recv().is_err(), "it was tried once");
    for id in ["a", "b"] {
        let task = sqlite.get(&key(id)).await.unwrap().unwrap();
        assert_eq!(task.run.lease_number, 0, "{id} is not claimed");
    }
    execute(sqlite, "DROP TRIGGER temp.halfway").await;
    assert_eq!(claimed(sqlite, 10).await, ["a", "b"]);
    sqlite.close().await;
}

/// A store whose next commit fails when it is told so.
fn with_commits_that_fail(folder: &Path, fails: Arc<AtomicBool>) -> Sqlite {
    let (limits, clock, along) = (Limits::default(), Clock::System, Along::default());
    let mut connection = connection::for_writing(folder, &schema::TASKS).unwrap();
    let hook = move || fails.swap(false, Ordering::SeqCst);
    connection.commit_hook(Some(hook)).unwrap();
    let company = Company {
        companion: Some(along.companion(limits, clock.clone())),
        beside: None,
    };
    let tasks = File {
        writer: Writer::start("tasks", connection, company, ()).unwrap(),
        readers: Readers::new(folder.to_owned(), &schema::TASKS),
        seen: Mutex::default(),
    };
    Sqlite {
        clock,
        limits,
        along,
        noted: Arc::default(),
        reserve: Reserve::of(folder),
        unreadable: Arc::default(),
        tasks,
        streams: File::open(folder, &schema::STREAMS, Company::default(), ()).unwrap(),
    }
}

#[tokio::test]
async fn a_commit_that_fails_starts_nothing_that_was_claimed_along() {
    let folder = tempfile::tempdir().unwrap();
    let fails = Arc::new(AtomicBool::new(false));
    let sqlite = &with_commits_that_fail(folder.path(), Arc::clone(&fails));
    put_first(sqlite).await;
    let (listener, mut heard) = Listener::new(2);
    sqlite.claim_along(listener);
    fails.store(true, Ordering::SeqCst);
    schedule(sqlite, "t", "{}").await.unwrap();
    assert!(!fails.load(Ordering::SeqCst), "a commit has failed");
    assert!(matches!(heard.try_recv(), Ok(None)));
    assert!(heard.try_recv().is_err(), "and nothing was started");
    assert_eq!(claimed(sqlite, 10).await, ["t"]);
    // The next one goes along again.
    schedule(sqlite, "u", "{}").await.unwrap();
    assert!(matches!(heard.try_recv(), Ok(Some(runs)) if ids(&runs) == ["u"]));
    sqlite.close().await;
}

#[tokio::test]
async fn a_damaged_row_costs_no_other_task_its_run() {
    let opened = open_with_component().await;
    let sqlite = &opened.sqlite;
    for id in ["bad", "good"] {
        schedule(sqlite, id, "{}").await.unwrap();
    }
    execute(
        sqlite,
        "CREATE TEMP TABLE whole AS SELECT body FROM tasks WHERE id = 'bad';
         UPDATE tasks SET body = '{' WHERE id = 'bad'",
    )
    .await;
    assert_eq!(claimed(sqlite, 1).await, ["good"], "the next one is taken");
    let place = |connection: &Connection| {
        let sql = "SELECT place FROM tasks WHERE id = 'bad'";
        Ok(connection.query_row(sql, [], |row| row.get::<_, i64>(0))?)
    };
    assert_eq!(sqlite.tasks.readers.read(place).await.unwrap(), 0);
    // Also where it stands behind one that has been taken, and what is claimed goes along.
    schedule(sqlite, "worse", "{}").await.unwrap();
    execute(
        sqlite,
        "UPDATE tasks SET body = '{', rank = rank + 1 WHERE id = 'worse'",
    )
    .await;
    let (listener, mut heard) = Listener::new(10);
    sqlite.claim_along(listener);
    schedule(sqlite, "along", "{}").await.unwrap();
    assert!(matches!(heard.try_recv(), Ok(Some(runs)) if ids(&runs) == ["along"]));
    // When it was mended by hand, it runs.
    execute(
        sqlite,
        "UPDATE tasks SET place = 1, body = (SELECT body FROM temp.whole) WHERE id = 'bad'",
    )
    .await;
    assert_eq!(claimed(sqlite, 10).await, ["bad"]);
    sqlite.close().await;
}

#[tokio::test]
async fn a_damaged_row_keeps_no_other_held_task_from_the_sweeper() {
    let opened = open_with_component().await;
    let sqlite = &opened.sqlite;
    for id in ["bad", "good", "fine"] {
        schedule(sqlite, id, "{}").await.unwrap();
    }
    assert_eq!(claimed(sqlite, 3).await.len(), 3);
    execute(
        sqlite,
        "CREATE TEMP TABLE whole AS SELECT body FROM tasks WHERE id = 'bad';
         UPDATE tasks SET body = '{' WHERE id = 'bad'",
    )
    .await;
    // Twice: it is still held when the log knows of it. With a limit of 2 the caller would take
    // one task for all there are.
    for limit in [2, 3] {
        assert_eq!(held(sqlite, limit).await, ["good", "fine"]);
    }
    assert_eq!(held(sqlite, 1).await, ["good"]);
    // When it was mended by hand, it is swept with the others.
    let mend = "UPDATE tasks SET body = (SELECT body FROM temp.whole) WHERE id = 'bad'";
    execute(sqlite, mend).await;
    assert_eq!(held(sqlite, 3).await, ["bad", "good", "fine"]);
    sqlite.close().await;
}

async fn held(sqlite: &Sqlite, limit: usize) -> Vec<String> {
    let held = sqlite.held(limit).await.unwrap();
    held.iter().map(|task| task.id.to_string()).collect()
}

/// A claimer with a bug, at its first or second call into it.
#[derive(Debug)]
struct Broken {
    calls_left: Arc<AtomicU64>,
    request: ClaimRequest,
}

impl Broken {
    fn call(&self) {
        assert_ne!(self.calls_left.fetch_sub(1, Ordering::SeqCst), 1, "a bug");
    }
}

impl Claimer for Broken {
    fn reserve(&self) -> Option<Box<dyn Reservation>> {
        self.call();
        Some(Box::new(Self {
            calls_left: Arc::clone(&self.calls_left),
            request: self.request.clone(),
        }))
    }
}

impl Reservation for Broken {
    fn request(&self) -> &ClaimRequest {
        &self.request
    }

    fn start(self: Box<Self>, _: Vec<StoredTask>) {
        self.call();
    }
}

#[tokio::test]
async fn a_claimer_that_panics_harms_no_write() {
    for calls in [1, 2] {
        let opened = open_with_component().await;
        let sqlite = &opened.sqlite;
        let calls_left = Arc::new(AtomicU64::new(calls));
        sqlite.claim_along(Arc::new(Broken {
            calls_left: Arc::clone(&calls_left),
            request: claim_request(&["hello"], 1),
        }));
        schedule(sqlite, "t", "{}").await.unwrap();
        assert_eq!(calls_left.load(Ordering::SeqCst), 0, "it has panicked");
        let task = sqlite.get(&key("t")).await.unwrap().unwrap();
        assert_eq!(task.run.lease_number, calls - 1);
        // The store goes on, and asks again.
        calls_left.store(1_000, Ordering::SeqCst);
        schedule(sqlite, "u", "{}").await.unwrap();
        assert_eq!(calls_left.load(Ordering::SeqCst), 998);
        sqlite.close().await;
    }
}

/// A claimer that takes its time to start runs.
#[derive(Debug)]
struct Slow {
    started: Arc<Notify>,
    go_on: Arc<Mutex<blocking::Receiver<()>>>,
    request: ClaimRequest,
}

impl Claimer for Slow {
    fn reserve(&self) -> Option<Box<dyn Reservation>> {
        Some(Box::new(Self {
            started: Arc::clone(&self.started),
            go_on: Arc::clone(&self.go_on),
            request: self.request.clone(),
        }))
    }
}

impl Reservation for Slow {
    fn request(&self) -> &ClaimRequest {
        &self.request
    }

    fn start(self: Box<Self>, _: Vec<StoredTask>) {
        self.started.notify_one();
        let _ = self.go_on.lock().unwrap().recv();
    }
}

#[tokio::test]
async fn runs_are_started_before_their_callers_are_answered() {
    let opened = open_with_component().await;
    let sqlite = &opened.sqlite;
    let started = Arc::new(Notify::new());
    let (end, go_on) = blocking::channel();
    sqlite.claim_along(Arc::new(Slow {
        started: Arc::clone(&started),
        go_on: Arc::new(Mutex::new(go_on)),
        request: claim_request(&["hello"], 1),
    }));
    let store = Arc::clone(sqlite);
    let caller = tokio::spawn(async move { schedule(&store, "t", "{}").await });
    started.notified().await;
    queued().await;
    assert!(!caller.is_finished(), "it would look for its run in vain");
    drop(end);
    caller.await.unwrap().unwrap();
    sqlite.close().await;
}

#[tokio::test]
async fn no_more_is_claimed_along_than_one_commit_writes() {
    let opened = open_with_component().await;
    let sqlite = &opened.sqlite;
    for number in 0..300 {
        let sqlite = Arc::clone(sqlite);
        tokio::spawn(async move { schedule(&sqlite, &format!("t{number}"), "{}").await });
    }
    queued().await;
    sqlite.writable().await.unwrap();
    let (listener, mut heard) = Listener::new(1_000);
    sqlite.claim_along(listener);
    schedule(sqlite, "last", "{}").await.unwrap();
    let given = match heard.try_recv() {
        Ok(Some(runs)) => runs.len(),
        other => panic!("{other:?}"),
    };
    assert_eq!(given, 256);
    assert_eq!(claimed(sqlite, 1_000).await.len(), 45);
    sqlite.close().await;
}

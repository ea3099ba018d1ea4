//! What happens when something goes wrong: an operation that fails or panics, a disk that is
//! full, a caller who goes away.

mod along;
mod bulk;
mod queries;
mod recordings;
mod reserved;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use rusqlite::Connection;
use taskhost_model::ids::{Digest, Incarnation, RunId, Space, TaskId, TaskKey, TypeId};
use taskhost_model::time::{Clock, Timestamp};
use tokio::sync::{Notify, oneshot};

use super::Sqlite;
use crate::components::{self, Version, VersionState};
use crate::crash::Step;
use crate::error::StoreError;
use crate::event::{Event, NewRun, Outcome};
use crate::limits::Limits;
use crate::queue::{ClaimRequest, ClaimableType, RunQueue as _};
use crate::tasks::TaskStore;

struct Opened {
    folder: tempfile::TempDir,
    sqlite: Arc<Sqlite>,
}

fn open() -> Opened {
    open_in(tempfile::tempdir().unwrap())
}

fn open_in(folder: tempfile::TempDir) -> Opened {
    let sqlite = Sqlite::open(folder.path(), Limits::default(), Clock::System, &()).unwrap();
    Opened {
        folder,
        sqlite: Arc::new(sqlite),
    }
}

fn key(id: &str) -> TaskKey {
    TaskKey {
        space: Space::parse("default").unwrap(),
        id: TaskId::parse(id).unwrap(),
    }
}

fn hello() -> TypeId {
    TypeId::parse("hello").unwrap()
}

fn new_run(params: &str) -> NewRun {
    NewRun {
        id: RunId::new(),
        type_id: hello(),
        stream: None,
        also_reads: Vec::new(),
        params: Arc::from(params),
        parent: None,
        concurrency_key: None,
        record: false,
        trace: None,
        requested_by: "somebody".to_owned(),
        key: None,
        priority: 0,
        due_at: Timestamp::from_ms(0),
        timeout_ms: None,
        max_attempts: 1,
        condition: None,
        keeps_checkpoints: false,
        receipt: None,
    }
}

async fn schedule(sqlite: &Sqlite, id: &str, params: &str) -> Result<(), StoreError> {
    let event = Event::Schedule(Box::new(new_run(params)));
    let applied = sqlite.apply(&key(id), event).await?;
    assert_eq!(applied.outcome, Outcome::Changed);
    Ok(())
}

fn component(name: char, bytes: u64) -> Version {
    Version {
        digest: Digest::parse(&name.to_string().repeat(64)).unwrap(),
        type_id: hello(),
        descriptor: "{}".to_owned(),
        state: VersionState::Active,
        bytes,
        uploaded_at: Timestamp::from_ms(1),
        activated_at: None,
        approval: None,
        signed_by: None,
    }
}

/// A store with the component that claims name.
async fn open_with_component() -> Opened {
    let opened = open();
    put_first(&opened.sqlite).await;
    opened
}

async fn put_first(sqlite: &Sqlite) {
    let first = component('a', 0);
    let put = components::ComponentStore::put(sqlite, &first, Arc::from([]));
    assert!(put.await.unwrap());
}

/// Keeps the writer busy until the answer is dropped or used, so that what comes meanwhile
/// shares a batch.
async fn held_up(sqlite: &Arc<Sqlite>) -> oneshot::Sender<()> {
    held_up_at(sqlite, |_| Ok(())).await
}

/// The same, and looks at the file as it is then.
async fn held_up_at(
    sqlite: &Arc<Sqlite>,
    mut look: impl FnMut(&Connection) -> Result<(), StoreError> + Send + 'static,
) -> oneshot::Sender<()> {
    let (go_on, wait) = oneshot::channel::<()>();
    let begun = Arc::new(Notify::new());
    let (sqlite, seen) = (Arc::clone(sqlite), Arc::clone(&begun));
    let mut wait = Some(wait);
    tokio::spawn(async move {
        let work = move |connection: &Connection| {
            look(connection)?;
            seen.notify_one();
            if let Some(wait) = wait.take() {
                let _ = wait.blocking_recv();
            }
            Ok(())
        };
        sqlite.tasks.writer.write(Step::Other, work).await
    });
    begun.notified().await;
    go_on
}

/// Lets spawned callers come as far as the writer's queue.
async fn queued() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_operation_that_fails_harms_no_other_and_leaves_nothing() {
    let opened = open();
    let sqlite = &opened.sqlite;
    let go_on = held_up(sqlite).await;
    let mut callers = Vec::new();
    let runs = Arc::new(AtomicU32::new(0));
    for number in 0..20 {
        let (sqlite, runs) = (Arc::clone(sqlite), Arc::clone(&runs));
        callers.push(tokio::spawn(async move {
            if number % 5 != 3 {
                return schedule(&sqlite, &format!("t{number}"), "{}").await;
            }
            let work = move |connection: &Connection| {
                runs.fetch_add(1, Ordering::SeqCst);
                let sql = "INSERT INTO params (task, text) VALUES (?1, 'half')";
                connection.execute(sql, [1_000 + number])?;
                // Then it fails for a reason of its own.
                Err::<(), _>(StoreError::InvalidCursor)
            };
            sqlite.tasks.writer.write(Step::Other, work).await
        }));
    }
    queued().await;
    drop(go_on);
    for (number, caller) in callers.into_iter().enumerate() {
        let answer = caller.await.unwrap();
        match number % 5 {
            3 => assert!(matches!(answer, Err(StoreError::InvalidCursor))),
            _ => answer.unwrap(),
        }
    }
    assert!(
        runs.load(Ordering::SeqCst) > 4,
        "the batch was undone and tried one by one"
    );
    let left = |connection: &Connection| {
        let sql = "SELECT count(*) FROM params WHERE text = 'half'";
        Ok(connection.query_row(sql, [], |row| row.get::<_, i64>(0))?)
    };
    assert_eq!(sqlite.tasks.readers.read(left).await.unwrap(), 0);
    for number in (0..20).filter(|number| number % 5 != 3) {
        let key = key(&format!("t{number}"));
        assert!(sqlite.get(&key).await.unwrap().is_some());
    }
    sqlite.close().await;
}

#[tokio::test]
async fn a_panic_makes_the_store_unavailable_and_loses_nothing_answered() {
    let opened = open();
    let sqlite = &opened.sqlite;
    schedule(sqlite, "before", "{}").await.unwrap();
    let work = |_: &Connection| -> Result<(), StoreError> { panic!("a bug") };
    let answer = sqlite.tasks.writer.write(Step::Other, work).await;
    assert!(matches!(answer, Err(StoreError::Unavailable { .. })));
    for _ in 0..2 {
        let answer = schedule(sqlite, "after", "{}").await;
        assert!(matches!(answer, Err(StoreError::Unavailable { .. })));
        assert!(matches!(
            sqlite.writable().await,
            Err(StoreError::Unavailable { .. })
        ));
    }
    assert!(
        sqlite.get(&key("before")).await.unwrap().is_some(),
        "reads go on"
    );
    assert!(sqlite.get(&key("after")).await.unwrap().is_none());
    sqlite.close().await;
    let again = Sqlite::open(opened.folder.path(), Limits::default(), Clock::System, &()).unwrap();
    assert!(again.get(&key("before")).await.unwrap().is_some());
    schedule(&again, "after", "{}").await.unwrap();
    again.close().await;
}

/// SQLite says the same when a file may not grow as when the disk is full.
async fn let_grow(sqlite: &Sqlite, pages_more: i64) {
    let work = move |connection: &Connection| {
        let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
        let pages = number("PRAGMA page_count")? + pages_more;
        number(&format!("PRAGMA max_page_count = {pages}"))?;
        Ok(())
    };
    sqlite.tasks.writer.write(Step::Other, work).await.unwrap();
}

#[tokio::test]
async fn a_full_disk_is_told_writes_nothing_and_recovers() {
    let opened = open_with_component().await;
    let sqlite = &opened.sqlite;
    let_grow(sqlite, 20).await;
    let params = format!("\"{}\"", "x".repeat(3_000));
    let mut callers = Vec::new();
    for number in 0..100 {
        let (sqlite, params) = (Arc::clone(sqlite), params.clone());
        callers.push(tokio::spawn(async move {
            schedule(&sqlite, &format!("t{number}"), &params).await
        }));
    }
    let (mut written, mut refused) = (0, 0);
    for (number, caller) in callers.into_iter().enumerate() {
        let stored = |answer: &Result<(), StoreError>| answer.is_ok();
        let answer = caller.await.unwrap();
        let there = sqlite.read(&key(&format!("t{number}"))).await.unwrap();
        assert_eq!(there.is_some(), stored(&answer), "{answer:?}");
        match answer {
            Ok(()) => written += 1,
            Err(StoreError::DiskFull) => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(
        written > 0 && refused > 0,
        "{written} written, {refused} refused"
    );
    // What needs no room still goes through: a run can end.
    let request = ClaimRequest {
        host: "host-1".to_owned(),
        incarnation: Incarnation::new(),
        types: vec![ClaimableType {
            type_id: hello(),
            digest: Digest::parse(&"a".repeat(64)).unwrap(),
            wall_ms: 1_000,
            runs_per_key: None,
        }],
        limit: 1,
    };
    let claimed = sqlite.claim(&request).await.unwrap();
    assert_eq!(claimed.len(), 1);
    let_grow(sqlite, 1_000).await;
    for number in 0..100 {
        let key = key(&format!("t{number}"));
        if sqlite.get(&key).await.unwrap().is_none() {
            schedule(sqlite, key.id.as_str(), &params).await.unwrap();
        }
    }
    sqlite.writable().await.unwrap();
    sqlite.close().await;
}

#[tokio::test]
async fn a_read_ends_soon_after_its_caller_has_gone() {
    let opened = open();
    let sqlite = Arc::clone(&opened.sqlite);
    let (begun, ended) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (seen, over) = (Arc::clone(&begun), Arc::clone(&ended));
    let interrupted = Arc::new(AtomicBool::new(false));
    let was = Arc::clone(&interrupted);
    let read = tokio::spawn(async move {
        let work = move |connection: &Connection| {
            seen.notify_one();
            // Without an interruption it would never end.
            let sql = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i FROM n) \
                       SELECT count(*) FROM n";
            let result = connection.query_row(sql, [], |row| row.get::<_, i64>(0));
            was.store(result.is_err(), Ordering::SeqCst);
            over.notify_one();
            Ok(())
        };
        sqlite.tasks.readers.read(work).await
    });
    begun.notified().await;
    read.abort();
    ended.notified().await;
    assert!(interrupted.load(Ordering::SeqCst));
    assert!(
        opened.sqlite.next_due().await.unwrap().is_none(),
        "the connection is of use again"
    );
    opened.sqlite.close().await;
}

#[tokio::test]
async fn whoever_locks_the_file_from_outside_makes_writes_fail_and_not_reads() {
    let opened = open();
    let sqlite = &opened.sqlite;
    schedule(sqlite, "before", "{}").await.unwrap();
    let impatient = |connection: &Connection| {
        connection.busy_timeout(std::time::Duration::from_millis(1))?;
        Ok(())
    };
    sqlite
        .tasks
        .writer
        .write(Step::Other, impatient)
        .await
        .unwrap();
    let outside = Connection::open(opened.folder.path().join("tasks.sqlite")).unwrap();
    outside.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut callers = Vec::new();
    for number in 0..20 {
        let sqlite = Arc::clone(sqlite);
        callers.push(tokio::spawn(async move {
            schedule(&sqlite, &format!("t{number}"), "{}").await
        }));
    }
    for caller in callers {
        let answer = caller.await.unwrap();
        assert!(
            matches!(answer, Err(StoreError::Unavailable { .. })),
            "{answer:?}"
        );
    }
    assert!(sqlite.get(&key("before")).await.unwrap().is_some());
    assert!(sqlite.get(&key("t1")).await.unwrap().is_none());
    outside.execute_batch("ROLLBACK").unwrap();
    schedule(sqlite, "t1", "{}").await.unwrap();
    sqlite.close().await;
}

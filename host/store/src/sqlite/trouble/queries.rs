//! Trouble with queries of collections: however long they take, others read and SQLite's log
//! begins anew.

use std::time::Duration;

use tokio::task::JoinHandle;

// Tests may use what `lib.rs` lists below the store.
#[cfg(test)]
use crate::{
    conformance::given::{put, space_scope},
    tests::quick_folder,
};

use super::*;
use crate::documents::{DocumentStore, Writer};
use crate::streams::READS_AT_ONCE;

/// A long read in a transaction: it lasts until the answer is dropped or used.
async fn long_read(sqlite: &Arc<Sqlite>) -> (oneshot::Sender<()>, JoinHandle<()>) {
    let (end, wait) = oneshot::channel::<()>();
    let begun = Arc::new(Notify::new());
    let (sqlite, seen) = (Arc::clone(sqlite), Arc::clone(&begun));
    let caller = tokio::spawn(async move {
        let work = move |connection: &Connection| {
            let snapshot = connection.unchecked_transaction()?;
            snapshot.query_row("SELECT count(*) FROM tasks", [], |_| Ok(()))?;
            seen.notify_one();
            let _ = wait.blocking_recv();
            Ok(())
        };
        sqlite.tasks.readers.read_long(work).await.unwrap();
    });
    begun.notified().await;
    (end, caller)
}

#[tokio::test]
async fn queries_leave_a_read_to_others() {
    let opened = open();
    let sqlite = &opened.sqlite;
    let mut ends = Vec::new();
    for number in 0..READS_AT_ONCE {
        let (end, caller) = long_read(sqlite).await;
        ends.push(end);
        // Where the caller goes away, the read is still there.
        if number == 0 {
            caller.abort();
            assert!(caller.await.unwrap_err().is_cancelled());
        }
    }
    let scope = space_scope("features");
    let query = sqlite.query(&scope, None, None, 1);
    let waited = tokio::time::timeout(Duration::from_millis(300), query).await;
    assert!(
        waited.is_err(),
        "it has taken the read that is left to others"
    );
    assert!(sqlite.held(10).await.unwrap().is_empty());
    drop(ends);
    sqlite.query(&scope, None, None, 1).await.unwrap();
    sqlite.close().await;
}

#[tokio::test]
async fn long_reads_that_overlap_do_not_let_the_log_grow_for_ever() {
    // Tests of the room on the disk go on beside this one.
    let opened = open_in(quick_folder());
    let sqlite = &opened.sqlite;
    let (scope, by) = (space_scope("features"), Writer::Person("x".to_owned()));
    // SQLite writes no page that stays the same.
    let body = |number: usize| format!(r#"{{"x":"{}"}}"#, ["y", "z"][number % 2].repeat(1_000_000));
    let log = opened.folder.path().join("tasks.sqlite-wal");
    let log_mib = || std::fs::metadata(&log).unwrap().len() >> 20;
    let mut read = long_read(sqlite).await;
    for _ in 0..3 {
        let mut written = 0;
        while log_mib() <= 64 && written < 80 {
            let changes = vec![put("same", &body(written))];
            let apply = DocumentStore::apply(&**sqlite, &scope, &by, changes);
            assert!(apply.await.unwrap()[0].is_ok());
            written += 1;
        }
        assert_eq!(log_mib(), 65, "a read keeps it from beginning anew");
        let asked = Arc::clone(sqlite);
        let next = tokio::spawn(async move { long_read(&asked).await });
        queued().await;
        assert!(!next.is_finished(), "it overlaps");
        let (end, caller) = read;
        drop(end);
        caller.await.unwrap();
        read = next.await.unwrap();
        assert_eq!(log_mib(), 0);
    }
    drop(read);
    sqlite.close().await;
}

//! Trouble with queries of collections: however long they take, others read and SQLite's log
//! begins anew.

use std::time::Duration;

use tokio::task::JoinHandle;

// Tests may use what `lib.rs` lists below the store.
#[cfg(test)]
use crate::conformance::given::space_scope;

use super::*;
use crate::documents::DocumentStore;
use crate::streams::READS_AT_ONCE;

/// A long read that lasts until the answer is dropped or used.
async fn long_read(sqlite: &Arc<Sqlite>) -> (oneshot::Sender<()>, JoinHandle<()>) {
    let (end, wait) = oneshot::channel::<()>();
    let begun = Arc::new(Notify::new());
    let (sqlite, seen) = (Arc::clone(sqlite), Arc::clone(&begun));
    let caller = tokio::spawn(async move {
        let work = move |_: &Connection| {
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

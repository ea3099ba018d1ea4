//! Trouble with callers who bring more documents than their share.

use std::sync::atomic::AtomicI64;

use taskhost_model::ids::StreamName;

// Tests may use what `lib.rs` lists below the store.
#[cfg(test)]
use crate::conformance::given::{document_id, put, space_scope};

use super::super::writer::BULK_BYTES_MAX;
use super::*;
use crate::components::ComponentStore;
use crate::documents::{Change, ChangeRefused, DocumentStore, Scope, Writer};

const BODY_BYTES: usize = 100_000;
/// So many of them are written together.
const TOGETHER: usize = BULK_BYTES_MAX as usize / BODY_BYTES;

fn scope() -> Scope {
    space_scope("features")
}

fn person() -> Writer {
    Writer::Person("somebody".to_owned())
}

/// A call with 4 MB.
fn many(prefix: &str) -> Vec<Change> {
    let body = format!("{{\"x\":\"{}\"}}", "y".repeat(BODY_BYTES - 8));
    let ids = (0..40).map(|number| format!("{prefix}-{number}"));
    ids.map(|id| put(&id, &body)).collect()
}

type Answers = Result<Vec<Result<String, ChangeRefused>>, StoreError>;

async fn apply(sqlite: &Sqlite, changes: Vec<Change>) -> Answers {
    DocumentStore::apply(sqlite, &scope(), &person(), changes).await
}

fn bytes_written(connection: &Connection) -> Result<i64, StoreError> {
    // A version is counted for each document that is written, also for one over another.
    let sql = "SELECT value FROM sequences WHERE name = 'document_version'";
    let versions: i64 = connection.query_row(sql, [], |row| row.get(0))?;
    Ok(versions * BODY_BYTES as i64)
}

/// The writer is held up while everybody comes. Between what held it up and an operation that
/// came meanwhile, one share of documents is written and no more.
#[tokio::test]
async fn whoever_waits_has_one_share_of_bulk_before_it() {
    let opened = open();
    let sqlite = &opened.sqlite;
    let mut writers = Vec::new();
    for number in 0..32 {
        let sqlite = Arc::clone(sqlite);
        writers.push(tokio::spawn(async move {
            loop {
                let changes = many(&format!("d{number}"));
                apply(&sqlite, changes).await.unwrap();
            }
        }));
    }
    let mut seen = Vec::new();
    for _ in 0..20 {
        let before = Arc::new(AtomicI64::new(0));
        let go_on = held_up_counting(sqlite, &before).await;
        queued().await;
        let store = Arc::clone(sqlite);
        let task = tokio::spawn(async move {
            let writer = &store.tasks.writer;
            writer.write(Step::Other, bytes_written).await.unwrap()
        });
        queued().await;
        drop(go_on);
        let bytes = task.await.unwrap();
        let between = bytes - before.load(Ordering::SeqCst);
        assert!(between <= BULK_BYTES_MAX.into(), "{between} bytes");
        seen.push(bytes);
    }
    assert!(seen.first() < seen.last(), "documents are written as well");
    for writer in writers {
        writer.abort();
    }
    sqlite.close().await;
}

/// A component is one piece, but however many are uploaded, one is before whoever waits.
#[tokio::test]
async fn whoever_waits_has_one_component_before_it() {
    let opened = open();
    let sqlite = &opened.sqlite;
    let go_on = held_up(sqlite).await;
    let mut uploads = Vec::new();
    for digit in ['a', 'b', 'c', 'd'] {
        let sqlite = Arc::clone(sqlite);
        uploads.push(tokio::spawn(async move {
            let bytes = vec![0; 2 * BULK_BYTES_MAX as usize];
            let version = component(digit, bytes.len() as u64);
            ComponentStore::put(&*sqlite, &version, Arc::from(bytes)).await
        }));
        queued().await;
    }
    let store = Arc::clone(sqlite);
    let task = tokio::spawn(async move {
        let writer = &store.tasks.writer;
        writer.write(Step::Other, components).await.unwrap()
    });
    queued().await;
    drop(go_on);
    assert_eq!(task.await.unwrap(), 1);
    for upload in uploads {
        assert!(upload.await.unwrap().unwrap());
    }
    sqlite.close().await;
}

fn components(connection: &Connection) -> Result<i64, StoreError> {
    let sql = "SELECT count(*) FROM component_bytes";
    Ok(connection.query_row(sql, [], |row| row.get(0))?)
}

/// As `held_up`, and says what was written until then.
async fn held_up_counting(sqlite: &Arc<Sqlite>, before: &Arc<AtomicI64>) -> oneshot::Sender<()> {
    let before = Arc::clone(before);
    let look = move |connection: &Connection| {
        before.store(bytes_written(connection)?, Ordering::SeqCst);
        Ok(())
    };
    held_up_at(sqlite, look).await
}

async fn operations(sqlite: &Sqlite, changes: Vec<Change>) -> u64 {
    let before = sqlite.tasks.writer.submitted();
    apply(sqlite, changes).await.unwrap();
    sqlite.tasks.writer.submitted() - before
}

fn deletions(prefix: &str) -> Vec<Change> {
    let ids = (0..40).map(|number| document_id(&format!("{prefix}-{number}")));
    let delete = |id| Change::Delete {
        id,
        if_version: None,
    };
    ids.map(delete).collect()
}

#[tokio::test]
async fn a_call_is_written_in_pieces_by_what_it_writes_and_what_it_frees() {
    let opened = open();
    let sqlite = &opened.sqlite;
    let pieces = 40_u64.div_ceil(TOGETHER as u64);
    assert_eq!(operations(sqlite, many("d")).await, pieces);
    // Twice the bytes: what stood there is freed.
    assert_eq!(operations(sqlite, many("d")).await, 40 / 5);
    assert_eq!(operations(sqlite, deletions("d")).await, pieces);
    let small = (0..200).map(|number| put(&format!("s{number}"), "{}"));
    assert_eq!(operations(sqlite, small.collect()).await, 1);
    assert_eq!(
        operations(sqlite, Vec::new()).await,
        1,
        "its fence is checked"
    );
    sqlite.close().await;
}

#[tokio::test]
async fn the_collections_of_a_stream_go_in_pieces() {
    let opened = open();
    let sqlite = &opened.sqlite;
    let stream = StreamName::parse("logs").unwrap();
    let scope = Scope {
        stream: Some(stream.clone()),
        ..scope()
    };
    let documents: &dyn DocumentStore = &**sqlite;
    documents.apply(&scope, &person(), many("d")).await.unwrap();
    let key = taskhost_model::ids::StreamKey {
        space: scope.space.clone(),
        name: stream,
    };
    let before = sqlite.tasks.writer.submitted();
    assert_eq!(sqlite.delete_stream(&key).await.unwrap(), 40);
    let operations = sqlite.tasks.writer.submitted() - before;
    assert_eq!(operations, 40_u64.div_ceil(TOGETHER as u64 + 1) + 1);
    sqlite.close().await;
}

#[tokio::test]
async fn a_call_that_fails_halfway_says_what_it_has_made() {
    let opened = open();
    let sqlite = &opened.sqlite;
    let_grow(sqlite, 2 * i64::from(BULK_BYTES_MAX) / 4_096).await;
    let error = apply(sqlite, many("d")).await;
    let error = error.unwrap_err().to_string();
    let page = sqlite.query(&scope(), None, None, 1_000).await.unwrap();
    let made = page.documents.len();
    assert!((TOGETHER..40).contains(&made), "{made}");
    let says = format!("the first {made} of 40 changes are made");
    assert!(error.contains(&says), "{error}");
    assert!(error.contains("disk is full"), "{error}");
    // Where nothing was made, it is the error itself.
    let error = apply(sqlite, many("e")).await;
    assert!(matches!(error, Err(StoreError::DiskFull)), "{error:?}");
    sqlite.close().await;
}

/// What a caller that went away has in the queue still counts, until it is written.
#[tokio::test]
async fn callers_who_give_up_make_no_room_for_more() {
    let opened = open();
    let sqlite = &opened.sqlite;
    let go_on = held_up(sqlite).await;
    for number in 0..50 {
        let store = Arc::clone(sqlite);
        let caller = tokio::spawn(async move {
            let changes = many(&format!("d{number}"));
            apply(&store, changes).await
        });
        queued().await;
        caller.abort();
        let _ = caller.await;
    }
    drop(go_on);
    sqlite.writable().await.unwrap();
    let page = sqlite.query(&scope(), None, None, 1_000).await.unwrap();
    assert_eq!(page.documents.len(), TOGETHER, "one piece, and all of it");
    sqlite.close().await;
}

//! Trouble with the last of the disk: what brings new data is refused, and nothing else is.

use taskhost_model::error::{ErrorKind, TaskError};
use taskhost_model::ids::StreamKey;
use taskhost_model::task::Fence;

// Tests may use what `lib.rs` lists below the store.
#[cfg(test)]
use crate::conformance::given::{
    acknowledge, cancel, claim_request, delete, digest, document, document_id, no_report, progress,
    put, space_scope, stream,
};

use super::super::reserve::Reserve;
use super::*;
use crate::components::{COMPONENT_BYTES_MAX, ComponentStore};
use crate::documents::{Change, ChangeRefused, DocumentStore, Writer};
use crate::event::RunEvent;
use crate::streams::{StreamSettings, StreamStore};

/// The same store, on a disk with less than it keeps.
fn on_a_full_disk(folder: &tempfile::TempDir, sqlite: Sqlite) -> Sqlite {
    keeping(folder, u64::MAX, sqlite)
}

fn keeping(folder: &tempfile::TempDir, kept_bytes: u64, sqlite: Sqlite) -> Sqlite {
    let reserve = Reserve::keeping(folder.path(), kept_bytes);
    Sqlite { reserve, ..sqlite }
}

fn opened_in(folder: &tempfile::TempDir) -> Sqlite {
    Sqlite::open(folder.path(), Limits::default(), Clock::System, &()).unwrap()
}

fn is_reserved<T>(answer: &Result<T, StoreError>) -> bool {
    matches!(answer, Err(StoreError::DiskReserved))
}

fn logs() -> StreamKey {
    stream("logs")
}

async fn put_component(sqlite: &Sqlite, name: char, bytes: usize) -> Result<bool, StoreError> {
    let version = component(name, bytes as u64);
    ComponentStore::put(sqlite, &version, Arc::from(vec![0; bytes])).await
}

async fn ingest(sqlite: &Sqlite, name: &str) -> Result<(), StoreError> {
    let documents = vec![document(1, "{\"@timestamp\":1}")];
    sqlite.ingest(&stream(name), documents).await
}

async fn change(
    sqlite: &Sqlite,
    by: &Writer,
    changes: Vec<Change>,
) -> Result<Vec<Result<String, ChangeRefused>>, StoreError> {
    DocumentStore::apply(sqlite, &space_scope("features"), by, changes).await
}

/// Schedules tasks and claims them.
async fn running(sqlite: &Sqlite, ids: &[&str]) -> Vec<Fence> {
    put_first(sqlite).await;
    let mut fences = Vec::new();
    for id in ids {
        schedule(sqlite, id, "{}").await.unwrap();
        let claimed = sqlite.claim(&claim_request(&["hello"], 1)).await.unwrap();
        fences.push(claimed[0].task.fence());
    }
    fences
}

async fn is_changed(sqlite: &Sqlite, id: &str, event: Event) {
    let applied = TaskStore::apply(sqlite, &key(id), event).await.unwrap();
    assert_eq!(applied.outcome, Outcome::Changed, "{id}");
}

#[tokio::test]
async fn what_brings_new_data_is_refused_and_taken_again() {
    let folder = tempfile::tempdir().unwrap();
    let sqlite = opened_in(&folder);
    let settings = StreamSettings::default();
    StreamStore::put(&sqlite, &logs(), &settings).await.unwrap();
    let known = Event::Schedule(Box::new(new_run("{}")));
    is_changed(&sqlite, "known", known.clone()).await;
    put_component(&sqlite, 'a', 10).await.unwrap();
    let person = Writer::Person("somebody".to_owned());
    let documents = vec![put("a", "{}")];
    let full = on_a_full_disk(&folder, sqlite);
    assert!(is_reserved(&full.writable().await));
    assert!(is_reserved(&schedule(&full, "t", "{}").await));
    assert!(TaskStore::get(&full, &key("t")).await.unwrap().is_none());
    assert!(is_reserved(&ingest(&full, "logs").await));
    assert!(is_reserved(&put_component(&full, 'b', 10).await));
    let answer = change(&full, &person, documents.clone()).await;
    assert!(is_reserved(&answer), "{answer:?}");
    // Whoever is refused in any case, or repeats what was taken, hears that.
    assert!(!put_component(&full, 'a', 10).await.unwrap());
    let unknown = ingest(&full, "others").await;
    assert!(matches!(unknown, Err(StoreError::UnknownStream { .. })));
    let applied = TaskStore::apply(&full, &key("known"), known).await;
    assert_eq!(applied.unwrap().outcome, Outcome::Repeated);
    let sqlite = keeping(&folder, 1, full);
    sqlite.writable().await.unwrap();
    schedule(&sqlite, "t", "{}").await.unwrap();
    ingest(&sqlite, "logs").await.unwrap();
    assert!(put_component(&sqlite, 'b', 10).await.unwrap());
    change(&sqlite, &person, documents).await.unwrap();
    sqlite.close().await;
}

#[tokio::test]
async fn tasks_end_and_deletions_go_on_with_the_last_of_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let sqlite = opened_in(&folder);
    let fences = running(&sqlite, &["well", "badly", "canceled", "deleted", "lost"]).await;
    let [well, badly, _, deleted, lost] = fences[..] else {
        panic!("{fences:?}");
    };
    schedule(&sqlite, "waits", "{}").await.unwrap();
    for name in ['b', 'c'] {
        put_component(&sqlite, name, 10).await.unwrap();
    }
    let person = Writer::Person("somebody".to_owned());
    let documents = vec![put("a", "{}")];
    change(&sqlite, &person, documents.clone()).await.unwrap();
    let full = on_a_full_disk(&folder, sqlite);
    let claim = claim_request(&["hello"], 1);
    assert!(is_reserved(&full.claim(&claim).await));
    let says = |fence, event| Event::Run { fence, event };
    let (payload, end) = (Arc::from("{}"), no_report());
    is_changed(&full, "well", says(well, RunEvent::Progress(progress(1)))).await;
    let completed = RunEvent::Completed { payload, end };
    is_changed(&full, "well", says(well, completed)).await;
    is_changed(&full, "well", acknowledge()).await;
    let failed = RunEvent::Failed {
        error: TaskError::of(ErrorKind::Trap, "it stopped"),
        retry_at: None,
        end: no_report(),
    };
    is_changed(&full, "badly", says(badly, failed)).await;
    is_changed(&full, "canceled", cancel()).await;
    is_changed(&full, "deleted", delete()).await;
    let crashes_max = 3;
    let host_lost = Event::HostLost {
        fence: lost,
        crashes_max,
    };
    is_changed(&full, "lost", host_lost).await;
    let id = document_id("a");
    let deletion = vec![Change::Delete {
        id,
        if_version: None,
    }];
    let answers = change(&full, &person, deletion).await.unwrap();
    assert!(answers[0].is_ok(), "{answers:?}");
    assert!(ComponentStore::delete(&full, &digest('b')).await.unwrap());
    // A run that may not write at all hears that.
    let run = Writer::Run {
        task: key("deleted"),
        fence: deleted,
    };
    let answer = change(&full, &run, documents).await;
    assert!(matches!(answer, Err(StoreError::Fenced)), "{answer:?}");
    let sqlite = keeping(&folder, 1, full);
    let claimed = sqlite.claim(&claim).await.unwrap();
    assert_eq!(claimed.len(), 1, "what was accepted has waited");
    sqlite.close().await;
}

/// It stands in SQLite's log and in the file.
#[tokio::test]
async fn a_component_is_taken_only_if_it_fits_beside_what_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let sqlite = opened_in(&folder);
    let disk = rustix::fs::statvfs(folder.path()).unwrap();
    let free = disk.f_bavail * disk.f_frsize;
    // Others write to this disk as well: there is a wide margin on both sides.
    let bytes = COMPONENT_BYTES_MAX as usize;
    let Some(kept) = free.checked_sub(bytes as u64 * 3 / 2) else {
        panic!("the disk has no room for this test");
    };
    let sqlite = keeping(&folder, kept, sqlite);
    assert!(is_reserved(&put_component(&sqlite, 'a', bytes).await));
    assert!(put_component(&sqlite, 'b', 10).await.unwrap());
    sqlite.close().await;
}

//! Recordings that break off: each says why, and whatever it is, the run ends as it would.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use taskhost_model::ids::{RunId, TaskKey};
use taskhost_model::time::Timestamp;
use taskhost_service::error::ServiceError;
use taskhost_service::recording::{LastLine, Outcome};
use taskhost_store::checkpoints::RunOfTask;
use taskhost_store::error::StoreError;
use taskhost_store::recordings::{Recorded, RecordingStore};
use tokio::sync::Semaphore;

use crate::guest::{COMPLETES, WAITS};
use crate::people::{key, somebody};
use crate::recordings::Host;

/// What becomes of the second piece; the first one is always as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Second {
    Fine,
    /// It is not written.
    Refused,
    /// It is written, and the answer is lost.
    Unanswered,
    /// It is read with a bit that is another one.
    Changed,
    /// It is not there when it is read.
    Missing,
    /// Nobody can read it.
    Unread,
    /// It is cut off, and the number of pieces with it.
    CutOff,
}

#[derive(Debug)]
struct Spoiled {
    inner: Arc<dyn RecordingStore>,
    second: Second,
    appended: AtomicUsize,
    /// One for each piece that was to be written.
    seen: Arc<Semaphore>,
}

fn unavailable() -> StoreError {
    StoreError::Unavailable {
        reason: "a test rejects the call".to_owned(),
    }
}

#[async_trait]
impl RecordingStore for Spoiled {
    async fn append(
        &self,
        run: &RunOfTask,
        attempt: u32,
        piece: Vec<u8>,
    ) -> Result<(), StoreError> {
        let is_second = self.appended.fetch_add(1, Ordering::SeqCst) == 1;
        let answer = match self.second {
            Second::Refused if is_second => Err(unavailable()),
            Second::Unanswered if is_second => {
                self.inner.append(run, attempt, piece).await?;
                Err(unavailable())
            }
            _ => self.inner.append(run, attempt, piece).await,
        };
        self.seen.add_permits(1);
        answer
    }

    async fn recorded(&self, task: &TaskKey, run: RunId) -> Result<Vec<Recorded>, StoreError> {
        let mut all = self.inner.recorded(task, run).await?;
        if self.second == Second::CutOff {
            all.iter_mut().for_each(|one| one.pieces = 1);
        }
        Ok(all)
    }

    async fn piece(&self, recorded: Recorded, piece: u32) -> Result<Option<Vec<u8>>, StoreError> {
        let mut found = self.inner.piece(recorded, piece).await?;
        match (self.second, &mut found) {
            (Second::Changed, Some(sealed)) if piece == 1 => sealed[5] ^= 1,
            (Second::Missing, found) if piece == 1 => *found = None,
            (Second::Unread, _) if piece == 1 => return Err(unavailable()),
            _ => {}
        }
        Ok(found)
    }

    async fn forget_ended(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.inner.forget_ended(before).await
    }
}

async fn start(second: Second) -> (Host, Arc<Semaphore>) {
    let seen = Arc::new(Semaphore::new(0));
    let also = Arc::clone(&seen);
    let host = Host::start_on(true, |mut stores| {
        stores.recordings = Arc::new(Spoiled {
            inner: Arc::clone(&stores.recordings),
            second,
            appended: AtomicUsize::new(0),
            seen: also,
        });
        stores
    });
    (host.await, seen)
}

async fn last(host: &Host, lines: &mut Vec<String>) -> LastLine {
    *lines = host.read(&somebody(), "t", None).await.unwrap();
    serde_json::from_str(lines.last().unwrap()).unwrap_or_else(|_| panic!("{lines:?}"))
}

async fn cancel(host: &Host) -> Result<(), ServiceError> {
    let tasks = &host.service.tasks;
    tasks.cancel(&somebody(), &key("t"), None, None).await?;
    host.ends("t").await
}

#[tokio::test]
async fn what_is_said_is_written_while_the_run_goes_on_and_read_without_an_end() {
    let (host, seen) = start(Second::Fine).await;
    host.schedule("t", WAITS, (false, true)).await.unwrap();
    // Its first line, and within a second what it has asked by then.
    seen.acquire_many(2).await.unwrap().forget();
    let mut lines = Vec::new();
    let reason = "its run had not ended when it was read".to_owned();
    assert_eq!(last(&host, &mut lines).await, LastLine::BrokenOff(reason));
    assert!(lines[1].starts_with(r#"{"call":"#), "{lines:?}");
    cancel(&host).await.unwrap();
    let LastLine::End(end) = last(&host, &mut lines).await else {
        panic!("{lines:?}");
    };
    let is_whole = !end.cut && end.lost.is_none();
    assert!(is_whole, "{lines:?}");
}

#[tokio::test]
async fn a_piece_that_the_store_refuses_is_told_with_the_end_of_the_run() {
    for second in [Second::Refused, Second::Unanswered] {
        let (host, seen) = start(second).await;
        host.schedule("t", WAITS, (false, true)).await.unwrap();
        seen.acquire_many(2).await.unwrap().forget();
        cancel(&host).await.unwrap();
        let mut lines = Vec::new();
        let LastLine::End(end) = last(&host, &mut lines).await else {
            panic!("{lines:?}");
        };
        let lost = end.lost.unwrap();
        assert!(
            lost.starts_with("the host's store refused a piece ("),
            "{lost}"
        );
        lines.retain(|line| !line.is_empty());
        // Its first line and its last one, and what was written all the same.
        let has_calls = second == Second::Unanswered;
        assert_eq!(lines.len() > 2, has_calls, "{lines:?}");
        assert!(!matches!(end.outcome, Outcome::Failed { .. }), "{lines:?}");
    }
}

#[tokio::test]
async fn whatever_is_the_matter_with_a_piece_has_a_sentence_of_its_own() {
    for (second, said) in [
        (
            Second::Changed,
            "another key than the host has now, or was changed since",
        ),
        (Second::Missing, "this piece of it is missing in the store"),
        (Second::Unread, "the store cannot be read ("),
        (
            Second::CutOff,
            "it has no end: what came after this was never written, or is gone",
        ),
    ] {
        let (host, _) = start(second).await;
        host.schedule("t", COMPLETES, (false, true)).await.unwrap();
        host.ends("t").await.unwrap();
        let mut lines = Vec::new();
        let LastLine::BrokenOff(reason) = last(&host, &mut lines).await else {
            panic!("{lines:?}");
        };
        assert!(reason.contains(said), "{reason}");
        assert!(lines[0].starts_with(r#"{"run":"#), "{lines:?}");
    }
}

#[tokio::test]
async fn one_that_is_deleted_while_it_is_read_says_so() {
    let (host, _) = start(Second::Fine).await;
    host.schedule("t", COMPLETES, (false, true)).await.unwrap();
    host.ends("t").await.unwrap();
    let tasks = &host.service.tasks;
    let (_, mut rest) = tasks.recording(&somebody(), &key("t"), None).await.unwrap();
    tasks.delete(&somebody(), &key("t"), None).await.unwrap();
    let line = rest.next().await.unwrap();
    let reason = "it was deleted while it was read".to_owned();
    let last: LastLine = serde_json::from_slice(&line).unwrap();
    assert_eq!(last, LastLine::BrokenOff(reason));
    assert_eq!(rest.next().await, None);
}

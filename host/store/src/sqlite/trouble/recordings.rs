//! Trouble with a busy writer: recordings that are kept do not take its time.

use std::time::Duration;

// Tests may use what `lib.rs` lists below the store.
#[cfg(test)]
use crate::conformance::given::{cancel, claim_request, no_report};

use super::*;
use crate::checkpoints::RunOfTask;
use crate::event::RunEvent;
use crate::recordings::RecordingStore;

#[tokio::test]
async fn nothing_is_written_to_find_that_all_recordings_are_kept() {
    let opened = open_with_component().await;
    let sqlite = &opened.sqlite;
    for id in ["runs", "ended"] {
        schedule(sqlite, id, "{}").await.unwrap();
        let claimed = sqlite.claim(&claim_request(&["hello"], 1)).await.unwrap();
        let fence = claimed[0].task.fence();
        let task = key(id);
        let run = RunOfTask { task, fence };
        sqlite.append(&run, 1, vec![7]).await.unwrap();
        if id == "ended" {
            sqlite.apply(&key(id), cancel()).await.unwrap();
            let event = RunEvent::Stopped { end: no_report() };
            let stopped = Event::Run { fence, event };
            sqlite.apply(&key(id), stopped).await.unwrap();
        }
    }
    let ended = sqlite.get(&key("ended")).await.unwrap().unwrap();
    let ended = ended.last_canceled_at.unwrap();
    let go_on = held_up(sqlite).await;
    let forgotten = sqlite.forget_ended(ended);
    let forgotten = tokio::time::timeout(Duration::from_secs(60), forgotten).await;
    let forgotten = forgotten.expect("it does not wait for the writer");
    assert_eq!(forgotten.unwrap(), 0);
    drop(go_on);
    let after = ended.plus(Duration::from_millis(1));
    assert_eq!(sqlite.forget_ended(after).await.unwrap(), 1);
    sqlite.close().await;
}

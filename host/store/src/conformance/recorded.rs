//! Recordings (`RecordingStore` 1 to 5).

use std::time::Duration;

use taskhost_model::error::{ErrorKind, TaskError};
use taskhost_model::task::Fence;

use super::Subject;
use super::given::{cancel, delete, key, no_report};
use crate::checkpoints::RunOfTask;
use crate::error::StoreError;
use crate::event::{Event, RunEvent};
use crate::recordings::{PIECE_BYTES_MAX, Recorded};

fn run(id: &str, fence: Fence) -> RunOfTask {
    RunOfTask {
        task: key(id),
        fence,
    }
}

fn is_fenced<T>(answer: &Result<T, StoreError>) -> bool {
    matches!(answer, Err(StoreError::Fenced))
}

async fn record(s: &Subject, id: &str, fence: Fence, attempt: u32) -> Result<(), StoreError> {
    let piece = format!("of attempt {attempt}").into_bytes();
    let recordings = &s.stores.recordings;
    recordings.append(&run(id, fence), attempt, piece).await
}

async fn recorded(s: &Subject, id: &str, fence: Fence) -> Result<Vec<Recorded>, StoreError> {
    s.stores.recordings.recorded(&key(id), fence.run).await
}

/// Attempts and leases.
async fn of(s: &Subject, id: &str, fence: Fence) -> Result<Vec<(u32, u64)>, StoreError> {
    let all = recorded(s, id, fence).await?;
    Ok(all
        .iter()
        .map(|one| (one.attempt, one.lease_number))
        .collect())
}

async fn stopped(s: &Subject, id: &str, fence: Fence) -> Result<(), StoreError> {
    s.apply(id, cancel()).await?;
    s.says(id, fence, RunEvent::Stopped { end: no_report() })
        .await?;
    Ok(())
}

pub(super) async fn pieces_are_read_as_they_were_written(s: &Subject) -> Result<(), StoreError> {
    let fence = s.running("t").await?;
    let (recordings, run) = (&s.stores.recordings, run("t", fence));
    assert_eq!(recorded(s, "t", fence).await?, []);
    let largest = vec![7; usize::try_from(PIECE_BYTES_MAX).unwrap_or(0)];
    let pieces = [b"\0\xff".to_vec(), Vec::new(), largest];
    for piece in &pieces {
        recordings.append(&run, 1, piece.clone()).await?;
    }
    let all = recorded(s, "t", fence).await?;
    assert_eq!(all.len(), 1, "{all:?}");
    let one = &all[0];
    assert_eq!((one.attempt, one.lease_number), (1, fence.lease_number));
    assert_eq!((one.pieces, one.bytes), (3, 2 + PIECE_BYTES_MAX));
    for (number, piece) in (0..).zip(&pieces) {
        let found = recordings.piece(*one, number).await?;
        assert!(found.as_ref() == Some(piece), "piece {number}");
    }
    assert_eq!(recordings.piece(*one, 3).await?, None);
    let refused = recordings
        .append(&run, 1, vec![7; pieces[2].len() + 1])
        .await;
    assert!(
        matches!(refused, Err(StoreError::TooLarge { .. })),
        "{refused:?}"
    );
    assert_eq!(recorded(s, "t", fence).await?, all);
    Ok(())
}

pub(super) async fn only_a_live_run_is_recorded(s: &Subject) -> Result<(), StoreError> {
    let (fence, neighbor) = (s.running("t").await?, s.running("u").await?);
    record(s, "t", fence, 1).await?;
    let late = Fence {
        lease_number: fence.lease_number + 1,
        ..fence
    };
    for (id, other) in [("t", late), ("t", neighbor), ("absent", fence)] {
        assert!(is_fenced(&record(s, id, other, 1).await), "{id}");
    }
    // What a run does in its grace is recorded, and nothing after its end.
    s.apply("t", cancel()).await?;
    record(s, "t", fence, 1).await?;
    s.says("t", fence, RunEvent::Stopped { end: no_report() })
        .await?;
    assert!(is_fenced(&record(s, "t", fence, 1).await));
    assert_eq!(of(s, "t", fence).await?, [(1, fence.lease_number)]);
    assert_eq!(of(s, "u", neighbor).await?, []);
    assert_eq!(of(s, "t", neighbor).await?, [], "of another run");
    Ok(())
}

pub(super) async fn an_attempt_that_begins_again_is_recorded_anew(
    s: &Subject,
) -> Result<(), StoreError> {
    let first = s.running("t").await?;
    record(s, "t", first, 1).await?;
    let former = recorded(s, "t", first).await?[0];
    let again = RunEvent::Failed {
        error: TaskError::of(ErrorKind::Task, "later"),
        retry_at: Some(s.now()),
        end: no_report(),
    };
    s.says("t", first, again).await?;
    s.wait_ms(1);
    let second = s.claim(1).await?[0].task.fence();
    record(s, "t", second, 2).await?;
    let lost = Event::HostLost {
        fence: second,
        crashes_max: 5,
    };
    s.apply("t", lost).await?;
    s.wait_ms(1);
    let third = s.claim(1).await?[0].task.fence();
    let lost = recorded(s, "t", third).await?[1];
    record(s, "t", third, 2).await?;
    let leases = [(1, first.lease_number), (2, third.lease_number)];
    assert_eq!(of(s, "t", third).await?, leases);
    let recordings = &s.stores.recordings;
    assert_eq!(recordings.piece(lost, 0).await?, None);
    let kept = recordings.piece(former, 0).await?;
    assert_eq!(kept.as_deref(), Some(&b"of attempt 1"[..]));
    Ok(())
}

pub(super) async fn a_new_schedule_and_a_deletion_end_recordings(
    s: &Subject,
) -> Result<(), StoreError> {
    for id in ["deleted", "anew"] {
        let fence = s.running(id).await?;
        record(s, id, fence, 1).await?;
        let one = recorded(s, id, fence).await?[0];
        stopped(s, id, fence).await?;
        assert_eq!(recorded(s, id, fence).await?, [one]);
        if id == "deleted" {
            s.apply(id, delete()).await?;
        } else {
            s.running(id).await?;
        }
        assert_eq!(recorded(s, id, fence).await?, [], "{id}");
        assert_eq!(s.stores.recordings.piece(one, 0).await?, None, "{id}");
    }
    Ok(())
}

pub(super) async fn recordings_end_some_time_after_their_run(
    s: &Subject,
) -> Result<(), StoreError> {
    let (ended, living) = (s.running("ended").await?, s.running("living").await?);
    record(s, "ended", ended, 1).await?;
    record(s, "living", living, 1).await?;
    s.completed("ended", ended, "{}").await?;
    let at = s.now();
    let recordings = &s.stores.recordings;
    assert_eq!(recordings.forget_ended(at).await?, 0);
    assert_eq!(of(s, "ended", ended).await?.len(), 1);
    let later = at.plus(Duration::from_millis(1));
    assert_eq!(recordings.forget_ended(later).await?, 1);
    assert_eq!(of(s, "ended", ended).await?, []);
    assert_eq!(of(s, "living", living).await?.len(), 1);
    Ok(())
}

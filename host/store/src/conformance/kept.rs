//! Checkpoints (`CheckpointStore` 1 to 4).

use std::sync::Arc;

use taskhost_model::error::{ErrorKind, TaskError};
use taskhost_model::task::Fence;

use super::Subject;
use super::given::{cancel, delete, key, no_report};
use crate::checkpoints::{Checkpoint, RunOfTask, VALUE_BYTES_MAX};
use crate::error::StoreError;
use crate::event::{Event, RunEvent};

fn run(id: &str, fence: Fence) -> RunOfTask {
    RunOfTask {
        task: key(id),
        fence,
    }
}

fn checkpoint(value: &[u8], schema_version: u32) -> Checkpoint {
    Checkpoint {
        value: Arc::from(value),
        schema_version,
    }
}

fn is_fenced<T>(answer: &Result<T, StoreError>) -> bool {
    matches!(answer, Err(StoreError::Fenced))
}

/// A task of this id whose run has kept something, and fails then, to be tried again at once.
async fn tried_again(s: &Subject, id: &str) -> Result<Fence, StoreError> {
    let fence = s.running(id).await?;
    let kept = &s.stores.checkpoints;
    kept.save(&run(id, fence), "cursor", checkpoint(b"17", 3))
        .await?;
    let again = RunEvent::Failed {
        error: TaskError::of(ErrorKind::Task, "later"),
        retry_at: Some(s.now()),
        end: no_report(),
    };
    s.says(id, fence, again).await?;
    s.wait_ms(1);
    Ok(fence)
}

pub(super) async fn what_was_saved_is_there_for_the_next_attempt(
    s: &Subject,
) -> Result<(), StoreError> {
    let kept = &s.stores.checkpoints;
    let former = run("t", tried_again(s, "t").await?);
    let now = run("t", s.claim(1).await?[0].task.fence());
    assert!(is_fenced(&kept.load(&former, "cursor").await));
    assert_eq!(kept.load(&now, "cursor").await?, Some(checkpoint(b"17", 3)));
    assert_eq!(kept.load(&now, "other").await?, None);
    // In place of the former one; any bytes, none at all, any key.
    for value in [&b""[..], b"\0\xff", b"18"] {
        kept.save(&now, "cursor", checkpoint(value, 4)).await?;
        assert_eq!(kept.load(&now, "cursor").await?, Some(checkpoint(value, 4)));
    }
    let odd = "a ' \u{0} \u{1F40B} %_";
    kept.save(&now, odd, checkpoint(b"x", u32::MAX)).await?;
    assert_eq!(
        kept.load(&now, odd).await?,
        Some(checkpoint(b"x", u32::MAX))
    );
    kept.forget(&now, odd).await?;
    kept.forget(&now, odd).await?;
    assert_eq!(kept.load(&now, odd).await?, None);
    assert_eq!(kept.load(&now, "cursor").await?, Some(checkpoint(b"18", 4)));
    Ok(())
}

pub(super) async fn only_a_live_run_reads_and_writes_its_checkpoints(
    s: &Subject,
) -> Result<(), StoreError> {
    let kept = &s.stores.checkpoints;
    let (fence, neighbor) = (s.running("t").await?, s.running("u").await?);
    kept.save(&run("t", fence), "k", checkpoint(b"t", 1))
        .await?;
    assert_eq!(kept.load(&run("u", neighbor), "k").await?, None);
    let late = Fence {
        lease_number: fence.lease_number + 1,
        ..fence
    };
    for other in [run("t", late), run("t", neighbor), run("absent", fence)] {
        let saved = kept.save(&other, "k", checkpoint(b"x", 1)).await;
        assert!(is_fenced(&saved));
        assert!(is_fenced(&kept.load(&other, "k").await));
        assert!(is_fenced(&kept.forget(&other, "k").await));
    }
    // Things are left in order during the grace.
    s.apply("t", cancel()).await?;
    kept.save(&run("t", fence), "k", checkpoint(b"last", 1))
        .await?;
    let found = kept.load(&run("t", fence), "k").await?;
    assert_eq!(found, Some(checkpoint(b"last", 1)));
    Ok(())
}

pub(super) async fn a_new_schedule_a_result_and_a_deletion_end_checkpoints(
    s: &Subject,
) -> Result<(), StoreError> {
    let kept = &s.stores.checkpoints;
    let fence = s.running("completed").await?;
    kept.save(&run("completed", fence), "k", checkpoint(b"x", 1))
        .await?;
    s.completed("completed", fence, "{}").await?;
    let fence = s.running("deleted").await?;
    kept.save(&run("deleted", fence), "k", checkpoint(b"x", 1))
        .await?;
    s.says("deleted", fence, RunEvent::Stopped { end: no_report() })
        .await?;
    s.apply("deleted", delete()).await?;
    let fence = s.running("anew").await?;
    kept.save(&run("anew", fence), "k", checkpoint(b"x", 1))
        .await?;
    s.apply("anew", cancel()).await?;
    s.says("anew", fence, RunEvent::Stopped { end: no_report() })
        .await?;
    for id in ["completed", "deleted", "anew"] {
        let fence = s.running(id).await?;
        assert_eq!(kept.load(&run(id, fence), "k").await?, None, "{id}");
    }
    Ok(())
}

pub(super) async fn a_lost_host_loses_no_checkpoint(s: &Subject) -> Result<(), StoreError> {
    let kept = &s.stores.checkpoints;
    tried_again(s, "t").await?;
    // Its host is lost, which loses nothing that was kept.
    let fence = s.claim(1).await?[0].task.fence();
    let lost = Event::HostLost {
        fence,
        crashes_max: 5,
    };
    s.apply("t", lost).await?;
    s.wait_ms(1);
    let fence = s.claim(1).await?[0].task.fence();
    let found = kept.load(&run("t", fence), "cursor").await?;
    assert_eq!(found, Some(checkpoint(b"17", 3)));
    Ok(())
}

pub(super) async fn a_save_beyond_a_limit_changes_nothing(s: &Subject) -> Result<(), StoreError> {
    let kept = &s.stores.checkpoints;
    let run = run("t", s.running("t").await?);
    let value = |bytes: u64| checkpoint(&vec![7; usize::try_from(bytes).unwrap_or(0)], 1);
    let refused = kept.save(&run, "k", value(VALUE_BYTES_MAX + 1)).await;
    assert!(
        matches!(refused, Err(StoreError::TooLarge { .. })),
        "{refused:?}"
    );
    // Seven of 1 MiB and their keys fit into 8 MiB, the eighth does not.
    for n in 0..7 {
        kept.save(&run, &format!("k{n}"), value(VALUE_BYTES_MAX))
            .await?;
    }
    let refused = kept.save(&run, "k7", value(VALUE_BYTES_MAX)).await;
    assert!(
        matches!(refused, Err(StoreError::TooLarge { .. })),
        "{refused:?}"
    );
    assert_eq!(kept.load(&run, "k7").await?, None);
    // What is replaced makes room, and so does what is forgotten.
    kept.save(&run, "k0", value(0)).await?;
    kept.save(&run, "k7", value(VALUE_BYTES_MAX)).await?;
    kept.forget(&run, "k1").await?;
    kept.save(&run, "k1", value(VALUE_BYTES_MAX)).await?;
    Ok(())
}

//! Named points at which a test lets the host die, to prove that nothing that was answered is
//! lost. They are compiled in always, so that what is tested is what runs; unless a point is
//! armed, passing one costs the reading of one number.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// A write that has points: one before its commit, one between its commit and its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Step {
    /// A task is scheduled.
    Schedule,
    /// A run is claimed.
    Claim,
    /// A run reports progress.
    Progress,
    /// A run has ended, however.
    End,
    /// A task is canceled.
    Cancel,
    /// A result is acknowledged.
    Acknowledge,
    /// A task is deleted.
    Delete,
    /// A lost host's run is dealt with.
    HostLost,
    /// A component is kept.
    ComponentPut,
    /// A version becomes the active one.
    ComponentActivate,
    /// A collection is changed.
    Documents,
    /// A run keeps something for its next attempt.
    Checkpoint,
    /// Stream data arrives.
    Ingest,
    /// Anything else; it has no points.
    Other,
}

/// Every point, in the order of [`Step`]: before and after each commit.
pub const POINTS: [&str; 26] = [
    "before_schedule_commit",
    "after_schedule_commit",
    "before_claim_commit",
    "after_claim_commit",
    "before_progress_commit",
    "after_progress_commit",
    "before_end_commit",
    "after_end_commit",
    "before_cancel_commit",
    "after_cancel_commit",
    "before_acknowledge_commit",
    "after_acknowledge_commit",
    "before_delete_commit",
    "after_delete_commit",
    "before_host_lost_commit",
    "after_host_lost_commit",
    "before_component_put_commit",
    "after_component_put_commit",
    "before_component_activate_commit",
    "after_component_activate_commit",
    "before_documents_commit",
    "after_documents_commit",
    "before_checkpoint_commit",
    "after_checkpoint_commit",
    "before_ingest_commit",
    "after_ingest_commit",
];

impl Step {
    /// What is written, in a word.
    pub(crate) fn name(self) -> &'static str {
        let point = POINTS.get(self as usize * 2);
        let name = point.and_then(|point| point.strip_prefix("before_"));
        name.and_then(|name| name.strip_suffix("_commit"))
            .unwrap_or("other")
    }
}

/// One above the index of the armed point; 0: none is.
static ARMED: AtomicUsize = AtomicUsize::new(0);
/// How many passes of it are left, the deadly one included.
static PASSES_LEFT: AtomicU64 = AtomicU64::new(0);

/// There is no point of this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{given}` is no crash point: it has to be NAME or NAME:PASS, with a name out of {POINTS:?}"
)]
pub struct UnknownPoint {
    /// What was given.
    pub given: String,
}

/// Arms a point: the process aborts at its `pass`-th pass, counted from 1.
///
/// # Errors
/// [`UnknownPoint`] when it is not one of [`POINTS`].
pub fn arm(name: &str, pass: u64) -> Result<(), UnknownPoint> {
    let index = POINTS.iter().position(|point| *point == name);
    let index = index.ok_or_else(|| UnknownPoint {
        given: name.to_owned(),
    })?;
    PASSES_LEFT.store(pass.max(1), Ordering::SeqCst);
    ARMED.store(index + 1, Ordering::SeqCst);
    Ok(())
}

/// Reads `NAME` or `NAME:PASS`, the form of the environment variable `TASKHOST_CRASH_AT`.
///
/// # Errors
/// [`UnknownPoint`] when it is neither, or the name is not one of [`POINTS`].
pub fn parse(text: &str) -> Result<(&str, u64), UnknownPoint> {
    let (name, pass) = match text.split_once(':') {
        Some((name, pass)) => (name, pass.parse().ok()),
        None => (text, Some(1)),
    };
    match pass {
        Some(pass) if POINTS.contains(&name) => Ok((name, pass)),
        _ => Err(UnknownPoint {
            given: text.to_owned(),
        }),
    }
}

/// Passes the point before the commit of a step.
pub(crate) fn before_commit(step: Step) {
    pass(step as usize * 2);
}

/// Passes the point between the commit of a step and its answer.
pub(crate) fn after_commit(step: Step) {
    pass(step as usize * 2 + 1);
}

fn pass(index: usize) {
    if ARMED.load(Ordering::Relaxed) != index + 1 {
        return;
    }
    if PASSES_LEFT.fetch_sub(1, Ordering::SeqCst) == 1 {
        std::process::abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_stand_in_the_order_of_the_steps() {
        assert_eq!(
            POINTS[Step::Schedule as usize * 2],
            "before_schedule_commit"
        );
        assert_eq!(
            POINTS[Step::HostLost as usize * 2 + 1],
            "after_host_lost_commit"
        );
        assert_eq!(POINTS[Step::Ingest as usize * 2 + 1], "after_ingest_commit");
        assert_eq!(Step::Other as usize * 2, POINTS.len());
    }

    #[test]
    fn the_variable_is_read_or_refused() {
        assert_eq!(parse("after_end_commit"), Ok(("after_end_commit", 1)));
        assert_eq!(
            parse("before_claim_commit:7"),
            Ok(("before_claim_commit", 7))
        );
        for bad in [
            "",
            "after",
            "after_end_commit:",
            "after_end_commit:x",
            "x:1",
        ] {
            assert_eq!(parse(bad).unwrap_err().given, bad);
        }
        assert!(arm("nowhere", 1).is_err());
    }
}

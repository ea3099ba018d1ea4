//! Schedules: tasks that are fired again and again.
//!
//! # Guarantees
//! 1. Due times grow: whatever a rule, a time zone or a clock does, none comes twice.
//! 2. Whatever is asked of a rule is answered in bounded time, whoever wrote it.
//! 3. What becomes of a due time is decided once, here, in a document that is replaced only in the
//!    version that was looked at.
//!
//! # One fire for each due time
//! Two documents are written for a fire, the schedule's and the task's, and no store of ours
//! changes both in one go on a cluster. So it goes in three steps:
//!
//! 1. *Decide*: in one replacement of the schedule's document `next` moves on from the due time,
//!    and the fire stands in `active`, with the id of its task and of its run, not yet written.
//! 2. *Write*: the task is scheduled under that id, for that run, if there is none of that id.
//! 3. *Note*: the document is replaced, and says that the task is written, or why it never will be.
//!
//! *Nothing is lost*: before 1 the due time is still `next`, and whoever looks decides it; between
//! 1 and 3 the fire stands in `active` as not written, and whoever looks repeats 2, as long as it
//! takes.
//!
//! *Nothing comes twice*: of several hosts that look at the same due time one replaces the
//! document, and the others decide about nothing. A second try of 2 has the same task's id and the
//! same run's id as the first one: the store knows a run that it has seen, in a task that has
//! ended, and in one that is deleted, too. When the deleted task's document has gone altogether, a
//! try could make it anew; so a fire is tried by the life of the host alone that has decided it, as
//! long as that life holds its lease, and by another one when it is lost. Only a host that stands
//! still between its look at its lease and the sending of one request, until others have taken the
//! fire over, somebody has deleted the task, and a sweeper its document, would fire twice.
//!
//! *A clock that goes back* repeats nothing, since `next` is never asked of the clock: each due
//! time is the first one after the one before. *One that goes forward* makes due times pass, which
//! is what the catch-up policy is for.

mod civil;
mod cron;
mod parts;
mod passed;
mod rrule;
mod rule;
mod state;
#[cfg(test)]
mod tests;
mod wall;

pub use parts::{Active, Counts, FiredTask, Overlap, Past, PastOutcome, Pause, Waiting};
pub use passed::CatchUp;
pub use rule::{DueTimes, Rule, Timing, TimingMistake, parse_span};
pub use state::{Schedule, StillRunning};

/// A rule that names no time for so long never fires.
const HORIZON_YEARS: i64 = 100;
/// Steps of one search; some tens of milliseconds.
const STEPS_MAX: u32 = 1_000_000;

/// What it takes to say when a schedule is due next is more than is spent on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("when it is due next takes too long to say: its rule names hardly any time")]
pub struct TooFar;

/// Steps that a search has left.
#[derive(Debug)]
struct Fuel(u32);

impl Default for Fuel {
    fn default() -> Self {
        Self(STEPS_MAX)
    }
}

impl Fuel {
    fn take(&mut self, steps: u32) -> Result<(), TooFar> {
        self.0 = self.0.checked_sub(steps).ok_or(TooFar)?;
        Ok(())
    }
}

//! What holds of the service whatever it does, told from its writes alone.

use std::collections::{BTreeMap, BTreeSet};

use taskhost_model::ids::{Incarnation, RunId};
use taskhost_model::status::{RunState, Status};
use taskhost_model::task::Fence;
use taskhost_store::event::Outcome;

use super::facts::{Happened, Shown, What};

/// What was written so far, as far as it binds what comes.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    latest: BTreeMap<String, Shown>,
    /// Who was given each lease.
    owners: BTreeMap<Fence, Option<Incarnation>>,
    /// Runs that have ended.
    ended: BTreeSet<RunId>,
}

impl Rules {
    /// # Errors
    /// Which rule is broken.
    pub(crate) fn check(&mut self, it: &Happened) -> Result<(), String> {
        if it.what == What::TombstonesRemoved {
            self.latest.retain(|_, shown| !shown.is_deleted());
            return Ok(());
        }
        let (true, Some(after)) = (it.outcome == Outcome::Changed, &it.after) else {
            return Ok(());
        };
        let before = self.latest.get(&it.id);
        let from = before.map_or(Status::NotStarted, |shown| shown.status);
        let to = after.status;
        if !is_legal(from, to, &it.what) {
            return Err(format!("{from:?} became {to:?}"));
        }
        if let Some(before) = before {
            let step = u64::from(counts(before, after, &it.what));
            if after.version != before.version + step {
                return Err(format!(
                    "version {} became {}",
                    before.version, after.version
                ));
            }
            if after.revision < before.version.max(before.revision) {
                return Err("the revision went back".to_owned());
            }
            if after.run == before.run && after.lease < before.lease {
                return Err("the lease number went back".to_owned());
            }
        }
        if it.what == What::Claim && self.owners.insert(after.fence(), it.owner).is_some() {
            return Err("a lease was given twice".to_owned());
        }
        if after.is_at_work() && self.owners.get(&after.fence()) != Some(&it.owner) {
            return Err("a lease changed hands".to_owned());
        }
        let is_end = matches!(to, Status::Completed | Status::Failed | Status::Canceled);
        if is_end && from != to && !self.ended.insert(after.run) {
            return Err("a run ended twice".to_owned());
        }
        self.latest.insert(it.id.clone(), after.clone());
        Ok(())
    }
}

/// Whether a write counts as a new version: all do but those that tell how far a run is.
fn counts(before: &Shown, after: &Shown, what: &What) -> bool {
    let is_claimed = after.state == Some(RunState::Running) && before.state != after.state;
    let is_silent = matches!(what, What::Said(..) | What::PreviousEnded(_));
    // The sweeper says the same of a run that was deleted when its host was lost.
    let is_left = matches!(what, What::Lost(_)) && before.previous != after.previous;
    !is_claimed && !is_silent && !is_left
}

/// Which status may follow which one.
fn is_legal(from: Status, to: Status, what: &What) -> bool {
    use Status as S;
    let by_person = matches!(
        what,
        What::Schedule { .. } | What::Acknowledge(_) | What::Delete(_)
    );
    match (from, to) {
        // Whoever was deleted before has gone, which changes nothing that anybody sees.
        (from, to) if from == to && matches!(what, What::PreviousEnded(_)) => true,
        (_, S::Stale) | (S::Stale, _) => false,
        (_, S::NotStarted) => matches!(what, What::Delete(_)),
        (S::NotStarted, to) => to == S::InProgress && matches!(what, What::Schedule { .. }),
        (S::InProgress, to) => to != S::Acknowledged && !by_person,
        (S::BeingCanceled, to) => matches!(to, S::BeingCanceled | S::Canceled) && !by_person,
        (S::Completed, S::Acknowledged) => matches!(what, What::Acknowledge(_)),
        (_, S::InProgress) => matches!(what, What::Schedule { .. }),
        _ => false,
    }
}

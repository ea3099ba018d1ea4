//! Claims with the write that accepts a run, or that makes it due: the document is written as
//! claimed at once, which spares a write and a search.

use std::fmt;
use std::sync::PoisonError;

use taskhost_model::task::Task;
use taskhost_model::time::Timestamp;

use super::Elastic;
use super::hot::{Current, Hot, Texts};
use crate::apply::{Decision, decide};
use crate::error::StoreError;
use crate::event::{Claim, Event};
use crate::place::{self, Place};
use crate::queue::{ClaimRequest, ClaimableType, Reservation, StoredTask};

/// Room for a run that becomes ready with a write, if anybody has some.
#[derive(Default)]
pub(super) struct Along {
    is_asked: bool,
    reservation: Option<Box<dyn Reservation>>,
    /// The run as it is given, if it is claimed in the write itself.
    given: Option<StoredTask>,
}

impl fmt::Debug for Along {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Along").finish_non_exhaustive()
    }
}

impl Along {
    /// This is claimed in the write, and nothing else.
    pub(super) fn give(&mut self, given: Option<StoredTask>) {
        self.given = given;
    }

    pub(super) fn is_in_the_write(&self) -> bool {
        self.given.is_some()
    }
}

impl Elastic {
    /// The task as it is claimed, if it becomes ready and may be claimed in the same write.
    pub(super) async fn claimed_along(
        &self,
        along: &mut Along,
        event: &Event,
        task: &Task,
        texts: &Texts,
        now: Timestamp,
    ) -> Result<Option<Task>, StoreError> {
        along.given = None;
        let is_made_ready = matches!(event, Event::Schedule(_) | Event::Resume { .. })
            && place::of(task, now) == Place::Ready;
        if !is_made_ready {
            return Ok(None);
        }
        if !std::mem::replace(&mut along.is_asked, true) {
            along.reservation = self.reserve();
        }
        let request = along.reservation.as_ref().map(|it| it.request().clone());
        let Some(request) = request else {
            return Ok(None);
        };
        let Some(wanted) = self.wanted_alone(&request, task, now).await? else {
            return Ok(None);
        };
        let claim = Event::Claim(claim_of(&request, wanted));
        let Decision::Write(write) = decide(&task.key(), Some(task), &claim, now) else {
            return Ok(None);
        };
        // Before it is claimed: what is claimed has to be given.
        let hot = Hot::new(write.task.clone(), texts.clone(), now, "");
        let params = match event {
            Event::Schedule(run) => Some(StoredTask {
                task: write.task.clone(),
                params: run.params.clone(),
                payload: None,
            }),
            _ => self.with_texts(&hot).await?,
        };
        along.given = params;
        Ok(along.given.as_ref().map(|given| given.task.clone()))
    }

    /// The type by which a request wants this run, where nothing else is known to be due before it
    /// and no concurrency key is to be asked.
    async fn wanted_alone<'a>(
        &self,
        request: &'a ClaimRequest,
        task: &Task,
        now: Timestamp,
    ) -> Result<Option<&'a ClaimableType>, StoreError> {
        let wanted = request.types.iter().find(|it| it.type_id == task.type_id);
        let Some(wanted) = wanted.filter(|_| request.limit > 0) else {
            return Ok(None);
        };
        let needs_key = task.concurrency_key.is_some() && !task.holds_key();
        let others = request.types.iter().map(|it| &it.type_id);
        if needs_key
            || self.searched.has_left()
            || self.recent.is_any_due(others, now)
            || !self.is_there(&wanted.digest).await?
        {
            return Ok(None);
        }
        Ok(Some(wanted))
    }

    fn reserve(&self) -> Option<Box<dyn Reservation>> {
        let claimer = self.claimer.lock().unwrap_or_else(PoisonError::into_inner);
        claimer.as_ref()?.reserve_one()
    }

    /// After the write: what was claimed in it is given, or claimed now with what else is due.
    pub(super) async fn start_along(&self, along: Along, written: Current, queued: Hot) {
        let Some(reservation) = along.reservation else {
            return;
        };
        let Some(given) = along.given else {
            return self.claim_for(reservation).await;
        };
        let is_kept = self.keeps_pin(&written, queued).await;
        reservation.start(if is_kept { vec![given] } else { Vec::new() });
    }
}

impl Elastic {
    /// Claims what is due for a reservation: those that wait together are served by one claim.
    async fn claim_for(&self, reservation: Box<dyn Reservation>) {
        self.along().push(reservation);
        let turn = self.claiming.lock().await;
        let reservations = std::mem::take(&mut *self.along());
        // None: whoever had the turn before has served this one too.
        let Some(mut request) = reservations.last().map(|it| it.request().clone()) else {
            return;
        };
        request.limit = reservations.iter().map(|it| it.request().limit).sum();
        let claimed = self.claim_in_turn(&request).await;
        drop(turn);
        match claimed {
            Ok(claimed) => {
                let mut claimed = claimed.into_iter();
                let last = reservations.len() - 1;
                for (number, reservation) in reservations.into_iter().enumerate() {
                    // A claim may find more, which it has made before: none of it is lost.
                    let limit = reservation.request().limit;
                    let limit = if number == last { usize::MAX } else { limit };
                    reservation.start(claimed.by_ref().take(limit).collect());
                }
            }
            // It is left to whoever claims next.
            Err(error) => tracing::debug!(%error, "nothing is claimed along"),
        }
    }

    fn along(&self) -> std::sync::MutexGuard<'_, Vec<Box<dyn Reservation>>> {
        self.waiting_along
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// The claim that a request makes of a type.
pub(super) fn claim_of(request: &ClaimRequest, wanted: &ClaimableType) -> Claim {
    Claim {
        host: request.host.clone(),
        incarnation: request.incarnation,
        digest: wanted.digest.clone(),
        wall_ms: wanted.wall_ms,
    }
}

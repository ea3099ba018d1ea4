//! Claims: what a search and this host's own latest writes show to be due, in order, each taken by
//! compare-and-set. Who is not quick enough moves on.
//!
//! # Guarantees
//! 1. A run is answered when its claim is on disk, and its texts are at hand: they are read before.
//! 2. A claim whose answer was lost is found by the next one.

mod share;
mod choose;

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use futures_util::future::join_all;
use taskhost_model::ids::{Digest, TaskKey};
use taskhost_model::time::Timestamp;

use super::Elastic;
use super::along::claim_of;
use super::apply::to_write;
use super::group::Written;
use super::hot::{Current, Hot};
use super::names::unique;
use crate::apply::{Decision, decide};
use crate::error::StoreError;
use crate::event::Event;
use crate::queue::{ClaimRequest, ClaimableType, StoredTask};
use choose::Choice;
pub(super) use choose::Searched;
use share::Share;

/// So often what others were quicker to take is made up for.
const ROUNDS_MAX: usize = 8;

/// A run that was taken.
struct Taken {
    /// As it was.
    former: Current,
    /// As it is now.
    now: Current,
    given: StoredTask,
}

impl Elastic {
    /// Takes what is due.
    pub(super) async fn claim_due(
        &self,
        request: &ClaimRequest,
    ) -> Result<Vec<StoredTask>, StoreError> {
        // Two claims of one host would want the same.
        let _turn = self.claiming.lock().await;
        self.claim_in_turn(request).await
    }

    /// As [`Self::claim_due`], for whoever has the turn.
    pub(super) async fn claim_in_turn(
        &self,
        request: &ClaimRequest,
    ) -> Result<Vec<StoredTask>, StoreError> {
        let mut claimed = self.claimed_unsure().await?;
        let (mut taken, now) = (Vec::new(), self.clock.now());
        let room = request.limit.saturating_sub(claimed.len());
        if let Err(error) = self.take_rounds(request, room, &mut taken, now).await {
            if claimed.is_empty() && taken.is_empty() {
                return Err(error);
            }
            // What is on disk as this host's has to be given, whatever came after it.
            tracing::warn!(%error, "less was claimed than there may be");
        }
        self.last_claim_ms.fetch_max(now.as_ms(), Ordering::Relaxed);
        claimed.extend(self.with_component(taken).await);
        Ok(claimed)
    }

    /// Takes at most as many as there is room for; what others were quicker to take is made up for.
    async fn take_rounds(
        &self,
        request: &ClaimRequest,
        room: usize,
        taken: &mut Vec<Taken>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let wanted = self.wanted(request).await?;
        let share = {
            let alive = self.alive.lock().unwrap_or_else(PoisonError::into_inner);
            Share::new(request.incarnation, &alive)
        };
        for _ in 0..ROUNDS_MAX {
            let room = room.saturating_sub(taken.len());
            if room == 0 || wanted.is_empty() {
                break;
            }
            let chosen = self.choose(&wanted, (&share, room), now).await?;
            let count = chosen.len();
            let round = self.take_all(request, chosen, now).await?;
            let is_done = round.len() == count;
            taken.extend(round);
            if is_done {
                break;
            }
        }
        Ok(())
    }

    /// The wanted types whose component is there.
    async fn wanted<'a>(
        &self,
        request: &'a ClaimRequest,
    ) -> Result<Vec<&'a ClaimableType>, StoreError> {
        let mut wanted = Vec::new();
        if request.limit > 0 {
            for type_ in &request.types {
                if self.is_there(&type_.digest).await? {
                    wanted.push(type_);
                }
            }
        }
        Ok(wanted)
    }

    /// Takes these, as far as nobody was quicker.
    async fn take_all(
        &self,
        request: &ClaimRequest,
        chosen: Vec<Choice<'_>>,
        now: Timestamp,
    ) -> Result<Vec<Taken>, StoreError> {
        let admitted = self.enter_all(chosen).await?;
        let each = admitted.into_iter().map(|(wanted, former)| async move {
            let claim = Event::Claim(claim_of(request, wanted));
            self.take(former, &claim, now).await
        });
        let mut taken = Vec::new();
        for answer in join_all(each).await {
            match answer {
                Ok(one) => taken.extend(one),
                // What others got of the same claim has to be given all the same.
                Err(error) => tracing::warn!(%error, "a run was not claimed"),
            }
        }
        Ok(taken)
    }

    async fn take(
        &self,
        former: Current,
        claim: &Event,
        now: Timestamp,
    ) -> Result<Option<Taken>, StoreError> {
        let key = former.hot.key();
        let Decision::Write(write) = decide(&key, Some(&former.hot.task), claim, now) else {
            return Ok(None);
        };
        let written = unique();
        let texts = former.hot.texts.clone();
        let hot = Arc::new(Hot::new(write.task, texts, now, &written));
        let Some(given) = self.with_texts(&hot).await? else {
            self.recent.forget(&key, former.seen);
            return Ok(None);
        };
        let seen = match self.group.write(to_write(Some(&former), &hot)?).await {
            Ok(Written::Done(seen)) => seen,
            Ok(Written::Conflict { is_repeated }) => {
                self.recent.forget(&key, former.seen);
                if is_repeated {
                    self.remember_unsure(&key, &written);
                }
                return Ok(None);
            }
            Ok(_) => {
                self.recent.forget(&key, former.seen);
                return Ok(None);
            }
            Err(error) => {
                self.remember_unsure(&key, &written);
                return Err(error);
            }
        };
        self.is_stored(&key, seen, &hot);
        let now = Current { seen, hot };
        Ok(Some(Taken { former, now, given }))
    }

    /// Those of them whose component is still there after they were pinned to it. Whoever deletes
    /// one says so before he looks for runs: so one of the two sees the other.
    async fn with_component(&self, taken: Vec<Taken>) -> Vec<StoredTask> {
        let pinned = |one: &Taken| {
            let (before, after) = (&one.former.hot.task.run, &one.now.hot.task.run);
            after.digest.clone().filter(|_| before.digest.is_none())
        };
        let is_any_pinned = taken.iter().any(|one| pinned(one).is_some());
        if is_any_pinned && let Err(error) = self.look_for_marks().await {
            // It is not for the moment: a run whose component is gone fails when it is begun.
            tracing::warn!(%error, "whether the components are still there is not known");
        }
        let mut kept = Vec::new();
        for one in taken {
            let is_kept = match pinned(&one) {
                Some(digest) if !self.is_known(&digest) => {
                    self.undo(&one.now, (*one.former.hot).clone()).await;
                    false
                }
                _ => true,
            };
            kept.extend(is_kept.then_some(one.given));
        }
        kept
    }

    /// Whether a run that was claimed with its schedule stays so; as in [`Self::with_component`].
    pub(super) async fn keeps_pin(&self, written: &Current, queued: Hot) -> bool {
        let pinned = written.hot.task.run.digest.clone();
        let Some(digest) = pinned.filter(|_| queued.task.run.digest.is_none()) else {
            return true;
        };
        if let Err(error) = self.look_for_marks().await {
            tracing::warn!(%error, "whether the component is still there is not known");
            return true;
        }
        let is_kept = self.is_known(&digest);
        if !is_kept {
            self.undo(written, queued).await;
        }
        is_kept
    }

    /// Writes a document back as it was before a claim that nobody was told of.
    async fn undo(&self, claimed: &Current, mut former: Hot) {
        let now = self.clock.now();
        former.written = unique();
        former.place = crate::place::of(&former.task, now);
        let (key, hot) = (former.key(), Arc::new(former));
        let undone = match to_write(Some(claimed), &hot) {
            Ok(write) => self.group.write(write).await,
            Err(error) => Err(error),
        };
        match undone {
            Ok(Written::Done(seen)) => self.is_stored(&key, seen, &hot),
            // Somebody else has done something with it meanwhile: then that holds.
            Ok(_) => self.recent.forget(&key, claimed.seen),
            Err(error) => tracing::error!(%error, task = %key.id, "a claim was not undone"),
        }
    }

    /// The next claim looks whether this write of a claim is there.
    pub(super) fn remember_unsure(&self, key: &TaskKey, written: &str) {
        let mut unsure = self.unsure.lock().unwrap_or_else(PoisonError::into_inner);
        unsure.push((key.clone(), written.to_owned()));
    }

    /// Runs that were claimed by writes whose answers were lost.
    async fn claimed_unsure(&self) -> Result<Vec<StoredTask>, StoreError> {
        let unsure = {
            let mut all = self.unsure.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *all)
        };
        let mut claimed = Vec::new();
        for (key, written) in unsure {
            let found = async {
                let current = self.current(&key).await?;
                match current.filter(|it| it.hot.written == written) {
                    Some(current) => self.with_texts(&current.hot).await,
                    None => Ok(None),
                }
            };
            match found.await {
                Ok(found) => claimed.extend(found.filter(|it| it.task.lease().is_some())),
                Err(error) => {
                    self.remember_unsure(&key, &written);
                    tracing::debug!(%error, "whether a run was claimed is not known yet");
                }
            }
        }
        Ok(claimed)
    }

    /// Whether claims may pin runs to this component.
    pub(super) async fn is_there(&self, digest: &Digest) -> Result<bool, StoreError> {
        if self.is_known(digest) {
            return Ok(true);
        }
        // Another host may have taken it in since this one has looked.
        self.look_at_catalog().await?;
        Ok(self.is_known(digest))
    }
}

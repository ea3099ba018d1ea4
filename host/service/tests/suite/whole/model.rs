//! The task service as a pure model: what of each task there is, what each thing that happens to it
//! makes of it, and what has to have happened by now. It shares no rule with the code.

use std::collections::{BTreeMap, BTreeSet};

use taskhost_model::error::ErrorKind;
use taskhost_model::ids::RunId;
use taskhost_model::status::{Refusal, RunState, Status};
use taskhost_model::task::Fence;
use taskhost_store::event::{Outcome, WriteCondition};

use super::doc::{
    Doc, Guest, QUEUE_TIMEOUT_MS, check_grace, ended, failed, how_to_end, is_claimable, is_overdue,
    is_removable, moved, queued_again,
};
use super::facts::{Happened, How, Moment, Shown, What};
use super::guest::{GRACE_MS, PAUSE_MS, Word};
use super::rules::Rules;

/// Runs at once.
pub(crate) const SLOTS: usize = 3;
/// A run whose hosts were lost so often fails.
pub(crate) const CRASHES_MAX: u32 = 2;
/// The wait before the second attempt, at most.
pub(crate) const BACKOFF_MS: i64 = 50;
/// What a run says is written after so long at the latest.
const SAID_WITHIN_MS: u64 = 560;
/// So long nobody looks what has become due by a clock that was set.
const LOOKED_WITHIN_MS: u64 = 60_010;
/// Former runs of a task that are kept.
const FORMER_MAX: usize = 9;

/// Everything.
#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) docs: BTreeMap<String, Doc>,
    /// By the ids of their tasks.
    pub(crate) guests: BTreeMap<String, Guest>,
    /// What was promised by each key: of which body, its run and its task.
    pub(crate) promises: BTreeMap<u8, (String, RunId, String)>,
    /// So many runs of the type at once; none: as many as there are slots.
    limit: Option<usize>,
    /// How often each kind of thing has happened.
    pub(crate) tally: BTreeMap<String, u64>,
    runs: BTreeSet<RunId>,
    rules: Rules,
}

type Verdict<T> = Result<T, String>;

impl World {
    /// In which so many runs of the type may be at work at once.
    pub(crate) fn of(limit: Option<usize>) -> Self {
        Self {
            limit,
            ..Self::default()
        }
    }

    /// The task, if anybody sees it.
    pub(crate) fn seen(&self, id: &str) -> Option<&Doc> {
        self.docs.get(id).filter(|doc| !doc.shown.is_deleted())
    }

    pub(crate) fn status(&self, id: &str) -> Status {
        self.seen(id)
            .map_or(Status::NotStarted, |doc| doc.shown.status)
    }

    /// Whether a precondition holds.
    pub(crate) fn has_version(&self, id: &str, wanted: Option<u64>) -> bool {
        let version = self.seen(id).map_or(0, |doc| doc.shown.version);
        wanted.is_none_or(|wanted| wanted == version)
    }

    /// Whether as many runs of the type are at work as may be.
    pub(crate) fn is_at_limit(&self) -> bool {
        let holds = |doc: &&Doc| doc.shown.is_at_work() || !doc.shown.previous.is_empty();
        let holders = self.docs.values().filter(holds).count();
        self.limit.is_some_and(|most| holders >= most)
    }

    /// What a guest is told.
    pub(crate) fn tell(&mut self, id: &str, word: Word, at: Moment) {
        let Some(guest) = self.guests.get_mut(id) else {
            return;
        };
        match word {
            // It hears that it is canceled instead.
            Word::Beat if guest.canceled_ms.is_some() => {}
            Word::Beat => {
                if guest.said == guest.written {
                    guest.said_ms = at.passed_ms;
                }
                guest.said += 1;
            }
            word => (guest.word, guest.ended_ms) = (Some(word), at.wall_ms),
        }
    }

    /// Everybody is asked to hand back what he does.
    pub(crate) fn drain(&mut self) {
        for guest in self.guests.values_mut() {
            guest.is_handed_back = true;
        }
    }

    /// The host is gone, and with it every guest; the next one looks at once.
    pub(crate) fn crash(&mut self) {
        self.guests.clear();
        self.docs.values_mut().for_each(|doc| doc.found_by_ms = 0);
    }

    /// The clock on the wall was set, from what it showed before. Whoever waits for a time waits
    /// for as long as he has meant to, but looks again after a while.
    pub(crate) fn step(&mut self, before_ms: i64, at: Moment) {
        for doc in self.docs.values_mut() {
            let left_ms = u64::try_from(doc.shown.due_ms - before_ms).unwrap_or(0);
            if left_ms > 0 {
                let by_ms = at.passed_ms + left_ms.min(LOOKED_WITHIN_MS);
                doc.found_by_ms = doc.found_by_ms.max(by_ms);
            }
        }
    }

    /// What has to have happened by now has.
    pub(crate) fn check_settled(&self, at: Moment) -> Verdict<()> {
        let passed_ms = at.passed_ms;
        for (id, guest) in &self.guests {
            let late = |what| Err(format!("the guest of {id} {what}: {guest:#?}"));
            if guest.is_fenced && guest.word.is_none() {
                return late("is alive, and its task is gone");
            }
            let is_unheard = guest.said > guest.written && guest.canceled_ms.is_none();
            if is_unheard && guest.word.is_none() && passed_ms > guest.said_ms + SAID_WITHIN_MS {
                return late("has said something that was not written");
            }
            let grace_ms = GRACE_MS.unsigned_abs();
            let is_over = |asked_ms: u64| passed_ms > asked_ms + grace_ms;
            if guest.word.is_none() && guest.canceled_ms.is_some_and(is_over) {
                return late("has not ended with its grace");
            }
        }
        for (id, doc) in &self.docs {
            let is_alive = self.guests.get(id).map(|guest| guest.fence);
            if doc.shown.is_at_work() && is_alive != Some(doc.shown.fence()) {
                return Err(format!("{id} is at work without a guest: {:#?}", doc.shown));
            }
            let is_late = passed_ms >= doc.found_by_ms && is_claimable(doc, at);
            if is_late && self.guests.len() < SLOTS && !self.is_at_limit() {
                let shown = &doc.shown;
                return Err(format!(
                    "{id} is due, there is room, and it waits: {shown:#?}"
                ));
            }
        }
        Ok(())
    }

    /// Something happened: whether it could, and came out as it had to.
    pub(crate) fn take(&mut self, it: &Happened, at: Moment) -> Verdict<()> {
        let told = |error| format!("{error}\nwhen this happened: {it:#?}");
        self.rules.check(it).map_err(told)?;
        *self.tally.entry(it.kind()).or_default() += 1;
        if it.what == What::TombstonesRemoved {
            self.docs.retain(|_, doc| !is_removable(doc));
            return Ok(());
        }
        let (outcome, doc) = self.decide(it, at).map_err(told)?;
        if outcome != it.outcome {
            return Err(told(format!("it had to be {outcome:?}")));
        }
        let shown = doc.as_ref().map(|doc| &doc.shown);
        if shown != it.after.as_ref() {
            return Err(told(format!("the document had to be {shown:#?}")));
        }
        if let Some(doc) = doc {
            self.docs.insert(it.id.clone(), doc);
        }
        Ok(())
    }

    fn decide(&mut self, it: &Happened, at: Moment) -> Verdict<(Outcome, Option<Doc>)> {
        let (id, doc) = (it.id.as_str(), self.docs.get(&it.id).cloned());
        let same = |outcome| Ok((outcome, self.docs.get(id).cloned()));
        match &it.what {
            What::Schedule { .. } => self.schedule(it, at),
            What::Claim => {
                let doc = doc.ok_or("there is nothing to claim")?;
                Ok((Outcome::Changed, Some(self.claim(id, doc, at)?)))
            }
            What::Cancel(wanted) | What::Acknowledge(wanted) | What::Delete(wanted)
                if !self.has_version(id, *wanted) =>
            {
                same(Outcome::VersionMismatch)
            }
            What::Cancel(_) => match doc {
                Some(doc) if doc.shown.waits() => changed(ended(doc, Status::Canceled, at)),
                Some(doc) if doc.shown.state == Some(RunState::Running) => {
                    if let Some(guest) = self.guests.get_mut(id) {
                        guest.canceled_ms = Some(at.passed_ms);
                    }
                    changed(moved(doc, Status::BeingCanceled, None))
                }
                _ => same(Outcome::Unchanged),
            },
            What::Acknowledge(_) => match doc {
                Some(doc) if doc.shown.status == Status::Completed => {
                    changed(ended(doc, Status::Acknowledged, at))
                }
                _ => same(Outcome::Refused(Refusal::NotCompleted)),
            },
            What::Delete(_) => match doc {
                Some(doc) if !doc.shown.is_deleted() => changed(self.delete(id, doc)),
                _ => same(Outcome::Refused(Refusal::Absent)),
            },
            What::Said(fence, done) => self.said(id, *fence, *done),
            What::Ended(fence, how, done) => self.ended(it, (*fence, *how, *done), at),
            What::Lost(fence) if self.guests.values().any(|guest| guest.fence == *fence) => {
                Err("its host is alive".to_owned())
            }
            What::Lost(fence) => self.lost(id, *fence, at),
            What::PreviousEnded(fence) => self.previous_ended(id, *fence),
            What::Overdue(before_ms) => {
                if *before_ms != at.wall_ms - QUEUE_TIMEOUT_MS {
                    return Err("it looked at another time".to_owned());
                }
                match doc {
                    Some(doc) if is_overdue(&doc, at) => {
                        changed(failed(doc, ErrorKind::QueueTimeout, at))
                    }
                    _ => same(Outcome::Unchanged),
                }
            }
            What::TombstonesRemoved | What::Other(_) => Err("it cannot happen here".to_owned()),
        }
    }

    fn schedule(&mut self, it: &Happened, at: Moment) -> Verdict<(Outcome, Option<Doc>)> {
        let What::Schedule {
            run,
            body,
            due_ms,
            priority,
            condition,
            keeps,
            has_receipt,
        } = &it.what
        else {
            return Err("it is no schedule".to_owned());
        };
        if !self.runs.insert(*run) {
            return Err("the run is not new".to_owned());
        }
        let (doc, seen) = (self.docs.get(&it.id), self.seen(&it.id));
        let is_kept_from = |condition| match condition {
            WriteCondition::Absent => {
                seen.is_some() || *has_receipt && doc.is_some_and(|doc| doc.is_promised)
            }
            WriteCondition::Version(version) => !self.has_version(&it.id, Some(version)),
        };
        if condition.is_some_and(is_kept_from) {
            return Ok((Outcome::VersionMismatch, doc.cloned()));
        }
        match self.status(&it.id) {
            Status::InProgress => return Ok((Outcome::Unchanged, doc.cloned())),
            Status::BeingCanceled => {
                let refusal = Refusal::CancellationInProgress;
                return Ok((Outcome::Refused(refusal), doc.cloned()));
            }
            _ => {}
        }
        let last = doc.map(|doc| &doc.shown);
        let first = at.wall_ms.unsigned_abs();
        let mut former: Vec<_> = seen.map_or_else(Vec::new, |doc| doc.former.clone());
        former.splice(0..0, seen.map(|doc| (doc.shown.run, doc.shown.status)));
        former.truncate(FORMER_MAX);
        let is_completed = matches!(
            self.status(&it.id),
            Status::Completed | Status::Acknowledged
        );
        let shown = Shown {
            status: Status::InProgress,
            state: Some(RunState::Queued),
            version: last.map_or(first, |it| it.version + 1),
            revision: last.map_or(first, |it| it.revision + 1),
            run: *run,
            attempt: 1,
            crashes: 0,
            pauses: 0,
            lease: last.map_or(0, |it| it.lease),
            due_ms: *due_ms,
            priority: *priority,
            created_ms: at.wall_ms,
            last_ms: seen.map_or([None; 4], |doc| doc.shown.last_ms),
            error: None,
            done: None,
            previous: last.map_or_else(Vec::new, |it| it.previous.clone()),
        };
        changed(Doc {
            shown,
            body: body.clone(),
            keeps: *keeps && !is_completed && seen.is_some_and(|doc| doc.keeps),
            former,
            is_promised: *has_receipt || seen.is_some_and(|doc| doc.is_promised),
            found_by_ms: 0,
        })
    }

    fn claim(&mut self, id: &str, mut doc: Doc, at: Moment) -> Verdict<Doc> {
        if !is_claimable(&doc, at) {
            return Err("it cannot be claimed".to_owned());
        }
        if self.guests.len() >= SLOTS || self.is_at_limit() {
            return Err("there is no room".to_owned());
        }
        let rank = |doc: &Doc| {
            let shown = &doc.shown;
            let rank = shown.due_ms - i64::from(shown.priority) * 60_000;
            (rank, shown.created_ms)
        };
        let mut others = self.docs.iter();
        let before = others.find(|(_, other)| is_claimable(other, at) && rank(other) < rank(&doc));
        if let Some((other, _)) = before {
            return Err(format!("{other} comes before it"));
        }
        doc.shown.state = Some(RunState::Running);
        doc.shown.revision += 1;
        doc.shown.lease += 1;
        let guest = Guest {
            fence: doc.shown.fence(),
            word: None,
            ended_ms: 0,
            canceled_ms: None,
            is_handed_back: false,
            is_fenced: false,
            said: 0,
            written: 0,
            said_ms: 0,
        };
        match self.guests.insert(id.to_owned(), guest) {
            None => Ok(doc),
            Some(other) => Err(format!("somebody is at work: {other:#?}")),
        }
    }

    fn delete(&mut self, id: &str, mut doc: Doc) -> Doc {
        if doc.shown.is_at_work() {
            doc.shown.previous.push(doc.shown.fence());
            if let Some(guest) = self.guests.get_mut(id) {
                guest.is_fenced = true;
            }
        }
        doc = moved(doc, Status::NotStarted, None);
        doc.shown.done = None;
        (doc.keeps, doc.former) = (false, Vec::new());
        doc
    }

    fn said(
        &mut self,
        id: &str,
        fence: Fence,
        done: Option<u64>,
    ) -> Verdict<(Outcome, Option<Doc>)> {
        let doc = self.docs.get(id).cloned();
        let guest = self.guests.get_mut(id).filter(|it| it.fence == fence);
        let guest = guest.ok_or("nobody can have said so")?;
        if done != Some(guest.said) || guest.said == guest.written {
            return Err(format!("it has not said so: {guest:#?}"));
        }
        guest.written = guest.said;
        match doc {
            Some(mut doc) if doc.shown.fence() == fence && doc.shown.is_at_work() => {
                doc.shown.revision += 1;
                doc.shown.done = done;
                changed(doc)
            }
            doc => Ok((Outcome::Fenced, doc)),
        }
    }

    fn ended(
        &mut self,
        it: &Happened,
        (fence, how, done): (Fence, How, Option<u64>),
        at: Moment,
    ) -> Verdict<(Outcome, Option<Doc>)> {
        let doc = self.docs.get(&it.id).cloned();
        let guest = self.guests.get(&it.id).filter(|it| it.fence == fence);
        let guest = guest.cloned().ok_or("nobody can have ended")?;
        let doc = match doc {
            Some(doc) if doc.shown.fence() == fence && doc.shown.is_at_work() => doc,
            doc => return Ok((Outcome::Fenced, doc)),
        };
        let said = (guest.said > 0).then_some(guest.said);
        if done != said {
            return Err(format!("it has said {said:?}"));
        }
        self.guests.remove(&it.id);
        let mut doc = doc;
        doc.shown.done = done.or(doc.shown.done);
        // However it ends, it was canceled first.
        if doc.shown.status == Status::BeingCanceled {
            if guest.word.is_none() {
                check_grace(&guest, at)?;
            }
            return changed(ended(doc, Status::Canceled, at));
        }
        let wanted = how_to_end(&guest, &doc)?;
        if how != wanted {
            return Err(format!("it had to say {wanted:?}"));
        }
        let attempt = doc.shown.attempt;
        let waits = Some(RunState::WaitingRetry);
        match how {
            How::Completed => {
                doc.keeps = false;
                changed(ended(doc, Status::Completed, at))
            }
            How::Failed(kind, false) => changed(failed(doc, kind, at)),
            How::Failed(_, true) => {
                let most_ms = BACKOFF_MS << (attempt - 1);
                let due_ms = it.after.as_ref().map_or(0, |shown| shown.due_ms);
                if !(most_ms / 2..=most_ms).contains(&(due_ms - guest.ended_ms)) {
                    return Err("it is tried again too soon or too late".to_owned());
                }
                let mut doc = moved(doc, Status::InProgress, waits);
                (doc.shown.attempt, doc.shown.due_ms) = (attempt + 1, due_ms);
                changed(doc)
            }
            How::Paused => {
                let mut doc = moved(doc, Status::InProgress, waits);
                doc.shown.pauses += 1;
                doc.shown.due_ms = guest.ended_ms + PAUSE_MS;
                changed(doc)
            }
            How::HandedBack => changed(queued_again(doc, at)),
            How::Stopped => Err("nobody has canceled it".to_owned()),
        }
    }

    fn lost(&mut self, id: &str, fence: Fence, at: Moment) -> Verdict<(Outcome, Option<Doc>)> {
        let doc = self.docs.get(id).cloned();
        let Some(mut doc) = doc.filter(|it| it.shown.fence() == fence && !it.shown.is_deleted())
        else {
            return self.previous_ended(id, fence);
        };
        if !doc.shown.is_at_work() {
            return Ok((Outcome::Repeated, Some(doc)));
        }
        doc.shown.crashes += 1;
        if doc.shown.status == Status::BeingCanceled {
            return changed(ended(doc, Status::Canceled, at));
        }
        if doc.shown.crashes >= CRASHES_MAX {
            return changed(failed(doc, ErrorKind::HostLost, at));
        }
        changed(queued_again(doc, at))
    }

    fn previous_ended(&mut self, id: &str, fence: Fence) -> Verdict<(Outcome, Option<Doc>)> {
        self.guests.retain(|_, guest| guest.fence != fence);
        let doc = self.docs.get(id).cloned();
        match doc {
            Some(mut doc) if doc.shown.previous.contains(&fence) => {
                doc.shown.previous.retain(|it| *it != fence);
                changed(doc)
            }
            doc => Ok((Outcome::Unchanged, doc)),
        }
    }
}

fn changed(doc: Doc) -> Verdict<(Outcome, Option<Doc>)> {
    Ok((Outcome::Changed, Some(doc)))
}

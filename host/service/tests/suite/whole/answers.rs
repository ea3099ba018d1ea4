//! What the service answers, as plain values, and what the model says that it has to.

use std::collections::{BTreeMap, BTreeSet};

use taskhost_model::ids::RunId;
use taskhost_model::status::Status;
use taskhost_service::error::ServiceError;
use taskhost_service::view::TaskView;
use taskhost_service::{BulkAnswer, BulkOutcome, Scheduled};
use taskhost_store::event::WriteCondition;

use super::command::{Bulk, Condition, Match};
use super::facts::Moment;
use super::model::World;

/// An answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Answer {
    /// A new run was accepted.
    New,
    /// One is at work; whether it is the same that was wanted.
    Running(bool),
    /// What was promised by the key.
    Promised(RunId, String),
    /// This is its status now.
    Is(Status),
    /// Of each task of a batch.
    Each(Vec<Answer>),
    /// Of each task that was found, its status then, and what came of it; `None`: would be done.
    Found(BTreeSet<(String, Option<&'static str>)>),
    Deleted,
    Canceling,
    Mismatch,
    Absent,
    NotCompleted(Status),
    KeyReused,
    Failed(String),
}

pub(crate) fn of_schedule(answer: &Result<Scheduled, ServiceError>) -> Answer {
    match answer {
        Ok(Scheduled::New(_)) => Answer::New,
        Ok(Scheduled::AlreadyRunning(running)) => Answer::Running(running.is_same),
        Err(error) => of_error(error),
    }
}

pub(crate) fn of_view(answer: &Result<TaskView, ServiceError>) -> Answer {
    match answer {
        Ok(view) => Answer::Is(view.status),
        Err(error) => of_error(error),
    }
}

pub(crate) fn of_bulk(answer: &Result<BulkAnswer, ServiceError>) -> Answer {
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return of_error(error),
    };
    let each = answer.results.iter().map(|result| {
        let outcome = match &result.outcome {
            Ok(BulkOutcome::WouldBeDone) => None,
            Ok(BulkOutcome::Done(status)) => Some(status.as_str()),
            Ok(BulkOutcome::Changed) => Some("changed"),
            Err(_) => Some("error"),
        };
        (result.id.to_string(), outcome)
    });
    Answer::Found(each.collect())
}

pub(crate) fn of_error(error: &ServiceError) -> Answer {
    match error {
        ServiceError::CancellationInProgress => Answer::Canceling,
        ServiceError::VersionMismatch => Answer::Mismatch,
        ServiceError::NotFound { .. } => Answer::Absent,
        ServiceError::NotCompleted { status } => Answer::NotCompleted(*status),
        ServiceError::KeyReused => Answer::KeyReused,
        ServiceError::AlreadyRunning => Answer::Running(false),
        error => Answer::Failed(error.to_string()),
    }
}

impl World {
    /// The version that is meant.
    pub(crate) fn version(&self, id: &str, matched: Match) -> Option<u64> {
        let latest = self.seen(id).map_or(0, |doc| doc.shown.version);
        match matched {
            Match::Any => None,
            Match::Latest => Some(latest),
            Match::Former => Some(latest.wrapping_sub(1)),
        }
    }

    /// The condition that is meant.
    pub(crate) fn condition(&self, id: &str, condition: Condition) -> Option<WriteCondition> {
        match condition {
            Condition::None => None,
            Condition::Absent => Some(WriteCondition::Absent),
            Condition::Version(matched) => self.version(id, matched).map(WriteCondition::Version),
        }
    }

    pub(crate) fn on_schedule(
        &self,
        id: &str,
        body: &str,
        condition: Option<WriteCondition>,
    ) -> Answer {
        let seen = self.seen(id);
        let fits = match condition {
            None => true,
            Some(WriteCondition::Absent) => seen.is_none(),
            Some(WriteCondition::Version(version)) => self.has_version(id, Some(version)),
        };
        match self.status(id) {
            _ if !fits => Answer::Mismatch,
            Status::InProgress => Answer::Running(seen.is_some_and(|doc| doc.body == body)),
            Status::BeingCanceled => Answer::Canceling,
            _ => Answer::New,
        }
    }

    /// Each in turn, after those before it.
    pub(crate) fn on_batch(&self, items: &[(String, String)]) -> Answer {
        let mut begun = BTreeMap::new();
        let each = items.iter().map(|(id, body)| match begun.get(id) {
            Some(other) => Answer::Running(other == body),
            None => {
                let answer = self.on_schedule(id, body, None);
                if answer == Answer::New {
                    begun.insert(id.clone(), body.clone());
                }
                answer
            }
        });
        Answer::Each(each.collect())
    }

    pub(crate) fn on_submit(&self, key: u8, body: &str) -> Answer {
        match self.promises.get(&key) {
            None => Answer::New,
            Some((first, run, id)) if first == body => Answer::Promised(*run, id.clone()),
            Some(_) => Answer::KeyReused,
        }
    }

    pub(crate) fn on_cancel(&self, id: &str, version: Option<u64>) -> Answer {
        if !self.has_version(id, version) {
            return Answer::Mismatch;
        }
        Answer::Is(self.canceled(id))
    }

    fn canceled(&self, id: &str) -> Status {
        match self.seen(id) {
            Some(doc) if doc.shown.waits() => Status::Canceled,
            Some(doc) if doc.shown.is_at_work() => Status::BeingCanceled,
            _ => self.status(id),
        }
    }

    pub(crate) fn on_acknowledge(&self, id: &str, version: Option<u64>) -> Answer {
        match self.status(id) {
            Status::NotStarted => Answer::NotCompleted(Status::NotStarted),
            _ if !self.has_version(id, version) => Answer::Mismatch,
            Status::Completed => Answer::Is(Status::Acknowledged),
            status => Answer::NotCompleted(status),
        }
    }

    pub(crate) fn on_delete(&self, id: &str, version: Option<u64>) -> Answer {
        match self.seen(id) {
            _ if !self.has_version(id, version) => Answer::Mismatch,
            Some(_) => Answer::Deleted,
            None => Answer::Absent,
        }
    }

    pub(crate) fn on_retry(&self, id: &str, version: Option<u64>) -> Answer {
        match self.seen(id) {
            None => Answer::Absent,
            Some(_) if !self.has_version(id, version) => Answer::Mismatch,
            Some(doc) => self.on_schedule(id, &doc.body, None),
        }
    }

    /// Of all tasks to which it can be done, but for those of the future.
    pub(crate) fn on_bulk(&self, op: Bulk, is_dry: bool, at: Moment) -> Answer {
        let is_meant = |id: &str| match (op, self.status(id)) {
            (_, Status::NotStarted) => None,
            (Bulk::Cancel, Status::InProgress) => Some(self.canceled(id)),
            (Bulk::Acknowledge, Status::Completed) => Some(Status::Acknowledged),
            (Bulk::Delete, _) => Some(Status::NotStarted),
            (Bulk::Retry, Status::Failed) => Some(Status::InProgress),
            _ => None,
        };
        let docs = self.docs.iter();
        let docs = docs.filter(|(_, doc)| doc.shown.created_ms <= at.wall_ms);
        let found = docs.filter_map(|(id, _)| {
            let done = is_meant(id)?;
            Some((id.clone(), (!is_dry).then_some(done.as_str())))
        });
        Answer::Found(found.collect())
    }
}

//! Tasks as far as whoever asks may see them, and the one way to change one.
//!
//! # Guarantees
//! 1. A task that somebody may not see is answered as one that is not there; under an id that names
//!    a stream they are told apart by no question either, and so by no time that it takes.
//! 2. What is changed is what was looked at: of a task that is replaced between, the new one is
//!    looked at, too.

use std::sync::Arc;

use taskhost_model::audit::{self, Act};
use taskhost_model::ids::{StreamName, TaskId, TaskKey};
use taskhost_model::requester::Requester;
use taskhost_model::task::Task;
use taskhost_store::event::{Applied, Event, Outcome, WriteCondition};

use crate::access::Caller;
use crate::core::Core;
use crate::error::ServiceError;

/// Ids that begin with this belong to the type of the same name, with the rest as the stream:
/// Kibana's clients compose them so.
pub(crate) const RESERVED_PREFIX: &str = "streams_feature_identification_";

impl Core {
    /// Somebody who asks for something.
    pub(crate) fn caller<'a>(&'a self, by: &'a Requester) -> Caller<'a> {
        self.access.caller(by)
    }

    /// The task, if they see it.
    pub(crate) async fn seen(
        &self,
        caller: Caller<'_>,
        key: &TaskKey,
    ) -> Result<Option<Task>, ServiceError> {
        let named = stream_named_by(&key.id);
        if !caller.may_read(&key.space, named.as_ref()).await? {
            return Ok(None);
        }
        let Some(task) = self.tasks.get(key).await? else {
            return Ok(None);
        };
        Ok(caller.sees(&task).await?.then_some(task))
    }

    /// Applies what somebody wants of a task, given the version that it has to have. `None`: they
    /// are answered as if there were no task.
    ///
    /// # Errors
    /// [`ServiceError::Forbidden`], [`ServiceError::VersionMismatch`], or what the store says.
    pub(crate) async fn change(
        self: &Arc<Self>,
        by: &Requester,
        key: &TaskKey,
        if_version: Option<u64>,
        event: impl Fn(Option<u64>) -> Event,
    ) -> Result<Option<Applied>, ServiceError> {
        let caller = self.caller(by);
        if !caller.may_change(&key.space).await? {
            return as_absent(if_version);
        }
        loop {
            let looked_at = if caller.is_asked() {
                let Some(task) = self.seen(caller, key).await? else {
                    return as_absent(if_version);
                };
                Some(task.version)
            } else {
                if_version
            };
            if if_version.is_some_and(|wanted| looked_at != Some(wanted)) {
                return Err(ServiceError::VersionMismatch);
            }
            let applied = self.apply_kept(by, key, event(looked_at)).await?;
            if applied.outcome != Outcome::VersionMismatch {
                return Ok(Some(applied));
            }
            if looked_at == if_version {
                return Err(ServiceError::VersionMismatch);
            }
        }
    }

    /// Applies what a person wants of a task that is there, as the audit log keeps it.
    pub(crate) async fn apply_kept(
        self: &Arc<Self>,
        by: &Requester,
        key: &TaskKey,
        event: Event,
    ) -> Result<Applied, ServiceError> {
        let act = Act::in_space(deed(&event), &key.space, &key.id);
        let change = self.apply_wish(key, event);
        self.audit.kept_as(by, act, change, came_of).await
    }

    /// On which condition somebody may write a task under this id.
    ///
    /// # Errors
    /// [`ServiceError::IdNotAvailable`] where there is one that they do not see.
    pub(crate) async fn place_for(
        &self,
        caller: Caller<'_>,
        key: &TaskKey,
        wanted: Option<WriteCondition>,
    ) -> Result<Option<WriteCondition>, ServiceError> {
        if !caller.is_asked() {
            return Ok(wanted);
        }
        let looked_at = match self.tasks.get(key).await? {
            None => WriteCondition::Absent,
            Some(task) if caller.sees(&task).await? => WriteCondition::Version(task.version),
            Some(_) => return Err(taken()),
        };
        match wanted {
            // It would be another task's by the time that it is.
            Some(WriteCondition::Version(_)) if wanted != Some(looked_at) => {
                Err(ServiceError::VersionMismatch)
            }
            _ => Ok(Some(wanted.unwrap_or(looked_at))),
        }
    }
}

/// What is done to a task that is there.
fn deed(event: &Event) -> &'static str {
    match event {
        Event::Cancel { .. } => "task.cancel",
        Event::Acknowledge { .. } => "task.acknowledge",
        Event::Delete { .. } => "task.delete",
        _ => "task.change",
    }
}

/// What became of a person's wish.
pub(crate) fn came_of(applied: &Applied) -> audit::Outcome {
    match applied.outcome {
        Outcome::Changed | Outcome::Repeated => audit::Outcome::Done,
        Outcome::Unchanged => audit::Outcome::Unchanged,
        Outcome::Refused(_) | Outcome::Fenced | Outcome::VersionMismatch => audit::Outcome::Refused,
    }
}

/// The stream that every task of this id works on.
fn stream_named_by(id: &TaskId) -> Option<StreamName> {
    let name = id.as_str().strip_prefix(RESERVED_PREFIX)?;
    StreamName::parse(name).ok()
}

/// Nothing more is said of a task that somebody does not see.
pub(crate) fn taken() -> ServiceError {
    ServiceError::IdNotAvailable {
        reason: "choose another one".to_owned(),
    }
}

/// A task that is not there has the version 0.
fn as_absent(if_version: Option<u64>) -> Result<Option<Applied>, ServiceError> {
    match if_version.unwrap_or_default() {
        0 => Ok(None),
        _ => Err(ServiceError::VersionMismatch),
    }
}

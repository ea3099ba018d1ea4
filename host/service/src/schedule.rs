//! Schedules a task: checks everything that can be checked, writes once, wakes the scheduler.

use std::sync::Arc;

use taskhost_model::descriptor::StreamUse;
use taskhost_model::ids::{RunId, StreamKey, StreamName, TaskKey, TypeId};
use taskhost_model::requester::Requester;
use taskhost_model::status::Refusal;
use taskhost_model::task::{Parent, Task};
use taskhost_model::time::Timestamp;
use taskhost_store::event::{Event, NewRun, Outcome, WriteCondition};

use crate::concurrency::key_of;
use crate::core::{Core, Tasks};
use crate::error::ServiceError;
use crate::types::LoadedVersion;
use crate::view::TaskView;

/// Priorities go from −100 to 100.
const PRIORITY_MAX: i32 = 100;

/// Ids that begin with this belong to the type of the same name, with the rest as the stream:
/// Kibana's clients compose them so.
const RESERVED_PREFIX: &str = "streams_feature_identification_";

/// A wish to run a task.
#[derive(Debug, Clone)]
pub struct ScheduleRequest {
    /// The task type.
    pub type_id: TypeId,
    /// The stream to work on.
    pub stream: Option<StreamName>,
    /// JSON text, against the type's schema.
    pub params: Arc<str>,
    /// −100 to 100, 0 when left out; higher goes first.
    pub priority: Option<i32>,
    /// Not before.
    pub run_at: Option<Timestamp>,
    /// Shortens the type's wall-clock limit.
    pub timeout_ms: Option<u64>,
    /// Whether what the run asks and is answered is to be kept.
    pub record: bool,
    /// Only when the task is absent, or has a version.
    pub condition: Option<WriteCondition>,
}

/// What came of it.
#[derive(Debug, Clone)]
pub enum Scheduled {
    /// The task is new, or scheduled again.
    New(TaskView),
    /// A run is live; nothing changed.
    AlreadyRunning(RunningTask),
}

/// The live run that stands against a schedule.
#[derive(Debug, Clone)]
pub struct RunningTask {
    /// The task.
    pub view: TaskView,
    /// The running run's params, JSON text.
    pub params: Arc<str>,
    /// Whether type, stream and params are those that were asked for.
    pub is_same: bool,
}

impl Tasks {
    /// Schedules a task; when it answers, the task is on disk.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`], [`ServiceError::UnknownTaskType`],
    /// [`ServiceError::UnknownStream`], [`ServiceError::CancellationInProgress`],
    /// [`ServiceError::VersionMismatch`], or what the store says.
    pub async fn schedule(
        &self,
        by: &Requester,
        key: TaskKey,
        request: ScheduleRequest,
    ) -> Result<Scheduled, ServiceError> {
        self.schedule_for(by, key, request, None).await
    }

    /// The same for a run that spawns it.
    pub(crate) async fn schedule_for(
        &self,
        by: &Requester,
        key: TaskKey,
        mut request: ScheduleRequest,
        parent: Option<Parent>,
    ) -> Result<Scheduled, ServiceError> {
        self.check_running()?;
        let version = self.0.types.active(&request.type_id)?;
        check_id(&key, &request)?;
        self.check_stream(by, &key, &request, &version).await?;
        check_numbers(&request)?;
        self.check_record(&request)?;
        self.check_params(&mut request, &version).await?;
        let now = self.0.clock.now();
        let concurrency_key = key_of(
            &version.descriptor,
            request.stream.as_ref(),
            &request.params,
        );
        let run = NewRun {
            id: RunId::new(),
            type_id: request.type_id.clone(),
            stream: request.stream.clone(),
            params: Arc::clone(&request.params),
            parent,
            concurrency_key,
            record: request.record,
            requested_by: by.name.clone(),
            key: None,
            priority: request.priority.unwrap_or(0),
            due_at: request.run_at.unwrap_or(now).max(now),
            timeout_ms: request.timeout_ms,
            max_attempts: version.descriptor.retry.attempts,
            condition: request.condition,
        };
        let applied = self
            .0
            .apply_wish(&key, Event::Schedule(Box::new(run)))
            .await?;
        let outcome = applied.outcome;
        let mut view =
            Core::visible(applied).map_or_else(|| TaskView::not_started(key.clone()), TaskView::of);
        if let Some(task) = &view.task {
            // It is accepted: where this cannot be read, nothing else is answered.
            view.waiting_for = self.waiting_for(task).await.unwrap_or_default();
        }
        match outcome {
            Outcome::Changed | Outcome::Repeated => Ok(Scheduled::New(view)),
            Outcome::Unchanged => self.already_running(by, &key, &request, view).await,
            Outcome::Refused(Refusal::CancellationInProgress) => {
                Err(ServiceError::CancellationInProgress)
            }
            Outcome::VersionMismatch => Err(ServiceError::VersionMismatch),
            Outcome::Refused(_) | Outcome::Fenced => Err(ServiceError::Internal {
                reason: "the store refused a schedule that nothing stands against".to_owned(),
            }),
        }
    }

    /// Says what runs. The run may have ended since the write that it stood against: its params
    /// are read afterwards, and shown is the task that they belong to.
    async fn already_running(
        &self,
        by: &Requester,
        key: &TaskKey,
        request: &ScheduleRequest,
        view: TaskView,
    ) -> Result<Scheduled, ServiceError> {
        let Some(stored) = self.0.tasks.read(key).await? else {
            // Deleted since: nothing stands against it any more.
            return Box::pin(self.schedule(by, key.clone(), request.clone())).await;
        };
        let is_same = stored.task.type_id == request.type_id
            && stored.task.stream == request.stream
            // Both are written as their trees are, whatever they were like when they came.
            && stored.params == request.params;
        let is_same_run = |task: &Task| task.run.id == stored.task.run.id;
        Ok(Scheduled::AlreadyRunning(RunningTask {
            view: if view.task.as_ref().is_some_and(is_same_run) {
                view
            } else {
                TaskView::of(stored.task)
            },
            params: stored.params,
            is_same,
        }))
    }

    async fn check_stream(
        &self,
        by: &Requester,
        key: &TaskKey,
        request: &ScheduleRequest,
        version: &LoadedVersion,
    ) -> Result<(), ServiceError> {
        let type_id = &request.type_id;
        match (version.descriptor.stream, &request.stream) {
            (StreamUse::Required, None) => Err(ServiceError::invalid(
                "stream",
                format!("is missing: tasks of type `{type_id}` work on a stream"),
            )),
            (StreamUse::None, Some(_)) => Err(ServiceError::invalid(
                "stream",
                format!("is not wanted: tasks of type `{type_id}` work on no stream"),
            )),
            (_, None) => Ok(()),
            (StreamUse::Required | StreamUse::Optional, Some(name)) => {
                let stream = StreamKey {
                    space: key.space.clone(),
                    name: name.clone(),
                };
                match self.0.streams.get(by, &stream).await? {
                    Some(_) => Ok(()),
                    None => Err(ServiceError::UnknownStream {
                        name: name.to_string(),
                    }),
                }
            }
        }
    }

    /// Looks for the key, too: a run that is to be recorded and cannot be is better not begun.
    fn check_record(&self, request: &ScheduleRequest) -> Result<(), ServiceError> {
        if !request.record {
            return Ok(());
        }
        let type_id = &request.type_id;
        if !self.0.settings.policy.may_record(type_id) {
            let problem = format!(
                "is not allowed to tasks of type `{type_id}`: an operator allows it in the host's \
                 settings, by `record = true` in the `[[allow]]` that has `type = \"{type_id}\"`"
            );
            return Err(ServiceError::invalid("record", problem));
        }
        let key = self.0.host_key.to_seal();
        let missing = |reason| ServiceError::Internal { reason };
        key.map(drop).map_err(missing)
    }

    /// Leaves the params as they are kept.
    async fn check_params(
        &self,
        request: &mut ScheduleRequest,
        version: &Arc<LoadedVersion>,
    ) -> Result<(), ServiceError> {
        let given = std::mem::take(&mut request.params);
        let checked = version.params_checked(given).await;
        request.params = checked.map_err(|errors| ServiceError::Invalid { errors })?;
        let bytes = request.params.len() as u64;
        let bytes_max = self.0.settings.params_bytes_max as u64;
        if bytes > bytes_max {
            return Err(ServiceError::TooLarge {
                what: "params",
                bytes,
                bytes_max,
            });
        }
        Ok(())
    }
}

fn check_id(key: &TaskKey, request: &ScheduleRequest) -> Result<(), ServiceError> {
    let Some(stream) = key.id.as_str().strip_prefix(RESERVED_PREFIX) else {
        return Ok(());
    };
    let type_fits = RESERVED_PREFIX.strip_suffix('_') == Some(request.type_id.as_str());
    let stream_fits = request
        .stream
        .as_ref()
        .is_some_and(|name| name.as_str() == stream);
    if type_fits && stream_fits {
        return Ok(());
    }
    let reason = format!(
        "ids that begin with `{RESERVED_PREFIX}` belong to the type \
         `streams_feature_identification` on the stream that the rest names: choose another id"
    );
    Err(ServiceError::IdNotAvailable { reason })
}

fn check_numbers(request: &ScheduleRequest) -> Result<(), ServiceError> {
    if request
        .priority
        .is_some_and(|priority| !(-PRIORITY_MAX..=PRIORITY_MAX).contains(&priority))
    {
        let problem = format!("has to be between -{PRIORITY_MAX} and {PRIORITY_MAX}");
        return Err(ServiceError::invalid("priority", problem));
    }
    if request.timeout_ms == Some(0) {
        return Err(ServiceError::invalid("timeout_ms", "has to be at least 1"));
    }
    Ok(())
}

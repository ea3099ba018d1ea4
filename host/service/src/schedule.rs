//! Schedules a task: checks everything that can be checked, writes once, wakes the scheduler.

use std::sync::Arc;
use std::time::Duration;

use taskhost_model::audit::Act;
use taskhost_model::ids::{RunId, RunKeyId, StreamName, TaskKey};
use taskhost_model::requester::Requester;
use taskhost_model::status::Refusal;
use taskhost_model::task::{Parent, Task};
use taskhost_model::time::Timestamp;
use taskhost_store::event::{Applied, Event, NewRun, Outcome, WriteCondition};

use crate::access::Caller;
use crate::concurrency::key_of;
use crate::core::{Core, Tasks};
use crate::error::ServiceError;
use crate::run_keys::{InUse, PAUSED_AT_MOST, QUEUED_AT_MOST, Wanted};
use crate::seen::{came_of, taken};
use crate::view::TaskView;
pub use crate::wishes::ScheduleRequest;
use crate::wishes::{Asker, check_id, check_numbers};

/// A run that needs a key of its own begins no later than so long from now.
const AHEAD_AT_MOST: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// The run that spawns a task, and with what it reads streams.
#[derive(Debug, Clone)]
pub(crate) struct Spawned {
    pub(crate) parent: Parent,
    pub(crate) key: Option<RunKeyId>,
}

/// What is made of a request, beside what it says itself.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    max_attempts: u32,
    wall_ms: u64,
    concurrency_key: Option<String>,
    pub(crate) also_reads: Vec<StreamName>,
    due_at: Timestamp,
    /// Whether it goes on with the checkpoints of the task's former run.
    pub(crate) keeps_checkpoints: bool,
    /// A digest of the request, where it may be repeated by a key.
    pub(crate) receipt: Option<String>,
}

impl Wish {
    /// The run, with an id of its own.
    pub(crate) fn run(
        &self,
        request: &ScheduleRequest,
        by: &Requester,
        key: Option<RunKeyId>,
    ) -> NewRun {
        NewRun {
            id: RunId::new(),
            type_id: request.type_id.clone(),
            stream: request.stream.clone(),
            also_reads: self.also_reads.clone(),
            params: Arc::clone(&request.params),
            parent: None,
            concurrency_key: self.concurrency_key.clone(),
            record: request.record,
            trace: request.trace,
            requested_by: by.name.clone(),
            key,
            priority: request.priority.unwrap_or(0),
            due_at: self.due_at,
            timeout_ms: request.timeout_ms,
            max_attempts: self.max_attempts,
            condition: request.condition,
            keeps_checkpoints: self.keeps_checkpoints,
            receipt: self.receipt.clone(),
        }
    }
}

/// That a task is to run, for the audit log.
pub(crate) fn act(deed: &'static str, key: &TaskKey, request: &ScheduleRequest) -> Act {
    let act = Act::in_space(deed, &key.space, &key.id);
    act.with(format!("type {}", request.type_id))
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
    /// [`ServiceError::VersionMismatch`], [`ServiceError::Forbidden`],
    /// [`ServiceError::IdNotAvailable`] where somebody else's task has it, or what the store says.
    pub async fn schedule(
        &self,
        by: &Requester,
        key: TaskKey,
        request: ScheduleRequest,
    ) -> Result<Scheduled, ServiceError> {
        self.check_running()?;
        self.0.caller(by).must_operate(&key.space).await?;
        self.schedule_for(by, key, request, None).await
    }

    /// The same for a run that spawns it, which may do so.
    pub(crate) async fn schedule_for(
        &self,
        by: &Requester,
        key: TaskKey,
        mut request: ScheduleRequest,
        spawned: Option<Spawned>,
    ) -> Result<Scheduled, ServiceError> {
        let asker = match spawned {
            Some(_) => Asker::Run,
            None => Asker::Person,
        };
        let wish = self.checked(by, &key, &mut request, asker).await?;
        let applied = match spawned {
            Some(spawned) => {
                let run = wish.run(
                    &request,
                    by,
                    spawned
                        .key
                        .filter(|_| request.stream.is_some() || self.each_run_has_key()),
                );
                let run = NewRun {
                    parent: Some(spawned.parent),
                    ..run
                };
                let event = Event::Schedule(Box::new(run));
                self.0.apply_wish(&key, event).await?
            }
            None => {
                let write = self.write_as("task.schedule", by, &key, &request, &wish);
                write.await?
            }
        };
        self.scheduled(by, &key, &request, applied).await
    }

    /// Checks everything that can be checked before it is written, and leaves the params as they
    /// are kept.
    pub(crate) async fn checked(
        &self,
        by: &Requester,
        key: &TaskKey,
        request: &mut ScheduleRequest,
        asker: Asker,
    ) -> Result<Wish, ServiceError> {
        self.check_running()?;
        let version = self.0.types.active(&request.type_id)?;
        check_id(key, request)?;
        self.check_stream(by, &key.space, request, &version, asker)
            .await?;
        check_numbers(request)?;
        self.check_record(request)?;
        self.check_params(request, &version).await?;
        let also_reads = self
            .also_reads(by, &key.space, request, &version, asker)
            .await?;
        let now = self.0.clock.now();
        let of_type = self.0.settings.of_type(&request.type_id);
        let concurrency_key = key_of(
            &version.descriptor,
            &self.0.settings,
            request.stream.as_ref(),
            &request.params,
        );
        Ok(Wish {
            max_attempts: of_type
                .attempts
                .unwrap_or(version.descriptor.retry.attempts),
            wall_ms: version.wall_ms(),
            concurrency_key,
            also_reads,
            due_at: request.run_at.unwrap_or(now).max(now),
            keeps_checkpoints: false,
            receipt: None,
        })
    }

    /// What came of the write, for whoever asked.
    pub(crate) async fn scheduled(
        &self,
        by: &Requester,
        key: &TaskKey,
        request: &ScheduleRequest,
        applied: Applied,
    ) -> Result<Scheduled, ServiceError> {
        let outcome = applied.outcome;
        let task = Core::visible(applied).map(|task| self.0.as_begun(task));
        let mut view = task.map_or_else(|| TaskView::not_started(key.clone()), TaskView::of);
        if let Some(task) = &view.task {
            // It is accepted: where this cannot be read, nothing else is answered.
            let caller = self.0.caller(by);
            view.waiting_for = self.waiting_for(caller, task).await.unwrap_or_default();
        }
        match outcome {
            Outcome::Changed | Outcome::Repeated => Ok(Scheduled::New(view)),
            Outcome::Unchanged => self.already_running(by, key, request, view).await,
            Outcome::Refused(Refusal::CancellationInProgress) => {
                Err(ServiceError::CancellationInProgress)
            }
            Outcome::VersionMismatch => Err(ServiceError::VersionMismatch),
            Outcome::Refused(_) | Outcome::Fenced => Err(ServiceError::Internal {
                reason: "the store refused a schedule that nothing stands against".to_owned(),
            }),
        }
    }

    /// Writes the task as whoever asks, who has done this.
    pub(crate) async fn write_as(
        &self,
        deed: &'static str,
        by: &Requester,
        key: &TaskKey,
        request: &ScheduleRequest,
        wish: &Wish,
    ) -> Result<Applied, ServiceError> {
        let act = act(deed, key, request);
        let write = self.write(by, key, request, wish);
        self.0.audit.kept_as(by, act, write, came_of).await
    }

    /// Writes the task, where whoever asks sees what it takes the place of.
    pub(crate) async fn write(
        &self,
        by: &Requester,
        key: &TaskKey,
        request: &ScheduleRequest,
        wish: &Wish,
    ) -> Result<Applied, ServiceError> {
        let core = &self.0;
        let caller = core.caller(by);
        let wanted = request.condition;
        let mut condition = match wanted {
            // The usual task is new, and what takes no other's place need not be looked at before.
            None | Some(WriteCondition::Absent) if caller.is_asked() => {
                Some(WriteCondition::Absent)
            }
            _ => core.place_for(caller, key, wanted).await?,
        };
        let run_key = self.key_for(caller, request, wish).await?.map(Arc::new);
        loop {
            let run = NewRun {
                condition,
                ..wish.run(request, by, run_key.as_ref().map(|it| it.id()))
            };
            let event = Event::Schedule(Box::new(run));
            let in_use = run_key.clone();
            in_use.iter().for_each(|it| it.sent());
            let answered = move || in_use.iter().for_each(|it| it.answered());
            let applied = core.apply_then(key, event, answered).await?;
            if applied.outcome != Outcome::VersionMismatch {
                return Ok(applied);
            }
            // Of what is in its place now, nothing is known.
            let place = core.place_for(caller, key, wanted).await?;
            if place == wanted {
                return Ok(applied);
            }
            condition = place;
        }
    }

    fn each_run_has_key(&self) -> bool {
        self.0
            .run_keys
            .as_ref()
            .is_some_and(|keys| keys.is_for_all_runs())
    }

    /// With what the run is to read its stream: there before the run is.
    pub(crate) async fn key_for(
        &self,
        caller: Caller<'_>,
        request: &ScheduleRequest,
        wish: &Wish,
    ) -> Result<Option<InUse>, ServiceError> {
        let (Some(keys), Some(own)) = (&self.0.run_keys, caller.own()?) else {
            return Ok(None);
        };
        let streams: Vec<StreamName> = request
            .stream
            .iter()
            .chain(&wish.also_reads)
            .cloned()
            .collect();
        if streams.is_empty() && !keys.is_for_all_runs() {
            return Ok(None);
        }
        if wish.due_at > self.0.clock.now().plus(AHEAD_AT_MOST) {
            let problem = "is more than a year away: the key that the run holds in your name \
                           would have to live as long";
            return Err(ServiceError::invalid("run_at", problem));
        }
        let settings = &self.0.settings;
        let wall_ms = wish.wall_ms.min(request.timeout_ms.unwrap_or(u64::MAX));
        let of_type = settings.of_type(&request.type_id);
        let backoff_max = of_type.retry_backoff_max;
        let backoff_max = backoff_max.unwrap_or(settings.retry_backoff_max);
        let attempt = Duration::from_millis(wall_ms) + backoff_max;
        let longest = QUEUED_AT_MOST + PAUSED_AT_MOST + attempt * wish.max_attempts;
        let wanted = Wanted {
            own: own.clone(),
            streams,
            until: wish.due_at.plus(longest),
        };
        Ok(Some(keys.take(wanted).await?))
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
        if !self.0.caller(by).sees(&stored.task).await? {
            return Err(taken());
        }
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
}

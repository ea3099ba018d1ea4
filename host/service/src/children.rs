//! The children of one run: spawned, asked about, waited for, canceled.
//!
//! # Guarantees
//! 1. A key stands for one child over all attempts of the run: its id is made of both.
//! 2. A run that waits holds no slot. As many as the settings say wait in memory; of one beyond
//!    them the guest is ended, and its run is stored as suspended until a child has ended or its
//!    time is up. Then its guest begins anew, and finds its children by their keys.
//! 3. A wait that goes on after that has no more time than it had at first.
//! 4. A suspended run that is claimed while none of the children has ended for which it waits is
//!    suspended again, without its guest.

mod ids;

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use taskhost_clients::children::{ChildError, ChildRuns, ChildState, ChildWish, no_child};
use taskhost_clients::error::{ClientError, ErrorCode};
use taskhost_clients::stop::StopSignal;
use taskhost_model::descriptor::StreamUse;
use taskhost_model::ids::{RunId, TaskId, TaskKey};
use taskhost_model::requester::Requester;
use taskhost_model::status::Phase;
use taskhost_model::task::{Parent, Suspension, Task};
use taskhost_model::time::Timestamp;
use taskhost_store::event::{Applied, Event, WriteCondition};
use taskhost_store::queue::StoredTask;
use tokio::sync::Notify;

use crate::concurrency::check_child;
use crate::core::{Core, Tasks, is_end};
use crate::error::ServiceError;
use crate::schedule::{ScheduleRequest, Spawned};
use crate::slot::Slot;
use crate::sync::{AtomicBool, Mutex, MutexGuard};
use ids::{digest, id_of, is_childs};

/// Children of one run, those that have ended among them.
const CHILDREN_MAX: u64 = 1_000;
/// Children of children and so on.
const DEPTH_MAX: u32 = 4;
/// Somebody who waits looks again after so long: a guard against a lost wake-up, not a poll.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(60);
/// The same where other hosts may run the children: nobody wakes it for those.
const LOOK_ELSEWHERE_AFTER: Duration = Duration::from_secs(1);
/// A suspended run looks after its children after so long at first, and doubles that.
const BACKOFF: Duration = Duration::from_secs(5);
const BACKOFF_MAX: Duration = Duration::from_secs(60);

/// The children of one run.
#[derive(Debug)]
pub(crate) struct RunChildren {
    core: Arc<Core>,
    task: Task,
    stop: StopSignal,
    slot: Arc<Slot>,
    waits: Mutex<Waits>,
    /// Whether its type may have any; as long as that is not known, it may.
    may_spawn: AtomicBool,
    /// In whose name it runs, once its guest begins.
    by: OnceLock<Requester>,
}

#[derive(Debug, Default)]
struct Waits {
    /// The wait in which the run was suspended before; it goes on.
    former: Option<Suspension>,
    /// The wait in which its guest was ended now.
    suspended: Option<Suspended>,
}

/// How a run is suspended.
#[derive(Debug, Clone)]
pub(crate) struct Suspended {
    pub(crate) suspension: Suspension,
    /// Due at the latest then.
    pub(crate) until: Timestamp,
}

impl RunChildren {
    pub(crate) fn new(core: &Arc<Core>, task: &Task, stop: &StopSignal, slot: Arc<Slot>) -> Self {
        let waits = Waits {
            former: task.run.suspension.clone(),
            suspended: None,
        };
        Self {
            core: Arc::clone(core),
            task: task.clone(),
            stop: stop.clone(),
            slot,
            waits: Mutex::new(waits),
            may_spawn: AtomicBool::new(true),
            by: OnceLock::new(),
        }
    }

    /// In whose name it runs is known now, and children run in the same.
    pub(crate) fn set_by(&self, by: &Requester) {
        // A run has one.
        let _ = self.by.set(by.clone());
    }

    /// Its type is known now.
    pub(crate) fn set_may_spawn(&self, may_spawn: bool) {
        self.may_spawn.store(may_spawn, Ordering::Relaxed);
    }

    /// How its guest was ended, if it was for a wait.
    pub(crate) fn suspended(&self) -> Option<Suspended> {
        self.lock().suspended.clone()
    }

    /// The end of the run is written. Its slot is not needed for what follows from that.
    pub(crate) async fn finish(&self, end: &Applied) {
        self.slot.give_up();
        if self.may_spawn.load(Ordering::Relaxed) || self.task.parent.is_some() {
            self.core.after_end(end).await;
        }
        let Some(Suspended { suspension, .. }) = self.suspended() else {
            return;
        };
        // A child that ended before the run was stored as suspended has woken nobody.
        if matches!(self.first_ended(&suspension.ids).await, Ok(Some(_))) {
            let resume = Event::Resume { run: self.run() };
            if let Err(error) = self.core.apply(&self.task.key(), resume).await {
                tracing::warn!(%error, task = %self.task.id, "a parent goes on later");
            }
        }
    }

    /// The wait in which the run was suspended, if it goes on: none of its children has ended, and
    /// no time is up. The run is suspended in it once more, then.
    pub(crate) async fn waits_on(&self) -> Result<Option<Suspended>, ServiceError> {
        let Some(former) = self.lock().former.clone() else {
            return Ok(None);
        };
        let now = self.core.clock.now();
        let deadline_at = self.task.run.deadline_at;
        let is_over = former.until <= now || deadline_at.is_some_and(|at| at <= now);
        // Whom an older host's wait is for, its guest alone knows.
        if is_over || former.ids.is_empty() {
            return Ok(None);
        }
        match self.first_ended(&former.ids).await {
            Ok(None) => Ok(Some(self.suspend(former))),
            Err(error) if error.retryable => Err(ServiceError::Unavailable {
                reason: error.message,
            }),
            // Its guest is told.
            Ok(Some(_)) | Err(_) => Ok(None),
        }
    }

    fn run(&self) -> RunId {
        self.task.run.id
    }

    fn key_of(&self, id: &TaskId) -> TaskKey {
        TaskKey {
            space: self.task.space.clone(),
            id: id.clone(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waits> {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The child that stands under the key, if it is the one that is wanted.
    fn found(
        &self,
        stored: &StoredTask,
        wish: &ChildWish,
        params: &str,
    ) -> Result<TaskId, ClientError> {
        let task = &stored.task;
        let is_same = self.is_parent_of(task) && task.type_id == wish.type_id;
        if is_same && *stored.params == *params {
            return Ok(task.id.clone());
        }
        let message = format!(
            "the key `{}` stands for a child of another type or with other params (task `{}`): use \
             a key once, and give a run that begins again the same children",
            wish.key, task.id
        );
        Err(ClientError::new(ErrorCode::Conflict, message))
    }

    fn is_parent_of(&self, task: &Task) -> bool {
        task.parent
            .as_ref()
            .is_some_and(|parent| parent.run == self.run())
    }

    fn depth(&self) -> Result<u32, ClientError> {
        let depth = self.task.parent.as_ref().map_or(0, |parent| parent.depth) + 1;
        if depth > DEPTH_MAX {
            let message = format!(
                "children may be {DEPTH_MAX} deep, and this run is the last of them: do the work \
                 here, or spawn it higher up"
            );
            return Err(ClientError::new(ErrorCode::QuotaExceeded, message));
        }
        Ok(depth)
    }

    async fn check_count(&self) -> Result<(), ClientError> {
        if self.core.tasks.children(self.run()).await?.count < CHILDREN_MAX {
            return Ok(());
        }
        let message =
            format!("the run has {CHILDREN_MAX} children, which is the most: give each more to do");
        Err(ClientError::new(ErrorCode::QuotaExceeded, message))
    }

    async fn look(&self, id: &TaskId) -> Result<ChildState, ClientError> {
        match self.core.tasks.read(&self.key_of(id)).await? {
            Some(stored) if self.is_parent_of(&stored.task) => Ok(state_of(stored)),
            Some(stored) if stored.task.parent.is_some() => Err(no_child(id.as_str())),
            // Deleted; somebody may have scheduled another task in its place. Nothing remembers
            // what is gone, and a guest may have the id from a checkpoint, so one that was never
            // given is taken for such a one: a child that was there and is unknown would be worse.
            _ if is_childs(id) => Ok(deleted(id)),
            _ => Err(no_child(id.as_str())),
        }
    }

    /// The first of them that has ended.
    async fn first_ended(&self, ids: &[TaskId]) -> Result<Option<ChildState>, ClientError> {
        let living = self.core.tasks.children(self.run()).await?.living;
        let living: HashSet<TaskId> = living.into_iter().map(|key| key.id).collect();
        for id in ids.iter().filter(|id| !living.contains(*id)) {
            let state = self.look(id).await?;
            if state.ended {
                return Ok(Some(state));
            }
        }
        Ok(None)
    }

    /// The wait for these, which may have begun before the guest did.
    fn wait(&self, ids: &[TaskId], timeout: Duration) -> Suspension {
        let wait = digest(ids.iter().map(TaskId::as_str));
        let mut waits = self.lock();
        let goes_on = waits.former.take_if(|former| former.wait == wait);
        goes_on.unwrap_or_else(|| Suspension {
            wait,
            until: self.core.clock.now().plus(timeout),
            times: 0,
            ids: ids.to_vec(),
        })
    }

    async fn until_ended(
        &self,
        family: &Notify,
        ids: &[TaskId],
        until: Timestamp,
    ) -> Result<Option<ChildState>, ClientError> {
        let look_after = match self.core.hosts {
            None => LOOK_AGAIN_AFTER,
            Some(_) => LOOK_ELSEWHERE_AFTER,
        };
        loop {
            let left = until.since(self.core.clock.now());
            if left.is_zero() {
                return Ok(None);
            }
            let time = self.core.time();
            let rest = time.rest();
            tokio::select! {
                () = family.notified() => {}
                () = tokio::time::sleep(left.min(look_after)) => {}
                () = time.skipped_to(Some(until)) => {}
            }
            drop(rest);
            if let Some(ended) = self.first_ended(ids).await? {
                return Ok(Some(ended));
            }
        }
    }

    /// How the run is suspended in a wait, from now on.
    fn suspend(&self, wait: Suspension) -> Suspended {
        let backoff = BACKOFF
            .saturating_mul(1 << wait.times.min(4))
            .min(BACKOFF_MAX);
        let latest = self.core.clock.now().plus(backoff).min(wait.until);
        let until = self
            .task
            .run
            .deadline_at
            .map_or(latest, |at| at.min(latest));
        let times = wait.times + 1;
        let suspended = Suspended {
            suspension: Suspension { times, ..wait },
            until,
        };
        self.lock().suspended = Some(suspended.clone());
        suspended
    }
}

/// As params are kept: without spaces, in the order in which a tree is written.
fn canonical(params: &str) -> Result<Arc<str>, ClientError> {
    let tree: Result<serde_json::Value, _> = serde_json::from_str(params);
    let tree = tree.map_err(|error| ClientError::new(ErrorCode::Invalid, error.to_string()))?;
    Ok(Arc::from(tree.to_string()))
}

#[async_trait]
impl ChildRuns for RunChildren {
    async fn spawn(&self, wish: ChildWish) -> Result<TaskId, ClientError> {
        let depth = self.depth()?;
        let id = id_of(self.run(), &wish.key)?;
        let key = self.key_of(&id);
        let found = self.core.tasks.read(&key).await?;
        let params = Arc::clone(&wish.params);
        let (params, stream) = match (self.core.types.active(&wish.type_id), &found) {
            (Ok(version), _) => {
                let checked = version.params_checked(params).await;
                let params =
                    checked.map_err(|errors| explained(ServiceError::Invalid { errors }))?;
                (params, version.descriptor.stream)
            }
            // Its type has gone since: nothing is left to check, and they are compared as those
            // are written that were checked.
            (Err(_), Some(_)) => (canonical(&params)?, StreamUse::None),
            (Err(error), None) => return Err(explained(error)),
        };
        if let Some(stored) = found {
            return self.found(&stored, &wish, &params);
        }
        self.check_count().await?;
        let own_stream = self.task.stream.clone();
        let stream = own_stream.filter(|_| stream != StreamUse::None);
        let (parent, of_stream) = (&self.task, stream.as_ref());
        let _alone = check_child(&self.core, parent, &wish.type_id, of_stream, &params).await?;
        let request = ScheduleRequest {
            type_id: wish.type_id.clone(),
            stream,
            params: Arc::clone(&params),
            priority: Some(wish.priority.unwrap_or(self.task.run.priority)),
            run_at: None,
            timeout_ms: wish.timeout_ms,
            // What it does is not what its parent was asked to keep.
            record: false,
            condition: Some(WriteCondition::Absent),
        };
        let parent = Parent {
            task: self.task.id.clone(),
            run: self.run(),
            key: wish.key.clone(),
            depth,
            stream: self.task.nearest_stream().cloned(),
            also_reads: self.task.also_read().cloned().collect(),
        };
        let not_begun = || ClientError::new(ErrorCode::Internal, "the run has not begun");
        let by = self.by.get().ok_or_else(not_begun)?;
        let spawned = Spawned {
            parent,
            key: self.task.run.key,
        };
        let tasks = Tasks(Arc::clone(&self.core));
        let scheduled = tasks.schedule_for(by, key.clone(), request, Some(spawned));
        match scheduled.await {
            Ok(_) => Ok(id),
            Err(error @ ServiceError::VersionMismatch) => match self.core.tasks.read(&key).await? {
                Some(stored) => self.found(&stored, &wish, &params),
                None => Err(explained(error)),
            },
            Err(error) => Err(explained(error)),
        }
    }

    async fn status(&self, id: &TaskId) -> Result<ChildState, ClientError> {
        self.look(id).await
    }

    async fn wait_any(
        &self,
        ids: &[TaskId],
        timeout: Duration,
    ) -> Result<Option<ChildState>, ClientError> {
        let wait = self.wait(ids, timeout);
        // Before it looks: a child that ends in between is heard.
        let family = self.core.changes.of_children(self.run());
        if let Some(ended) = self.first_ended(ids).await? {
            return Ok(Some(ended));
        }
        if wait.until <= self.core.clock.now() {
            return Ok(None);
        }
        let Ok(parked) = Arc::clone(&self.core.parked).try_acquire_owned() else {
            self.suspend(wait);
            // Its guest is ended, and this with it.
            self.stop.suspend();
            return std::future::pending().await;
        };
        self.slot.give_up();
        let ended = self.until_ended(&family, ids, wait.until).await;
        // A run that is asked to stop meanwhile does not come so far: it leaves things in order
        // without a slot.
        self.slot.take_again().await;
        drop(parked);
        ended
    }

    async fn cancel(&self, id: &TaskId) -> Result<(), ClientError> {
        if self.look(id).await?.ended {
            return Ok(());
        }
        let cancel = Event::Cancel {
            by: self.task.requested_by.clone(),
            reason: Some("its parent canceled it".to_owned()),
            if_version: None,
        };
        let applied = self.core.apply_wish(&self.key_of(id), cancel).await;
        applied.map(drop).map_err(explained)
    }
}

fn state_of(stored: StoredTask) -> ChildState {
    let StoredTask { task, payload, .. } = stored;
    let phase = task.phase();
    let status = phase.status();
    let error = task.error.filter(|_| phase == Phase::Failed);
    ChildState {
        id: task.id,
        key: task.parent.map(|parent| parent.key),
        status: status.as_str(),
        // Somebody may have acknowledged it.
        ended: is_end(phase) || status.is_terminal(),
        progress: task.progress,
        error: error.map(|error| ChildError {
            kind: error.kind.as_str(),
            code: error.code,
            message: error.message,
            details: error.details,
        }),
        result: payload,
    }
}

fn deleted(id: &TaskId) -> ChildState {
    ChildState {
        id: id.clone(),
        key: None,
        status: "deleted",
        ended: true,
        progress: None,
        error: None,
        result: None,
    }
}

/// What the service says, as a guest is told.
fn explained(error: ServiceError) -> ClientError {
    let message = error.to_string();
    match error {
        ServiceError::Invalid { errors } => {
            let errors: Vec<_> = errors
                .iter()
                .map(|error| serde_json::json!({"field": error.field, "message": error.problem}))
                .collect();
            ClientError {
                details: Some(serde_json::json!({ "errors": errors })),
                ..ClientError::new(ErrorCode::Invalid, message)
            }
        }
        ServiceError::UnknownStream { .. } => ClientError::new(ErrorCode::Invalid, message),
        ServiceError::UnknownTaskType { .. } => ClientError::new(ErrorCode::NotFound, message),
        ServiceError::Unauthorized { .. } => ClientError::denied(message),
        ServiceError::TooLarge { .. } => ClientError::new(ErrorCode::TooLarge, message),
        ServiceError::VersionMismatch | ServiceError::CancellationInProgress => {
            ClientError::new(ErrorCode::Conflict, message)
        }
        ServiceError::Stopping
        | ServiceError::Unavailable { .. }
        | ServiceError::DiskFull
        | ServiceError::DiskReserved => ClientError {
            retryable: true,
            ..ClientError::new(ErrorCode::Unavailable, message)
        },
        _ => ClientError::new(ErrorCode::Internal, message),
    }
}

//! Runs one claimed task to its end: pin the version, build the clients, run the component,
//! write what came of it.
//!
//! # Guarantees
//! Every way out writes an end, or finds that the run has lost its lease.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use taskhost_clients::run::{Grants, RunClients, RunInfo, RunParts};
use taskhost_clients::stop::{StopReason, StopSignal};
use taskhost_model::descriptor::Limits;
use taskhost_model::error::{ErrorKind, TaskError};
use taskhost_model::ids::StreamName;
use taskhost_model::requester::Requester;
use taskhost_model::task::Task;
use taskhost_runtime::{Component, ExitOutcome, RunExit, RunLimits, RunRequest, Runtime};
use taskhost_store::documents::DocumentStore;
use taskhost_store::event::{RunEvent, RunReport};
use taskhost_store::queue::StoredTask;

use crate::children::RunChildren;
use crate::core::Core;
use crate::end::write_end;
use crate::error::ServiceError;
use crate::identity;
use crate::keeping;
use crate::leased::Leased;
use crate::live::Registered;
use crate::outcome::{
    Attempt, Backoff, event_before_start, event_of, event_without_run, result_mistake,
};
use crate::recording::RunRecording;
use crate::report::Reporter;
use crate::slot::Slot;
use crate::spans::RunSpan;
use crate::sync::Mutex;
use crate::trouble::Trouble;
use crate::types::LoadedVersion;

/// Between two tries to load a task type, while the host lacks something.
const LOAD_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// Characters of a component's message in the host's log.
const LOGGED_CHARS_MAX: usize = 300;

/// What a run lacks whose code is loaded and whose guest does not start.
const NO_PLACE: &str = "its guest had no place by then (a component with several memories or \
                        tables waits for others of that kind to end)";

/// What the host lacks to begin a run, as it has last said.
#[derive(Debug, Default)]
struct Lack(Mutex<Option<String>>);

/// Runs a claimed task to its end.
pub(crate) async fn run_claimed(
    core: &Arc<Core>,
    runtime: &Runtime,
    claimed: StoredTask,
    registered: Registered,
    slot: Arc<Slot>,
) {
    let _work = core.time().work();
    let stop = &registered.stop;
    let children = Arc::new(RunChildren::new(core, &claimed.task, stop, slot));
    let span = RunSpan::begin(core.spans.as_ref(), &claimed.task);
    let event = run(core, runtime, (&claimed, span.as_ref()), stop, &children).await;
    if let Some(span) = &span {
        span.end(&claimed.task, event.as_ref());
    }
    log_failure(&claimed.task, event.as_ref());
    if let Some(end) = write_end(core, &claimed.task, event).await {
        // Its guest is gone: nobody has to wait for what follows.
        drop(registered);
        children.finish(&end).await;
    }
}

/// `None` when the run has lost its lease.
async fn run(
    core: &Arc<Core>,
    runtime: &Runtime,
    (claimed, span): (&StoredTask, Option<&Arc<RunSpan>>),
    stop: &StopSignal,
    children: &Arc<RunChildren>,
) -> Option<RunEvent> {
    let used = claimed.task.used();
    let lack = Lack::default();
    if let Some(reason) = not_to_begin(core, &claimed.task, stop, &lack).await {
        return not_begun(core, &claimed.task, &Limits::default(), reason, &lack);
    }
    if let Some(event) = waits_on(core, &claimed.task, stop, children, &lack).await {
        return Some(event);
    }
    // Reading may take until the store is back, and loading minutes; a stop waits for neither.
    let pinned = tokio::select! {
        pinned = pinned(core, &claimed.task, &lack) => pinned,
        reason = stopped_early(core, &claimed.task, stop) => {
            // The limits of its type are not known; those that stop it here are the run's own.
            return not_begun(core, &claimed.task, &Limits::default(), reason, &lack);
        }
    };
    let version = match pinned {
        Ok(version) => version,
        Err(error) => return Some(event_without_run(not_loaded(&error), used)),
    };
    children.set_may_spawn(!version.descriptor.capabilities.children.is_empty());
    let ready = tokio::select! {
        ready = ready(core, &version, claimed, &lack) => ready,
        reason = stopped_early(core, &claimed.task, stop) => {
            return not_begun(core, &claimed.task, &version.descriptor.limits, reason, &lack);
        }
    };
    let (component, by) = match ready {
        Ok(ready) => ready,
        Err(error) => return Some(event_without_run(error, used)),
    };
    children.set_by(&by);
    let reporter = Arc::new(Reporter::default());
    let (mut exit, has_time) = driven(
        core,
        (runtime, component),
        (claimed, &version, by),
        (stop, &reporter, children),
        span,
    )
    .await;
    let report = reporter.take(core, &claimed.task);
    let mistake = tokio::select! {
        biased;
        mistake = result_mistake(&version, &mut exit.outcome) => mistake,
        // A schema of the component's can make it take long.
        reason = stopped_early(core, &claimed.task, stop) => {
            exit.outcome = ExitOutcome::Stopped(reason);
            None
        }
    };
    let suspended = children.suspended();
    let attempt = Attempt {
        run: &claimed.task.run,
        limits: &version.descriptor.limits,
        used,
        lacked: has_time.then_some(NO_PLACE),
        suspended: suspended.as_ref(),
        backoff: Backoff::of(&core.settings, &claimed.task.type_id),
    };
    let now = core.clock.now();
    event_of(exit, report, mistake, attempt, now)
}

/// Runs the component, and writes along what it says. Whether it had any time left.
async fn driven(
    core: &Arc<Core>,
    (runtime, component): (&Runtime, &Component),
    (claimed, version, by): (&StoredTask, &LoadedVersion, Requester),
    (stop, reporter, children): (&StopSignal, &Arc<Reporter>, &Arc<RunChildren>),
    span: Option<&Arc<RunSpan>>,
) -> (RunExit, bool) {
    let days = core.settings.features_keep_days;
    let claimed = &StoredTask {
        params: keeping::told(&claimed.params, &version.descriptor, days),
        ..claimed.clone()
    };
    let clients = clients(core, (claimed, by), version, (stop, reporter, children));
    let clients = clients.traced(span.map(|span| Arc::clone(span) as _));
    let limits = limits(core, &claimed.task, version);
    let recording = RunRecording::begin(core, claimed, version, &limits).await;
    let request = RunRequest {
        params: claimed.params.to_string(),
        clients,
        limits,
        stop: stop.clone(),
        on_start: started_callback(core, reporter),
        tape: recording.tape(),
    };
    let has_time = !limits.wall.is_zero();
    let running = async {
        let exit = runtime.run(component, request).await;
        reporter.finish();
        recording.finish();
        exit
    };
    let (exit, (), ()) = tokio::join!(
        running,
        reporter.write_along(core, &claimed.task, stop),
        recording.write_along()
    );
    recording.end(&exit.outcome).await;
    (exit, has_time)
}

impl Lack {
    fn set(&self, lack: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = lack;
    }

    /// Asks again until the host has what it takes; it may have it in a moment.
    async fn until_there<T, Asked: Future<Output = Result<T, ServiceError>>>(
        &self,
        ask: impl Fn() -> Asked,
    ) -> Result<T, ServiceError> {
        let mut trouble = Trouble::default();
        loop {
            match ask().await {
                Err(ServiceError::Unavailable { reason }) => {
                    if trouble.is_new() {
                        tracing::warn!(
                            reason,
                            "a run has to wait until it has what it takes to begin"
                        );
                    }
                    self.set(Some(reason));
                    tokio::time::sleep(LOAD_AGAIN_AFTER).await;
                }
                answer => {
                    self.set(None);
                    return answer;
                }
            }
        }
    }
}

/// What is written of a run whose guest never had its turn.
fn not_begun(
    core: &Core,
    task: &Task,
    limits: &Limits,
    reason: StopReason,
    lack: &Lack,
) -> Option<RunEvent> {
    let lacked = lack.0.lock().unwrap_or_else(PoisonError::into_inner);
    let attempt = Attempt {
        run: &task.run,
        limits,
        used: task.used(),
        lacked: lacked.as_deref(),
        suspended: None,
        backoff: Backoff::of(&core.settings, &task.type_id),
    };
    event_before_start(reason, attempt, core.clock.now())
}

/// Why a run is not to begin: its parent has ended, or it is to stop.
async fn not_to_begin(
    core: &Core,
    task: &Task,
    stop: &StopSignal,
    lack: &Lack,
) -> Option<StopReason> {
    task.parent.as_ref()?;
    let is_orphan = lack.until_there(|| core.ends_as_orphan(task));
    tokio::select! {
        is_orphan = is_orphan => is_orphan.is_ok_and(|it| it).then_some(StopReason::User),
        reason = stopped_early(core, task, stop) => Some(reason),
    }
}

/// What is written of a suspended run whose wait goes on: neither its code nor its guest is needed
/// for that, and it uses nothing of what the run may use.
async fn waits_on(
    core: &Core,
    task: &Task,
    stop: &StopSignal,
    children: &RunChildren,
    lack: &Lack,
) -> Option<RunEvent> {
    task.run.suspension.as_ref()?;
    let waits_on = lack.until_there(|| children.waits_on());
    let waits_on = tokio::select! {
        waits_on = waits_on => waits_on.ok().flatten()?,
        _ = stopped_early(core, task, stop) => return None,
    };
    Some(RunEvent::Suspended {
        suspension: waits_on.suspension,
        until: waits_on.until,
        end: RunReport::default(),
    })
}

/// The code, if the run's params fit it, and in whose name it runs. The host may lack descriptors
/// or memory to load it, or be unsure of its lease: then somebody else may begin the run.
async fn ready<'a>(
    core: &Core,
    version: &'a Arc<LoadedVersion>,
    claimed: &StoredTask,
    lack: &Lack,
) -> Result<(&'a Component, Requester), TaskError> {
    if let Some(error) = incompatible(version, claimed).await {
        return Err(error);
    }
    let component = lack.until_there(|| core.types.component(version)).await;
    let component = component.map_err(|error| not_loaded(&error))?;
    let by = lack
        .until_there(|| identity::of_run(core, &claimed.task))
        .await;
    let unread = |error| {
        tracing::error!(%error, "the key of a run could not be read");
        let message = format!("the key of the run could not be read: {error}");
        TaskError::of(ErrorKind::Internal, message)
    };
    let by = by.map_err(unread)??;
    // Looked at last: the claim may have been heard of long after it was made.
    let safe = lack.until_there(async || core.lease.must_be_safe()).await;
    safe.map_err(|error| not_loaded(&error))?;
    Ok((component, by))
}

/// Why the run is to end although its guest has not started.
async fn stopped_early(core: &Core, task: &Task, stop: &StopSignal) -> StopReason {
    let left = task.run.deadline_at.map(|at| at.since(core.clock.now()));
    tokio::select! {
        reason = stop.until_asked() => reason,
        () = tokio::time::sleep(left.unwrap_or(Duration::MAX)) => StopReason::Deadline,
    }
}

/// The version that the run is pinned to. The store may be away.
async fn pinned(core: &Core, task: &Task, lack: &Lack) -> Result<Arc<LoadedVersion>, ServiceError> {
    let digest = task.run.digest.as_ref();
    let missing = || ServiceError::Internal {
        reason: "the run has no digest".to_owned(),
    };
    let digest = digest.ok_or_else(missing)?;
    lack.until_there(|| core.types.pinned(digest)).await
}

fn not_loaded(error: &ServiceError) -> TaskError {
    tracing::error!(%error, "a task type could not be loaded");
    TaskError::of(
        ErrorKind::Internal,
        format!("the task type could not be loaded: {error}"),
    )
}

/// Params were checked against the version that was active when the task was scheduled, and
/// another one may be pinned. No time tells which: an activation goes on while others schedule.
async fn incompatible(version: &Arc<LoadedVersion>, claimed: &StoredTask) -> Option<TaskError> {
    let mistakes = version.params_mistakes(&claimed.params).await;
    let first = mistakes.first()?;
    let message = format!(
        "version {} of the task type became active after this task was scheduled, and its params \
         do not fit it: `{}` {}. Schedule the task again with params that fit",
        version.descriptor.version, first.field, first.problem
    );
    Some(TaskError::of(ErrorKind::Incompatible, message))
}

fn clients(
    core: &Core,
    (claimed, requester): (&StoredTask, Requester),
    version: &LoadedVersion,
    (stop, reporter, children): (&StopSignal, &Arc<Reporter>, &Arc<RunChildren>),
) -> RunClients {
    let task = &claimed.task;
    RunClients::new(RunParts {
        info: RunInfo {
            task: task.key(),
            type_id: task.type_id.clone(),
            fence: task.fence(),
            attempt: task.run.attempt,
            stream: task.stream.clone(),
            requester,
            scheduled_at: task.created_at,
            deadline_at: task.run.deadline_at,
        },
        grants: Grants {
            stream: task.stream.clone(),
            named_streams: named(task, version),
            collections: version.descriptor.collections.clone(),
            space_collections: version.descriptor.space_collections.clone(),
            any_model: version.descriptor.any_model,
            asked: version.descriptor.capabilities.clone(),
            allowed: core.settings.policy.allowed_to(&version.version),
        },
        memory_bytes: memory_bytes(version),
        log_bytes_max: core.settings.log_bytes_max,
        host_calls_max: Some(host_calls_max(core, version)),
        script: core.script.clone(),
        stop: stop.clone(),
        sink: Arc::clone(reporter) as _,
        streams: Arc::clone(&core.streams),
        documents: documents(core),
        turns: core.turns.clone(),
        connectors: core.connectors.clone(),
        tokens_max: Some(tokens_max(core, version)),
        used: task.used(),
        checkpoints: Arc::clone(&core.checkpoints),
        network: core.network.clone(),
        children: Some(Arc::<RunChildren>::clone(children)),
        clock: core.clock.clone(),
    })
}

/// Those that were checked when the task was scheduled; a version that was pinned since and names
/// none reads none.
fn named(task: &Task, version: &LoadedVersion) -> Vec<StreamName> {
    match version.descriptor.streams_from {
        Some(_) => task.also_reads.clone(),
        None => Vec::new(),
    }
}

/// Where nothing else keeps a run of a lost host from writing, its lease does.
fn documents(core: &Core) -> Arc<dyn DocumentStore> {
    let inner = Arc::clone(&core.documents);
    match core.hosts {
        None => inner,
        Some(_) => Arc::new(Leased {
            inner,
            lease: Arc::clone(&core.lease),
        }),
    }
}

fn limits(core: &Core, task: &Task, version: &LoadedVersion) -> RunLimits {
    let descriptor = &version.descriptor;
    let left = task.run.deadline_at.map(|at| at.since(core.clock.now()));
    RunLimits {
        memory_bytes: memory_bytes(version),
        cpu: Duration::from_millis(descriptor.limits.cpu_ms),
        wall: left.unwrap_or(Duration::from_millis(version.wall_ms())),
        output_bytes: descriptor.limits.output_kib.saturating_mul(1024),
        no_progress: descriptor.limits.no_progress_s.map(Duration::from_secs),
        grace: Duration::from_millis(descriptor.grace_ms),
    }
}

fn host_calls_max(core: &Core, version: &LoadedVersion) -> u64 {
    let asked = version.descriptor.limits.host_calls;
    asked.unwrap_or(core.settings.bounds.host_calls)
}

fn tokens_max(core: &Core, version: &LoadedVersion) -> u64 {
    let asked = version.descriptor.limits.tokens;
    asked.unwrap_or(core.settings.bounds.tokens)
}

fn memory_bytes(version: &LoadedVersion) -> u64 {
    version
        .descriptor
        .limits
        .memory_mib
        .saturating_mul(1024 * 1024)
}

fn started_callback(core: &Arc<Core>, reporter: &Arc<Reporter>) -> Box<dyn FnOnce() + Send> {
    let (reporter, clock) = (Arc::clone(reporter), core.clock.clone());
    Box::new(move || reporter.started(clock.now()))
}

/// One line for an operator. What a component says of itself is quoted, and not all of it.
fn log_failure(task: &Task, event: Option<&RunEvent>) {
    let (error, again_at) = match event {
        Some(RunEvent::Failed {
            error, retry_at, ..
        }) => (error, *retry_at),
        Some(RunEvent::Paused { error, until, .. }) => (error, Some(*until)),
        _ => return,
    };
    let message: String = error.message.chars().take(LOGGED_CHARS_MAX).collect();
    tracing::info!(
        space = %task.space, task = %task.id, type_id = %task.type_id, run = %task.run.id,
        attempt = task.run.attempt, again_at = ?again_at.map(|at| at.to_string()),
        kind = error.kind.as_str(), code = ?error.code, said = ?message, "a run failed"
    );
}

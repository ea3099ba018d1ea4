//! What the verbs share: the stores, the types, and the one way to apply an event.

use std::sync::Arc;

use taskhost_clients::calls::CallScript;
use taskhost_clients::http::Network;
use taskhost_clients::inference::Connectors;
use taskhost_clients::stop::StopReason;
use taskhost_clients::turns::RunTurns;
use taskhost_clients::virtual_time::Time;
use taskhost_model::ids::TaskKey;
use taskhost_model::status::Phase;
use taskhost_model::task::{Lease as RunLease, Task};
use taskhost_model::time::Clock;
use taskhost_store::checkpoints::CheckpointStore;
use taskhost_store::documents::DocumentStore;
use taskhost_store::error::StoreError;
use taskhost_store::event::{Applied, Event, Outcome, RunEvent};
use taskhost_store::hosts::HostStore;
use taskhost_store::recordings::RecordingStore;
use taskhost_store::schedules::ScheduleStore;
use taskhost_store::streams::StreamStore;
use taskhost_store::tasks::TaskStore;
use tokio::sync::{Mutex, Notify, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::access::Access;
use crate::audit::Audit;
use crate::backlog::Backlog;
use crate::changes::{ChangeKind, Changes};
use crate::error::ServiceError;
use crate::host_key::HostKey;
use crate::lease::Lease;
use crate::live::Live;
use crate::peers::Peers;
use crate::run_keys::RunKeys;
use crate::settings::Settings;
use crate::spans::SpanSink;
use crate::telemetry;
use crate::types::TaskTypes;
use crate::wake::Wake;

/// The task service's verbs. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Tasks(pub(crate) Arc<Core>);

/// What the verbs and the loops share.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) tasks: Arc<dyn TaskStore>,
    pub(crate) schedules: Arc<dyn ScheduleStore>,
    /// Wakes the loop that looks after schedules.
    pub(crate) timekeeping: Notify,
    pub(crate) streams: Arc<dyn StreamStore>,
    pub(crate) documents: Arc<dyn DocumentStore>,
    /// What runs read together leaves a share to people.
    pub(crate) turns: RunTurns,
    pub(crate) checkpoints: Arc<dyn CheckpointStore>,
    pub(crate) recordings: Arc<dyn RecordingStore>,
    /// Seals recordings.
    pub(crate) host_key: Arc<dyn HostKey>,
    /// Who asks, and what they may do.
    pub(crate) access: Arc<Access>,
    /// Who has changed what.
    pub(crate) audit: Audit,
    /// With what runs read streams; none where the store has no people of its own.
    pub(crate) run_keys: Option<Arc<RunKeys>>,
    /// Language models.
    pub(crate) connectors: Connectors,
    /// How runs reach the outside.
    pub(crate) network: Network,
    /// What a test of a task type puts between guests and their clients.
    pub(crate) script: Option<Arc<dyn CallScript>>,
    pub(crate) types: TaskTypes,
    pub(crate) live: Arc<Live>,
    pub(crate) changes: Changes,
    /// This host's name.
    pub(crate) host: String,
    /// None: no other process can use the store.
    pub(crate) hosts: Option<Arc<dyn HostStore>>,
    /// This host's hold on what it has claimed.
    pub(crate) lease: Arc<Lease>,
    /// The other hosts.
    pub(crate) peers: Peers,
    /// Wakes whoever looks at the other hosts.
    pub(crate) look: Notify,
    /// Wakes the sweeper: there are hosts that are lost.
    pub(crate) sweep: Notify,
    /// Places for hints that are followed.
    pub(crate) hints: Arc<Semaphore>,
    /// Places for runs.
    pub(crate) slots: Arc<Semaphore>,
    /// Places for runs that wait for children in memory.
    pub(crate) parked: Arc<Semaphore>,
    /// Of requests with a key by which they may be repeated, those with the same go one by one.
    pub(crate) repeatable: [Mutex<()>; 64],
    /// One child with a concurrency key is spawned at a time.
    pub(crate) keyed_children: Mutex<()>,
    /// What waited when it was last counted.
    pub(crate) backlog: Backlog,
    /// Takes what goes on, where somebody collects traces.
    pub(crate) spans: Option<Arc<dyn SpanSink>>,
    pub(crate) clock: Clock,
    pub(crate) settings: Settings,
    /// Wakes the scheduler: something became claimable, or a slot became free.
    pub(crate) wake: Arc<Wake>,
    /// Canceled when claiming may begin.
    pub(crate) begun: CancellationToken,
    /// Set when the host stops: nothing new is taken.
    pub(crate) stopping: CancellationToken,
}

impl Core {
    /// The time of runs: a test may skip some of it.
    pub(crate) fn time(&self) -> Time {
        let time = self.script.as_ref().map(|script| script.time());
        time.unwrap_or_default()
    }

    /// Why this host claims nothing now, for people.
    pub(crate) fn not_claiming(&self) -> Option<&'static str> {
        if self.stopping.is_cancelled() {
            Some("it is stopping")
        } else if !self.begun.is_cancelled() {
            Some("its watched folder is still being looked through")
        } else if !self.lease.is_safe() {
            Some("it cannot tell others that it is alive: the store is not reached")
        } else if self.types.claimable().is_empty() {
            Some("no task type is active and not paused")
        } else if self.slots.available_permits() == 0 {
            Some("all its slots are taken")
        } else {
            None
        }
    }

    /// Applies an event and tells whoever watches.
    pub(crate) async fn apply(&self, key: &TaskKey, event: Event) -> Result<Applied, StoreError> {
        let telling = Telling::of(&event);
        let applied = self.tasks.apply(key, event).await.inspect_err(|_| {
            // It may be written all the same: what is due then is not to wait for the next
            // reason to look. What else follows from it the sweeper finds.
            self.wake.something_is_due();
        })?;
        self.tell(telling, &applied);
        Ok(applied)
    }

    /// Tells of an event that was applied whoever waits for something.
    fn tell(&self, telling: Telling, applied: &Applied) {
        telemetry::count(telling.counted, applied, self.clock.now());
        self.wake_for(applied);
        self.wake_parent(applied);
        if telling.is_seen
            && applied.outcome == Outcome::Changed
            && let Some(task) = &applied.task
        {
            let kind = if task.deleted_at.is_some() {
                ChangeKind::Deleted
            } else if telling.is_progress {
                ChangeKind::Progress
            } else {
                ChangeKind::Status
            };
            self.changes.publish_with(task, telling.payload, kind);
        }
    }

    /// Applies many events, each as [`Self::apply_then`] does, and answers as many as there are.
    /// `then` is told of each whether the store has answered well.
    pub(crate) async fn apply_all(
        self: &Arc<Self>,
        events: Vec<(TaskKey, Event)>,
        then: impl FnOnce(&[bool]) + Send + 'static,
    ) -> Result<Vec<Result<Applied, StoreError>>, ServiceError> {
        let core = Arc::clone(self);
        let whole = tokio::spawn(async move {
            let telling: Vec<Telling> = events.iter().map(|it| Telling::of(&it.1)).collect();
            let answers = core.tasks.apply_all(events).await;
            let answered: Vec<bool> = answers.iter().map(Result::is_ok).collect();
            then(&answered);
            for (telling, answer) in telling.into_iter().zip(&answers) {
                let Ok(applied) = answer else {
                    core.wake.something_is_due();
                    continue;
                };
                core.tell(telling, applied);
                core.follow_up(applied);
                core.after_end(applied).await;
            }
            answers
        });
        whole.await.map_err(|error| ServiceError::Internal {
            reason: error.to_string(),
        })
    }

    /// Applies what a person wants, with all that follows from it, to the end: also when whoever
    /// asked goes away in the middle, and the future that waits for this is dropped.
    pub(crate) async fn apply_wish(
        self: &Arc<Self>,
        key: &TaskKey,
        event: Event,
    ) -> Result<Applied, ServiceError> {
        self.apply_then(key, event, || ()).await
    }

    /// The same, with something that is to be done as soon as the store has answered well; where it
    /// has not, that is dropped.
    pub(crate) async fn apply_then(
        self: &Arc<Self>,
        key: &TaskKey,
        event: Event,
        then: impl FnOnce() + Send + 'static,
    ) -> Result<Applied, ServiceError> {
        let (core, key) = (Arc::clone(self), key.clone());
        let whole = tokio::spawn(async move {
            match core.apply(&key, event).await {
                Ok(applied) => {
                    then();
                    core.follow_up(&applied);
                    core.after_end(&applied).await;
                    Ok(applied)
                }
                Err(error) => Err(error.into()),
            }
        });
        whole.await.map_err(|error| ServiceError::Internal {
            reason: error.to_string(),
        })?
    }

    /// What the stored document demands of this host. Harmless when it is done again.
    pub(crate) fn follow_up(&self, applied: &Applied) {
        if let Some(task) = &applied.task {
            self.stop_as_stored(task);
        }
    }

    /// Stops the runs that the stored document wants to be stopped, here or on another host.
    pub(crate) fn stop_as_stored(&self, task: &Task) {
        if task.phase() == Phase::BeingCanceled
            && let Some(lease) = task.lease()
        {
            if self.is_here(lease) {
                self.stop_canceled(task);
            } else {
                self.peers.is_to_stop(task, lease);
            }
        }
        for lease in &task.previous {
            if self.is_here(*lease) {
                self.live.interrupt(lease.fence, StopReason::Fenced);
            } else {
                self.peers.is_to_stop(task, *lease);
            }
        }
    }

    /// The same, for runs that are known here; nobody else is told.
    pub(crate) fn stop_if_here(&self, task: &Task) {
        if task.phase() == Phase::BeingCanceled && self.live.has(task.fence()) {
            self.stop_canceled(task);
        }
        for lease in &task.previous {
            if self.live.has(lease.fence) {
                self.live.interrupt(lease.fence, StopReason::Fenced);
            }
        }
    }

    /// Whether a guest under this lease is on this host, or may be in a moment.
    fn is_here(&self, lease: RunLease) -> bool {
        self.hosts.is_none() || self.lease.is_of(lease.incarnation) || self.live.has(lease.fence)
    }

    /// Asks the run of a task that is being canceled to stop. Its grace is counted from when the
    /// cancel was recorded, so that the write to disk between is not added to it.
    pub(crate) fn stop_canceled(&self, task: &Task) {
        let now = self.clock.now();
        let late = now.since(task.run.cancel_requested_at.unwrap_or(now));
        self.live.ask(task.fence(), StopReason::User, late);
    }

    /// A run that waits is news to the scheduler, unless it was claimed along with the write; so is
    /// one that has a concurrency key and does not hold it any more, for the next one of that key.
    fn wake_for(&self, applied: &Applied) {
        let is_written = matches!(applied.outcome, Outcome::Changed | Outcome::Repeated);
        let Some(task) = applied.task.as_ref().filter(|_| is_written) else {
            return;
        };
        if task.concurrency_key.is_some() && is_end(task.phase()) && !task.holds_key() {
            self.wake.something_is_due();
        }
        if task.phase().is_waiting() && !self.live.has(task.fence().next()) {
            self.wake.something_is_due();
            self.offer(task);
        }
    }

    /// The task as it was claimed in the very write that has made it ready, where it was: whoever
    /// wrote it is told what is stored.
    pub(crate) fn as_begun(&self, task: Task) -> Task {
        let begun = task
            .phase()
            .is_waiting()
            .then(|| self.live.claimed(task.fence().next()));
        begun.flatten().unwrap_or(task)
    }

    /// Another host may have room for what can be claimed, where this one has none.
    fn offer(&self, task: &Task) {
        let is_due = task.run.due_at <= self.clock.now() && task.previous.is_empty();
        // Slots may be taken by a claim that has still to start what it got, maybe this very task.
        let is_full =
            self.slots.available_permits() == 0 && self.live.count() >= self.settings.slots;
        if self.hosts.is_some() && is_due && is_full {
            self.peers.may_claim(task);
        }
    }

    /// A parent that waits in memory hears of every end of a child.
    fn wake_parent(&self, applied: &Applied) {
        let is_written = matches!(applied.outcome, Outcome::Changed | Outcome::Repeated);
        let ended = |task: &&Task| is_written && is_end(task.phase());
        if let Some(task) = applied.task.as_ref().filter(ended) {
            self.changes.child_ended(task);
        }
    }

    /// A document that readers may see; a tombstone is none.
    pub(crate) fn visible(applied: Applied) -> Option<Task> {
        applied.task.filter(|task| task.deleted_at.is_none())
    }
}

/// What of an event is needed to tell of it when it was applied.
#[derive(Debug)]
struct Telling {
    counted: telemetry::Counted,
    is_progress: bool,
    is_seen: bool,
    payload: Option<Arc<str>>,
}

impl Telling {
    fn of(event: &Event) -> Self {
        let said = match event {
            Event::Run { event, .. } => Some(event),
            _ => None,
        };
        Self {
            // What is counted needs no more of it than which one it is.
            counted: telemetry::Counted::of(event),
            is_progress: matches!(said, Some(RunEvent::Progress(_))),
            is_seen: !matches!(event, Event::PreviousEnded { .. }),
            payload: match said {
                Some(RunEvent::Completed { payload, .. }) => Some(Arc::clone(payload)),
                _ => None,
            },
        }
    }
}

/// Ends that somebody may wait for; `acknowledged` comes after one of them.
pub(crate) fn is_end(phase: Phase) -> bool {
    matches!(
        phase,
        Phase::Absent | Phase::Canceled | Phase::Failed | Phase::Completed
    )
}

impl Tasks {
    pub(crate) fn check_running(&self) -> Result<(), ServiceError> {
        if self.0.stopping.is_cancelled() {
            Err(ServiceError::Stopping)
        } else {
            Ok(())
        }
    }
}

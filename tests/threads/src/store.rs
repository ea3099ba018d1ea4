//! The store in memory, as far as it is for tasks, with others free to go before and after each
//! call, and with trouble where a test wants it. It watches that no run ends twice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use shuttle::future::block_on;
use shuttle::rand::{Rng, thread_rng};
use taskhost_model::former::FormerRun;
use taskhost_model::ids::{RunId, Space, TaskKey, TypeId};
use taskhost_model::receipt::Receipt;
use taskhost_model::status::{Phase, Status};
use taskhost_model::task::Task;
use taskhost_model::time::Timestamp;
use taskhost_store::error::StoreError;
use taskhost_store::event::{Applied, Event, Outcome};
use taskhost_store::history::TaskHistory;
use taskhost_store::many::ManyTasks;
use taskhost_store::queue::{ClaimRequest, Claimer, RunQueue, StoredTask};
use taskhost_store::tasks::{Children, ListRequest, TaskPage, TaskStore, Unfinished};

use crate::sync::step;

/// Of so many calls one has trouble of a kind.
const CALLS_PER_TROUBLE: u32 = 12;

/// What may happen to calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Everything is done.
    None,
    /// A call is not done.
    Rejected,
    /// Or it is done, and reported as failed.
    Any,
}

#[derive(Debug)]
pub(crate) struct Store {
    beneath: Arc<dyn TaskStore>,
    /// One writes at a time; whoever claims along does it in the same turn.
    turn: crate::sync::Mutex<Option<Arc<dyn Claimer>>>,
    trouble: Mutex<Trouble>,
    seen: Mutex<Seen>,
}

/// What became of runs.
#[derive(Debug, Default)]
struct Seen {
    versions: BTreeMap<TaskKey, u64>,
    ended: BTreeSet<RunId>,
    deleted: BTreeSet<RunId>,
}

impl Store {
    pub(crate) fn new(beneath: Arc<dyn TaskStore>, trouble: Trouble) -> Self {
        Self {
            beneath,
            turn: crate::sync::Mutex::default(),
            trouble: Mutex::new(trouble),
            seen: Mutex::default(),
        }
    }

    /// From now on everything is done.
    pub(crate) fn end_trouble(&self) {
        *lock(&self.trouble) = Trouble::None;
    }

    /// Whether the run has ended, or was deleted.
    pub(crate) fn is_over(&self, run: RunId) -> bool {
        let seen = lock(&self.seen);
        seen.ended.contains(&run) || seen.deleted.contains(&run)
    }

    /// Does a call, or does not, and says so or does not.
    async fn pass<T>(
        &self,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        step();
        let trouble = *lock(&self.trouble);
        let drawn = thread_rng().gen_range(0..CALLS_PER_TROUBLE);
        let failed = StoreError::Unavailable {
            reason: "a test has trouble with it".to_owned(),
        };
        if drawn == 0 && trouble != Trouble::None {
            return Err(failed);
        }
        let done = call.await;
        step();
        if drawn == 1 && trouble == Trouble::Any {
            Err(failed)
        } else {
            done
        }
    }

    /// What is beneath never waits.
    fn write(&self, key: &TaskKey, event: &Event) -> Result<Applied, StoreError> {
        let turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let claimer = turn.clone().filter(|_| matches!(event, Event::Schedule(_)));
        let applied = block_on(self.beneath.apply(key, event.clone()))?;
        if applied.outcome == Outcome::Changed {
            applied.task.iter().for_each(|task| self.note(task, event));
        }
        if let Some(reservation) = claimer.and_then(|claimer| claimer.reserve()) {
            let claimed = block_on(self.beneath.claim(reservation.request()))?;
            drop(turn);
            // Before whoever schedules is told, or after: both are as well.
            crate::spawn(async move { reservation.start(claimed) });
        }
        Ok(applied)
    }

    fn note(&self, task: &Task, event: &Event) {
        if let Event::Run { fence, .. } = event {
            assert_eq!(
                task.fence(),
                *fence,
                "somebody else's word counts: {task:#?}"
            );
        }
        let mut seen = lock(&self.seen);
        let (run, version) = (task.run.id, task.version);
        if seen.versions.insert(task.key(), version) == Some(version) {
            return;
        }
        match task.phase() {
            Phase::Completed | Phase::Failed | Phase::Canceled => {
                assert!(seen.ended.insert(run), "ends twice: {task:#?}");
            }
            Phase::Acknowledged => {}
            Phase::Absent => {
                seen.deleted.insert(run);
            }
            Phase::Queued
            | Phase::Running
            | Phase::WaitingRetry
            | Phase::Suspended
            | Phase::BeingCanceled => {
                assert!(
                    !seen.ended.contains(&run),
                    "goes on after its end: {task:#?}"
                );
            }
        }
    }
}

#[async_trait]
impl RunQueue for Store {
    async fn claim(&self, request: &ClaimRequest) -> Result<Vec<StoredTask>, StoreError> {
        self.pass(self.beneath.claim(request)).await
    }

    fn claim_along(&self, claimer: Arc<dyn Claimer>) {
        *self.turn.lock().unwrap_or_else(PoisonError::into_inner) = Some(claimer);
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        self.pass(self.beneath.next_due()).await
    }

    async fn holders(
        &self,
        space: &Space,
        type_id: &TypeId,
        concurrency_key: &str,
    ) -> Result<Vec<TaskKey>, StoreError> {
        let holders = self.beneath.holders(space, type_id, concurrency_key);
        self.pass(holders).await
    }
}

#[async_trait]
impl ManyTasks for Store {
    async fn apply_all(&self, events: Vec<(TaskKey, Event)>) -> Vec<Result<Applied, StoreError>> {
        let mut answers = Vec::new();
        for (key, event) in events {
            answers.push(TaskStore::apply(self, &key, event).await);
        }
        answers
    }

    async fn expired(&self, before: Timestamp, limit: usize) -> Result<Vec<TaskKey>, StoreError> {
        self.pass(self.beneath.expired(before, limit)).await
    }

    async fn overdue(
        &self,
        type_id: &TypeId,
        due_before: Timestamp,
        limit: usize,
    ) -> Result<Vec<TaskKey>, StoreError> {
        let overdue = self.beneath.overdue(type_id, due_before, limit);
        self.pass(overdue).await
    }

    async fn counts(&self, request: &ListRequest) -> Result<Vec<(Status, u64)>, StoreError> {
        self.pass(self.beneath.counts(request)).await
    }
}

#[async_trait]
impl TaskHistory for Store {
    async fn former_runs(&self, key: &TaskKey) -> Result<Vec<FormerRun>, StoreError> {
        self.pass(self.beneath.former_runs(key)).await
    }

    async fn receipt(&self, key: &TaskKey) -> Result<Option<Receipt>, StoreError> {
        self.pass(self.beneath.receipt(key)).await
    }

    async fn former_log(&self, key: &TaskKey, run: RunId) -> Result<Option<String>, StoreError> {
        self.pass(self.beneath.former_log(key, run)).await
    }
}

#[async_trait]
impl TaskStore for Store {
    async fn apply(&self, key: &TaskKey, event: Event) -> Result<Applied, StoreError> {
        self.pass(async { self.write(key, &event) }).await
    }

    async fn get(&self, key: &TaskKey) -> Result<Option<Task>, StoreError> {
        self.pass(self.beneath.get(key)).await
    }

    async fn read(&self, key: &TaskKey) -> Result<Option<StoredTask>, StoreError> {
        self.pass(self.beneath.read(key)).await
    }

    async fn log(&self, key: &TaskKey, run: RunId) -> Result<Option<String>, StoreError> {
        self.pass(self.beneath.log(key, run)).await
    }

    async fn list(&self, request: &ListRequest) -> Result<TaskPage, StoreError> {
        self.pass(self.beneath.list(request)).await
    }

    async fn held(&self, limit: usize) -> Result<Vec<Task>, StoreError> {
        self.pass(self.beneath.held(limit)).await
    }

    async fn remove_tombstones(&self) -> Result<u64, StoreError> {
        self.pass(self.beneath.remove_tombstones()).await
    }

    async fn children(&self, run: RunId) -> Result<Children, StoreError> {
        self.pass(self.beneath.children(run)).await
    }

    async fn parents(&self) -> Result<Vec<(TaskKey, RunId)>, StoreError> {
        self.pass(self.beneath.parents()).await
    }

    async fn unfinished(&self) -> Result<Unfinished, StoreError> {
        self.pass(self.beneath.unfinished()).await
    }
}

fn lock<T>(of_the_test: &Mutex<T>) -> MutexGuard<'_, T> {
    of_the_test.lock().unwrap_or_else(PoisonError::into_inner)
}

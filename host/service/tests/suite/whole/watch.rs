//! Stands between the service and its store, and between guests and what they ask: it sees what
//! happens, knows when nobody is at work, and lets a test say when which guest goes on and which
//! end is written.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use taskhost_model::task::Fence;
use taskhost_store::checkpoints::{Checkpoint, CheckpointStore, RunOfTask};
use taskhost_store::error::StoreError;
use taskhost_store::event::{Event, Outcome, RunEvent};
use taskhost_store::faulty::{Call, Fate, Policy, Seen};
use tokio::sync::oneshot;

use super::facts::{Happened, Shown, What};
use super::guest::{ASKS, Word};

/// Under this key something is kept for a later attempt.
const KEPT: &str = "kept";

/// One life of a host, as it is seen.
#[derive(Debug, Default)]
pub(crate) struct Watch(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    happened: Vec<Happened>,
    /// Calls of the store that are not answered; of claims, who has made them.
    calls: usize,
    claims: HashSet<tokio::task::Id>,
    /// Grows with whatever goes on.
    activity: u64,
    /// Guests that will ask something soon, or end.
    moving: BTreeSet<Fence>,
    asking: BTreeMap<Fence, oneshot::Sender<Told>>,
    words: BTreeMap<Fence, Word>,
    /// What guests have found of what was kept, when they asked for the first time.
    found: BTreeMap<Fence, bool>,
    /// Guests whose ends are to be held up, and ends that are.
    to_hold: BTreeSet<Fence>,
    held: BTreeMap<Fence, oneshot::Sender<()>>,
}

/// What a guest is told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Told {
    pub(crate) word: Word,
    /// Whether it keeps something before.
    pub(crate) keeps: bool,
}

impl Watch {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How much has gone on, where nobody is at work now.
    pub(crate) fn stillness(&self) -> Option<u64> {
        let state = self.lock();
        (state.calls == 0 && state.moving.is_empty()).then_some(state.activity)
    }

    /// What keeps it from being still, in words.
    pub(crate) fn unrest(&self) -> String {
        let state = self.lock();
        format!("{} calls, guests {:?}", state.calls, state.moving)
    }

    /// What has happened since somebody asked.
    pub(crate) fn take(&self) -> Vec<Happened> {
        std::mem::take(&mut self.lock().happened)
    }

    /// Whether a guest has found something that was kept for it.
    pub(crate) fn has_found(&self, fence: Fence) -> Option<bool> {
        self.lock().found.get(&fence).copied()
    }

    /// Whether the end of a guest is held up.
    pub(crate) fn is_held(&self, fence: Fence) -> bool {
        self.lock().held.contains_key(&fence)
    }

    /// Whether a guest waits to be told something.
    pub(crate) fn is_asking(&self, fence: Fence) -> bool {
        self.lock().asking.contains_key(&fence)
    }

    /// Tells a guest something; its end is held up if that is wanted.
    pub(crate) fn tell(&self, fence: Fence, told: Told, is_held: bool) {
        let mut state = self.lock();
        let Some(guest) = state.asking.remove(&fence) else {
            return;
        };
        state.moving.insert(fence);
        if is_held {
            state.to_hold.insert(fence);
        }
        // Whoever does not hear it has been interrupted, and says so.
        let _ = guest.send(told);
    }

    /// An end is written now.
    pub(crate) fn let_go(&self, fence: Fence) {
        let held = self.lock().held.remove(&fence);
        drop(held);
    }

    /// A guest is about to be interrupted: it is waited for.
    pub(crate) fn expect_end(&self, fence: Fence) {
        let mut state = self.lock();
        if state.asking.contains_key(&fence) {
            state.moving.insert(fence);
        }
    }
}

#[async_trait]
impl Policy for Watch {
    async fn before(&self, call: Call<'_>) -> Fate {
        let held = {
            let mut state = self.lock();
            state.activity += 1;
            match end_of(call.event) {
                Some((fence, is_end)) => {
                    state.moving.remove(&fence);
                    let is_held = is_end && state.to_hold.remove(&fence);
                    is_held.then(|| {
                        let (go_on, wait) = oneshot::channel();
                        state.held.insert(fence, go_on);
                        wait
                    })
                }
                None => None,
            }
        };
        if let Some(wait) = held {
            // Nobody sends: it is let go by being dropped.
            drop(wait.await);
        }
        let mut state = self.lock();
        state.calls += 1;
        if call.name == "tasks.claim" {
            state.claims.extend(tokio::task::try_id());
        }
        Fate::Done
    }

    fn done(&self, seen: Seen<'_>) {
        let mut state = self.lock();
        state.activity += 1;
        match seen {
            Seen::Applied(key, event, applied) => {
                let owner = applied.task.as_ref().and_then(|task| task.run.incarnation);
                state.happened.push(Happened {
                    id: key.id.to_string(),
                    what: What::of(event),
                    outcome: applied.outcome,
                    after: applied.task.as_ref().map(Shown::of),
                    owner,
                });
            }
            Seen::Claimed(claimed) => {
                for task in claimed.iter().map(|claimed| &claimed.task) {
                    state.moving.insert(task.fence());
                    state.happened.push(Happened {
                        id: task.id.to_string(),
                        what: What::Claim,
                        outcome: Outcome::Changed,
                        after: Some(Shown::of(task)),
                        owner: task.run.incarnation,
                    });
                }
            }
        }
    }

    async fn after(&self, call: Call<'_>) {
        let mut state = self.lock();
        state.activity += 1;
        if call.name == "tasks.remove_tombstones" {
            state.happened.push(Happened {
                id: String::new(),
                what: What::TombstonesRemoved,
                outcome: Outcome::Changed,
                after: None,
                owner: None,
            });
        }
        // What was claimed along with another write was no call of its own.
        let is_along = call.name == "tasks.claim"
            && !tokio::task::try_id().is_some_and(|id| state.claims.remove(&id));
        state.calls -= usize::from(!is_along);
    }

    fn told(&self, seen: Seen<'_>) {
        let Seen::Applied(_, _, applied) = seen else {
            return;
        };
        let Some(task) = &applied.task else { return };
        let mut state = self.lock();
        // Nothing that they do counts any more: they are interrupted.
        for fence in task.previous.iter().map(|lease| lease.fence) {
            if state.asking.contains_key(&fence) {
                state.moving.insert(fence);
            }
        }
    }
}

/// Which run has no more to say, and whether it says how it has ended.
fn end_of(event: Option<&Event>) -> Option<(Fence, bool)> {
    match event? {
        Event::Run {
            event: RunEvent::Progress(_),
            ..
        } => None,
        Event::Run { fence, .. } => Some((*fence, true)),
        Event::PreviousEnded { fence } => Some((*fence, false)),
        _ => None,
    }
}

/// The store of checkpoints, in which guests ask what to do.
#[derive(Debug)]
pub(crate) struct Gate {
    pub(crate) inner: Arc<dyn CheckpointStore>,
    pub(crate) watch: Arc<Watch>,
}

/// A guest that asks; when it is dropped without an answer, it was interrupted.
struct Asking<'a> {
    watch: &'a Watch,
    fence: Fence,
}

impl Gate {
    async fn ask(&self, run: &RunOfTask) -> Result<(), StoreError> {
        let fence = run.fence;
        if self.watch.has_found(fence).is_none() {
            let found = self.inner.load(run, KEPT).await;
            let found = found.is_ok_and(|it| it.is_some());
            self.watch.lock().found.insert(fence, found);
        }
        let (tell, told) = oneshot::channel();
        {
            let mut state = self.watch.lock();
            state.activity += 1;
            state.moving.remove(&fence);
            state.asking.insert(fence, tell);
        }
        let asking = Asking {
            watch: &self.watch,
            fence,
        };
        let told = told.await;
        drop(asking);
        let Ok(told) = told else {
            let reason = "its host is gone".to_owned();
            return Err(StoreError::Unavailable { reason });
        };
        if told.keeps {
            let checkpoint = Checkpoint {
                value: Arc::from(*b"something"),
                schema_version: 1,
            };
            self.inner.save(run, KEPT, checkpoint).await?;
        }
        self.watch.lock().words.insert(fence, told.word);
        Ok(())
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        let mut state = self.watch.lock();
        if state.asking.remove(&self.fence).is_some() {
            state.moving.insert(self.fence);
        }
    }
}

#[async_trait]
impl CheckpointStore for Gate {
    async fn save(
        &self,
        run: &RunOfTask,
        key: &str,
        checkpoint: Checkpoint,
    ) -> Result<(), StoreError> {
        match key {
            ASKS => self.ask(run).await,
            key => self.inner.save(run, key, checkpoint).await,
        }
    }

    async fn load(&self, run: &RunOfTask, key: &str) -> Result<Option<Checkpoint>, StoreError> {
        if key != ASKS {
            return self.inner.load(run, key).await;
        }
        let word = self.watch.lock().words.get(&run.fence).copied();
        Ok(word.map(|word| Checkpoint {
            value: Arc::from([]),
            schema_version: word as u32,
        }))
    }

    async fn forget(&self, run: &RunOfTask, key: &str) -> Result<(), StoreError> {
        self.inner.forget(run, key).await
    }
}

//! What other hosts do to tasks that this one runs, or that somebody here waits for.
//!
//! # Guarantees
//! 1. A run that is canceled, deleted or replaced on another host is stopped here, with a hint from
//!    there or without.
//! 2. Whoever watches a task here sees what another host makes of it.
//! 3. It asks the store for nothing while this host runs nothing and nobody watches.

use std::collections::HashMap;
use std::sync::Arc;

use taskhost_clients::stop::StopReason;
use taskhost_model::ids::TaskKey;
use taskhost_store::error::StoreError;
use taskhost_store::hosts::HostStore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::changes::ChangeKind;
use crate::core::{Core, Tasks};
use crate::peers::{Hint, RunName, TaskName};

/// Runs of this host that are stopped in one look; the next one finds the others.
const STOPS_MAX: usize = 1_000;
/// Tasks that are read in one look for whoever watches them; more take turns.
const WATCHED_AT_A_TIME: usize = 16;
/// Changes that are told in one look to whoever follows spaces; the next one finds the others.
const CHANGED_MAX: usize = 1_000;
/// Writes before the first look that are told as well.
const LOOKED_BACK: u64 = 200;
/// Hints that are followed at once. More are dropped: what they tell of is found by looking.
pub(crate) const HINTS_AT_ONCE: usize = 8;

/// The loop that looks.
#[derive(Debug)]
pub(crate) struct Elsewhere {
    core: Arc<Core>,
    store: Arc<dyn HostStore>,
    /// Of watched tasks, the revision that was last told.
    told: HashMap<TaskKey, u64>,
    turn: usize,
    /// Of the store's writes, the last one that was looked at for whoever follows a space.
    last_write: Option<u64>,
}

/// What one look has found.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Looked {
    pub(crate) to_stop: usize,
    pub(crate) changed: usize,
}

impl Elsewhere {
    pub(crate) fn new(core: &Arc<Core>, store: &Arc<dyn HostStore>) -> Self {
        Self {
            core: Arc::clone(core),
            store: Arc::clone(store),
            told: HashMap::new(),
            turn: 0,
            last_write: None,
        }
    }

    /// Looks until it is stopped.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let interval = self.core.settings.hosts.stops_interval;
        loop {
            let pause = tokio::time::sleep(interval);
            if stop.run_until_cancelled(pause).await.is_none() {
                return;
            }
            if let Err(error) = self.run_once().await {
                tracing::debug!(%error, "what other hosts want could not be read");
            }
        }
    }

    /// One look.
    pub(crate) async fn run_once(&mut self) -> Result<Looked, StoreError> {
        let mut looked = Looked::default();
        if self.core.live.count() > 0 {
            let own = self.core.lease.incarnation();
            let to_stop = self.store.to_stop(own, STOPS_MAX).await?;
            looked.to_stop = to_stop.len();
            for task in &to_stop {
                self.core.stop_as_stored(task);
            }
        }
        looked.changed = self.tell_watchers().await? + self.tell_followers().await?;
        Ok(looked)
    }

    /// Tells what other hosts have made of tasks of spaces that somebody here follows.
    async fn tell_followers(&mut self) -> Result<usize, StoreError> {
        let spaces = self.core.changes.followed();
        if spaces.is_empty() {
            self.last_write = None;
            return Ok(0);
        }
        let after = self.last_write;
        let changed = self.store.changed(&spaces, after, CHANGED_MAX).await?;
        // Somebody may have begun to follow a little before this first look.
        let looks_back = if after.is_none() { LOOKED_BACK } else { 0 };
        self.last_write = Some(changed.last.saturating_sub(looks_back));
        let tasks = changed.tasks.iter();
        let new = tasks.filter(|task| self.core.changes.tell_if_new(task));
        Ok(new.count())
    }

    /// Reads what is watched and does not run here; whoever runs a task tells its watchers himself.
    async fn tell_watchers(&mut self) -> Result<usize, StoreError> {
        let mut watched = self.core.changes.watched();
        self.told.retain(|key, _| watched.contains(key));
        if watched.is_empty() {
            return Ok(0);
        }
        self.turn %= watched.len();
        watched.rotate_left(self.turn);
        self.turn += WATCHED_AT_A_TIME;
        let mut changed = 0;
        // At once: a store may read them together.
        let mut reading = JoinSet::new();
        for key in watched.into_iter().take(WATCHED_AT_A_TIME) {
            let core = Arc::clone(&self.core);
            reading.spawn(async move { core.tasks.get(&key).await });
        }
        while let Some(read) = reading.join_next().await {
            let Ok(read) = read else { continue };
            let Some(task) = read? else { continue };
            let told = self.told.insert(task.key(), task.revision);
            if told != Some(task.revision) && !self.core.live.has(task.fence()) {
                self.core.changes.publish(&task, ChangeKind::Status);
                changed += 1;
            }
        }
        Ok(changed)
    }
}

impl Tasks {
    /// Hears what another host says: looks at once at what it would have found a little later.
    /// Returns at once.
    pub fn hear(&self, mut hint: Hint) {
        // A well-meaning host sends no more; whatever else is sent may not keep this one busy.
        hint.merge(Hint::default());
        let core = &self.0;
        if hint.hosts || hint.types {
            core.look.notify_one();
        }
        if hint.claim.is_empty() && hint.stop.is_empty() {
            return;
        }
        let Ok(place) = Arc::clone(&core.hints).try_acquire_owned() else {
            return;
        };
        let core = Arc::clone(core);
        tokio::spawn(async move {
            core.hear_stops(&hint.stop).await;
            core.hear_claims(&hint.claim).await;
            drop(place);
        });
    }
}

impl Core {
    /// A search may not show yet what was scheduled a moment ago: reading it by its id lets the
    /// store know of it, for the claim that follows.
    async fn hear_claims(self: &Arc<Self>, names: &[TaskName]) {
        let room = self.slots.available_permits();
        // At once: a store may read them together.
        let mut reading = JoinSet::new();
        for name in names.iter().take(room) {
            let (core, key) = (Arc::clone(self), name.key());
            reading.spawn(async move { core.tasks.get(&key).await });
        }
        if reading.is_empty() {
            return;
        }
        while let Some(read) = reading.join_next().await {
            if let Ok(Err(error)) = read {
                tracing::debug!(%error, "a task that another host names could not be read");
            }
        }
        self.wake.something_is_due();
    }

    async fn hear_stops(&self, names: &[RunName]) {
        for name in names.iter().filter(|name| self.live.has(name.fence())) {
            match self.tasks.get(&name.key()).await {
                // Whoever deletes or replaces a run takes its fence away.
                Ok(task) if task.as_ref().map(|it| it.fence()) != Some(name.fence()) => {
                    self.live.interrupt(name.fence(), StopReason::Fenced);
                }
                Ok(task) => task.iter().for_each(|task| self.stop_as_stored(task)),
                Err(error) => {
                    tracing::debug!(%error, "a run that another host names could not be read");
                    return;
                }
            }
        }
    }
}

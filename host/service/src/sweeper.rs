//! Finishes what a lost host or a failed write left behind: no document stays unfinished
//! without a run behind it.

use std::collections::HashSet;
use std::fmt::Display;
use std::sync::Arc;

use taskhost_clients::stop::StopReason;
use taskhost_model::ids::Incarnation;
use taskhost_model::status::Phase;
use taskhost_model::task::{Fence, Lease, Task};
use taskhost_store::error::StoreError;
use taskhost_store::event::{Event, Outcome};
use taskhost_store::recordings::KEPT_AFTER_END;
use tokio_util::sync::CancellationToken;

use crate::core::Core;
use crate::settings::Settings;

/// Documents looked at in one go, beside one for each run that is at work or waits for children.
const BATCH: usize = 1_000;

/// What one sweep did.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Swept {
    pub(crate) lost_runs: u64,
    pub(crate) tombstones: u64,
    pub(crate) stream_documents: u64,
    pub(crate) orphans: u64,
    pub(crate) recordings: u64,
}

/// What a held document needs.
#[derive(Debug, PartialEq, Eq)]
enum Need {
    /// Its run is over without a word.
    Lost(Lease),
    /// A run that was replaced or deleted is over.
    PreviousEnded(Lease),
}

/// The sweeper. What this process holds without a run is only a suspect at first, since a claim
/// that was committed a moment ago may not have been heard of yet; at the next sweep it is lost.
#[derive(Debug)]
pub(crate) struct Sweeper {
    core: Arc<Core>,
    own: Incarnation,
    suspects: HashSet<Fence>,
}

impl Sweeper {
    pub(crate) fn new(core: Arc<Core>, own: Incarnation) -> Self {
        Self {
            core,
            own,
            suspects: HashSet::new(),
        }
    }

    /// Makes every run of an earlier process lost. Called before anything is claimed or
    /// answered; the folder's lock proves that no earlier process is alive.
    pub(crate) async fn reclaim(&mut self) -> Result<u64, StoreError> {
        let mut lost = 0;
        loop {
            match self.sweep_held().await? {
                0 => return Ok(lost),
                swept => lost += swept,
            }
        }
    }

    /// Sweeps every now and then until it is stopped.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(self.core.settings.sweep_interval) => {}
                () = stop.cancelled() => return,
            }
            let swept = tokio::select! {
                swept = self.run_once() => swept,
                // What it was doing is done in pieces that are whole by themselves.
                () = stop.cancelled() => return,
            };
            if swept != Swept::default() {
                tracing::debug!(?swept, "swept");
            }
        }
    }

    /// One sweep. What fails of it keeps nothing else from being done, and is done at the next one.
    pub(crate) async fn run_once(&mut self) -> Swept {
        let lost_runs = done("runs that are lost", self.sweep_held().await);
        let core = &self.core;
        let tombstones = core.tasks.remove_tombstones().await;
        let orphans = core.cancel_orphans().await;
        let stream_documents = match core.streams.enforce_retention(core.clock.now()).await {
            // Where streams belong to a cluster, so does what goes when.
            Err(StoreError::EmbeddedOnly { .. }) => Ok(0),
            trimmed => trimmed,
        };
        let retired = core.types.retire_unused().await;
        done("versions that nothing uses", retired);
        let before = core.clock.now().minus(KEPT_AFTER_END);
        let recordings = core.recordings.forget_ended(before).await;
        Swept {
            lost_runs,
            tombstones: done("deleted tasks", tombstones),
            stream_documents: done("old documents of streams", stream_documents),
            orphans: done("children without a parent", orphans),
            recordings: done("old recordings", recordings),
        }
    }

    async fn sweep_held(&mut self) -> Result<u64, StoreError> {
        let core = Arc::clone(&self.core);
        // Read before the documents are: a stop that comes later is not forgotten, and a run that
        // is registered later is not missed among them.
        let (unclaimed, running) = (core.live.unclaimed(), core.live.running());
        let limit = BATCH + core.settings.slots + core.settings.parked;
        let held = core.tasks.held(limit).await?;
        let fences: HashSet<Fence> = held
            .iter()
            .flat_map(|task| {
                task.lease()
                    .into_iter()
                    .chain(task.previous.iter().copied())
            })
            .map(|lease| lease.fence)
            .collect();
        for fence in unclaimed
            .into_iter()
            .filter(|fence| !fences.contains(fence))
        {
            core.live.forget_unclaimed(fence);
        }
        // A claim whose answer came so late that its run was given up: nobody else stops that run.
        if held.len() < limit {
            for fence in running.into_iter().filter(|fence| !fences.contains(fence)) {
                core.live.interrupt(fence, StopReason::Fenced);
            }
        }
        let mut suspects = HashSet::new();
        let mut lost = 0;
        for task in &held {
            // Usually they have been told; telling them again changes nothing.
            if task.phase() == Phase::BeingCanceled && core.live.has(task.fence()) {
                core.stop_canceled(task);
            }
            for lease in &task.previous {
                if core.live.has(lease.fence) {
                    core.live.interrupt(lease.fence, StopReason::Fenced);
                }
            }
            for need in needs(task, |lease| core.live.has(lease.fence)) {
                let lease = need.lease();
                if lease.incarnation == self.own && !self.suspects.contains(&lease.fence) {
                    suspects.insert(lease.fence);
                    continue;
                }
                let applied = core.apply(&task.key(), need.event(&core.settings)).await?;
                core.after_end(&applied).await;
                lost += u64::from(applied.outcome == Outcome::Changed);
            }
        }
        self.suspects = suspects;
        Ok(lost)
    }
}

impl Need {
    fn lease(&self) -> Lease {
        match self {
            Self::Lost(lease) | Self::PreviousEnded(lease) => *lease,
        }
    }

    fn event(&self, settings: &Settings) -> Event {
        match *self {
            Self::Lost(Lease { fence, .. }) => Event::HostLost {
                fence,
                crashes_max: settings.crashes_max,
            },
            Self::PreviousEnded(Lease { fence, .. }) => Event::PreviousEnded { fence },
        }
    }
}

/// What a step of a sweep has done; nothing where it failed.
fn done<T: Default>(what: &str, step: Result<T, impl Display>) -> T {
    step.unwrap_or_else(|error| {
        tracing::warn!(%error, "{what} are left to the next sweep");
        T::default()
    })
}

/// What a held document needs, given which leases have a run here.
fn needs(task: &Task, is_live: impl Fn(&Lease) -> bool) -> Vec<Need> {
    let lost = task.lease().filter(|lease| !is_live(lease)).map(Need::Lost);
    let previous = task.previous.iter().filter(|lease| !is_live(lease));
    lost.into_iter()
        .chain(previous.copied().map(Need::PreviousEnded))
        .collect()
}

//! Finishes what a lost host or a failed write left behind: no document stays unfinished
//! without a run behind it.
//!
//! On a store that several hosts use, each sweeps what it holds itself and what those held who were
//! declared lost; what is nobody's own the first of the living does.

use std::collections::{HashMap, HashSet};
use std::fmt::Display;
use std::sync::Arc;

use taskhost_clients::stop::StopReason;
use taskhost_model::ids::Incarnation;
use taskhost_model::task::{Fence, Lease, Task};
use taskhost_store::error::StoreError;
use taskhost_store::event::{Event, Outcome};
use taskhost_store::hosts::HostStore;
use taskhost_store::recordings::KEPT_AFTER_END;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::core::Core;
use crate::settings::Settings;
use crate::telemetry;

/// Documents looked at in one go, beside one for each run that is at work or waits for children.
const BATCH: usize = 1_000;
/// On a store with several hosts the first of them sweeps for all each time that so many sweeps
/// of what it holds itself are done.
const TURNS: u32 = 3;

/// What one sweep did.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Swept {
    pub(crate) lost_runs: u64,
    pub(crate) run_keys: u64,
    pub(crate) tombstones: u64,
    pub(crate) stream_documents: u64,
    pub(crate) orphans: u64,
    pub(crate) recordings: u64,
    pub(crate) audit: u64,
    pub(crate) expired: u64,
    pub(crate) overdue: u64,
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
    suspects: HashMap<Fence, Instant>,
    /// Runs that no document tells of: on a store that others use it may be shown late.
    missing: HashMap<Fence, Instant>,
    /// On a store with several hosts, one of them does what is to be done for all.
    turn: u32,
}

/// What a sweep looks at.
#[derive(Debug, Default)]
struct Held {
    tasks: Vec<Task>,
    /// Nothing of this host is missing among them.
    is_whole: bool,
    /// Whose leases are over.
    lost: HashSet<Incarnation>,
}

impl Sweeper {
    pub(crate) fn new(core: Arc<Core>) -> Self {
        Self {
            core,
            suspects: HashMap::new(),
            missing: HashMap::new(),
            turn: 0,
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
                // A host was lost: what it held goes back at once.
                () = self.core.sweep.notified() => {}
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
        let is_for_all = self.is_for_all();
        let run_keys = done("keys of runs", self.core.sweep_keys(is_for_all).await);
        if !is_for_all {
            return Swept {
                lost_runs,
                run_keys,
                ..Swept::default()
            };
        }
        let core = &self.core;
        // What is kept of spaces that nobody follows any more goes.
        core.changes.followed();
        let overdue = done("tasks that wait for too long", core.end_overdue().await);
        let expired = done("tasks whose time is up", core.expire_ended().await);
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
            run_keys,
            tombstones: done("deleted tasks", tombstones),
            stream_documents: done("old documents of streams", stream_documents),
            orphans: done("children without a parent", orphans),
            recordings: done("old recordings", recordings),
            audit: done("old entries of the audit log", core.audit.trim().await),
            expired,
            overdue,
        }
    }

    /// Whether this sweep looks after what no host is nearer to than another.
    fn is_for_all(&mut self) -> bool {
        self.turn = (self.turn + 1) % TURNS;
        let core = &self.core;
        core.hosts.is_none() || (self.turn == 1 && core.peers.is_first(&core.host))
    }

    async fn sweep_held(&mut self) -> Result<u64, StoreError> {
        let core = Arc::clone(&self.core);
        // Read before the documents are: a stop that comes later is not forgotten, and a run that
        // is registered later is not missed among them.
        let (unclaimed, running) = (core.live.unclaimed(), core.live.running());
        let held = match &core.hosts {
            None => self.held_here().await?,
            Some(hosts) => self.held_by_the_lost(&**hosts).await?,
        };
        let tasks = held.tasks.iter();
        let fences: HashSet<Fence> = tasks.flat_map(leases).map(|lease| lease.fence).collect();
        let is_gone = |fence: &Fence| !fences.contains(fence);
        for fence in unclaimed.into_iter().filter(is_gone) {
            core.live.forget_unclaimed(fence);
        }
        // A claim whose answer came so late that its run was given up: nobody else stops that run.
        let now = Instant::now();
        let missing = running
            .into_iter()
            .filter(|it| held.is_whole && is_gone(it));
        let since = |fence| (fence, self.missing.get(&fence).copied().unwrap_or(now));
        self.missing = missing.map(since).collect();
        for (fence, since) in &self.missing {
            if core.hosts.is_none() || self.is_long_ago(*since) {
                core.live.interrupt(*fence, StopReason::Fenced);
            }
        }
        let mut suspects = HashMap::new();
        let mut lost = 0;
        for task in &held.tasks {
            // Usually they have been told; telling them again changes nothing.
            core.stop_if_here(task);
            for need in needs(task, |lease| core.live.has(lease.fence)) {
                let lease = need.lease();
                if !held.lost.contains(&lease.incarnation) && !self.is_over(lease, &mut suspects) {
                    continue;
                }
                let applied = core.apply(&task.key(), need.event(&core.settings)).await?;
                core.after_end(&applied).await;
                lost += u64::from(applied.outcome == Outcome::Changed);
            }
        }
        self.suspects = suspects;
        telemetry::reclaimed(lost);
        Ok(lost)
    }

    /// Whether a lease of this host that has no run here is over, and not just one whose claim this
    /// host has still to hear of.
    fn is_over(&self, lease: Lease, suspects: &mut HashMap<Fence, Instant>) -> bool {
        if !self.core.lease.is_of(lease.incarnation) {
            return false;
        }
        let since = self.suspects.get(&lease.fence).copied();
        if since.is_some_and(|since| self.core.hosts.is_none() || self.is_long_ago(since)) {
            return true;
        }
        suspects.insert(lease.fence, since.unwrap_or_else(Instant::now));
        false
    }

    /// A whole interval between sweeps ago: a sweep may come early.
    fn is_long_ago(&self, since: Instant) -> bool {
        Instant::now() >= since + self.core.settings.sweep_interval
    }

    /// Where no other process can use the store: every life but this one is over.
    async fn held_here(&self) -> Result<Held, StoreError> {
        let core = &self.core;
        let limit = BATCH + core.settings.slots + core.settings.parked;
        let tasks = core.tasks.held(limit).await?;
        let holders = tasks.iter().flat_map(leases).map(|it| it.incarnation);
        let lost = holders.filter(|it| !core.lease.is_of(*it)).collect();
        Ok(Held {
            is_whole: tasks.len() < limit,
            tasks,
            lost,
        })
    }

    /// What this host holds, and what those do that were declared lost or are gone.
    async fn held_by_the_lost(&self, hosts: &dyn HostStore) -> Result<Held, StoreError> {
        let core = &self.core;
        let own = core.lease.incarnation();
        let limit = BATCH + core.settings.slots + core.settings.parked;
        let tasks = hosts.held_by(own, limit).await?;
        let mut held = Held {
            is_whole: tasks.len() < limit,
            tasks,
            lost: HashSet::new(),
        };
        let holders = hosts.holders().await?;
        for incarnation in holders.iter().filter(|it| **it != own) {
            if core.is_over(hosts, *incarnation).await? {
                held.lost.insert(*incarnation);
                held.tasks.extend(hosts.held_by(*incarnation, BATCH).await?);
            }
        }
        for incarnation in core.peers.lost() {
            if !holders.contains(&incarnation) {
                hosts.remove(incarnation).await?;
            }
        }
        Ok(held)
    }
}

/// Under which leases somebody may be at work on a task.
fn leases(task: &Task) -> impl Iterator<Item = Lease> {
    let previous = task.previous.iter().copied();
    task.lease().into_iter().chain(previous)
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

//! The other hosts on the store, and what they are told.
//!
//! # Guarantees
//! Nothing depends on it that a host is told something: a hint that is lost costs time, and one
//! that is wrong changes nothing.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use taskhost_model::ids::{Incarnation, RunId, Space, TaskId, TaskKey, TypeId};
use taskhost_model::task::{Fence, Lease, Task};
use taskhost_store::hosts::Host;
use tokio::time::Instant;

use crate::sync::{Mutex, MutexGuard};

/// What one host tells another. It changes nothing by itself: whoever hears it looks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Hint {
    /// Tasks that may be claimed, and for which the sender has no room.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub claim: Vec<TaskName>,
    /// Runs of the hearer that are to stop.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stop: Vec<RunName>,
    /// Task types have changed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub types: bool,
    /// A host has come or gone.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub hosts: bool,
}

/// A task, in a hint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskName {
    /// Its space.
    pub space: Space,
    /// Its id.
    pub id: TaskId,
}

/// A run under a lease, in a hint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunName {
    /// Its task's space.
    pub space: Space,
    /// Its task's id.
    pub id: TaskId,
    /// The run.
    pub run: RunId,
    /// The number of its lease.
    pub lease_number: u64,
}

/// Names of each kind in one hint; what is beyond is found by looking.
pub const NAMES_MAX: usize = 256;

/// Carries hints to other hosts.
pub trait Messenger: Send + Sync + Debug {
    /// Sends a hint to the host at this address. Returns at once; nobody hears what came of it.
    fn send(&self, address: &str, hint: Hint);
}

/// The other hosts, as this one has last seen them.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    messenger: Option<Arc<dyn Messenger>>,
    known: Mutex<BTreeMap<String, Peer>>,
    /// Since when it is known of each that it is lost.
    lost: Mutex<HashMap<Incarnation, Instant>>,
}

#[derive(Debug, Clone)]
struct Peer {
    incarnation: Incarnation,
    beat: u64,
    address: Option<String>,
    /// Slots that nobody uses, as far as is known: those of its last beat, less the tasks of which
    /// it was told since.
    free: u64,
    types: Vec<TypeId>,
}

impl Hint {
    /// Takes in what another hint says, as far as there is room.
    pub fn merge(&mut self, other: Self) {
        self.claim.extend(other.claim);
        self.claim.truncate(NAMES_MAX);
        self.stop.extend(other.stop);
        self.stop.truncate(NAMES_MAX);
        self.types |= other.types;
        self.hosts |= other.hosts;
    }
}

impl TaskName {
    pub(crate) fn of(task: &Task) -> Self {
        Self {
            space: task.space.clone(),
            id: task.id.clone(),
        }
    }

    pub(crate) fn key(&self) -> TaskKey {
        TaskKey {
            space: self.space.clone(),
            id: self.id.clone(),
        }
    }
}

impl RunName {
    pub(crate) fn fence(&self) -> Fence {
        Fence {
            run: self.run,
            lease_number: self.lease_number,
        }
    }

    pub(crate) fn key(&self) -> TaskKey {
        TaskKey {
            space: self.space.clone(),
            id: self.id.clone(),
        }
    }
}

impl Peers {
    pub(crate) fn new(messenger: Option<Arc<dyn Messenger>>) -> Self {
        Self {
            messenger,
            known: Mutex::default(),
            lost: Mutex::default(),
        }
    }

    /// These are the others from now on, and those of them that are lost.
    pub(crate) fn set(&self, others: &[Host]) {
        self.set_lost(others.iter().filter(|host| host.is_lost));
        let alive = others.iter().filter(|host| !host.is_lost);
        let mut known = self.lock();
        let peers = alive.map(|host| {
            let free = host.slots.saturating_sub(host.running);
            let last = known.get(&host.host);
            let last = last.filter(|it| (it.incarnation, it.beat) == (host.incarnation, host.beat));
            let peer = Peer {
                incarnation: host.incarnation,
                beat: host.beat,
                address: host.address.clone(),
                free: last.map_or(free, |last| last.free),
                types: host.types.keys().cloned().collect(),
            };
            (host.host.clone(), peer)
        });
        *known = peers.collect();
    }

    fn set_lost<'a>(&self, hosts: impl Iterator<Item = &'a Host>) {
        let now = Instant::now();
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        let since = |life| (life, lost.get(&life).copied().unwrap_or(now));
        *lost = hosts.map(|host| since(host.incarnation)).collect();
    }

    /// Lives that are lost and not forgotten yet.
    pub(crate) fn lost(&self) -> Vec<Incarnation> {
        let lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        lost.keys().copied().collect()
    }

    /// For how long it has been known that a life is lost.
    pub(crate) fn lost_for(&self, incarnation: Incarnation) -> Option<Duration> {
        let lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        lost.get(&incarnation).map(Instant::elapsed)
    }

    /// Whether this life was among the living when they were last looked at.
    pub(crate) fn is_alive(&self, incarnation: Incarnation) -> bool {
        let known = self.lock();
        known.values().any(|peer| peer.incarnation == incarnation)
    }

    /// Whether this host is the first of all by name: what one has to do, it does.
    pub(crate) fn is_first(&self, host: &str) -> bool {
        let known = self.lock();
        known
            .keys()
            .next()
            .is_none_or(|other| host <= other.as_str())
    }

    /// A task may be claimed, and there is no room for it here.
    pub(crate) fn may_claim(&self, task: &Task) {
        let Some(messenger) = &self.messenger else {
            return;
        };
        let mut known = self.lock();
        let fits = |peer: &&mut Peer| {
            peer.free > 0 && peer.address.is_some() && peer.types.contains(&task.type_id)
        };
        let Some(peer) = known.values_mut().filter(fits).max_by_key(|peer| peer.free) else {
            return;
        };
        // So that many that come at once do not all go to the same one.
        peer.free -= 1;
        let address = peer.address.clone();
        drop(known);
        let hint = Hint {
            claim: vec![TaskName::of(task)],
            ..Hint::default()
        };
        messenger.send(&address.unwrap_or_default(), hint);
    }

    /// A run that another host may have is to stop.
    pub(crate) fn is_to_stop(&self, task: &Task, lease: Lease) {
        let Some(messenger) = &self.messenger else {
            return;
        };
        let known = self.lock();
        let owner = known
            .values()
            .find(|peer| peer.incarnation == lease.incarnation);
        let Some(address) = owner.and_then(|peer| peer.address.clone()) else {
            return;
        };
        drop(known);
        let Fence { run, lease_number } = lease.fence;
        let name = RunName {
            space: task.space.clone(),
            id: task.id.clone(),
            run,
            lease_number,
        };
        let hint = Hint {
            stop: vec![name],
            ..Hint::default()
        };
        messenger.send(&address, hint);
    }

    /// Tells everybody.
    pub(crate) fn tell_all(&self, hint: &Hint) {
        let Some(messenger) = &self.messenger else {
            return;
        };
        let known = self.lock();
        let addresses = known.values().filter_map(|peer| peer.address.clone());
        let addresses: Vec<String> = addresses.collect();
        drop(known);
        for address in addresses {
            messenger.send(&address, hint.clone());
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Peer>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

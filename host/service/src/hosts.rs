//! The hosts on one store: this one beats, watches whether the others do, and hears when it was
//! declared lost itself.
//!
//! # Guarantees
//! 1. No clock of another machine is compared: a life is declared lost when this host has seen the
//!    same beat of it for a whole lease, by its own monotonic clock.
//! 2. A host that was declared lost interrupts everything that it runs and goes on as another life
//!    (`crate::lease` says why); it claims nothing between.
//! 3. An earlier life on the same data folder is lost at once: the folder's lock proves it.
//! 4. While the store is away runs go on, and nothing is claimed once the lease has run out.
//!
//! # How it works
//! Two loops, so that neither holds up the other: `Beating` writes this host's beats, and
//! `Watching` reads everybody's, and whether task types have changed. What a lost life held the
//! sweeper gives back.

pub mod resident;
mod beating;
mod observer;
mod watching;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;
use taskhost_model::ids::{Incarnation, TypeId};
use taskhost_store::hosts::{Host, HostStore};
use tokio::time::Instant;

use crate::core::Core;
use crate::sync::Mutex;
pub(crate) use beating::Beating;
pub(crate) use watching::Watching;

/// What this host says of itself beside what changes.
#[derive(Debug, Clone)]
pub(crate) struct Card {
    pub(crate) host: String,
    pub(crate) address: Option<String>,
    pub(crate) version: String,
}

/// The hosts, for whoever wants to see them. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Hosts(pub(crate) Arc<Roster>);

/// What was seen of the hosts.
#[derive(Debug)]
pub(crate) struct Roster {
    core: Arc<Core>,
    card: Card,
    /// Each life, and when its last beat was first seen.
    seen: Mutex<Vec<(Host, Instant)>>,
}

/// One life of one host, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct HostView {
    /// The host's name.
    pub host: String,
    /// The life.
    pub incarnation: Incarnation,
    /// Whether it is the host that answers.
    pub this: bool,
    /// `alive`, or `lost`: then what it held is given to others.
    pub state: &'static str,
    /// Since this host has seen a new beat of it.
    pub heartbeat_age_ms: u64,
    /// Where others reach it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Runs at once.
    pub slots: u64,
    /// Runs at work.
    pub running: u64,
    /// It stops: its runs end, and it claims no more.
    pub draining: bool,
    /// Why it claims nothing now, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_claiming: Option<String>,
    /// Bytes that it has in memory, where its system says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// The program's version.
    pub version: String,
    /// The task types that it claims, with the active versions.
    pub task_types: BTreeMap<TypeId, String>,
}

impl Hosts {
    pub(crate) fn new(core: &Arc<Core>, card: Card) -> Self {
        Self(Arc::new(Roster {
            core: Arc::clone(core),
            card,
            seen: Mutex::default(),
        }))
    }

    /// The hosts as they were last seen, in the order of their names. This one is as it is now.
    #[must_use]
    pub fn list(&self) -> Vec<HostView> {
        let roster = &*self.0;
        let own = roster.own(0);
        let mut views = vec![view(&own, Duration::ZERO, true)];
        let seen = roster.seen.lock().unwrap_or_else(PoisonError::into_inner);
        for (host, since) in seen.iter() {
            if host.incarnation == own.incarnation {
                views[0].heartbeat_age_ms = ms(since.elapsed());
            } else {
                views.push(view(host, since.elapsed(), false));
            }
        }
        views.sort_by(|a, b| a.host.cmp(&b.host));
        views
    }

    /// The loops, where there may be other hosts.
    pub(crate) fn loops(&self, store: &Arc<dyn HostStore>) -> (Beating, Watching) {
        let beating = Beating::new(Arc::clone(&self.0), Arc::clone(store));
        let watching = Watching::new(Arc::clone(&self.0), Arc::clone(store));
        (beating, watching)
    }
}

impl Roster {
    /// This host as it is now.
    fn own(&self, beat: u64) -> Host {
        let core = &self.core;
        let types = core.types.claimable_versions();
        Host {
            host: self.card.host.clone(),
            incarnation: core.lease.incarnation(),
            beat,
            address: self.card.address.clone(),
            slots: core.settings.slots as u64,
            running: core.live.count() as u64,
            draining: core.stopping.is_cancelled(),
            not_claiming: core.not_claiming().map(str::to_owned),
            memory_bytes: resident::bytes(),
            version: self.card.version.clone(),
            types: types.into_iter().collect(),
            is_lost: false,
        }
    }

    fn note(&self, seen: Vec<(Host, Instant)>) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = seen;
    }
}

fn view(host: &Host, age: Duration, this: bool) -> HostView {
    HostView {
        host: host.host.clone(),
        incarnation: host.incarnation,
        this,
        state: if host.is_lost { "lost" } else { "alive" },
        heartbeat_age_ms: ms(age),
        address: host.address.clone(),
        slots: host.slots,
        running: host.running,
        draining: host.draining,
        not_claiming: host.not_claiming.clone(),
        memory_bytes: host.memory_bytes,
        version: host.version.clone(),
        task_types: host.types.clone(),
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

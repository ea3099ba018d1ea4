//! Reads what the hosts say of themselves: declares lost who is silent, and hears of task types
//! that another host has changed.

use std::sync::Arc;
use std::time::Duration;

use taskhost_store::error::StoreError;
use taskhost_store::hosts::{Host, HostStore, Hosts};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Roster;
use super::observer::{Observer, Own, Reading, Verdict};
use crate::peers::Hint;

/// Task types are read anew after so long in any case: whoever changed them may have been killed
/// before it could tell.
const TYPES_AGAIN_AFTER: Duration = Duration::from_secs(60);
/// A list of them may be behind for a second: after news they are read once more.
const TYPES_SETTLE_AFTER: Duration = Duration::from_secs(2);

/// An answer that takes longer is given up: on a connection that was cut it would never come.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// The loop that watches.
#[derive(Debug)]
pub(crate) struct Watching {
    roster: Arc<Roster>,
    store: Arc<dyn HostStore>,
    observer: Observer,
    types: Option<TypesRead>,
    next_verdict: Option<Instant>,
}

/// When task types were last read.
#[derive(Debug, Clone, Copy)]
struct TypesRead {
    version: u64,
    again_at: Instant,
}

/// What one look has found.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Watched {
    pub(crate) alive: usize,
    pub(crate) declared_lost: usize,
}

impl Watching {
    pub(super) fn new(roster: Arc<Roster>, store: Arc<dyn HostStore>) -> Self {
        let observer = Observer::new(roster.core.settings.hosts.lease);
        Self {
            roster,
            store,
            observer,
            types: None,
            next_verdict: None,
        }
    }

    /// Looks until it is stopped.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let core = Arc::clone(&self.roster.core);
        loop {
            let next = Instant::now() + core.settings.hosts.look_interval;
            let next = self.next_verdict.map_or(next, |verdict| verdict.min(next));
            tokio::select! {
                () = tokio::time::sleep_until(next) => {}
                () = core.look.notified() => {}
                () = core.types.changed() => self.tell_of_types().await,
                () = stop.cancelled() => return,
            }
            if let Err(error) = self.run_once().await {
                tracing::debug!(%error, "the hosts could not be looked at");
                self.next_verdict = None;
            }
        }
    }

    /// One look.
    pub(crate) async fn run_once(&mut self) -> Result<Watched, StoreError> {
        let asked_at = Instant::now();
        let mut hosts = self.list().await?;
        let roster = Arc::clone(&self.roster);
        let core = &roster.core;
        let own = Own {
            host: &roster.card.host,
            incarnation: core.lease.incarnation(),
        };
        let reading = Reading {
            lives: &hosts.lives,
            asked_at,
            answered_at: Instant::now(),
        };
        let verdicts = self.observer.look(reading, own);
        let mut watched = Watched::default();
        for verdict in verdicts {
            if self.declare_lost(verdict, &mut hosts.lives).await? {
                watched.declared_lost += 1;
            }
        }
        let others = hosts.lives.iter();
        let others = others.filter(|host| host.incarnation != own.incarnation);
        let others: Vec<Host> = others.cloned().collect();
        let alive = || others.iter().filter(|host| !host.is_lost);
        watched.alive = alive().count();
        self.next_verdict = self.observer.next_verdict(alive());
        core.peers.set(&others);
        if hosts.lives.iter().any(|host| host.is_lost) {
            core.sweep.notify_one();
        }
        let seen = hosts.lives.into_iter().map(|host| {
            let since = self.observer.since(host.incarnation);
            (host, since.unwrap_or(asked_at))
        });
        roster.note(seen.collect());
        self.read_types(hosts.types_version).await;
        Ok(watched)
    }

    async fn list(&self) -> Result<Hosts, StoreError> {
        let answer = tokio::time::timeout(ANSWER_WITHIN, self.store.list()).await;
        answer.unwrap_or_else(|_| {
            Err(StoreError::Unavailable {
                reason: "the list of hosts was not answered in time".to_owned(),
            })
        })
    }

    /// Whether it is lost now.
    async fn declare_lost(&self, verdict: Verdict, lives: &mut [Host]) -> Result<bool, StoreError> {
        let Verdict { incarnation, beat } = verdict;
        let is_lost = self.store.declare_lost(incarnation, beat).await?;
        let mut found = lives.iter_mut();
        let found = found.find(|host| host.incarnation == incarnation);
        if let Some(host) = found.filter(|_| is_lost) {
            host.is_lost = true;
            tracing::warn!(
                host = host.host, %incarnation,
                "a host is lost: what it was running goes back to the queue"
            );
        }
        Ok(is_lost)
    }

    /// Reads task types anew where somebody has changed them, or long ago.
    async fn read_types(&mut self, version: u64) {
        let now = Instant::now();
        let is_news = self.types.is_none_or(|read| read.version != version);
        if !is_news && self.types.is_none_or(|read| now < read.again_at) {
            return;
        }
        let again_after = match is_news {
            true => TYPES_SETTLE_AFTER,
            false => TYPES_AGAIN_AFTER,
        };
        let again_at = now + again_after;
        match self.roster.core.types.read_again().await {
            // The number was read before the types were.
            Ok(()) => self.types = Some(TypesRead { version, again_at }),
            Err(error) => tracing::debug!(%error, "task types could not be read anew"),
        }
    }

    /// Task types were changed here.
    async fn tell_of_types(&self) {
        if let Err(error) = self.store.types_changed().await {
            tracing::warn!(%error, "other hosts hear of changed task types later");
        }
        let hint = Hint {
            types: true,
            ..Hint::default()
        };
        self.roster.core.peers.tell_all(&hint);
    }
}

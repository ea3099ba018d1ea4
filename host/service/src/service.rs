//! Puts the service together, and takes it down.

mod loops;

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use taskhost_clients::calls::CallScript;
use taskhost_clients::http::Network;
use taskhost_clients::inference::Connectors;
use taskhost_clients::stop::StopReason;
use taskhost_clients::turns::RunTurns;
use taskhost_model::ids::{Label, Space, TypeId};
use taskhost_model::requester::{Authorization, Requester};
use taskhost_model::time::Clock;
use taskhost_runtime::Runtime;
use taskhost_store::open::{People, Stores};
use taskhost_store::tokens::TokenStore;
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;

use self::loops::{Loops, stop};
use crate::access::Access;
use crate::audit::Audit;
use crate::background::Background;
use crate::backlog::Backlog;
use crate::changes::Changes;
use crate::collections::Collections;
use crate::core::{Core, Tasks};
use crate::elsewhere::{Elsewhere, HINTS_AT_ONCE};
use crate::error::ServiceError;
use crate::features::Features;
use crate::host_key::HostKey;
use crate::hosts::{Card, Hosts};
use crate::key_ring::KeyRing;
use crate::lease::Lease;
use crate::live::Live;
use crate::peers::{Hint, Messenger, Peers};
use crate::run_keys::{RunKeys, check_ring};
use crate::schedules::Schedules;
use crate::sessions::Sessions;
use crate::settings::Settings;
use crate::spans::SpanSink;
use crate::streams::Streams;
use crate::sweeper::Sweeper;
use crate::tokens::Tokens;
use crate::types::{Rules, TaskTypes, TypeParts};
use crate::wake::Wake;

/// Time for interrupted guests to be gone and their ends to be written.
const AFTER_INTERRUPT: Duration = Duration::from_secs(2);

/// What the service is made of.
#[derive(Debug)]
pub struct Parts {
    /// Where documents live.
    pub stores: Stores,
    /// What runs components.
    pub runtime: Arc<Runtime>,
    /// Where the time comes from.
    pub clock: Clock,
    /// How it behaves.
    pub settings: Settings,
    /// This host's name, for people. On a store that other hosts use, no two have the same: it
    /// belongs to the folder whose lock this process holds.
    pub host: String,
    /// Language models.
    pub connectors: Connectors,
    /// How runs reach the outside.
    pub network: Network,
    /// What a test of a task type puts between guests and their clients.
    pub script: Option<Arc<dyn CallScript>>,
    /// Seals recordings.
    pub host_key: Arc<dyn HostKey>,
    /// Seals the keys of runs, and is the same on all hosts of a store; has to be there where the
    /// store has people of its own.
    pub key_ring: Option<KeyRing>,
    /// Where other hosts on the same store reach this one.
    pub address: Option<String>,
    /// Carries hints to them.
    pub messenger: Option<Arc<dyn Messenger>>,
    /// Takes what goes on, where somebody collects traces.
    pub spans: Option<Arc<dyn SpanSink>>,
}

/// The running service. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Service {
    /// Tasks.
    pub tasks: Tasks,
    /// Schedules.
    pub schedules: Schedules,
    /// Task types.
    pub types: TaskTypes,
    /// Streams.
    pub streams: Streams,
    /// Collections.
    pub collections: Collections,
    /// The features of streams.
    pub features: Features,
    /// The hosts on the store.
    pub hosts: Hosts,
    /// Who has changed what.
    pub audit: Audit,
    /// Tokens of people.
    pub tokens: Tokens,
    /// Sessions of people with a browser.
    pub sessions: Arc<Sessions>,
    loops: Arc<Loops>,
}

/// Whether the service does its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Health {
    /// The loop that claims runs is alive.
    pub claiming: bool,
    /// Runs at this moment.
    pub running: usize,
}

impl Service {
    /// Requeues what an earlier process was running. Nothing is claimed before [`Self::begin`].
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub async fn start(parts: Parts) -> Result<Self, ServiceError> {
        let wake = Arc::new(Wake::default());
        let runtime = Arc::clone(&parts.runtime);
        let lease = Arc::new(lease(&parts));
        let ForPeople {
            access,
            run_keys,
            tokens,
            sessions,
        } = for_people(&parts, &lease).await?;
        let bounds = parts.settings.audit;
        let audit = Audit::new(&parts.stores.audit, &access, &parts.clock, bounds);
        let types = TaskTypes::open(type_parts(&parts, &access, &audit, &wake)).await?;
        let (card, reads_at_once) = (card(&parts), parts.stores.reads_at_once());
        let core = Arc::new(Core {
            access,
            audit: audit.clone(),
            run_keys,
            host: parts.host,
            hosts: parts.stores.hosts,
            lease,
            peers: Peers::new(parts.messenger),
            look: Notify::new(),
            sweep: Notify::new(),
            hints: Arc::new(Semaphore::new(HINTS_AT_ONCE)),
            slots: Arc::new(Semaphore::new(parts.settings.slots)),
            tasks: parts.stores.tasks,
            schedules: parts.stores.schedules,
            timekeeping: Notify::new(),
            streams: parts.stores.streams,
            documents: parts.stores.documents,
            turns: RunTurns::of(reads_at_once),
            checkpoints: parts.stores.checkpoints,
            recordings: parts.stores.recordings,
            host_key: parts.host_key,
            connectors: parts.connectors,
            network: parts.network,
            script: parts.script,
            types: types.clone(),
            live: Arc::new(Live::default()),
            changes: Changes::default(),
            backlog: Backlog::default(),
            spans: parts.spans,
            begun: CancellationToken::new(),
            parked: Arc::new(Semaphore::new(parts.settings.parked)),
            repeatable: std::array::from_fn(|_| tokio::sync::Mutex::default()),
            keyed_children: tokio::sync::Mutex::new(()),
            clock: parts.clock,
            settings: parts.settings,
            wake,
            stopping: CancellationToken::new(),
        });
        let hosts = Hosts::new(&core, card);
        let together = join(&core, &hosts).await?;
        let sweeper = reclaimed(&core).await?;
        let loops = Loops::start(&core, runtime, sweeper, together);
        Ok(Self {
            tokens: Tokens::new(&core, tokens),
            sessions: Arc::new(sessions),
            tasks: Tasks(Arc::clone(&core)),
            schedules: Schedules(Arc::clone(&core)),
            types,
            streams: Streams(Arc::clone(&core)),
            collections: Collections(Arc::clone(&core)),
            features: Features(core),
            hosts,
            audit,
            loops: Arc::new(loops),
        })
    }

    /// Who comes with this. Where the store has no people of its own it is the one user.
    ///
    /// # Errors
    /// [`ServiceError::Unauthorized`] when it is missing or not accepted, or what the store says.
    pub async fn recognize(
        &self,
        authorization: Option<&Authorization>,
    ) -> Result<Requester, ServiceError> {
        self.tasks.0.access.recognize(authorization).await
    }

    /// Returns when what they came with is accepted no more: within seconds after that.
    pub async fn until_refused(&self, by: &Requester) {
        self.tasks.0.access.until_refused(by).await;
    }

    /// Whether they may see what belongs to no space: hosts, metrics.
    ///
    /// # Errors
    /// [`ServiceError::Forbidden`] when they may not, or what the store says.
    pub async fn may_know_all(&self, by: &Requester) -> Result<(), ServiceError> {
        self.tasks.0.access.caller(by).must_be_admin().await
    }

    /// Whether they may schedule and change things in a space.
    ///
    /// # Errors
    /// What the store says.
    pub async fn may_operate(&self, by: &Requester, space: &Space) -> Result<bool, ServiceError> {
        match self.tasks.0.access.caller(by).must_operate(space).await {
            Ok(()) => Ok(true),
            Err(ServiceError::Forbidden { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The language models of this host that a run of a type may ask, by name.
    #[must_use]
    pub fn connectors(&self, type_id: &TypeId) -> Vec<Label> {
        let may_ask = self.types.models(type_id);
        let mut names = self.tasks.0.connectors.names();
        names.retain(|name| may_ask.contains(name));
        names
    }

    /// Begins to claim. Called when the host can serve: a host that does not get so far, and is
    /// started again and again, must not count a crash for every task that waits.
    pub fn begin(&self) {
        self.loops.begun.cancel();
    }

    /// Stops: claims nothing more, gives runs at most `grace`, then hands back what is left.
    /// When it returns no guest is alive and every end is written.
    pub async fn drain(&self, grace: Duration) {
        let core = &self.tasks.0;
        core.stopping.cancel();
        core.live.ask_all(StopReason::Drain);
        self.stop_loops().await;
        let mut is_over = self.are_runs_over(grace).await;
        if !is_over {
            core.live.interrupt_all();
            is_over = self.are_runs_over(AFTER_INTERRUPT).await;
        }
        if !is_over {
            tracing::error!("some runs could not be handed back; the next start requeues them");
        }
        // What its runs have held; of what others hold still, they hear that it is left.
        let keys = tokio::time::timeout(AFTER_INTERRUPT, core.sweep_keys(false));
        if !matches!(keys.await, Ok(Ok(_))) {
            tracing::warn!("keys of runs are left to the next sweep, of this host or another");
        }
        // As long as runs are at work others hear that this host is alive.
        self.stop_together().await;
        stop(&self.loops.audit).await;
        if let Some(hosts) = &core.hosts {
            // What it still holds is lost at once, without a lease to wait for.
            let leave = hosts.remove(core.lease.incarnation());
            match tokio::time::timeout(AFTER_INTERRUPT, leave).await {
                Ok(Ok(())) => core.peers.tell_all(&Hint {
                    hosts: true,
                    ..Hint::default()
                }),
                Ok(Err(error)) => tracing::warn!(%error, "other hosts find this one lost later"),
                Err(_) => tracing::warn!("other hosts find this one lost later"),
            }
        }
    }

    async fn are_runs_over(&self, within: Duration) -> bool {
        let over = tokio::time::timeout(within, self.loops.runs.wait()).await;
        over.is_ok()
    }

    /// Is from now on like a host that was killed: nothing is claimed and nothing of a run is
    /// written any more. [`Self::abandon`] comes after it.
    pub fn die(&self) {
        let core = &self.tasks.0;
        core.stopping.cancel();
        core.live.ask_all(StopReason::Fenced);
        core.live.interrupt_all();
    }

    /// Stops as a host does that is killed: runs are found lost at the next start. When it returns
    /// no guest is alive.
    pub async fn abandon(&self) {
        self.die();
        self.stop_loops().await;
        self.stop_together().await;
        stop(&self.loops.audit).await;
        if !self.are_runs_over(AFTER_INTERRUPT).await {
            tracing::error!("some guests are still alive");
        }
    }

    /// Claims, fires and sweeps no more.
    async fn stop_loops(&self) {
        stop(&self.loops.scheduler).await;
        stop(&self.loops.rounds).await;
        stop(&self.loops.sweeper).await;
        self.loops.runs.close();
    }

    /// Says and hears nothing more of other hosts.
    async fn stop_together(&self) {
        let together = &self.loops.together;
        let together =
            std::mem::take(&mut *together.lock().unwrap_or_else(PoisonError::into_inner));
        for background in together {
            background.stop().await;
        }
    }

    /// Whether the service does its work.
    #[must_use]
    pub fn health(&self) -> Health {
        let scheduler = self
            .loops
            .scheduler
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        Health {
            claiming: scheduler.as_ref().is_some_and(Background::is_alive),
            running: self.tasks.0.live.count(),
        }
    }
}

/// Where other hosts may use the store: says that this one is there, looks who else is, and goes on
/// doing so. What an earlier life on this data folder held is lost from then on.
async fn join(core: &Arc<Core>, hosts: &Hosts) -> Result<Vec<Background>, ServiceError> {
    let Some(store) = &core.hosts else {
        return Ok(Vec::new());
    };
    let (mut beating, mut watching) = hosts.loops(store);
    beating.run_once().await?;
    watching.run_once().await?;
    core.peers.tell_all(&Hint {
        hosts: true,
        ..Hint::default()
    });
    let elsewhere = Elsewhere::new(core, store);
    Ok(vec![
        Background::start(|stop| beating.run(stop)),
        Background::start(|stop| watching.run(stop)),
        Background::start(|stop| elsewhere.run(stop)),
    ])
}

/// What there is of a service for the people of its store.
struct ForPeople {
    access: Arc<Access>,
    run_keys: Option<Arc<RunKeys>>,
    tokens: Option<Arc<dyn TokenStore>>,
    sessions: Sessions,
}

async fn for_people(parts: &Parts, lease: &Arc<Lease>) -> Result<ForPeople, ServiceError> {
    let people = parts.stores.people.as_ref();
    let authority = people.map(|it| Arc::clone(&it.authority));
    let access = Arc::new(Access::new(authority)?);
    let ring = checked_ring(people, parts.key_ring.as_ref()).await?;
    // Where a browser may come to another host next time, that one opens its session, too.
    let shared = ring.clone().filter(|_| parts.stores.hosts.is_some());
    let clock = &parts.clock;
    let run_keys = people.zip(ring);
    let run_keys = run_keys.map(|(people, ring)| RunKeys::new(people, ring, &access, lease, clock));
    Ok(ForPeople {
        run_keys: run_keys.map(Arc::new),
        tokens: people.and_then(|it| it.tokens.clone()),
        sessions: Sessions::new(shared, clock)?,
        access,
    })
}

fn lease(parts: &Parts) -> Lease {
    match parts.stores.hosts {
        None => Lease::of_the_only_host(),
        Some(_) => Lease::among_others(),
    }
}

fn card(parts: &Parts) -> Card {
    Card {
        host: parts.host.clone(),
        address: parts.address.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

/// What sweeps, after it has given back what an earlier process was running.
async fn reclaimed(core: &Arc<Core>) -> Result<Sweeper, ServiceError> {
    let mut sweeper = Sweeper::new(Arc::clone(core));
    let lost = sweeper.reclaim().await?;
    if lost > 0 {
        tracing::info!(lost, "runs of an earlier process go back to the queue");
    }
    Ok(sweeper)
}

/// The keys of a host on a store with people, when they are those of the other hosts.
async fn checked_ring(
    people: Option<&People>,
    ring: Option<&KeyRing>,
) -> Result<Option<KeyRing>, ServiceError> {
    let Some(people) = people else {
        return Ok(None);
    };
    // A store that nobody shares may have a key of its own, which is none of anybody's.
    let own = people.own_ring.map(|key| KeyRing::new(key, Vec::new()));
    let ring = own.or_else(|| ring.cloned()).ok_or(ServiceError::NoKey)?;
    check_ring(&*people.keys, &ring).await?;
    Ok(Some(ring))
}

fn type_parts(parts: &Parts, access: &Arc<Access>, audit: &Audit, wake: &Arc<Wake>) -> TypeParts {
    TypeParts {
        access: Arc::clone(access),
        audit: audit.clone(),
        components: Arc::clone(&parts.stores.components),
        documents: Arc::clone(&parts.stores.documents),
        tasks: Arc::clone(&parts.stores.tasks),
        runtime: Arc::clone(&parts.runtime),
        rules: Rules {
            bounds: parts.settings.bounds,
            policy: parts.settings.policy.clone(),
            runs_at_once: parts.settings.runs_at_once(),
        },
        retired_versions_kept: parts.settings.retired_versions_kept,
        clock: parts.clock.clone(),
        wake: Arc::clone(wake),
    }
}

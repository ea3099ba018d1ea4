//! Writes this host's beats, and what follows when they are refused.

use std::sync::Arc;
use std::time::Duration;

use taskhost_clients::stop::StopReason;
use taskhost_model::ids::Incarnation;
use taskhost_store::error::StoreError;
use taskhost_store::hosts::{Beat, HostStore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Roster;
use crate::telemetry;
use crate::trouble::Trouble;

/// Between two tries, while the store is away.
const BEAT_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// An answer that takes longer is given up: on a connection that was cut it would never come.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// The loop that beats.
#[derive(Debug)]
pub(crate) struct Beating {
    roster: Arc<Roster>,
    store: Arc<dyn HostStore>,
    /// The last beat that was sent, and the life that it was of.
    last: (Incarnation, u64),
    trouble: Trouble,
}

impl Beating {
    pub(super) fn new(roster: Arc<Roster>, store: Arc<dyn HostStore>) -> Self {
        let last = (roster.core.lease.incarnation(), 0);
        Self {
            roster,
            store,
            last,
            trouble: Trouble::default(),
        }
    }

    /// Beats until it is stopped.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        loop {
            let pause = match self.run_once().await {
                Ok(()) => {
                    self.trouble.is_over();
                    self.roster.core.settings.hosts.beat_interval
                }
                Err(error) => {
                    telemetry::lease_not_renewed();
                    if self.trouble.is_new() {
                        tracing::warn!(
                            %error,
                            "this host cannot tell others that it is alive: runs go on, and \
                             nothing new is claimed once its lease has run out"
                        );
                    }
                    BEAT_AGAIN_AFTER
                }
            };
            let pause = tokio::time::sleep(pause);
            if stop.run_until_cancelled(pause).await.is_none() {
                return;
            }
        }
    }

    /// One beat; of a new life the first two, since only a beat that is new to everybody renews.
    pub(crate) async fn run_once(&mut self) -> Result<(), StoreError> {
        loop {
            let core = &self.roster.core;
            let incarnation = core.lease.incarnation();
            if self.last.0 != incarnation {
                self.last = (incarnation, 0);
            }
            // A first one may be sent twice; each later one has a number of its own, so that
            // nobody has seen it before this moment.
            let beat = if self.last.1 == 0 { 1 } else { self.last.1 + 1 };
            if beat > 1 {
                self.last.1 = beat;
            }
            let asked_at = Instant::now();
            match self.beat(beat).await? {
                Beat::Written if beat == 1 => self.last.1 = 1,
                Beat::Written => {
                    let was_safe = core.lease.is_safe();
                    let lease = core.settings.hosts.lease;
                    core.lease.renew(incarnation, asked_at + lease);
                    if !was_safe {
                        core.wake.something_is_due();
                    }
                    return Ok(());
                }
                Beat::Lost => self.was_lost(incarnation),
            }
        }
    }

    async fn beat(&self, beat: u64) -> Result<Beat, StoreError> {
        let host = self.roster.own(beat);
        let answer = tokio::time::timeout(ANSWER_WITHIN, self.store.beat(&host)).await;
        answer.unwrap_or_else(|_| {
            Err(StoreError::Unavailable {
                reason: "a beat was not answered in time".to_owned(),
            })
        })
    }

    /// What it runs is somebody else's now.
    fn was_lost(&self, incarnation: Incarnation) {
        let core = &self.roster.core;
        // First another life: a claim that is answered from now on is not taken for this host's.
        let next = core.lease.begin_anew();
        let runs = core.live.interrupt_running(StopReason::Fenced);
        tracing::error!(
            %incarnation, %next, runs,
            "this host was declared lost, since others saw no sign of life of it for a whole \
             lease: it stood still, or could not reach the store. Its runs are interrupted and \
             begin anew elsewhere; it goes on as another life"
        );
    }
}

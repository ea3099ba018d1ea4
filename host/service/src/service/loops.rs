//! What goes on beside the requests, from the start to the end.

use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, PoisonError};

use taskhost_runtime::Runtime;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::background::Background;
use crate::claims::Claims;
use crate::core::Core;
use crate::scheduler::Scheduler;
use crate::schedules::Rounds;
use crate::sweeper::Sweeper;

#[derive(Debug)]
pub(super) struct Loops {
    pub(super) scheduler: Mutex<Option<Background>>,
    pub(super) sweeper: Mutex<Option<Background>>,
    /// Writes what the audit log has noted.
    pub(super) audit: Mutex<Option<Background>>,
    /// Looks which schedules are due.
    pub(super) rounds: Mutex<Option<Background>>,
    /// What it takes to live with other hosts.
    pub(super) together: Mutex<Vec<Background>>,
    pub(super) runs: TaskTracker,
    /// Canceled when claiming may begin.
    pub(super) begun: CancellationToken,
}

impl Loops {
    pub(super) fn start(
        core: &Arc<Core>,
        runtime: Arc<Runtime>,
        sweeper: Sweeper,
        together: Vec<Background>,
    ) -> Self {
        let runs = TaskTracker::new();
        let scheduler = Scheduler::new(Claims {
            core: Arc::clone(core),
            runtime,
            runs: runs.clone(),
            executor: Handle::current(),
            turn: AtomicUsize::new(0),
        });
        let begun = core.begun.clone();
        let may_claim = begun.clone();
        let claiming = |stop: CancellationToken| async move {
            tokio::select! {
                () = may_claim.cancelled() => scheduler.run(stop).await,
                () = stop.cancelled() => {}
            }
        };
        let (rounds, may_fire) = (Rounds::new(core), begun.clone());
        let firing = |stop: CancellationToken| async move {
            tokio::select! {
                () = may_fire.cancelled() => rounds.run(stop).await,
                () = stop.cancelled() => {}
            }
        };
        Self {
            scheduler: Mutex::new(Some(Background::start(claiming))),
            rounds: Mutex::new(Some(Background::start(firing))),
            sweeper: Mutex::new(Some(Background::start(|stop| sweeper.run(stop)))),
            audit: Mutex::new(Some(Background::start(|stop| core.audit.clone().run(stop)))),
            together: Mutex::new(together),
            runs,
            begun,
        }
    }
}

/// Stops one, if it goes on.
pub(super) async fn stop(running: &Mutex<Option<Background>>) {
    let taken = running
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    if let Some(background) = taken {
        background.stop().await;
    }
}

//! Decides when to look for work: claims what is due for the slots that are free.
//!
//! # Guarantees
//! 1. Nothing that is due waits while a slot is free: the loop is woken by every run that
//!    becomes claimable, by every freed slot while something is due, by every newly active type,
//!    and by time for runs that are not due yet.
//! 2. On a store that other hosts use as well, which tell of their schedules by hints at best, it
//!    looks by itself, the more seldom the longer nothing was found.
//!
//! # How it works
//! One loop, one claim at a time. A claim asks for as many runs as there are free slots, up to a
//! bound, so that under load one transaction serves many and holds up nobody for long. A task
//! that is due at once is mostly claimed within the write that accepts it, by [`Along`], and the
//! loop is for everything else.

use std::sync::Arc;
use std::time::Duration;

use taskhost_model::time::Timestamp;
use taskhost_store::error::StoreError;
use taskhost_store::queue::Reservation as _;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::claims::{Along, Claims};
use crate::core::Core;

/// The longest time that the loop sleeps: a guard against a wrong clock, not a poll.
const SLEEP_MAX: Duration = Duration::from_secs(60);
/// How long the loop waits after the store has failed.
const STORE_AWAY: Duration = Duration::from_millis(500);

/// The first pause after something was found on a store that others use; doubled with each look
/// that finds nothing.
const POLL_MIN: Duration = Duration::from_millis(100);
/// There a look that nobody asked for does not ask each time when the next run becomes due.
const DUE_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// The loop and what it needs.
#[derive(Debug)]
pub(crate) struct Scheduler {
    core: Arc<Core>,
    claims: Arc<Claims>,
    pace: Pace,
}

/// How the loop looks by itself, where others use the store.
#[derive(Debug)]
struct Pace {
    pause: Duration,
    /// When the next run becomes due, and when that was asked.
    due: Option<(Option<Timestamp>, Instant)>,
}

/// When to look again without being woken.
#[derive(Debug, Clone, Copy)]
struct Next {
    look_after: Duration,
    /// In a test of a task type time may be skipped to then.
    due_at: Option<Timestamp>,
}

impl Default for Next {
    /// A guard, not a poll.
    fn default() -> Self {
        Self {
            look_after: SLEEP_MAX,
            due_at: None,
        }
    }
}

impl Scheduler {
    pub(crate) fn new(claims: Claims) -> Self {
        Self {
            core: Arc::clone(&claims.core),
            claims: Arc::new(claims),
            pace: Pace {
                pause: POLL_MIN,
                due: None,
            },
        }
    }

    /// Claims and starts runs until it is stopped.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let along = Along(Arc::downgrade(&self.claims));
        self.core.tasks.claim_along(Arc::new(along));
        let (mut next_look, mut next_due) = (Instant::now(), None);
        let time = self.core.time();
        while !stop.is_cancelled() {
            let is_asked = self.core.wake.take_due();
            if is_asked || Instant::now() >= next_look {
                let _work = time.work();
                if is_asked {
                    self.pace.due = None;
                }
                let next = self.look(&stop).await;
                (next_look, next_due) = (Instant::now() + next.look_after, next.due_at);
            }
            tokio::select! {
                () = self.core.wake.woken() => {}
                () = tokio::time::sleep_until(next_look) => {}
                () = time.skipped_to(next_due) => next_look = Instant::now(),
                () = stop.cancelled() => {}
            }
        }
    }

    /// Claims, and again while the store is away: whoever wakes the loop meanwhile is heard
    /// afterwards. Says when to look again without being woken.
    async fn look(&mut self, stop: &CancellationToken) -> Next {
        let mut is_away = false;
        loop {
            match self.look_once().await {
                Ok(Some(next)) => {
                    if is_away {
                        tracing::info!("the store answers again");
                    }
                    return next;
                }
                // A freed slot or a new type wakes the loop; time does not help.
                Ok(None) if !is_away => return Next::default(),
                // Nothing was asked, so that nothing is known.
                Ok(None) => {}
                Err(error) if !is_away => {
                    tracing::error!(%error, "the store is away: nothing starts until it answers");
                }
                Err(error) => tracing::debug!(%error, "the store is still away"),
            }
            is_away = true;
            let pause = tokio::time::sleep(STORE_AWAY);
            if stop.run_until_cancelled(pause).await.is_none() {
                return Next::default();
            }
        }
    }

    /// Claims once and starts what was claimed; `None` where there is no room for anything.
    async fn look_once(&mut self) -> Result<Option<Next>, StoreError> {
        let Some(reserved) = self.claims.reserve(None) else {
            self.core.wake.keep_due();
            return Ok(None);
        };
        match self.core.tasks.claim(reserved.request()).await {
            Ok(claimed) => {
                self.pace.pause = match claimed.is_empty() {
                    true => (self.pace.pause * 2).min(self.core.settings.hosts.poll_max),
                    false => POLL_MIN,
                };
                reserved.start(claimed);
            }
            Err(error) => {
                reserved.give_back();
                return Err(error);
            }
        }
        let due_at = self.next_due().await?;
        let sleep = due_at.map(|at| at.since(self.core.clock.now()));
        let sleep_max = match self.core.hosts {
            None => SLEEP_MAX,
            Some(_) => self.pace.pause,
        };
        Ok(Some(Next {
            look_after: sleep.unwrap_or(sleep_max).min(sleep_max),
            due_at,
        }))
    }

    /// When the next run becomes due. Where the loop looks by itself anyway, what was answered a
    /// moment ago will do.
    async fn next_due(&mut self) -> Result<Option<Timestamp>, StoreError> {
        let now = Instant::now();
        let known = self.pace.due.filter(|_| self.core.hosts.is_some());
        if let Some((due_at, asked_at)) = known
            && now < asked_at + DUE_AGAIN_AFTER
            && due_at.is_none_or(|at| at > self.core.clock.now())
        {
            return Ok(due_at);
        }
        let due_at = self.core.tasks.next_due().await?;
        self.pace.due = Some((due_at, now));
        Ok(due_at)
    }
}

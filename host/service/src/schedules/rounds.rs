//! The loop that looks after all schedules.
//!
//! # Guarantees
//! 1. What becomes due while this host listens is decided within a moment of its time, also while
//!    the store shows other hosts' writes late.
//! 2. A schedule that keeps failing, or that takes long, holds up no other, as long as there are
//!    fewer than [`AT_ONCE`] of them.
//!
//! # How it works
//! Every now and then it asks the store what is due until it asks again, and keeps that: in between
//! it looks at its clock alone. What is due is read by its key before anything is decided.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use taskhost_model::ids::ScheduleKey;
use taskhost_model::time::Timestamp;
use taskhost_store::error::StoreError;
use taskhost_store::schedules::DuePlace;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Schedules;
use crate::core::Core;
use crate::error::ServiceError;

/// How often the store is asked: the verbs here wake the loop.
const ASKED_EVERY: Duration = Duration::from_secs(30);
/// The same where other hosts use it. Each fires what it was told; what it was not, and has to be
/// fired since that host is gone, is found a little later.
const ASKED_EVERY_TOGETHER: Duration = Duration::from_secs(10);
/// What waits for something, or has failed, is looked at again after this.
const AGAIN_AFTER: Duration = Duration::from_millis(500);
/// The clock is looked at so often at least, since somebody may set it.
const SLEEP_MAX: Duration = Duration::from_secs(5);
/// Schedules that are asked for in one go.
const PAGE: usize = 500;
/// Schedules that are looked after at once.
const AT_ONCE: usize = 32;

/// The loop, and what it knows.
#[derive(Debug)]
pub(crate) struct Rounds {
    schedules: Schedules,
    /// When to look at those that become due before the store is asked again.
    known: BTreeMap<ScheduleKey, Look>,
    /// Those that are looked after now, and what comes of it.
    working: JoinSet<Done>,
    busy: BTreeSet<ScheduleKey>,
    ask_at: Instant,
    is_away: bool,
}

/// When to look at a schedule again.
type Done = (ScheduleKey, Result<Option<Timestamp>, ServiceError>);

#[derive(Debug, Clone, Copy)]
enum Look {
    /// By the clock on the wall.
    At(Timestamp),
    /// It waits for something else.
    Again(Instant),
}

impl Rounds {
    pub(crate) fn new(core: &Arc<Core>) -> Self {
        Self {
            schedules: Schedules(Arc::clone(core)),
            known: BTreeMap::new(),
            working: JoinSet::new(),
            busy: BTreeSet::new(),
            ask_at: Instant::now(),
            is_away: false,
        }
    }

    /// Looks after schedules until it is stopped.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let core = Arc::clone(&self.schedules.0);
        loop {
            let round = self.round();
            let Some(pause) = stop.run_until_cancelled(round).await else {
                return;
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = core.timekeeping.notified() => self.ask_at = Instant::now(),
                Some(done) = self.working.join_next() => match done {
                    Ok(done) => self.learn(done),
                    // Which one has panicked is not said: all are looked after again.
                    Err(error) => {
                        tracing::error!(%error, "a schedule could not be looked after");
                        self.busy.clear();
                    }
                },
                // What is under way is done again by whoever looks next.
                () = stop.cancelled() => return,
            }
        }
    }

    /// One round; how long to wait for the next.
    async fn round(&mut self) -> Duration {
        let core = Arc::clone(&self.schedules.0);
        // What this host decides others may have to take over.
        if !core.lease.is_safe() {
            return AGAIN_AFTER;
        }
        if Instant::now() >= self.ask_at {
            match self.ask().await {
                Ok(()) => self.is_away = false,
                Err(error) => {
                    if !self.is_away {
                        tracing::error!(%error, "schedules could not be read: none fires");
                    }
                    self.is_away = true;
                    return AGAIN_AFTER;
                }
            }
        }
        self.attend_due();
        self.pause()
    }

    /// Asks the store what becomes due until it is asked again.
    async fn ask(&mut self) -> Result<(), StoreError> {
        let core = &self.schedules.0;
        let every = match core.hosts {
            None => ASKED_EVERY,
            Some(_) => ASKED_EVERY_TOGETHER,
        };
        let until = core.clock.now().plus(every + SLEEP_MAX);
        let mut after: Option<DuePlace> = None;
        loop {
            let page = core.schedules.due(until, after.as_ref(), PAGE).await?;
            for schedule in &page {
                if let Some(at) = schedule.act_at {
                    // A search may show what is over: whoever looks then, reads it by its key.
                    let known = self.known.entry(schedule.key()).or_insert(Look::At(at));
                    if let Look::At(known) = known {
                        *known = at.min(*known);
                    }
                }
            }
            // A damaged one is left out of a page that others follow.
            if page.is_empty() {
                break;
            }
            after = page.last().and_then(DuePlace::of);
        }
        self.ask_at = Instant::now() + every;
        Ok(())
    }

    fn attend_due(&mut self) {
        let (now, wall) = (Instant::now(), self.schedules.0.clock.now());
        let is_due = |look: &Look| match look {
            Look::At(at) => *at <= wall,
            Look::Again(at) => *at <= now,
        };
        let room = AT_ONCE - self.working.len();
        let due = self.known.iter().filter(|(_, look)| is_due(look));
        let due = due
            .map(|(key, _)| key)
            .filter(|key| !self.busy.contains(key));
        let due: Vec<ScheduleKey> = due.take(room).cloned().collect();
        for key in due {
            self.busy.insert(key.clone());
            let schedules = self.schedules.clone();
            self.working.spawn(async move {
                let look = schedules.attend(&key).await;
                (key, look)
            });
        }
    }

    fn learn(&mut self, (key, look): Done) {
        self.busy.remove(&key);
        let again = Look::Again(Instant::now() + AGAIN_AFTER);
        let look = match look {
            Ok(None) => {
                self.known.remove(&key);
                return;
            }
            Ok(Some(at)) if at <= self.schedules.0.clock.now() => again,
            Ok(Some(at)) => Look::At(at),
            Err(ServiceError::Stopping) => again,
            Err(error) => {
                tracing::warn!(schedule = %key.id, %error, "a schedule is tried again");
                again
            }
        };
        self.known.insert(key, look);
    }

    fn pause(&self) -> Duration {
        let (now, wall) = (Instant::now(), self.schedules.0.clock.now());
        // Whoever is looked after is heard of by itself; with no room left, that is waited for.
        let is_full = self.working.len() >= AT_ONCE;
        let waiting = self.known.iter();
        let waiting = waiting.filter(|(key, _)| !is_full && !self.busy.contains(*key));
        let waits = waiting.map(|(_, look)| match look {
            Look::At(at) => at.since(wall),
            Look::Again(at) => at.saturating_duration_since(now),
        });
        let asked = self.ask_at.saturating_duration_since(now);
        let first = waits.min().unwrap_or(SLEEP_MAX);
        let most = if self.known.is_empty() {
            asked
        } else {
            SLEEP_MAX
        };
        first.max(Duration::from_millis(1)).min(asked).min(most)
    }
}

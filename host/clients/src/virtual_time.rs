//! Waits of runs, and for tests of a task type a time that is skipped where everybody waits.
//!
//! # Guarantees
//! 1. On a serving host nothing is skipped: a wait is tokio's.
//! 2. In a test, time is skipped only while nobody is at work, and never further than to the next
//!    end of a wait. It goes by as ever otherwise, so that nothing hangs where somebody seems to be
//!    at work for ever.
//!
//! # How it works
//! A run is at work from its claim to its end, but for the calls in which it waits. What waits says
//! until when. [`Time::pass`] looks whenever one of these changes, and moves the clock on.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use taskhost_model::time::{Clock, Timestamp};
use tokio::sync::Notify;

/// Whoever has been woken, and was not at work before, gets so long to say that it is now.
const WOKEN_WITHIN: Duration = Duration::from_millis(20);
/// The same where the next end is that of a guest's own sleep, which nothing else is to end.
const SLEEPER_WOKEN_WITHIN: Duration = Duration::from_millis(2);

/// The time of runs. Clones are the same; the default is real.
#[derive(Debug, Clone, Default)]
pub struct Time(Option<Arc<Skipped>>);

#[derive(Debug)]
struct Skipped {
    clock: Clock,
    state: Mutex<State>,
    /// Somebody begins or ends work, or a wait.
    changed: Notify,
    /// The clock was moved on.
    moved: Notify,
}

#[derive(Debug, Default)]
struct State {
    at_work: i64,
    waits: BTreeSet<Wait>,
    /// Of every change.
    number: u64,
    skipped: Duration,
    /// The last wait that time was skipped to was nobody's own sleep: more may follow from its end.
    has_woken_another: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Wait {
    until: Timestamp,
    is_sleep: bool,
    number: u64,
}

/// Somebody is at work until this is dropped.
#[derive(Debug)]
#[must_use]
pub struct Work(Option<Arc<Skipped>>);

/// Somebody who is at work waits until this is dropped.
#[derive(Debug)]
#[must_use]
pub struct Rest(Option<Arc<Skipped>>);

/// A wait in the list, until it is dropped.
struct Listed<'a>(&'a Skipped, Wait);

impl Time {
    /// A time that is skipped; whoever makes it lets it [`Self::pass`].
    #[must_use]
    pub fn skipped() -> Self {
        Self(Some(Arc::new(Skipped {
            clock: Clock::moved_on(),
            state: Mutex::default(),
            changed: Notify::new(),
            moved: Notify::new(),
        })))
    }

    /// What shows it.
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.0.as_ref().map_or(Clock::System, |it| it.clock.clone())
    }

    /// How much was skipped.
    #[must_use]
    pub fn skipped_so_far(&self) -> Duration {
        let skipped = self.0.as_ref().map(|it| it.lock().skipped);
        skipped.unwrap_or_default()
    }

    /// Whether it is skipped.
    #[must_use]
    pub fn is_skipped(&self) -> bool {
        self.0.is_some()
    }

    /// Somebody is at work.
    pub fn work(&self) -> Work {
        if let Some(it) = &self.0 {
            it.change(|state| state.at_work += 1);
        }
        Work(self.0.clone())
    }

    /// Somebody who is at work waits: of a run, one call at a time.
    pub fn rest(&self) -> Rest {
        if let Some(it) = &self.0 {
            it.change(|state| state.at_work -= 1);
        }
        Rest(self.0.clone())
    }

    /// When something is over that takes so long from now.
    #[must_use]
    pub fn until(&self, duration: Duration) -> Timestamp {
        // At least so long: the clock has whole milliseconds, and shows the last one.
        let whole = Duration::from_millis(1);
        let rounded = duration.saturating_add(whole - Duration::from_nanos(1));
        self.clock().now().plus(whole).plus(rounded)
    }

    /// A guest's own sleep: nothing but time ends it.
    pub async fn rest_for(&self, duration: Duration) {
        match &self.0 {
            Some(it) => it.wait(self.until(duration), true).await,
            None => tokio::time::sleep(duration).await,
        }
    }

    /// The same until a time that [`Self::until`] has told.
    pub async fn sleep_until(&self, until: Timestamp) {
        match &self.0 {
            Some(it) => it.wait(until, true).await,
            None => tokio::time::sleep(until.since(self.clock().now())).await,
        }
    }

    /// Any other wait.
    pub async fn wait(&self, duration: Duration) {
        match &self.0 {
            Some(it) => it.wait(self.until(duration), false).await,
            None => tokio::time::sleep(duration).await,
        }
    }

    /// Returns when the clock of a test has come so far; never on a serving host, where whoever
    /// asks waits for it as well.
    pub async fn skipped_to(&self, at: Option<Timestamp>) {
        match (&self.0, at) {
            (Some(it), Some(at)) => it.wait(at, false).await,
            _ => std::future::pending().await,
        }
    }

    /// Skips what nobody works in. Never returns.
    pub async fn pass(&self) {
        let Some(it) = &self.0 else {
            return std::future::pending().await;
        };
        loop {
            let mut changed = std::pin::pin!(it.changed.notified());
            changed.as_mut().enable();
            let Some((seen, next)) = it.idle() else {
                changed.await;
                continue;
            };
            let settles = if next.is_sleep && !it.lock().has_woken_another {
                SLEEPER_WOKEN_WITHIN
            } else {
                WOKEN_WITHIN
            };
            // Whatever changes meanwhile is looked at anew.
            tokio::select! {
                () = changed => {}
                () = tokio::time::sleep(settles) => it.skip_to(seen, next),
            }
        }
    }
}

impl Skipped {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        state.number += 1;
        let changed = change(&mut state);
        drop(state);
        self.changed.notify_waiters();
        changed
    }

    async fn wait(&self, until: Timestamp, is_sleep: bool) {
        let wait = self.change(|state| {
            let number = state.number;
            let wait = Wait {
                until,
                is_sleep,
                number,
            };
            state.waits.insert(wait);
            wait
        });
        let _listed = Listed(self, wait);
        loop {
            let mut moved = std::pin::pin!(self.moved.notified());
            moved.as_mut().enable();
            let left = until.since(self.clock.now());
            if left.is_zero() {
                return;
            }
            tokio::select! {
                () = moved => {}
                () = tokio::time::sleep(left) => {}
            }
        }
    }

    /// The number of the last change and the wait that ends next, when nobody is at work. Where one
    /// has ended already somebody is about to be.
    fn idle(&self) -> Option<(u64, Wait)> {
        let state = self.lock();
        let next = *state.waits.first()?;
        let is_idle = state.at_work <= 0 && next.until > self.clock.now();
        is_idle.then_some((state.number, next))
    }

    /// Moves the clock, unless something has changed since.
    fn skip_to(&self, seen: u64, next: Wait) {
        let mut state = self.lock();
        if state.number != seen {
            return;
        }
        let skipped = next.until.since(self.clock.now());
        state.has_woken_another = !next.is_sleep;
        self.clock.advance(skipped);
        state.skipped += skipped;
        state.number += 1;
        drop(state);
        self.moved.notify_waiters();
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if let Some(it) = &self.0 {
            it.change(|state| state.at_work -= 1);
        }
    }
}

impl Drop for Rest {
    fn drop(&mut self) {
        if let Some(it) = &self.0 {
            it.change(|state| state.at_work += 1);
        }
    }
}

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        self.0.change(|state| state.waits.remove(&self.1));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    /// Does it while time passes; how long it took really.
    async fn passing(time: &Time, work: impl Future<Output = ()>) -> Duration {
        let began = Instant::now();
        tokio::select! {
            () = time.pass() => {}
            () = work => {}
        }
        began.elapsed()
    }

    #[tokio::test]
    async fn a_sleep_takes_no_time_and_moves_the_clock() {
        let time = Time::skipped();
        let before = time.clock().now();
        let took = passing(&time, async {
            let _work = time.work();
            let _rest = time.rest();
            time.rest_for(HOUR).await;
        });
        assert!(took.await < Duration::from_secs(60));
        assert!(time.clock().now().since(before) >= HOUR);
        assert!(time.skipped_so_far() > HOUR / 2);
    }

    #[tokio::test]
    async fn the_shorter_of_two_waits_ends_first_and_they_are_not_added() {
        let time = Time::skipped();
        let before = time.clock().now();
        passing(&time, async {
            let long = time.rest_for(HOUR);
            let short = async {
                time.wait(HOUR / 2).await;
                assert!(time.clock().now().since(before) < HOUR);
            };
            tokio::join!(long, short);
        })
        .await;
        assert!(time.clock().now().since(before) < HOUR + HOUR / 2);
    }

    #[tokio::test]
    async fn nothing_is_skipped_while_somebody_is_at_work() {
        let time = Time::skipped();
        let work = time.work();
        let at_work = async {
            let long = tokio::time::timeout(WOKEN_WITHIN * 3, time.rest_for(HOUR));
            assert!(long.await.is_err(), "somebody is at work");
        };
        passing(&time, at_work).await;
        assert_eq!(time.skipped_so_far(), Duration::ZERO);
        drop(work);
        passing(&time, time.rest_for(HOUR)).await;
        assert!(time.skipped_so_far() > Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn real_time_is_not_skipped() {
        let time = Time::default();
        let began = tokio::time::Instant::now();
        time.rest_for(HOUR).await;
        assert_eq!(began.elapsed().as_secs(), HOUR.as_secs());
        assert!(!time.is_skipped() && matches!(time.clock(), Clock::System));
    }
}

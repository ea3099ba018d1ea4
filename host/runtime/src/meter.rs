//! What a run uses: the guest's own computing, its waiting in the host, its memory.
//!
//! Computing is what the polls of the guest take by the clock of the thread that polls, without
//! the host functions in between. So a guest pays for nothing that others do.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use taskhost_model::task::Usage;

/// A guest's turn lasts from one tick to the next. One that was begun between ticks, or that the
/// kernel has kept from computing, goes on: to begin another guest instead takes a slot more.
const TURN_NS: u64 = 250_000;
/// A guest that computes for so long without an epoch check is within one instruction that takes
/// long: it has kept others from the thread.
const HELD_NS: u64 = 4_000_000;
/// For so long it is only likely to be: where others want the cores as well, a tenth of what any
/// guest computes is in stretches of 2 to 4 ms (measured), since ticks are late.
const LONG_NS: u64 = 2_000_000;
/// What it may keep others from it in all, in the one way or the other: what passes between guest
/// and host in one call (24 MiB at most) takes a tenth of it.
const HELD_IN_ALL_NS: u64 = 100_000_000;

/// What a short task computes at most.
const SHORT_NS: u64 = 20_000_000;

/// Shared by the run, its host functions and its epoch checks; all on one thread at a time.
#[derive(Debug)]
pub(crate) struct Meter {
    cpu_limit_ns: u64,
    cpu_ns: AtomicU64,
    /// `cpu_ns` when the guest's turn began.
    turn_ns: AtomicU64,
    /// The thread's CPU time at which the guest's current stretch began.
    since_ns: AtomicU64,
    in_host: AtomicBool,
    held_ns: AtomicU64,
    /// What long stretches have taken more than short ones, since they last did.
    long_ns: AtomicU64,
    host_wait_ns: AtomicU64,
    memory_peak_bytes: AtomicU64,
}

impl Meter {
    /// `before`: what counts already, of an attempt that begins again.
    pub(crate) fn new(cpu_limit: Duration, before: Usage) -> Self {
        let ns = |ms: u64| AtomicU64::new(ms.saturating_mul(1_000_000));
        Self {
            cpu_limit_ns: u64::try_from(cpu_limit.as_nanos()).unwrap_or(u64::MAX),
            cpu_ns: ns(before.cpu_ms),
            turn_ns: ns(before.cpu_ms),
            since_ns: AtomicU64::new(0),
            in_host: AtomicBool::new(false),
            held_ns: AtomicU64::new(0),
            long_ns: AtomicU64::new(0),
            host_wait_ns: ns(before.host_wait_ms),
            memory_peak_bytes: AtomicU64::new(before.peak_memory_bytes),
        }
    }

    /// Runs a host function that may take long: what it computes is not the guest's.
    pub(crate) async fn in_host<T>(&self, work: impl Future<Output = T>) -> T {
        self.pause();
        self.in_host.store(true, Ordering::Relaxed);
        let _visit = HostVisit {
            meter: self,
            entered: Instant::now(),
        };
        work.await
    }

    /// Whether the guest has computed longer than it may. Called while it computes.
    pub(crate) fn is_over(&self) -> bool {
        self.pause();
        self.resume();
        self.cpu_ns.load(Ordering::Relaxed) > self.cpu_limit_ns
    }

    /// Whether the guest has computed enough to let another one go first; its next turn begins
    /// then. Called after [`Self::is_over`].
    pub(crate) fn ends_turn(&self) -> bool {
        let now_ns = self.cpu_ns.load(Ordering::Relaxed);
        let is_over = now_ns - self.turn_ns.load(Ordering::Relaxed) >= TURN_NS;
        if is_over {
            self.turn_ns.store(now_ns, Ordering::Relaxed);
        }
        is_over
    }

    /// Whether the guest has computed for longer than a short task does.
    pub(crate) fn is_long(&self) -> bool {
        self.cpu_ns.load(Ordering::Relaxed) > SHORT_NS
    }

    /// Whether the guest has kept others from its thread, where no epoch check could help.
    pub(crate) fn has_held_thread(&self) -> bool {
        let is_over = |ns: &AtomicU64| ns.load(Ordering::Relaxed) > HELD_IN_ALL_NS;
        is_over(&self.held_ns) || is_over(&self.long_ns)
    }

    pub(crate) fn note_memory(&self, bytes: u64) {
        self.memory_peak_bytes.fetch_max(bytes, Ordering::Relaxed);
    }

    /// What was used; of what only the clients know, what they say.
    pub(crate) fn usage(&self, clients: Usage) -> Usage {
        Usage {
            cpu_ms: self.cpu_ns.load(Ordering::Relaxed).div_ceil(1_000_000),
            host_wait_ms: self.host_wait_ns.load(Ordering::Relaxed) / 1_000_000,
            peak_memory_bytes: self.memory_peak_bytes.load(Ordering::Relaxed),
            ..clients
        }
    }

    fn pause(&self) {
        let spent = thread_cpu_ns().saturating_sub(self.since_ns.load(Ordering::Relaxed));
        self.cpu_ns.fetch_add(spent, Ordering::Relaxed);
        if spent > HELD_NS {
            self.held_ns.fetch_add(spent, Ordering::Relaxed);
        }
        let long_ns = self.long_ns.load(Ordering::Relaxed);
        let long_ns = if spent > LONG_NS {
            long_ns.saturating_add(spent)
        } else {
            long_ns.saturating_sub(spent)
        };
        self.long_ns.store(long_ns, Ordering::Relaxed);
    }

    fn resume(&self) {
        self.since_ns.store(thread_cpu_ns(), Ordering::Relaxed);
    }
}

/// A guest's time in a host function. It is over when it is dropped: also where the run is ended
/// meanwhile.
struct HostVisit<'a> {
    meter: &'a Meter,
    entered: Instant,
}

impl Drop for HostVisit<'_> {
    fn drop(&mut self) {
        let waited_ns = u64::try_from(self.entered.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.meter
            .host_wait_ns
            .fetch_add(waited_ns, Ordering::Relaxed);
        self.meter.in_host.store(false, Ordering::Relaxed);
        self.meter.resume();
    }
}

/// A guest's future, each poll of it metered.
#[derive(Debug)]
pub(crate) struct Metered<'a, F> {
    meter: &'a Meter,
    guest: Pin<Box<F>>,
}

impl<'a, F: Future> Metered<'a, F> {
    pub(crate) fn new(meter: &'a Meter, guest: F) -> Self {
        Self {
            meter,
            guest: Box::pin(guest),
        }
    }
}

impl<F: Future> Future for Metered<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        // The guest may enter or leave a host function within a poll.
        if !self.meter.in_host.load(Ordering::Relaxed) {
            self.meter.resume();
        }
        let polled = self.guest.as_mut().poll(cx);
        if !self.meter.in_host.load(Ordering::Relaxed) {
            self.meter.pause();
        }
        polled
    }
}

fn thread_cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds
        .saturating_mul(1_000_000_000)
        .saturating_add(u64::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(cpu_limit: Duration) -> Meter {
        Meter::new(cpu_limit, Usage::default())
    }

    fn compute(duration: Duration) {
        let until = thread_cpu_ns() + u64::try_from(duration.as_nanos()).unwrap();
        while thread_cpu_ns() < until {
            std::hint::spin_loop();
        }
    }

    #[test]
    fn a_turn_lasts_until_enough_is_computed() {
        let meter = new(Duration::from_secs(1));
        meter.resume();
        assert!(!meter.is_over() && !meter.ends_turn());
        compute(Duration::from_nanos(TURN_NS));
        assert!(!meter.is_over() && meter.ends_turn());
        assert!(!meter.ends_turn(), "the next turn has begun");
    }

    #[test]
    fn an_attempt_that_begins_again_has_what_is_left() {
        let before = Usage {
            cpu_ms: 990,
            host_wait_ms: 7,
            peak_memory_bytes: 100,
            ..Usage::default()
        };
        let meter = Meter::new(Duration::from_secs(1), before);
        meter.note_memory(50);
        assert_eq!(meter.usage(Usage::default()), before);
        meter.resume();
        assert!(!meter.is_over() && !meter.ends_turn());
        compute(Duration::from_millis(11));
        assert!(meter.is_over() && meter.ends_turn());
        assert!(meter.usage(Usage::default()).cpu_ms > 1_000);
    }

    #[test]
    fn who_computes_for_long_in_short_turns_is_long_and_holds_no_thread() {
        let meter = new(Duration::from_secs(1));
        for _ in 0..40 {
            meter.resume();
            compute(Duration::from_millis(1));
            assert!(!meter.is_over());
        }
        assert!(meter.is_long() && !meter.has_held_thread());
        let short = new(Duration::from_secs(1));
        short.resume();
        compute(Duration::from_millis(5));
        assert!(!short.is_over() && !short.is_long());
    }

    #[test]
    fn who_holds_the_thread_again_and_again_is_known_for_it() {
        let meter = new(Duration::from_secs(10));
        for _ in 0..200 {
            meter.resume();
            compute(Duration::from_millis(1));
            assert!(!meter.is_over());
        }
        assert!(!meter.has_held_thread(), "it took its turns");
        while !meter.has_held_thread() {
            meter.resume();
            compute(Duration::from_millis(10));
            assert!(!meter.is_over());
        }
        assert!(meter.usage(Usage::default()).cpu_ms >= 300);
    }

    #[test]
    fn who_takes_long_turns_all_the_time_is_known_for_it_as_well() {
        let meter = new(Duration::from_secs(10));
        let stretch = |ms| {
            meter.resume();
            compute(Duration::from_millis(ms));
            assert!(!meter.is_over());
        };
        for _ in 0..60 {
            for ms in [3, 1, 1, 1, 1] {
                stretch(ms);
            }
        }
        assert!(!meter.has_held_thread(), "ticks were late now and then");
        while !meter.has_held_thread() {
            stretch(3);
        }
        assert!(meter.held_ns.load(Ordering::Relaxed) < HELD_IN_ALL_NS);
    }

    #[tokio::test]
    async fn the_host_is_not_counted() {
        let meter = new(Duration::from_millis(20));
        let guest = async {
            compute(Duration::from_millis(5));
            meter
                .in_host(async {
                    compute(Duration::from_millis(50));
                    tokio::task::yield_now().await;
                    compute(Duration::from_millis(50));
                })
                .await;
            tokio::task::yield_now().await;
            compute(Duration::from_millis(5));
            meter.is_over()
        };
        assert!(!Metered::new(&meter, guest).await);
        let usage = meter.usage(Usage::default());
        assert!((10..20).contains(&usage.cpu_ms), "{usage:?}");
        assert!(usage.host_wait_ms >= 100, "{usage:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_that_is_broken_off_is_counted() {
        let meter = new(Duration::from_millis(20));
        let waiting = Metered::new(&meter, meter.in_host(std::future::pending::<()>()));
        let since = Instant::now();
        tokio::time::timeout(Duration::from_secs(1), waiting)
            .await
            .unwrap_err();
        let waited_ms = meter.host_wait_ns.load(Ordering::Relaxed) / 1_000_000;
        assert!(waited_ms <= since.elapsed().as_millis().try_into().unwrap());
        assert!(meter.host_wait_ns.load(Ordering::Relaxed) > 0);
    }

    #[tokio::test]
    async fn what_others_do_between_polls_is_not_counted() {
        let meter = new(Duration::from_millis(20));
        let guest = Metered::new(&meter, async {
            tokio::task::yield_now().await;
            compute(Duration::from_millis(25));
            meter.is_over()
        });
        let other = async { compute(Duration::from_millis(40)) };
        let (is_over, ()) = tokio::join!(guest, other);
        assert!(is_over);
        assert!((25..40).contains(&meter.usage(Usage::default()).cpu_ms));
    }
}

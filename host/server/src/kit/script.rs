//! What a test of a task type does to the guest's calls: lets them fail, cancels the task, kills
//! the host.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use taskhost_clients::calls::CallScript;
use taskhost_clients::error::{ClientError, ErrorCode};
use taskhost_model::ids::TypeId;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// A call waits at most so long until the cancel that it has set off is stored, or the host is dead
/// that it has killed.
const DEED_TAKES_MAX: Duration = Duration::from_secs(10);

/// What is to happen. Calls are counted over the whole test, from 1.
#[derive(Debug, Clone, Default)]
pub(crate) struct Plan {
    /// Calls that fail as if the store were away for a moment: which one of its name.
    pub(crate) fail: Vec<(String, u64)>,
    /// The call at which somebody cancels the task.
    pub(crate) cancel_at: Option<u64>,
    /// The calls at which the host is killed.
    pub(crate) kill_at: Vec<u64>,
    /// Sleeps take the time that they say.
    pub(crate) real_time: bool,
    /// Types whose runs are none of the author's: nothing happens to them, and nobody counts.
    pub(crate) stand_ins: Vec<TypeId>,
}

/// What whoever runs the test has to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deed {
    /// Cancel the task, then call [`Script::go_on`].
    Cancel,
    /// Kill the host, call [`Script::is_dead`], start it again, then call [`Script::go_on`].
    Kill,
}

/// Follows a plan, and counts.
#[derive(Debug)]
pub(crate) struct Script {
    plan: Plan,
    deeds: UnboundedSender<Deed>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    total: u64,
    by_name: BTreeMap<&'static str, u64>,
    slept_ms: u64,
    canceling: bool,
    /// Nothing that the guest does counts any more.
    killed: bool,
    /// Nor does the host write any of it.
    dead: bool,
}

impl Script {
    pub(crate) fn new(plan: Plan) -> (Self, UnboundedReceiver<Deed>) {
        let (deeds, told) = unbounded_channel();
        let script = Self {
            plan,
            deeds,
            state: Mutex::default(),
            changed: Condvar::new(),
        };
        (script, told)
    }

    /// The deed is done.
    pub(crate) fn go_on(&self) {
        let mut state = self.lock();
        state.canceling = false;
        state.killed = false;
        state.dead = false;
        drop(state);
        self.changed.notify_all();
    }

    /// The host writes nothing any more.
    pub(crate) fn is_dead(&self) {
        self.lock().dead = true;
        self.changed.notify_all();
    }

    /// How often each call was made.
    pub(crate) fn calls(&self) -> Vec<(&'static str, u64)> {
        let state = self.lock();
        state.by_name.iter().map(|(name, n)| (*name, *n)).collect()
    }

    /// What the task slept, in milliseconds, and did not take.
    pub(crate) fn slept_ms(&self) -> u64 {
        self.lock().slept_ms
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CallScript for Script {
    fn follows(&self, type_id: &TypeId) -> bool {
        !self.plan.stand_ins.contains(type_id)
    }

    fn before(&self, call: &'static str) -> Result<(), ClientError> {
        let mut state = self.lock();
        if state.killed {
            return Err(killed());
        }
        state.total += 1;
        let total = state.total;
        let of_name = state.by_name.entry(call).or_default();
        *of_name += 1;
        let nth = *of_name;
        if self.plan.kill_at.contains(&total) {
            state.killed = true;
            // Nobody listens only when the test is over.
            let _ = self.deeds.send(Deed::Kill);
            // A guest that was answered before could still bring its task to an end.
            let wait = self
                .changed
                .wait_timeout_while(state, DEED_TAKES_MAX, |state| state.killed && !state.dead);
            drop(wait);
            return Err(killed());
        }
        if self.plan.cancel_at == Some(total) {
            state.canceling = true;
            let _ = self.deeds.send(Deed::Cancel);
            let wait = self
                .changed
                .wait_timeout_while(state, DEED_TAKES_MAX, |state| state.canceling);
            drop(wait);
        }
        let fails = |(name, which): &(String, u64)| name == call && *which == nth;
        if self.plan.fail.iter().any(fails) {
            return Err(ClientError {
                retryable: true,
                ..ClientError::new(
                    ErrorCode::Unavailable,
                    format!("this test lets call {nth} of {call} fail"),
                )
            });
        }
        Ok(())
    }

    fn sleep_ms(&self, ms: u64) -> u64 {
        if self.plan.real_time {
            return ms;
        }
        let mut state = self.lock();
        state.slept_ms = state.slept_ms.saturating_add(ms);
        0
    }
}

fn killed() -> ClientError {
    ClientError::new(ErrorCode::Canceled, "this test has killed the host")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_fail_by_name_and_number() {
        let (script, _told) = Script::new(Plan {
            fail: vec![("streams.sample".to_owned(), 2)],
            ..Plan::default()
        });
        assert!(script.before("streams.sample").is_ok());
        assert!(script.before("progress.report").is_ok());
        let error = script.before("streams.sample").unwrap_err();
        assert!(error.retryable, "{error}");
        assert!(script.before("streams.sample").is_ok());
        assert_eq!(
            script.calls(),
            [("progress.report", 1), ("streams.sample", 3)]
        );
    }

    #[test]
    fn after_a_kill_nothing_counts_until_the_host_is_back() {
        let (script, mut told) = Script::new(Plan {
            kill_at: vec![2],
            ..Plan::default()
        });
        assert!(script.before("state.load").is_ok());
        std::thread::scope(|scope| {
            let deadly = scope.spawn(|| script.before("state.save"));
            assert_eq!(told.blocking_recv(), Some(Deed::Kill));
            assert!(!deadly.is_finished(), "the host is still alive");
            script.is_dead();
            assert!(deadly.join().unwrap().is_err());
        });
        assert!(script.before("state.save").is_err());
        script.go_on();
        assert!(script.before("state.load").is_ok());
        assert_eq!(script.calls(), [("state.load", 2), ("state.save", 1)]);
    }

    #[test]
    fn sleeps_take_no_time_unless_wished() {
        let (script, _told) = Script::new(Plan::default());
        assert_eq!((script.sleep_ms(70), script.slept_ms()), (0, 70));
        let plan = Plan {
            real_time: true,
            ..Plan::default()
        };
        assert_eq!(Script::new(plan).0.sleep_ms(70), 70);
    }
}

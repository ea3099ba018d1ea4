//! What a test of a task type does to the guest's calls: lets them fail, cancels the task, kills
//! the host.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use taskhost_clients::calls::CallScript;
use taskhost_clients::error::{ClientError, ErrorCode};
use taskhost_clients::virtual_time::Time;
use taskhost_model::ids::TypeId;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::stand_in;

/// A call waits at most so long until the cancel that it has set off is stored, or the host is dead
/// that it has killed.
const DEED_TAKES_MAX: Duration = Duration::from_secs(10);
/// The most calls that are told one by one.
const TRACED_MAX: usize = 10_000;

/// What is to happen. Calls are counted over the whole test, from 1.
#[derive(Debug, Clone, Default)]
pub(crate) struct Plan {
    /// Calls that fail as if the store were away for a moment: which one of its name.
    pub(crate) fail: Vec<(String, u64)>,
    /// The call at which somebody cancels the task.
    pub(crate) cancel_at: Option<u64>,
    /// The calls at which the host is killed.
    pub(crate) kill_at: Vec<u64>,
    /// Waits take the time that they say.
    pub(crate) real_time: bool,
    /// Types whose runs are none of the author's: nothing happens to them, and nobody counts.
    pub(crate) stand_ins: Vec<TypeId>,
    /// The tested type; a stand-in for it has another name.
    pub(crate) tested: Option<TypeId>,
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
    time: Time,
    deeds: UnboundedSender<Deed>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    total: u64,
    by_name: BTreeMap<&'static str, u64>,
    /// In their order, the first of them.
    trace: Vec<Call>,
    /// Which of `fail` have failed.
    failed: BTreeSet<usize>,
    has_canceled: bool,
    killed_at: BTreeSet<u64>,
    canceling: bool,
    /// Nothing that the guest does counts any more.
    killed: bool,
    /// Nor does the host write any of it.
    dead: bool,
}

/// One call of the test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Call {
    /// From 1, over the whole test.
    pub(crate) number: u64,
    pub(crate) name: &'static str,
    /// In words; none where the guest never had one.
    pub(crate) answer: Option<String>,
}

impl Script {
    pub(crate) fn new(plan: Plan) -> (Self, UnboundedReceiver<Deed>) {
        let (deeds, told) = unbounded_channel();
        let time = if plan.real_time {
            Time::default()
        } else {
            Time::skipped()
        };
        let script = Self {
            plan,
            time,
            deeds,
            state: Mutex::default(),
            changed: Condvar::new(),
        };
        (script, told)
    }

    /// The tested type.
    pub(crate) fn tested(&self) -> Option<&TypeId> {
        self.plan.tested.as_ref()
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

    /// The calls one by one, up to a bound.
    pub(crate) fn trace(&self) -> Vec<Call> {
        self.lock().trace.clone()
    }

    /// What was waited for, in milliseconds, and did not take.
    pub(crate) fn skipped_ms(&self) -> u64 {
        u64::try_from(self.time.skipped_so_far().as_millis()).unwrap_or(u64::MAX)
    }

    /// What of the plan has not happened, each in a sentence.
    pub(crate) fn not_done(&self) -> Vec<String> {
        let state = self.lock();
        let had = |count: u64| match count {
            1 => "1 call".to_owned(),
            count => format!("{count} calls"),
        };
        let total = state.total;
        let at = |number: u64, deed: &str| {
            if total < number {
                let had = had(total);
                format!("call {number} was never reached: the test had {had}, and nobody {deed}")
            } else {
                format!("nobody {deed} at call {number}: the test killed the host there")
            }
        };
        let fails = self.plan.fail.iter().enumerate();
        let fails = fails.filter(|(index, _)| !state.failed.contains(index));
        let mut told: Vec<String> = fails
            .map(|(_, (name, which))| {
                let count = state.by_name.get(name.as_str()).copied().unwrap_or(0);
                if count < *which {
                    let had = had(count);
                    format!(
                        "call {which} of {name} was never reached, and did not fail: the test had \
                         {had} of it"
                    )
                } else {
                    format!("call {which} of {name} did not fail: the test killed the host there")
                }
            })
            .collect();
        let cancel = self.plan.cancel_at.filter(|_| !state.has_canceled);
        told.extend(cancel.map(|number| at(number, "canceled the task")));
        let kills = self.plan.kill_at.iter();
        let kills = kills.filter(|number| !state.killed_at.contains(number));
        told.extend(kills.map(|number| at(*number, "killed the host")));
        told
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CallScript for Script {
    fn follows(&self, type_id: &TypeId) -> bool {
        !self.plan.stand_ins.contains(type_id)
    }

    fn child_type(&self, wanted: TypeId) -> TypeId {
        let id = stand_in::id_of(&wanted, self.plan.tested.as_ref());
        if self.plan.stand_ins.contains(&id) {
            id
        } else {
            wanted
        }
    }

    fn time(&self) -> Time {
        self.time.clone()
    }

    fn before(&self, call: &'static str) -> (u64, Result<(), ClientError>) {
        let mut state = self.lock();
        if state.killed {
            return (0, Err(killed()));
        }
        state.total += 1;
        let total = state.total;
        let of_name = state.by_name.entry(call).or_default();
        *of_name += 1;
        let nth = *of_name;
        if state.trace.len() < TRACED_MAX {
            state.trace.push(Call {
                number: total,
                name: call,
                answer: None,
            });
        }
        if self.plan.kill_at.contains(&total) {
            state.killed = true;
            state.killed_at.insert(total);
            // Nobody listens only when the test is over.
            let _ = self.deeds.send(Deed::Kill);
            // A guest that was answered before could still bring its task to an end.
            let wait = self
                .changed
                .wait_timeout_while(state, DEED_TAKES_MAX, |state| state.killed && !state.dead);
            drop(wait);
            return (total, Err(killed()));
        }
        let fails = |(_, (name, which)): &(usize, &(String, u64))| name == call && *which == nth;
        let fails: Vec<usize> = self
            .plan
            .fail
            .iter()
            .enumerate()
            .filter(fails)
            .map(|(i, _)| i)
            .collect();
        state.failed.extend(&fails);
        if self.plan.cancel_at == Some(total) {
            state.canceling = true;
            state.has_canceled = true;
            let _ = self.deeds.send(Deed::Cancel);
            let wait = self
                .changed
                .wait_timeout_while(state, DEED_TAKES_MAX, |state| state.canceling);
            drop(wait);
        }
        if fails.is_empty() {
            return (total, Ok(()));
        }
        let message = format!("this test lets call {nth} of {call} fail");
        let error = ClientError {
            retryable: true,
            ..ClientError::new(ErrorCode::Unavailable, message)
        };
        (total, Err(error))
    }

    fn after(&self, number: u64, answer: &str) {
        let mut state = self.lock();
        // Their numbers are those of their places, from 1.
        let place = number
            .checked_sub(1)
            .and_then(|at| usize::try_from(at).ok());
        if let Some(call) = place.and_then(|at| state.trace.get_mut(at)) {
            call.answer = Some(answer.to_owned());
        }
    }
}

fn killed() -> ClientError {
    ClientError::new(ErrorCode::Canceled, "this test has killed the host")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(script: &Script, call: &'static str) -> Result<(), ClientError> {
        script.before(call).1
    }

    #[test]
    fn calls_fail_by_name_and_number() {
        let (script, _told) = Script::new(Plan {
            fail: vec![("streams.sample".to_owned(), 2)],
            ..Plan::default()
        });
        assert!(answer(&script, "streams.sample").is_ok());
        assert!(answer(&script, "progress.report").is_ok());
        let error = answer(&script, "streams.sample").unwrap_err();
        assert!(error.retryable, "{error}");
        assert!(answer(&script, "streams.sample").is_ok());
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
        assert!(answer(&script, "state.load").is_ok());
        std::thread::scope(|scope| {
            let deadly = scope.spawn(|| answer(&script, "state.save"));
            assert_eq!(told.blocking_recv(), Some(Deed::Kill));
            assert!(!deadly.is_finished(), "the host is still alive");
            script.is_dead();
            assert!(deadly.join().unwrap().is_err());
        });
        assert!(answer(&script, "state.save").is_err());
        script.go_on();
        assert!(answer(&script, "state.load").is_ok());
        assert_eq!(script.calls(), [("state.load", 2), ("state.save", 1)]);
    }

    #[test]
    fn what_has_not_happened_is_told() {
        let (script, _told) = Script::new(Plan {
            fail: vec![
                ("streams.sample".to_owned(), 3),
                ("state.load".to_owned(), 1),
            ],
            cancel_at: Some(9),
            kill_at: vec![500],
            ..Plan::default()
        });
        assert!(answer(&script, "state.load").is_err());
        let expected = [
            "call 3 of streams.sample was never reached, and did not fail: the test had 0 calls \
             of it",
            "call 9 was never reached: the test had 1 call, and nobody canceled the task",
            "call 500 was never reached: the test had 1 call, and nobody killed the host",
        ];
        assert_eq!(script.not_done(), expected);
        let (script, _told) = Script::new(Plan {
            fail: vec![("state.load".to_owned(), 1)],
            ..Plan::default()
        });
        assert_eq!(script.not_done().len(), 1);
        assert!(answer(&script, "state.load").is_err());
        assert!(script.not_done().is_empty());
    }

    #[test]
    fn calls_are_told_with_their_numbers_and_answers() {
        let (script, _told) = Script::new(Plan::default());
        let (first, _) = script.before("state.load");
        let (second, _) = script.before("state.save");
        script.after(second, "ok");
        assert_eq!((first, second), (1, 2));
        let answers: Vec<_> = script.trace().into_iter().map(|call| call.answer).collect();
        assert_eq!(answers, [None, Some("ok".to_owned())]);
    }

    #[test]
    fn children_of_the_tested_type_are_its_own_unless_something_stands_in() {
        let tested = TypeId::parse("fan-out").unwrap();
        let plan = Plan {
            tested: Some(tested.clone()),
            ..Plan::default()
        };
        let (script, _told) = Script::new(plan.clone());
        assert_eq!(script.child_type(tested.clone()), tested);
        let stand_in = stand_in::id_of(&tested, Some(&tested));
        let (script, _told) = Script::new(Plan {
            stand_ins: vec![stand_in.clone()],
            ..plan
        });
        assert_eq!(script.child_type(tested.clone()), stand_in);
        assert!(script.follows(&tested) && !script.follows(&stand_in));
    }

    #[test]
    fn time_is_skipped_unless_it_is_to_be_real() {
        let (script, _told) = Script::new(Plan::default());
        assert!(script.time().is_skipped());
        let plan = Plan {
            real_time: true,
            ..Plan::default()
        };
        assert!(!Script::new(plan).0.time().is_skipped());
    }
}

//! Whether what clients were told of one task can be explained: each call takes effect at one
//! moment between its request and its answer, as if there were one document and nobody else.
//!
//! # How it works
//! Wing and Gong's search, with what was tried remembered. The sequential specification is the
//! model's own [`Phase::next`]. Hosts move a document by themselves, too (a run is claimed, it
//! ends, its host is lost): any number of such steps may come before a call takes effect. A call
//! without an answer may have taken effect at any time after its request, or never.

use std::collections::HashSet;

use taskhost_model::ids::RunId;
use taskhost_model::status::{Next, Phase, Trigger};

/// What hosts do by themselves, and whether the version shows it.
const STEPS: [(Trigger, bool); 8] = [
    (Trigger::Claim, false),
    (Trigger::Complete, true),
    (Trigger::Fail, true),
    (Trigger::Retry, true),
    (Trigger::HandBack, true),
    (Trigger::Stop, true),
    (Trigger::HostLost, true),
    (Trigger::HostLostForGood, true),
];

/// So often the version of one run changes at most by what hosts do: lost hosts and attempts.
const STEPS_MAX: u8 = 10;

/// A history that takes more is one of too many calls at once.
const TRIED_MAX: usize = 3_000_000;

/// A call of the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// `PUT`
    Schedule,
    /// `POST …/cancel`
    Cancel,
    /// `POST …/acknowledge`
    Acknowledge,
    /// `DELETE`
    Delete,
    /// `GET`
    Get,
}

/// What it was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// Nothing, or that nobody knows.
    Unknown,
    /// It is done, or was read: the document is this.
    Seen(Seen),
    /// It is done.
    Done,
    /// A live run stands against it.
    AlreadyRunning,
    /// The status stands against it, or there is no document.
    Refused,
}

/// What an answer shows of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Status and state of the run.
    pub phase: Phase,
    /// 0 where there is no document.
    pub version: u64,
    /// The run; none where there is no document.
    pub run: Option<RunId>,
}

/// A call, with when it was sent and answered, by one clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// Before the request was sent.
    pub begun: u64,
    /// After the answer was read.
    pub ended: u64,
    /// What was wanted.
    pub wish: Wish,
    /// What was answered.
    pub said: Said,
}

impl Call {
    /// The version of the document that it was shown.
    fn shows(&self) -> Option<u64> {
        match self.said {
            Said::Seen(seen) => Some(seen.version).filter(|version| *version > 0),
            _ => None,
        }
    }

    /// From when on it has taken effect for sure.
    fn ended(&self) -> u64 {
        match self.said {
            Said::Unknown => u64::MAX,
            _ => self.ended,
        }
    }
}

/// A version that is known, or of which is known what it is above.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Version {
    Is(u64),
    Above(u64),
}

impl Version {
    fn next(self) -> Self {
        match self {
            Self::Is(version) => Self::Is(version + 1),
            Self::Above(version) => Self::Above(version + 1),
        }
    }

    /// Nobody is shown it, and what comes after it is higher.
    fn hidden(self) -> Self {
        match self.next() {
            Self::Is(version) | Self::Above(version) => Self::Above(version),
        }
    }

    /// Whether it may be this one later: versions only grow.
    fn becomes(self, seen: u64) -> bool {
        match self {
            Self::Is(version) => version <= seen,
            Self::Above(version) => version < seen,
        }
    }

    fn is(self, seen: u64) -> bool {
        match self {
            Self::Is(version) => version == seen,
            Self::Above(version) => version < seen,
        }
    }
}

/// The document as it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct State {
    phase: Phase,
    version: Version,
    /// Not known before it is seen.
    run: Option<RunId>,
    steps: u8,
}

impl State {
    const NEW: Self = Self {
        phase: Phase::Absent,
        version: Version::Above(0),
        run: None,
        steps: 0,
    };

    /// Everything that hosts may make of it, itself first.
    fn by_hosts(self) -> Vec<Self> {
        let (mut all, mut known) = (vec![self], HashSet::from([self]));
        let mut at = 0;
        while let Some(state) = all.get(at).copied() {
            at += 1;
            for (trigger, shows) in STEPS {
                let Next::To(phase) = state.phase.next(trigger) else {
                    continue;
                };
                let next = Self {
                    phase,
                    version: if shows {
                        state.version.next()
                    } else {
                        state.version
                    },
                    steps: state.steps + u8::from(shows),
                    ..state
                };
                if next.steps <= STEPS_MAX && known.insert(next) {
                    all.push(next);
                }
            }
        }
        all
    }

    /// After a call took effect; `None` when its answer does not fit.
    fn after(self, call: &Call) -> Option<Self> {
        let next = match call.wish {
            Wish::Schedule => self.phase.next(Trigger::Schedule),
            Wish::Cancel => self.phase.next(Trigger::Cancel),
            Wish::Acknowledge => self.phase.next(Trigger::Acknowledge),
            Wish::Delete => self.phase.next(Trigger::Delete),
            Wish::Get => Next::Same,
        };
        let after = match next {
            Next::To(phase) => self.moved(phase, call.wish),
            Next::Same | Next::Refused(_) => self,
        };
        match (call.said, next) {
            (Said::Unknown, _)
            | (Said::Done, Next::To(_))
            | (Said::AlreadyRunning, Next::Same)
            | (Said::Refused, Next::Refused(_)) => Some(after),
            (Said::Seen(_), Next::Same) if call.wish == Wish::Schedule => None,
            (Said::Seen(seen), Next::To(_)) if call.wish == Wish::Schedule => {
                after.seen(seen).or_else(|| after.seen_claimed(seen))
            }
            (Said::Seen(seen), Next::To(_) | Next::Same) => after.seen(seen),
            _ => None,
        }
    }

    /// After it was answered as it was claimed: in the very write that has scheduled it, or in one
    /// that came before the answer, so that others may have seen it as it was between.
    fn seen_claimed(self, seen: Seen) -> Option<Self> {
        let Next::To(phase) = self.phase.next(Trigger::Claim) else {
            return None;
        };
        let claimed = Self { phase, ..self }.seen(seen)?;
        Some(Self {
            phase: self.phase,
            ..claimed
        })
    }

    fn moved(self, phase: Phase, wish: Wish) -> Self {
        let version = match (wish, self.phase) {
            (Wish::Delete, _) => self.version.hidden(),
            // What was deleted may be forgotten by then, and begins at the time.
            (Wish::Schedule, Phase::Absent) => self.version,
            _ => self.version.next(),
        };
        let is_new = matches!(wish, Wish::Schedule | Wish::Delete);
        Self {
            phase,
            version,
            run: self.run.filter(|_| !is_new),
            steps: if is_new { 0 } else { self.steps },
        }
    }

    /// What is known after somebody was shown it.
    fn seen(self, seen: Seen) -> Option<Self> {
        if self.phase != seen.phase {
            return None;
        }
        if self.phase == Phase::Absent {
            return (seen.version == 0 && seen.run.is_none()).then_some(self);
        }
        let is_run = self.run.is_none() || self.run == seen.run;
        (is_run && self.version.is(seen.version)).then_some(Self {
            version: Version::Is(seen.version),
            run: seen.run,
            ..self
        })
    }
}

/// Whether the answers to these calls for one task, which did not exist before, can be explained.
///
/// # Errors
/// How far they can be, and what comes then; or that there is too much to try.
pub fn explain(calls: &[Call]) -> Result<(), String> {
    // An unanswered read tells nothing.
    let told = |call: &&Call| call.wish != Wish::Get || call.said != Said::Unknown;
    let mut calls: Vec<Call> = calls.iter().filter(told).copied().collect();
    calls.sort_by_key(|call| call.begun);
    let nothing = vec![0_u64; calls.len().div_ceil(64)];
    let mut open = vec![(nothing.clone(), State::NEW)];
    let mut known = HashSet::from([(nothing, State::NEW)]);
    let mut furthest = (0, Vec::new(), State::NEW);
    while let Some((done, state)) = open.pop() {
        let is_done = |n: usize| done[n / 64] >> (n % 64) & 1 == 1;
        let left = || (0..calls.len()).filter(|n| !is_done(*n));
        let Some(end) = left().map(|n| calls[n].ended()).min() else {
            return Ok(());
        };
        if end == u64::MAX {
            return Ok(());
        }
        let next: Vec<usize> = left().take_while(|n| calls[*n].begun <= end).collect();
        let count = calls.len() - left().count();
        if count >= furthest.0 {
            furthest = (count, next.clone(), state);
        }
        let mut states = state.by_hosts();
        let mut shown: Vec<(u64, usize)> = left()
            .filter_map(|n| Some((calls[n].shows()?, n)))
            .collect();
        shown.sort_unstable();
        states.retain(|state| {
            shown
                .first()
                .is_none_or(|(version, _)| state.version.becomes(*version))
        });
        // What is tried last here is looked at first: the call that was answered first, with as
        // few steps of hosts as it takes.
        let mut next: Vec<usize> = next;
        next.sort_by_key(|n| std::cmp::Reverse(calls[*n].ended()));
        for n in next {
            // Whatever comes first, the others are to be shown their version then.
            let others = shown.iter().find(|(_, other)| *other != n);
            let fits = |state: &State| others.is_none_or(|(seen, _)| state.version.becomes(*seen));
            for state in states.iter().rev() {
                if let Some(after) = state.after(&calls[n]).filter(fits) {
                    let mut done = done.clone();
                    done[n / 64] |= 1 << (n % 64);
                    if known.insert((done.clone(), after)) {
                        open.push((done, after));
                    }
                    if known.len() > TRIED_MAX {
                        return Err("too much would have to be tried".to_owned());
                    }
                }
            }
        }
    }
    let (count, next, state) = furthest;
    let next: Vec<Call> = next.into_iter().map(|n| calls[n]).collect();
    let all = calls.len();
    Err(format!(
        "{count} of {all} calls can be explained; then the document is {state:?}, and none of \
         these can be next: {next:#?}"
    ))
}

//! Decides who is lost, from what was read and when. Pure.
//!
//! Silence counts as far as it was listened to: while the store is away nobody can beat, so that
//! after a long gap between two readings everybody is given a whole lease again.

use std::collections::HashMap;
use std::time::Duration;

use taskhost_model::ids::Incarnation;
use taskhost_store::hosts::Host;
use tokio::time::Instant;

/// A longer gap between two readings than this part of a lease is one in which nobody listened.
const GAPS_PER_LEASE: u32 = 3;

/// What was seen of the beats so far.
#[derive(Debug)]
pub(crate) struct Observer {
    lease: Duration,
    seen: HashMap<Incarnation, Seen>,
    last_answer: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    beat: u64,
    /// When an answer first told of it: it was written before.
    since: Instant,
}

/// One reading of all hosts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading<'a> {
    pub(crate) lives: &'a [Host],
    /// Before the request was sent: what the answer tells was so at that time or later.
    pub(crate) asked_at: Instant,
    pub(crate) answered_at: Instant,
}

/// Who reads.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Own<'a> {
    pub(crate) host: &'a str,
    pub(crate) incarnation: Incarnation,
}

/// A life that is to be declared lost, if its beat is still this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) incarnation: Incarnation,
    pub(crate) beat: u64,
}

impl Observer {
    pub(crate) fn new(lease: Duration) -> Self {
        Self {
            lease,
            seen: HashMap::new(),
            last_answer: None,
        }
    }

    /// Takes in a reading and says who is to be declared lost.
    pub(crate) fn look(&mut self, reading: Reading<'_>, own: Own<'_>) -> Vec<Verdict> {
        let Reading { lives, .. } = reading;
        self.seen
            .retain(|incarnation, _| lives.iter().any(|host| host.incarnation == *incarnation));
        let gap_max = self.lease / GAPS_PER_LEASE;
        let last = self.last_answer.replace(reading.answered_at);
        if last.is_some_and(|last| reading.asked_at > last + gap_max) {
            self.seen.clear();
        }
        let mut verdicts = Vec::new();
        for host in lives {
            let new = Seen {
                beat: host.beat,
                since: reading.answered_at,
            };
            let seen = self.seen.entry(host.incarnation).or_insert(new);
            if seen.beat != host.beat {
                *seen = new;
            }
            let is_silent = reading.asked_at >= seen.since + self.lease;
            // Two that hold the lock on one folder cannot be alive at once.
            let is_earlier = host.host == own.host && host.incarnation != own.incarnation;
            if !host.is_lost && host.incarnation != own.incarnation && (is_silent || is_earlier) {
                verdicts.push(Verdict {
                    incarnation: host.incarnation,
                    beat: host.beat,
                });
            }
        }
        verdicts
    }

    /// Since when the present beat of a life is known.
    pub(crate) fn since(&self, incarnation: Incarnation) -> Option<Instant> {
        self.seen.get(&incarnation).map(|seen| seen.since)
    }

    /// When the next of these is to be declared lost, if it stays silent.
    pub(crate) fn next_verdict<'a>(
        &self,
        alive: impl Iterator<Item = &'a Host>,
    ) -> Option<Instant> {
        let since = alive.filter_map(|host| self.since(host.incarnation));
        since.min().map(|since| since + self.lease)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const LEASE: Duration = Duration::from_secs(30);

    fn host(name: &str, beat: u64) -> Host {
        Host {
            host: name.to_owned(),
            incarnation: Incarnation::new(),
            beat,
            address: None,
            slots: 1,
            running: 0,
            draining: false,
            not_claiming: None,
            memory_bytes: None,
            version: String::new(),
            types: BTreeMap::new(),
            is_lost: false,
        }
    }

    /// Asked at so many milliseconds from the beginning, answered 100 ms later.
    fn look(observer: &mut Observer, begin: Instant, at_ms: u64, lives: &[Host]) -> Vec<u64> {
        let asked_at = begin + Duration::from_millis(at_ms);
        let reading = Reading {
            lives,
            asked_at,
            answered_at: asked_at + Duration::from_millis(100),
        };
        let own = Own {
            host: "own",
            incarnation: lives[0].incarnation,
        };
        let verdicts = observer.look(reading, own);
        verdicts.iter().map(|verdict| verdict.beat).collect()
    }

    #[test]
    fn who_is_silent_for_a_whole_lease_is_lost_and_nobody_else() {
        let (mut observer, begin) = (Observer::new(LEASE), Instant::now());
        let mut lives = [host("own", 1), host("silent", 7), host("alive", 100)];
        let none: Vec<u64> = Vec::new();
        for at_s in 0..30 {
            lives[2].beat += 1;
            assert_eq!(
                look(&mut observer, begin, at_s * 1000, &lives),
                none,
                "{at_s}"
            );
        }
        // The answer that first told of it came at 100 ms.
        lives[2].beat += 1;
        assert_eq!(look(&mut observer, begin, 30_099, &lives), none);
        assert_eq!(look(&mut observer, begin, 30_100, &lives), [7]);
        let next = observer.next_verdict(lives.iter());
        assert_eq!(next, Some(begin + Duration::from_millis(30_100)));
        lives[1].is_lost = true;
        assert_eq!(
            look(&mut observer, begin, 31_000, &lives),
            none,
            "it is so already"
        );
    }

    #[test]
    fn a_beat_at_the_last_moment_counts() {
        let (mut observer, begin) = (Observer::new(LEASE), Instant::now());
        let mut lives = [host("own", 1), host("slow", 7)];
        for at_s in [0, 9, 18, 27] {
            assert!(look(&mut observer, begin, at_s * 1000, &lives).is_empty());
        }
        lives[1].beat = 8;
        for at_s in [30, 39, 48, 57, 60] {
            assert!(look(&mut observer, begin, at_s * 1000, &lives).is_empty());
        }
        assert_eq!(look(&mut observer, begin, 60_100, &lives), [8]);
    }

    #[test]
    fn nobody_is_lost_for_a_silence_that_was_not_listened_to() {
        let (mut observer, begin) = (Observer::new(LEASE), Instant::now());
        let lives = [host("own", 1), host("silent", 7)];
        look(&mut observer, begin, 0, &lives);
        // Answered at 100 ms, and ten seconds later not yet a gap.
        for at_ms in [10_100, 90_000, 100_000, 110_000, 119_000, 120_099] {
            assert!(
                look(&mut observer, begin, at_ms, &lives).is_empty(),
                "{at_ms}"
            );
        }
        assert_eq!(look(&mut observer, begin, 120_100, &lives), [7]);
    }

    #[test]
    fn an_earlier_life_on_the_same_folder_is_lost_at_once() {
        let (mut observer, begin) = (Observer::new(LEASE), Instant::now());
        let lives = [host("own", 1), host("own", 9), host("other", 5)];
        assert_eq!(look(&mut observer, begin, 0, &lives), [9]);
    }

    #[test]
    fn a_host_never_judges_itself_and_forgets_who_is_gone() {
        let (mut observer, begin) = (Observer::new(LEASE), Instant::now());
        let lives = [host("own", 1), host("gone", 5)];
        look(&mut observer, begin, 0, &lives);
        assert!(look(&mut observer, begin, 5_000, &lives[..1]).is_empty());
        assert_eq!(observer.since(lives[1].incarnation), None);
        look(&mut observer, begin, 6_000, &lives);
        let since = begin + Duration::from_millis(6_100);
        assert_eq!(
            observer.since(lives[1].incarnation),
            Some(since),
            "seen anew"
        );
    }
}

//! How many requests a person, or an address, may send.
//!
//! Each has so many a second, and twice as many at once. What counts is when the last of them would
//! have come had they come evenly (the generic cell rate algorithm): one moment each is all that is
//! kept.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// So many are counted at once; those that have sent nothing lately are forgotten before.
const COUNTED_MAX: usize = 20_000;
/// Bits of an IPv6 address that are somebody's own: of the rest they have as many as they like.
const OWN_BITS: u32 = 64;

/// Who is counted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Who {
    /// Whoever was recognized.
    Person(String),
    /// Wherever a request comes from.
    Address(IpAddr),
}

impl Who {
    pub(crate) fn address(address: IpAddr) -> Self {
        Self::Address(match address {
            IpAddr::V4(_) => address,
            IpAddr::V6(address) => {
                let kept = address.to_bits() & !(u128::MAX >> OWN_BITS);
                IpAddr::V6(Ipv6Addr::from_bits(kept))
            }
        })
    }
}

/// What everybody has sent lately.
#[derive(Debug)]
pub(crate) struct Rates {
    /// Between two requests of somebody who sends evenly.
    interval: Duration,
    /// So far ahead of that they may be.
    ahead_max: Duration,
    counted: Mutex<HashMap<Who, Instant>>,
}

impl Rates {
    /// So many a second, and `at_once` times as many at once.
    pub(crate) fn new(a_second: u64, at_once: u32) -> Self {
        let interval = Duration::from_secs(1) / u32::try_from(a_second.max(1)).unwrap_or(u32::MAX);
        let burst = u32::try_from(a_second)
            .unwrap_or(u32::MAX)
            .saturating_mul(at_once);
        Self {
            interval,
            ahead_max: interval.saturating_mul(burst.saturating_sub(1)),
            counted: Mutex::default(),
        }
    }

    /// Counts a request, unless there were too many: then, after how long the next may come.
    pub(crate) fn count(&self, who: Who, now: Instant) -> Result<(), Duration> {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        if counted.len() >= COUNTED_MAX && !counted.contains_key(&who) {
            counted.retain(|_, even| *even > now);
            if counted.len() >= COUNTED_MAX {
                // Nobody can be told apart from anybody any more: all begin anew.
                counted.clear();
            }
        }
        let even = counted.entry(who).or_insert(now);
        let ahead = even.saturating_duration_since(now);
        if ahead > self.ahead_max {
            return Err(ahead - self.ahead_max);
        }
        *even = now + ahead + self.interval;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(name: &str) -> Who {
        Who::Person(name.to_owned())
    }

    #[test]
    fn each_has_so_many_a_second_and_some_at_once() {
        let (rates, now) = (Rates::new(10, 2), Instant::now());
        let sent = |who: &str, at: Instant| {
            let allowed = (0..100).take_while(|_| rates.count(person(who), at).is_ok());
            allowed.count()
        };
        assert_eq!(sent("ann", now), 20);
        assert_eq!(sent("bob", now), 20, "nobody pays for others");
        let wait = rates.count(person("ann"), now).unwrap_err();
        assert_eq!(wait, Duration::from_millis(100));
        assert_eq!(sent("ann", now + wait), 1);
        let later = now + Duration::from_secs(1);
        assert_eq!(sent("ann", later), 9);
        assert_eq!(sent("ann", later + Duration::from_secs(60)), 20);
    }

    #[test]
    fn who_has_many_addresses_is_counted_once() {
        let v6 = |text: &str| Who::address(text.parse().unwrap());
        assert_eq!(v6("2001:db8::1"), v6("2001:db8::ffff:1"));
        assert_ne!(v6("2001:db8::1"), v6("2001:db8:0:1::1"));
        assert_ne!(v6("10.0.0.1"), v6("10.0.0.2"));
    }

    #[test]
    fn many_are_counted_and_no_more() {
        let (rates, now) = (Rates::new(1, 1), Instant::now());
        for number in 0..COUNTED_MAX + 10 {
            rates.count(person(&number.to_string()), now).unwrap();
        }
        assert!(rates.counted.lock().unwrap().len() <= COUNTED_MAX);
    }
}

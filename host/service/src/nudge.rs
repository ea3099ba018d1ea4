//! Hints on their way between hosts: sealed under the key that all hosts of a store share.
//!
//! # Guarantees
//! 1. Only who has the key can make a hint that is heard, and only at the host for which it was
//!    made.
//! 2. A hint is heard once, and not later than [`FRESH`] after its making.
//!
//! # Why clocks matter here, and nowhere else between hosts
//! What is heard once must be remembered for as long as it could come again. Hosts whose clocks
//! differ by more than that hear no hints of each other, and find everything a little later.

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::sync::PoisonError;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use taskhost_model::time::{Clock, Timestamp};

use crate::host_key::KEY_BYTES;
use crate::peers::Hint;
use crate::sync::Mutex;

/// How long after its making a hint is heard, at most.
pub const FRESH: Duration = Duration::from_secs(30);
/// The largest hint, in bytes.
pub const HINT_BYTES_MAX: usize = 256 * 1024;

/// So many hints are remembered. More within [`FRESH`] are not heard.
const REMEMBERED_MAX: usize = 100_000;
const NONCE_BYTES: usize = 16;
/// What the key is used for here, so that it is another one than anywhere else.
const PURPOSE: &[u8] = b"taskhost hints between hosts, 1";

/// Makes and hears hints.
pub struct Seals {
    key: hmac::Key,
    clock: Clock,
    heard: Mutex<Heard>,
}

#[derive(Debug, Default)]
struct Heard {
    nonces: HashSet<String>,
    /// When each was heard, the oldest first.
    order: VecDeque<(Timestamp, String)>,
}

/// A sealed hint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// JSON text.
    pub body: Vec<u8>,
    /// Time, nonce and code, in one line.
    pub seal: String,
}

/// Why a hint is not heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotHeard {
    /// It was not made by who has the key, or not for this host.
    #[error("its seal is not right: all hosts of a store need the same key")]
    Forged,
    /// It was made too long ago, or in the future.
    #[error("it is too old, or the clocks of the two hosts differ by more than 30 s")]
    Stale,
    /// It was heard already.
    #[error("it was heard already")]
    Repeated,
    /// There are too many at this time.
    #[error("too many hints come at this time")]
    TooMany,
    /// It is sealed rightly and says nothing that this version understands.
    #[error("it cannot be understood: the hosts may be of versions too far apart")]
    Unclear,
}

impl Seals {
    /// Under this key.
    #[must_use]
    pub fn new(key: &[u8; KEY_BYTES], clock: Clock) -> Self {
        let shared = hmac::Key::new(hmac::HMAC_SHA256, key);
        let own = hmac::sign(&shared, PURPOSE);
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, own.as_ref()),
            clock,
            heard: Mutex::default(),
        }
    }

    /// Seals a hint for the host at this address. None: the system has no random bytes.
    #[must_use]
    pub fn seal(&self, address: &str, hint: &Hint) -> Option<Sealed> {
        let mut nonce = [0; NONCE_BYTES];
        SystemRandom::new().fill(&mut nonce).ok()?;
        let body = serde_json::to_vec(hint).ok()?;
        let (at_ms, nonce) = (self.clock.now().as_ms(), STANDARD.encode(nonce));
        let code = hmac::sign(&self.key, &signed(address, at_ms, &nonce, &body));
        let seal = format!("{at_ms} {nonce} {}", STANDARD.encode(code));
        Some(Sealed { body, seal })
    }

    /// The hint, if it is for the host at this address, new, and made by who has the key.
    ///
    /// # Errors
    /// [`NotHeard`].
    pub fn open(&self, address: &str, body: &[u8], seal: &str) -> Result<Hint, NotHeard> {
        let mut parts = seal.split(' ');
        let (Some(at), Some(nonce), Some(code), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(NotHeard::Forged);
        };
        let at_ms: i64 = at.parse().map_err(|_| NotHeard::Forged)?;
        let code = STANDARD.decode(code).map_err(|_| NotHeard::Forged)?;
        let message = signed(address, at_ms, nonce, body);
        hmac::verify(&self.key, &message, &code).map_err(|_| NotHeard::Forged)?;
        // Whoever comes so far has the key.
        let (now, at) = (self.clock.now(), Timestamp::from_ms(at_ms));
        if now.since(at).max(at.since(now)) > FRESH {
            return Err(NotHeard::Stale);
        }
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.note(nonce, now)?;
        drop(heard);
        serde_json::from_slice(body).map_err(|_| NotHeard::Unclear)
    }
}

impl Heard {
    fn note(&mut self, nonce: &str, now: Timestamp) -> Result<(), NotHeard> {
        // One of the future is fresh for twice as long.
        while let Some((at, oldest)) = self.order.front()
            && now.since(*at) > 2 * FRESH
        {
            self.nonces.remove(oldest);
            self.order.pop_front();
        }
        if self.nonces.contains(nonce) {
            return Err(NotHeard::Repeated);
        }
        if self.nonces.len() >= REMEMBERED_MAX {
            return Err(NotHeard::TooMany);
        }
        self.nonces.insert(nonce.to_owned());
        self.order.push_back((now, nonce.to_owned()));
        Ok(())
    }
}

impl fmt::Debug for Seals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seals")
    }
}

/// What the code is made of. Neither address nor nonce has a line break.
fn signed(address: &str, at_ms: i64, nonce: &str, body: &[u8]) -> Vec<u8> {
    let mut message = format!("{address}\n{at_ms}\n{nonce}\n").into_bytes();
    message.extend_from_slice(body);
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: &str = "http://127.0.0.1:7700";

    fn seals(key: u8, clock: &Clock) -> Seals {
        Seals::new(&[key; KEY_BYTES], clock.clone())
    }

    fn hint() -> Hint {
        Hint {
            types: true,
            ..Hint::default()
        }
    }

    fn clock() -> Clock {
        Clock::manual(Timestamp::from_ms(1_795_000_000_000))
    }

    #[test]
    fn a_hint_is_heard_once_by_who_has_the_key() {
        let clock = clock();
        let (sender, hearer) = (seals(1, &clock), seals(1, &clock));
        let Sealed { body, seal } = sender.seal(HERE, &hint()).unwrap();
        assert_eq!(
            seals(2, &clock).open(HERE, &body, &seal),
            Err(NotHeard::Forged)
        );
        assert_eq!(hearer.open(HERE, &body, &seal), Ok(hint()));
        assert_eq!(hearer.open(HERE, &body, &seal), Err(NotHeard::Repeated));
        let another = sender.seal(HERE, &hint()).unwrap();
        assert_ne!(another.seal, seal);
        assert_eq!(hearer.open(HERE, &another.body, &another.seal), Ok(hint()));
    }

    #[test]
    fn nothing_of_it_may_be_changed() {
        let clock = clock();
        let seals = seals(1, &clock);
        let Sealed { body, seal } = seals.seal(HERE, &hint()).unwrap();
        let parts: Vec<&str> = seal.split(' ').collect();
        let other = Seals::seal(&seals, HERE, &hint()).unwrap().seal;
        let other_nonce = other.split(' ').nth(1).unwrap();
        let changed = [
            format!("{} {} {}", "1795000000001", parts[1], parts[2]),
            format!("{} {other_nonce} {}", parts[0], parts[2]),
            format!("{} {} {}", parts[0], parts[1], &parts[2][2..]),
            format!("{seal} "),
            format!("{} {} é", parts[0], parts[1]),
            String::new(),
        ];
        for seal in changed {
            assert_eq!(
                seals.open(HERE, &body, &seal),
                Err(NotHeard::Forged),
                "{seal}"
            );
        }
        assert_eq!(seals.open(HERE, b"{}", &seal), Err(NotHeard::Forged));
        let elsewhere = "http://127.0.0.1:7701";
        assert_eq!(seals.open(elsewhere, &body, &seal), Err(NotHeard::Forged));
        assert_eq!(seals.open(HERE, &body, &seal), Ok(hint()));
    }

    #[test]
    fn an_old_hint_is_not_heard_and_its_nonce_not_forgotten_before() {
        let clock = clock();
        let seals = seals(1, &clock);
        let [late, early] = [0, 1].map(|_| seals.seal(HERE, &hint()).unwrap());
        assert_eq!(seals.open(HERE, &early.body, &early.seal), Ok(hint()));
        clock.advance(FRESH);
        let again = seals.open(HERE, &early.body, &early.seal);
        assert_eq!(again, Err(NotHeard::Repeated));
        clock.advance(Duration::from_millis(1));
        for old in [&late, &early] {
            let heard = seals.open(HERE, &old.body, &old.seal);
            assert_eq!(heard, Err(NotHeard::Stale));
        }
        clock.advance(2 * FRESH);
        let new = seals.seal(HERE, &hint()).unwrap();
        assert_eq!(seals.open(HERE, &new.body, &new.seal), Ok(hint()));
        assert_eq!(seals.heard.lock().unwrap().nonces.len(), 1);
    }
}

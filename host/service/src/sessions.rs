//! Sessions of people with a browser: their credential, sealed, for some hours.
//!
//! # Guarantees
//! 1. Nobody makes a session but this host, or another one with the same key, for a credential
//!    that was accepted; so nobody can be made to use one that somebody else has chosen.
//! 2. A session ends by its time, when its person ends it, and with the credential: that is asked
//!    for with each request, as if it had come itself.
//!
//! # How it works
//! What a browser keeps is the session itself, sealed: with hosts that share a store each of them
//! opens it. A host keeps a list of those that were ended before their time. Where it is the only
//! host its key ends with its process, and the sessions with it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::{Deserialize, Serialize};
use taskhost_model::requester::Authorization;
use taskhost_model::time::{Clock, Timestamp};

use crate::error::ServiceError;
use crate::key_ring::{KeyRing, Purpose};

/// How long a session lasts.
pub const LASTS_FOR: Duration = Duration::from_secs(12 * 60 * 60);
/// The longest credential that has room in a cookie with all that is around it.
const CREDENTIAL_BYTES_MAX: usize = 2 * 1024;
/// So many that were ended are remembered; then the first to run out go.
const ENDED_MAX: usize = 100_000;

type SessionId = [u8; 16];

/// The sessions of this host.
#[derive(Debug)]
pub struct Sessions {
    ring: KeyRing,
    clock: Clock,
    ended: Mutex<HashMap<SessionId, Timestamp>>,
}

/// What is sealed.
#[derive(Serialize, Deserialize)]
struct Session {
    id: SessionId,
    until: Timestamp,
    credential: String,
}

/// A session that was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// As whom its requests come.
    pub authorization: Authorization,
    /// When it ends.
    pub until: Timestamp,
}

impl Sessions {
    /// Sealed with what the hosts of a store share; where there is one host, with a key of its own.
    pub(crate) fn new(shared: Option<KeyRing>, clock: &Clock) -> Result<Self, ServiceError> {
        let ring = match shared {
            Some(ring) => ring,
            None => KeyRing::new(random()?, Vec::new()),
        };
        Ok(Self {
            ring,
            clock: clock.clone(),
            ended: Mutex::default(),
        })
    }

    /// A session for a credential that was accepted: what a browser is to keep.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] for one that is too long to be kept.
    pub fn begin(&self, own: &Authorization) -> Result<String, ServiceError> {
        if own.header().len() > CREDENTIAL_BYTES_MAX {
            let problem = format!(
                "has more than {CREDENTIAL_BYTES_MAX} bytes, for which a cookie has no room: send \
                 it as `Authorization` with each request"
            );
            return Err(ServiceError::invalid("token", problem));
        }
        let session = Session {
            id: random()?,
            until: self.clock.now().plus(LASTS_FOR),
            credential: own.header().to_owned(),
        };
        let internal = |reason: String| ServiceError::Internal { reason };
        let text = serde_json::to_vec(&session).map_err(|error| internal(error.to_string()))?;
        let sealed = self
            .ring
            .seal(Purpose::Session, "", &text)
            .map_err(internal)?;
        Ok(URL_SAFE_NO_PAD.encode(sealed))
    }

    /// What a browser shows, if it is a session that has not ended.
    #[must_use]
    pub fn opened(&self, shown: &str) -> Option<Opened> {
        let session = self.read(shown)?;
        let is_over = self.lock().contains_key(&session.id) || session.until <= self.clock.now();
        Some(Opened {
            authorization: Authorization::parse(&session.credential).ok()?,
            until: session.until,
        })
        .filter(|_| !is_over)
    }

    /// Ends a session; what is none is no error.
    pub fn end(&self, shown: &str) {
        let Some(session) = self.read(shown) else {
            return;
        };
        let now = self.clock.now();
        let mut ended = self.lock();
        ended.retain(|_, until| now < *until);
        if ended.len() >= ENDED_MAX
            && let Some(first) = ended.iter().min_by_key(|(_, until)| **until)
        {
            let first = *first.0;
            ended.remove(&first);
        }
        ended.insert(session.id, session.until);
    }

    fn read(&self, shown: &str) -> Option<Session> {
        let sealed = URL_SAFE_NO_PAD.decode(shown).ok()?;
        let text = self.ring.open(Purpose::Session, "", &sealed).ok()?;
        serde_json::from_slice(&text).ok()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, Timestamp>> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn random<const LENGTH: usize>() -> Result<[u8; LENGTH], ServiceError> {
    let mut bytes = [0; LENGTH];
    let drawn = SystemRandom::new().fill(&mut bytes);
    drawn.map_err(|_| ServiceError::Internal {
        reason: "the system gives no random numbers".to_owned(),
    })?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_its_credential_until_it_ends() {
        let clock = Clock::manual(Timestamp::from_ms(1_000));
        let sessions = Sessions::new(None, &clock).unwrap();
        let own = Authorization::parse("Bearer a-secret").unwrap();
        let (one, two) = (sessions.begin(&own).unwrap(), sessions.begin(&own).unwrap());
        assert_ne!(one, two);
        assert!(!one.contains("secret"));
        assert_eq!(sessions.opened(&one).unwrap().authorization, own);
        for bad in ["", "x", &one[1..], &format!("{one}A")] {
            assert_eq!(sessions.opened(bad), None, "{bad}");
        }
        // Another host with another key makes and opens others.
        let other = Sessions::new(None, &clock).unwrap();
        assert_eq!(other.opened(&one), None);
        sessions.end(&one);
        assert_eq!(sessions.opened(&one), None);
        assert!(sessions.opened(&two).is_some());
        clock.advance(LASTS_FOR);
        assert_eq!(sessions.opened(&two), None);
        let long = format!("Bearer {}", "x".repeat(CREDENTIAL_BYTES_MAX));
        let long = Authorization::parse(&long).unwrap();
        assert!(sessions.begin(&long).is_err());
    }

    #[test]
    fn hosts_with_one_key_open_each_others_sessions() {
        let (clock, ring) = (Clock::default(), KeyRing::new([7; 32], Vec::new()));
        let hosts = [(); 2].map(|()| Sessions::new(Some(ring.clone()), &clock).unwrap());
        let own = Authorization::parse("Basic YTpi").unwrap();
        let session = hosts[0].begin(&own).unwrap();
        assert_eq!(hosts[1].opened(&session).unwrap().authorization, own);
    }
}

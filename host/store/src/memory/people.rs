//! People of the store in memory: declared by a test, with what they may do, and keys that are
//! granted to them.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use taskhost_model::requester::{Authorization, Credential, Requester};
use taskhost_model::rights::Right;
pub use taskhost_model::rights::Rights;
use taskhost_model::time::{Clock, Timestamp};

use crate::authority::{Authority, GrantedKey, Person};
use crate::error::StoreError;

/// The people that a test has declared, and their keys.
#[derive(Debug)]
pub struct Declared {
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    people: BTreeMap<String, Declaration>,
    /// By id.
    keys: BTreeMap<String, Key>,
    last_key: u64,
}

#[derive(Debug)]
struct Declaration {
    password: String,
    rights: Rights,
    is_disabled: bool,
}

#[derive(Debug)]
struct Key {
    secret: String,
    owner: String,
    /// As they were when it was made.
    rights: Rights,
    expires_at: Option<Timestamp>,
    is_ended: bool,
}

/// Somebody who was recognized.
struct Known {
    person: Person,
    rights: Rights,
}

impl Declared {
    /// Nobody.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            state: Mutex::default(),
        }
    }

    /// Somebody, or the same person with another password and other rights; with what they come.
    ///
    /// # Panics
    /// When the name has a colon, or both together are too long for a header.
    pub fn declare(&self, name: &str, password: &str, rights: Rights) -> Authorization {
        assert!(!name.contains(':'), "the password begins at a colon");
        let declaration = Declaration {
            password: password.to_owned(),
            rights,
            is_disabled: false,
        };
        self.state().people.insert(name.to_owned(), declaration);
        credential("Basic", &format!("{name}:{password}"))
    }

    /// They may do this from now on; their keys what they could before.
    pub fn change(&self, name: &str, rights: Rights) {
        if let Some(person) = self.state().people.get_mut(name) {
            person.rights = rights;
        }
    }

    /// Their password is accepted no more.
    pub fn disable(&self, name: &str) {
        if let Some(person) = self.state().people.get_mut(name) {
            person.is_disabled = true;
        }
    }

    /// Somebody ends all of their keys.
    pub fn end_keys_of(&self, name: &str) {
        for key in self.state().keys.values_mut() {
            key.is_ended |= key.owner == name;
        }
    }

    /// A key that they have made elsewhere, with all their rights.
    ///
    /// # Panics
    /// When nobody has this name.
    pub fn own_key(&self, name: &str) -> Authorization {
        let mut state = self.state();
        let rights = state.people[name].rights.clone();
        state.new_key(name, rights, None).authorization
    }

    /// How many keys there are that were made here and have not ended.
    #[must_use]
    pub fn living_keys(&self) -> usize {
        let now = self.clock.now();
        let state = self.state();
        state.keys.values().filter(|key| key.is_alive(now)).count()
    }

    /// What whoever asks may do; none: everything.
    pub(super) fn rights_of(&self, requester: &Requester) -> Result<Option<Rights>, StoreError> {
        match &requester.credential {
            Credential::SingleUser => Ok(None),
            Credential::Own(own) => Ok(Some(self.recognize(own)?.rights)),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn recognize(&self, authorization: &Authorization) -> Result<Known, StoreError> {
        let state = self.state();
        let (scheme, name, secret) = parts(authorization).ok_or_else(unknown)?;
        match scheme {
            "Basic" => {
                let found = state.people.get(&name);
                let found = found.filter(|it| it.password == secret && !it.is_disabled);
                let rights = found.ok_or_else(unknown)?.rights.clone();
                let comes_with_key = false;
                let person = Person {
                    name,
                    comes_with_key,
                    token: None,
                };
                Ok(Known { person, rights })
            }
            "ApiKey" => {
                let found = state.keys.get(&name);
                let found = found.filter(|it| it.secret == secret && it.is_alive(self.clock.now()));
                let key = found.ok_or_else(unknown)?;
                let person = Person {
                    name: key.owner.clone(),
                    comes_with_key: true,
                    token: None,
                };
                let rights = key.rights.clone();
                Ok(Known { person, rights })
            }
            _ => Err(unknown()),
        }
    }
}

impl State {
    fn new_key(
        &mut self,
        owner: &str,
        rights: Rights,
        expires_at: Option<Timestamp>,
    ) -> GrantedKey {
        self.last_key += 1;
        let (id, secret) = (format!("key-{}", self.last_key), secret());
        let authorization = credential("ApiKey", &format!("{id}:{secret}"));
        let key = Key {
            secret,
            owner: owner.to_owned(),
            rights,
            expires_at,
            is_ended: false,
        };
        self.keys.insert(id.clone(), key);
        GrantedKey { id, authorization }
    }
}

impl Key {
    fn is_alive(&self, now: Timestamp) -> bool {
        !self.is_ended && self.expires_at.is_none_or(|at| now < at)
    }
}

#[async_trait]
impl Authority for Declared {
    async fn person(&self, authorization: &Authorization) -> Result<Person, StoreError> {
        Ok(self.recognize(authorization)?.person)
    }

    async fn has(
        &self,
        authorization: &Authorization,
        asked: &[Right],
    ) -> Result<Vec<bool>, StoreError> {
        let rights = self.recognize(authorization)?.rights;
        Ok(asked.iter().map(|right| rights.has(right)).collect())
    }

    async fn grant(
        &self,
        authorization: &Authorization,
        _purpose: &str,
        valid_for: Duration,
    ) -> Result<GrantedKey, StoreError> {
        let known = self.recognize(authorization)?;
        if known.person.comes_with_key {
            return Err(StoreError::Unauthorized {
                reason: "a key is granted for a password or a token alone".to_owned(),
            });
        }
        let rights = Rights {
            streams: known.rights.streams,
            ..Rights::default()
        };
        let expires_at = Some(self.clock.now().plus(valid_for));
        Ok(self.state().new_key(&known.person.name, rights, expires_at))
    }

    async fn invalidate(&self, keys: &[String]) -> Result<(), StoreError> {
        let mut state = self.state();
        for id in keys {
            if let Some(key) = state.keys.get_mut(id) {
                key.is_ended = true;
            }
        }
        Ok(())
    }
}

/// The scheme, and what stands on both sides of the colon.
fn parts(authorization: &Authorization) -> Option<(&str, String, String)> {
    let (scheme, encoded) = authorization.header().split_once(' ')?;
    let decoded = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
    let (name, secret) = decoded.split_once(':')?;
    Some((scheme, name.to_owned(), secret.to_owned()))
}

/// Nobody guesses it.
fn secret() -> String {
    format!("{:032x}", rand::random::<u128>())
}

fn credential(scheme: &str, text: &str) -> Authorization {
    let header = format!("{scheme} {}", STANDARD.encode(text));
    Authorization::parse(&header).expect("names and passwords of tests are short")
}

fn unknown() -> StoreError {
    StoreError::Unauthorized {
        reason: "nobody is known by it".to_owned(),
    }
}

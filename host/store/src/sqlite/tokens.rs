//! The people of the embedded store: whoever has one of its tokens, and keys with which runs read
//! in their name.
//!
//! # How it works
//! All of them are in memory, so that asking costs nothing and a revocation counts at once: the
//! folder's lock sees to it that no other process changes them. A change is written first, but for
//! a revocation, which counts first.
//!
//! # Why no slow digest
//! A slow one (argon2, say) makes guesses dear where people choose what is guessed. A token's
//! secret has 256 random bits: nobody guesses it, however fast he tries, also with the file in
//! hand. So SHA-256 does, compared in constant time; and no cache of accepted tokens is needed, in
//! which one that was revoked could live on.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use async_trait::async_trait;
use rand::TryRng as _;
use rand::rngs::SysRng;
use rusqlite::{Connection, params};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use taskhost_model::requester::{Authorization, Credential, Requester};
use taskhost_model::rights::{Right, Rights};
use taskhost_model::time::{Clock, Timestamp};
use taskhost_model::token::{Token, TokenId, TokenSecret, taken_apart, whole};

use super::Sqlite;
use super::row::damaged;
use crate::authority::{Authority, GrantedKey, Person};
use crate::crash::Step;
use crate::error::StoreError;
use crate::tokens::{Created, KEPT_AFTER_END, NewToken, Revoked, TOKENS_MAX, TokenStore};

/// The scheme of keys that were granted: no token looks like that.
const KEY_SCHEME: &str = "RunKey";
/// What the digests are for.
const TOKEN_PURPOSE: &[u8] = b"taskhost token 1";
const KEY_PURPOSE: &[u8] = b"taskhost key of runs 1";
/// What seals the keys of runs.
const SELECT_RING: &str = "SELECT value FROM identity WHERE name = 'ring'";

type Digest = [u8; 32];

/// The people of a folder.
#[derive(Debug)]
pub(crate) struct Tokens {
    sqlite: Arc<Sqlite>,
    clock: Clock,
    known: RwLock<Known>,
    /// Held while something is changed.
    changing: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Known {
    tokens: HashMap<TokenId, Kept>,
    keys: HashMap<String, Key>,
    /// Whether there was ever one.
    is_used: bool,
}

#[derive(Debug, Clone)]
struct Kept {
    token: Token,
    digest: Digest,
}

#[derive(Debug, Clone)]
struct Key {
    token: TokenId,
    digest: Digest,
    expires_at: Timestamp,
}

/// Somebody who was recognized.
struct Somebody {
    person: Person,
    rights: Rights,
    token: TokenId,
}

impl Tokens {
    /// Reads what is stored. It reads a file: not for threads that serve.
    pub(crate) fn open(sqlite: &Arc<Sqlite>, connection: &Connection) -> Result<Self, StoreError> {
        let mut known = Known::default();
        let mut statement = connection.prepare("SELECT number, digest, body FROM tokens")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let body: String = row.get(2)?;
            let token: Token = serde_json::from_str(&body).map_err(damaged)?;
            let digest = row.get(1)?;
            known
                .tokens
                .insert(token.id.clone(), Kept { token, digest });
        }
        let sql = "SELECT count(*) > 0 FROM sqlite_sequence WHERE name = 'tokens'";
        known.is_used = connection.query_row(sql, [], |row| row.get(0))?;
        let sql = "SELECT id, token, digest, expires_ms FROM granted_keys";
        let mut statement = connection.prepare(sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let token: String = row.get(1)?;
            let token = TokenId::parse(&token).ok_or_else(|| damaged("the id of a token"))?;
            let key = Key {
                token,
                digest: row.get(2)?,
                expires_at: Timestamp::from_ms(row.get(3)?),
            };
            known.keys.insert(row.get(0)?, key);
        }
        Ok(Self {
            clock: sqlite.clock.clone(),
            sqlite: Arc::clone(sqlite),
            known: RwLock::new(known),
            changing: tokio::sync::Mutex::default(),
        })
    }

    /// What whoever asks may do. Nobody comes without a credential.
    pub(super) fn rights_of(&self, requester: &Requester) -> Result<Rights, StoreError> {
        match &requester.credential {
            Credential::SingleUser => Err(unknown()),
            Credential::Own(own) => Ok(self.recognized(own)?.rights),
        }
    }

    fn recognized(&self, authorization: &Authorization) -> Result<Somebody, StoreError> {
        let (scheme, text) = authorization.header().split_once(' ').ok_or_else(unknown)?;
        if scheme == KEY_SCHEME {
            return self.key_of(text);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(StoreError::Unauthorized {
                reason: "this host knows people by its own tokens: send one as `Bearer`".to_owned(),
            });
        }
        let (id, secret) = taken_apart(text).ok_or_else(unknown)?;
        let known = self.read();
        let kept = known.tokens.get(&id);
        // As much is done for one that there is not.
        let is_it = is_same(
            digest_of(TOKEN_PURPOSE, &id, &secret),
            kept.map(|it| it.digest),
        );
        let kept = kept.filter(|_| is_it).ok_or_else(unknown)?;
        alive(&kept.token, self.clock.now())?;
        Ok(Somebody {
            person: Person {
                name: kept.token.name.clone(),
                comes_with_key: false,
                token: Some(id.to_string()),
            },
            rights: kept.token.rights.clone(),
            token: id,
        })
    }

    /// A key is accepted as long as its token is, and its own time lasts.
    fn key_of(&self, text: &str) -> Result<Somebody, StoreError> {
        let (id, secret) = taken_apart(text).ok_or_else(unknown)?;
        let (known, now) = (self.read(), self.clock.now());
        let key = known.keys.get(id.as_str());
        let is_it = is_same(
            digest_of(KEY_PURPOSE, &id, &secret),
            key.map(|it| it.digest),
        );
        let key = key.filter(|_| is_it).ok_or_else(unknown)?;
        let kept = known.tokens.get(&key.token).ok_or_else(ended)?;
        alive(&kept.token, now)?;
        if key.expires_at <= now {
            return Err(ended());
        }
        Ok(Somebody {
            person: Person {
                name: kept.token.name.clone(),
                comes_with_key: true,
                token: Some(key.token.to_string()),
            },
            rights: Rights {
                streams: kept.token.rights.streams.clone(),
                ..Rights::default()
            },
            token: key.token.clone(),
        })
    }

    /// That whoever changes something has a token that is accepted still.
    fn may_still(&self, by: Option<&TokenId>) -> Result<(), StoreError> {
        let Some(by) = by else {
            return Ok(());
        };
        let known = self.read();
        let kept = known.tokens.get(by).ok_or_else(ended)?;
        alive(&kept.token, self.clock.now())
    }

    /// Forgets what has ended long ago.
    async fn forget_ended(&self) -> Result<(), StoreError> {
        let now = self.clock.now();
        let before = now.minus(KEPT_AFTER_END);
        let is_over = |it: &Kept| it.token.ended_at(now).is_some_and(|at| at < before);
        let over: Vec<TokenId> = {
            let known = self.read();
            let over = known.tokens.values().filter(|it| is_over(it));
            over.map(|it| it.token.id.clone()).collect()
        };
        if over.is_empty() {
            return Ok(());
        }
        let gone = over.clone();
        let work = move |connection: &Connection| {
            for id in &gone {
                let sql = "DELETE FROM tokens WHERE id = ?1";
                connection.prepare_cached(sql)?.execute([id.as_str()])?;
            }
            Ok(())
        };
        self.sqlite.tasks.writer.write(Step::Other, work).await?;
        self.write().tokens.retain(|id, _| !over.contains(id));
        Ok(())
    }

    fn admins(&self) -> usize {
        let (known, now) = (self.read(), self.clock.now());
        let tokens = known.tokens.values().map(|it| &it.token);
        tokens
            .filter(|it| it.is_admins() && it.is_alive(now))
            .count()
    }

    fn read(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Known> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl TokenStore for Tokens {
    async fn create(&self, new: NewToken, by: Option<&TokenId>) -> Result<Created, StoreError> {
        let _one_at_a_time = self.changing.lock().await;
        self.may_still(by)?;
        self.forget_ended().await?;
        if self.read().tokens.len() >= TOKENS_MAX {
            return Err(StoreError::TooLarge {
                what: "the list of tokens",
                bytes: TOKENS_MAX as u64 + 1,
                bytes_max: TOKENS_MAX as u64,
            });
        }
        let (id, secret) = (TokenId::of(random()?), TokenSecret::of(random()?));
        let token = Token {
            id: id.clone(),
            name: new.name,
            rights: new.rights,
            created_at: self.clock.now(),
            created_by: new.created_by,
            expires_at: new.expires_at,
            revoked_at: None,
            revoked_by: None,
        };
        let digest = digest_of(TOKEN_PURPOSE, &id, &secret);
        let body = serde_json::to_string(&token).map_err(damaged)?;
        let key = id.clone();
        let work = move |connection: &Connection| {
            let sql = "INSERT INTO tokens (id, digest, body) VALUES (?1, ?2, ?3)";
            let values = params![key.as_str(), digest, body];
            connection.prepare_cached(sql)?.execute(values)?;
            Ok(())
        };
        self.sqlite.tasks.writer.write(Step::Other, work).await?;
        let kept = Kept {
            token: token.clone(),
            digest,
        };
        let mut known = self.write();
        known.is_used = true;
        known.tokens.insert(id.clone(), kept);
        Ok(Created {
            token,
            secret: whole(&id, &secret),
        })
    }

    async fn list(&self) -> Result<Vec<Token>, StoreError> {
        let known = self.read();
        let mut tokens: Vec<Token> = known.tokens.values().map(|it| it.token.clone()).collect();
        tokens.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        Ok(tokens)
    }

    async fn revoke(
        &self,
        id: &TokenId,
        name: &str,
        by: Option<&TokenId>,
    ) -> Result<Option<Revoked>, StoreError> {
        let _one_at_a_time = self.changing.lock().await;
        self.may_still(by)?;
        let (before, token) = {
            // It counts from here on, before it is written.
            let mut known = self.write();
            let Some(kept) = known.tokens.get_mut(id) else {
                return Ok(None);
            };
            let before = kept.token.clone();
            if kept.token.revoked_at.is_none() {
                kept.token.revoked_at = Some(self.clock.now());
                kept.token.revoked_by = Some(name.to_owned());
            }
            (before, kept.token.clone())
        };
        let body = serde_json::to_string(&token).map_err(damaged)?;
        let key = id.clone();
        let work = move |connection: &Connection| {
            let sql = "UPDATE tokens SET body = ?2 WHERE id = ?1";
            connection
                .prepare_cached(sql)?
                .execute((key.as_str(), &body))?;
            let sql = "DELETE FROM granted_keys WHERE token = ?1";
            connection.prepare_cached(sql)?.execute([key.as_str()])?;
            Ok(())
        };
        if let Err(error) = self.sqlite.tasks.writer.write(Step::Other, work).await {
            // Whoever asked is told that it was not done: it is not.
            if let Some(kept) = self.write().tokens.get_mut(id) {
                kept.token = before;
            }
            return Err(error);
        }
        self.write().keys.retain(|_, key| key.token != *id);
        let admins_left = self.admins();
        Ok(Some(Revoked { token, admins_left }))
    }

    async fn is_empty(&self) -> Result<bool, StoreError> {
        Ok(!self.read().is_used)
    }
}

#[async_trait]
impl Authority for Tokens {
    fn is_at_hand(&self) -> bool {
        true
    }

    async fn person(&self, authorization: &Authorization) -> Result<Person, StoreError> {
        Ok(self.recognized(authorization)?.person)
    }

    async fn has(
        &self,
        authorization: &Authorization,
        asked: &[Right],
    ) -> Result<Vec<bool>, StoreError> {
        let rights = self.recognized(authorization)?.rights;
        Ok(asked.iter().map(|right| rights.has(right)).collect())
    }

    async fn grant(
        &self,
        authorization: &Authorization,
        _purpose: &str,
        valid_for: Duration,
    ) -> Result<GrantedKey, StoreError> {
        let somebody = self.recognized(authorization)?;
        if somebody.person.comes_with_key {
            return Err(StoreError::Unauthorized {
                reason: "a key is granted for a token alone".to_owned(),
            });
        }
        let now = self.clock.now();
        let (id, secret) = (TokenId::of(random()?), TokenSecret::of(random()?));
        let key = Key {
            token: somebody.token,
            digest: digest_of(KEY_PURPOSE, &id, &secret),
            expires_at: now.plus(valid_for),
        };
        let (written, name) = (key.clone(), id.to_string());
        let work = move |connection: &Connection| {
            let sql = "DELETE FROM granted_keys WHERE expires_ms <= ?1";
            connection.prepare_cached(sql)?.execute([now.as_ms()])?;
            let sql = "INSERT INTO granted_keys (id, token, digest, expires_ms) \
                       VALUES (?1, ?2, ?3, ?4)";
            let (token, expires_ms) = (written.token.as_str(), written.expires_at.as_ms());
            let values = params![name, token, written.digest, expires_ms];
            connection.prepare_cached(sql)?.execute(values)?;
            Ok(())
        };
        self.sqlite.tasks.writer.write(Step::Other, work).await?;
        {
            let mut known = self.write();
            known.keys.retain(|_, key| now < key.expires_at);
            known.keys.insert(id.to_string(), key);
        }
        let header = format!("{KEY_SCHEME} {}", whole(&id, &secret));
        let authorization = Authorization::parse(&header).map_err(damaged)?;
        Ok(GrantedKey {
            id: id.to_string(),
            authorization,
        })
    }

    async fn invalidate(&self, keys: &[String]) -> Result<(), StoreError> {
        if keys.is_empty() {
            return Ok(());
        }
        let ended = keys.to_vec();
        let work = move |connection: &Connection| {
            for id in &ended {
                let sql = "DELETE FROM granted_keys WHERE id = ?1";
                connection.prepare_cached(sql)?.execute([id])?;
            }
            Ok(())
        };
        self.sqlite.tasks.writer.write(Step::Other, work).await?;
        self.write().keys.retain(|id, _| !keys.contains(id));
        Ok(())
    }
}

/// What seals the keys of runs: kept in the file itself, whose owner has all that they open
/// anyway.
pub(crate) fn ring(connection: &Connection) -> Result<[u8; 32], StoreError> {
    let made: [u8; 32] = random()?;
    let sql = "INSERT OR IGNORE INTO identity (name, value) VALUES ('ring', ?1)";
    connection.execute(sql, [made])?;
    Ok(connection.query_row(SELECT_RING, [], |row| row.get(0))?)
}

fn alive(token: &Token, now: Timestamp) -> Result<(), StoreError> {
    match token.is_alive(now) {
        true => Ok(()),
        false => Err(ended()),
    }
}

/// Takes as long whether there is something to compare with or not.
fn is_same(shown: Digest, kept: Option<Digest>) -> bool {
    let is_it = shown.ct_eq(&kept.unwrap_or_default());
    bool::from(is_it) && kept.is_some()
}

fn digest_of(purpose: &[u8], id: &TokenId, secret: &TokenSecret) -> Digest {
    let mut hasher = Sha256::new();
    for part in [purpose, id.as_str().as_bytes(), secret.text().as_bytes()] {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.finalize().into()
}

/// The system's own: a process that goes on as a copy draws others.
fn random<const LENGTH: usize>() -> Result<[u8; LENGTH], StoreError> {
    let mut bytes = [0; LENGTH];
    let drawn = SysRng.try_fill_bytes(&mut bytes);
    drawn.map_err(|_| StoreError::Unavailable {
        reason: "the system gives no random numbers".to_owned(),
    })?;
    Ok(bytes)
}

/// The same whatever is wrong with it.
fn unknown() -> StoreError {
    StoreError::Unauthorized {
        reason: "nobody is known by it".to_owned(),
    }
}

fn ended() -> StoreError {
    StoreError::Unauthorized {
        reason: "it has ended: somebody has revoked it, or its time is over".to_owned(),
    }
}

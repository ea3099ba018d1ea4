//! The keys with which runs read streams in the name of whoever scheduled them.
//!
//! # Guarantees
//! 1. A run that reads a stream has a key before it is written. The key can do no more than its
//!    person could when it was made, and is stored sealed.
//! 2. Runs of one credential that are scheduled within [`SHARED_FOR`] by this host share one key,
//!    if that key may read their streams and lasts for them.
//! 3. No key is ended that an unfinished run or a schedule (`schedules.rs`) holds, or that a write
//!    on its way is to hold.
//! 4. A key that nobody holds is ended at the next sweep: by the host that has made it, or, where
//!    that life is over, by whoever sweeps for all. One that its person brought along is forgotten,
//!    and never ended.
//!
//! # How long a key lasts
//! From when its run is due a week in the queue, and every attempt at its longest with the waits
//! between: [`QUEUED_AT_MOST`], [`PAUSED_AT_MOST`]. A run that begins later than that fails.

mod check;
mod sweep;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use taskhost_model::ids::{Incarnation, RunKeyId, StreamName};
use taskhost_model::requester::Authorization;
use taskhost_model::rights::Right;
use taskhost_model::time::{Clock, Timestamp};
use taskhost_store::authority::{Authority, Person};
use taskhost_store::error::StoreError;
use taskhost_store::open::People;
use taskhost_store::run_keys::{RunKey, RunKeyStore};

use crate::access::{Access, CredentialId};
use crate::error::ServiceError;
use crate::key_ring::{KeyRing, NotOpened, Purpose};
use crate::lease::Lease;
use crate::sync::{AtomicBool, Mutex, MutexGuard};
pub(crate) use check::check_ring;

/// So long after it was made a key is given to further runs.
const SHARED_FOR: Duration = Duration::from_secs(5 * 60);
/// The longest that a run may wait in the queue for its key to last.
pub(crate) const QUEUED_AT_MOST: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// The pauses that a run may be given without an attempt.
pub(crate) const PAUSED_AT_MOST: Duration = Duration::from_secs(20 * 60 * 60);

/// The keys of runs.
#[derive(Debug)]
pub(crate) struct RunKeys {
    authority: Arc<dyn Authority>,
    store: Arc<dyn RunKeyStore>,
    access: Arc<Access>,
    ring: KeyRing,
    lease: Arc<Lease>,
    clock: Clock,
    kept: Mutex<Kept>,
}

/// What this host has made and not ended.
#[derive(Debug, Default)]
struct Kept {
    keys: HashMap<RunKeyId, Key>,
    /// The latest key of each credential, as long as it is given to further runs.
    shared: HashMap<CredentialId, RunKeyId>,
    /// Held while a credential is asked for a key.
    turns: HashMap<CredentialId, Arc<tokio::sync::Mutex<()>>>,
}

#[derive(Debug)]
struct Key {
    credential: CredentialId,
    authorization: Authorization,
    granted: Option<String>,
    made_by: Incarnation,
    shared_until: Timestamp,
    expires_at: Timestamp,
    /// What it is known to be good for.
    streams: HashSet<StreamName>,
    /// Schedules on their way that are to hold it.
    users: usize,
    /// Of a schedule nobody knows whether it was written: it may still come.
    is_unsure: bool,
}

/// Whoever schedules, and for what.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) own: Authorization,
    /// All that its run is to read; none, and it has a key all the same.
    pub(crate) streams: Vec<StreamName>,
    /// So long the key has to last.
    pub(crate) until: Timestamp,
}

/// A key in the hands of a schedule: until it is dropped nobody ends the key.
#[derive(Debug)]
pub(crate) struct InUse {
    keys: Arc<RunKeys>,
    id: RunKeyId,
    /// Whether a schedule was sent of which the store has not said what became of it.
    is_open: AtomicBool,
}

/// A run's key, or why it has none, for people.
pub(crate) type Opened = Result<Authorization, String>;

impl RunKeys {
    pub(crate) fn new(
        people: &People,
        ring: KeyRing,
        access: &Arc<Access>,
        lease: &Arc<Lease>,
        clock: &Clock,
    ) -> Self {
        Self {
            authority: Arc::clone(&people.authority),
            store: Arc::clone(&people.keys),
            access: Arc::clone(access),
            ring,
            lease: Arc::clone(lease),
            clock: clock.clone(),
            kept: Mutex::default(),
        }
    }

    /// Whether each run has a key, also one that reads no stream: where a key costs nothing, it is
    /// by this that a run ends with what its person came with.
    pub(crate) fn is_for_all_runs(&self) -> bool {
        self.authority.is_at_hand()
    }

    /// A key for a run that is about to be scheduled: one that is shared, or a new one.
    pub(crate) async fn take(self: &Arc<Self>, wanted: Wanted) -> Result<InUse, ServiceError> {
        let credential = self.access.id_of(&wanted.own);
        if let Some(shared) = self.shared(credential, &wanted, false) {
            return Ok(shared);
        }
        let turn = Arc::clone(self.lock().turns.entry(credential).or_default());
        let its_turn = turn.lock().await;
        let taken = self.shared_or_new(credential, wanted).await;
        drop(its_turn);
        // Whoever waits for it holds it, too.
        let mut kept = self.lock();
        if Arc::strong_count(&turn) <= 2 {
            kept.turns.remove(&credential);
        }
        taken
    }

    /// A key of its own, for a schedule: no run of another one shares it.
    pub(crate) async fn take_alone(
        self: &Arc<Self>,
        wanted: Wanted,
    ) -> Result<InUse, ServiceError> {
        let credential = self.access.id_of(&wanted.own);
        self.made(credential, wanted, false).await
    }

    /// Whether a key is accepted still, and for these streams; or why not, for people.
    pub(crate) async fn is_accepted(
        &self,
        key: &Authorization,
        streams: &[StreamName],
    ) -> Result<Result<(), String>, ServiceError> {
        let asked: Vec<Right> = streams.iter().cloned().map(Right::ReadStream).collect();
        Ok(match self.authority.has(key, &asked).await {
            Ok(has) => match streams.iter().zip(has).find(|(_, has)| !has) {
                None => Ok(()),
                Some((stream, _)) => Err(format!("it may not read the stream `{stream}`")),
            },
            Err(StoreError::Unauthorized { reason }) => Err(reason),
            Err(error) => return Err(error.into()),
        })
    }

    async fn shared_or_new(
        self: &Arc<Self>,
        credential: CredentialId,
        wanted: Wanted,
    ) -> Result<InUse, ServiceError> {
        // Somebody may have made one meanwhile.
        if let Some(shared) = self.shared(credential, &wanted, false) {
            return Ok(shared);
        }
        // What its person may read since then the key may not.
        if let Some(shared) = self.shared(credential, &wanted, true)
            && self.is_good_for(&shared, &wanted.streams).await?
        {
            return Ok(shared);
        }
        self.made(credential, wanted, true).await
    }

    /// Carried out whole, also when whoever asks hangs up: a key that nobody knows of stays.
    async fn made(
        self: &Arc<Self>,
        credential: CredentialId,
        wanted: Wanted,
        is_shared: bool,
    ) -> Result<InUse, ServiceError> {
        let keys = Arc::clone(self);
        let made = tokio::spawn(async move { keys.make(credential, wanted, is_shared).await });
        made.await.map_err(|error| ServiceError::Internal {
            reason: error.to_string(),
        })?
    }

    /// The key that the credential's runs share now; `of_any`: whatever stream it is good for.
    fn shared(
        self: &Arc<Self>,
        credential: CredentialId,
        wanted: &Wanted,
        of_any: bool,
    ) -> Option<InUse> {
        let now = self.clock.now();
        let mut kept = self.lock();
        let id = *kept.shared.get(&credential)?;
        let key = kept.keys.get_mut(&id)?;
        // After a pause others may have taken this host for lost, and its keys for nobody's.
        let is_alive = self.lease.is_of(key.made_by) && self.lease.is_safe();
        let is_shared = is_alive && now < key.shared_until;
        let is_known_for = |stream| key.streams.contains(stream);
        let is_fit =
            key.expires_at >= wanted.until && (of_any || wanted.streams.iter().all(is_known_for));
        if !is_shared || !is_fit {
            return None;
        }
        key.users += 1;
        Some(self.in_use(id))
    }

    async fn is_good_for(&self, key: &InUse, streams: &[StreamName]) -> Result<bool, ServiceError> {
        let authorization = self
            .lock()
            .keys
            .get(&key.id)
            .map(|key| key.authorization.clone());
        let Some(authorization) = authorization else {
            return Ok(false);
        };
        let asked: Vec<Right> = streams.iter().cloned().map(Right::ReadStream).collect();
        match self.authority.has(&authorization, &asked).await {
            Ok(has) if has.len() == asked.len() && has.iter().all(|it| *it) => {
                if let Some(key) = self.lock().keys.get_mut(&key.id) {
                    key.streams.extend(streams.iter().cloned());
                }
                Ok(true)
            }
            // Somebody has ended it.
            Ok(_) | Err(StoreError::Unauthorized { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    async fn make(
        self: &Arc<Self>,
        credential: CredentialId,
        wanted: Wanted,
        is_shared: bool,
    ) -> Result<InUse, ServiceError> {
        let Wanted {
            own,
            streams,
            until,
        } = wanted;
        if !self.lease.is_safe() {
            return Err(ServiceError::Unavailable {
                reason: "this host has not reached it for too long".to_owned(),
            });
        }
        let person = self.access.person(&own).await?;
        let (now, made_by) = (self.clock.now(), self.lease.incarnation());
        // It is shared with runs that come later and take as long.
        let valid_for = until.since(now) + SHARED_FOR;
        let id = RunKeyId::new();
        let (granted, authorization) = if person.comes_with_key {
            (None, own)
        } else {
            let purpose = format!("taskhost: runs of {}, key {id}", person.name);
            let granted = self.authority.grant(&own, &purpose, valid_for).await?;
            (Some(granted.id), granted.authorization)
        };
        let key = Key {
            credential,
            authorization,
            granted,
            made_by,
            shared_until: now.plus(SHARED_FOR),
            expires_at: now.plus(valid_for),
            streams: streams.into_iter().collect(),
            users: 1,
            is_unsure: false,
        };
        let stored = self.sealed(id, &person, &key);
        // From here on it is known, and ended when nobody holds it.
        self.lock().keys.insert(id, key);
        let in_use = self.in_use(id);
        self.store.put(&stored?).await?;
        if is_shared {
            self.lock().shared.insert(credential, id);
        }
        Ok(in_use)
    }

    fn sealed(&self, id: RunKeyId, person: &Person, key: &Key) -> Result<RunKey, ServiceError> {
        let text = key.authorization.header().as_bytes();
        let sealed = self.ring.seal(Purpose::RunKey, &id.to_string(), text);
        Ok(RunKey {
            id,
            granted: key.granted.clone(),
            person: person.name.clone(),
            shared_by: key.made_by,
            shared_until: key.shared_until,
            expires_at: key.expires_at,
            sealed: sealed.map_err(|reason| ServiceError::Internal { reason })?,
        })
    }

    fn in_use(self: &Arc<Self>, id: RunKeyId) -> InUse {
        InUse {
            keys: Arc::clone(self),
            id,
            is_open: AtomicBool::new(false),
        }
    }

    /// The key that a run holds, for reading with it; where that costs nothing, with a look whether
    /// it is accepted still.
    ///
    /// # Errors
    /// [`ServiceError::Unavailable`] when the store cannot be read.
    pub(crate) async fn opened(&self, id: RunKeyId) -> Result<Opened, ServiceError> {
        let opened = self.unsealed(id).await?;
        let Ok(own) = &opened else {
            return Ok(opened);
        };
        if self.authority.is_at_hand()
            && let Err(error) = self.authority.person(own).await
        {
            return match error {
                StoreError::Unauthorized { .. } => Ok(Err(
                    "what they came with has been revoked since, or has expired".to_owned(),
                )),
                error => Err(error.into()),
            };
        }
        Ok(opened)
    }

    async fn unsealed(&self, id: RunKeyId) -> Result<Opened, ServiceError> {
        let now = self.clock.now();
        let own = self
            .lock()
            .keys
            .get(&id)
            .map(|key| (key.authorization.clone(), key.expires_at));
        if let Some((authorization, expires_at)) = own {
            return Ok(if now < expires_at {
                Ok(authorization)
            } else {
                Err(expired(expires_at))
            });
        }
        let Some(key) = self.store.get(id).await? else {
            return Ok(Err("the key that it was scheduled with is gone".to_owned()));
        };
        if key.expires_at <= now {
            return Ok(Err(expired(key.expires_at)));
        }
        let opened = self
            .ring
            .open(Purpose::RunKey, &id.to_string(), &key.sealed);
        Ok(opened.map_err(not_opened).and_then(|text| {
            let header = String::from_utf8(text).ok();
            let key = header.and_then(|header| Authorization::parse(&header).ok());
            key.ok_or_else(|| not_opened(NotOpened::Changed))
        }))
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl InUse {
    /// What a run names.
    pub(crate) fn id(&self) -> RunKeyId {
        self.id
    }

    /// A schedule is sent to the store.
    pub(crate) fn sent(&self) {
        self.is_open.store(true, Ordering::SeqCst);
    }

    /// The store has said what became of it.
    pub(crate) fn answered(&self) {
        self.is_open.store(false, Ordering::SeqCst);
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        if let Some(key) = self.keys.lock().keys.get_mut(&self.id) {
            key.users -= 1;
            key.is_unsure |= self.is_open.load(Ordering::SeqCst);
        }
    }
}

fn expired(at: Timestamp) -> String {
    format!("the key that it was scheduled with has expired at {at}")
}

fn not_opened(why: NotOpened) -> String {
    match why {
        NotOpened::OtherKey => "the key that it was scheduled with was sealed with a key that \
                                this host does not have: give the host that one as a former key"
            .to_owned(),
        NotOpened::Changed => "what is stored of the key that it was scheduled with was changed, \
                               and does not open"
            .to_owned(),
    }
}

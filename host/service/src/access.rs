//! Who asks, and what they may do: the one way in which a verb asks.
//!
//! # Guarantees
//! 1. Nobody has a right that the store's authority has not confirmed within [`KNOWN_FOR`]. When it
//!    cannot be asked, nothing is allowed.
//! 2. A credential that is not accepted is asked for again after [`REFUSED_FOR`], and is nobody
//!    until then.
//! 3. Of one credential one question is asked at a time: whoever comes meanwhile hears the answer,
//!    also that there was none, so that nobody waits for more than one question to fail.
//! 4. No credential is kept: each is known by a digest with a key that ends with this process.
//! 5. Nothing is remembered of an authority that is at hand: what it says counts at once.
//! 6. Where the store has no people of its own everybody is the one user, who may do everything.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use ring::hmac;
use ring::rand::SystemRandom;
use taskhost_model::ids::{Space, StreamName};
use taskhost_model::requester::{Authorization, Credential, Origin, Requester};
use taskhost_model::rights::{Right, Role};
use taskhost_model::task::Task;
use taskhost_store::authority::{Authority, Person};
use taskhost_store::error::StoreError;
use tokio::time::Instant;

use crate::error::ServiceError;
use crate::sync::{AtomicUsize, Mutex, MutexGuard};

/// How old an answer of the authority may be.
const KNOWN_FOR: Duration = Duration::from_secs(30);
/// How long a credential that was refused is not asked for again.
const REFUSED_FOR: Duration = Duration::from_secs(2);
/// Who watches something is looked at so often.
const ASKED_AGAIN_AFTER: Duration = Duration::from_secs(2);
/// Credentials of which something is known at once.
const CREDENTIALS_MAX: usize = 4_096;
/// Rights of one credential that are known at once.
const RIGHTS_MAX: usize = 4_096;

/// A credential, as it is known here.
pub(crate) type CredentialId = [u8; 32];

/// The people of the store, and what was heard of them.
#[derive(Debug)]
pub(crate) struct Access(Option<Asking>);

struct Asking {
    authority: Arc<dyn Authority>,
    /// Credentials are known by digests with this.
    digests: hmac::Key,
    known: Mutex<HashMap<CredentialId, Arc<Known>>>,
}

/// What is known of a credential.
#[derive(Debug)]
struct Known {
    /// Held while something is asked.
    facts: tokio::sync::Mutex<Facts>,
    /// How often nobody could be asked.
    failures: AtomicUsize,
    used: Mutex<Instant>,
}

#[derive(Debug, Default)]
struct Facts {
    /// Whose it is, or why it is nobody's.
    person: Option<(Instant, Result<Person, String>)>,
    rights: HashMap<Right, (Instant, bool)>,
    /// Why nobody could be asked when it was tried last.
    unanswered: Option<String>,
}

/// What is known of a credential, in the hands of the one who may ask for more.
struct Turn<'a> {
    known: &'a Known,
    facts: tokio::sync::MutexGuard<'a, Facts>,
    /// Whether nobody could be asked while the turn was waited for.
    has_failed: bool,
}

/// Somebody who asks for something.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller<'a> {
    access: &'a Access,
    by: &'a Requester,
}

impl Access {
    /// Without an authority everybody may do everything.
    pub(crate) fn new(authority: Option<Arc<dyn Authority>>) -> Result<Self, ServiceError> {
        let Some(authority) = authority else {
            return Ok(Self(None));
        };
        let digests = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new());
        let digests = digests.map_err(|_| ServiceError::Internal {
            reason: "the system gives no random numbers".to_owned(),
        })?;
        Ok(Self(Some(Asking {
            authority,
            digests,
            known: Mutex::default(),
        })))
    }

    /// Who comes with this.
    pub(crate) async fn recognize(
        &self,
        authorization: Option<&Authorization>,
    ) -> Result<Requester, ServiceError> {
        if self.0.is_none() {
            return Ok(Requester::single_user());
        }
        let own = authorization.ok_or_else(nobody)?;
        let person = self.person(own).await?;
        Ok(Requester {
            name: person.name,
            credential: Credential::Own(own.clone()),
            origin: Origin {
                address: None,
                token: person.token,
            },
        })
    }

    /// Whose credential it is.
    pub(crate) async fn person(&self, own: &Authorization) -> Result<Person, ServiceError> {
        let asking = self.0.as_ref().ok_or_else(nobody)?;
        if asking.authority.is_at_hand() {
            return Ok(asking.authority.person(own).await?);
        }
        let known = asking.known(own);
        let mut turn = known.turn().await;
        if let Some(person) = turn.facts.person() {
            return person.map_err(|reason| ServiceError::Unauthorized { reason });
        }
        turn.may_ask()?;
        // Its age counts from before it was asked.
        let asked_at = Instant::now();
        match asking.authority.person(own).await {
            Ok(person) => {
                turn.facts.person = Some((asked_at, Ok(person.clone())));
                Ok(person)
            }
            Err(error) => Err(turn.failed(asked_at, error)),
        }
    }

    /// Returns when the credential is accepted no more; never, where everybody is the one user.
    pub(crate) async fn until_refused(&self, by: &Requester) {
        let (Some(_), Credential::Own(own)) = (&self.0, &by.credential) else {
            return std::future::pending().await;
        };
        loop {
            tokio::time::sleep(ASKED_AGAIN_AFTER).await;
            // While nobody can be asked, nothing is allowed, and nothing is over either.
            if let Err(ServiceError::Unauthorized { .. }) = self.person(own).await {
                return;
            }
        }
    }

    /// How the credential is known here.
    pub(crate) fn id_of(&self, own: &Authorization) -> CredentialId {
        self.0.as_ref().map_or([0; 32], |asking| asking.id_of(own))
    }

    /// Somebody who asks for something.
    pub(crate) fn caller<'a>(&'a self, by: &'a Requester) -> Caller<'a> {
        Caller { access: self, by }
    }
}

impl Asking {
    fn id_of(&self, own: &Authorization) -> CredentialId {
        let digest = hmac::sign(&self.digests, own.header().as_bytes());
        let mut id = [0; 32];
        id.copy_from_slice(digest.as_ref());
        id
    }

    fn known(&self, own: &Authorization) -> Arc<Known> {
        let id = self.id_of(own);
        let now = Instant::now();
        let mut all = lock(&self.known);
        if let Some(known) = all.get(&id) {
            *lock(&known.used) = now;
            return Arc::clone(known);
        }
        if all.len() >= CREDENTIALS_MAX {
            all.retain(|_, known| now.duration_since(*lock(&known.used)) < KNOWN_FOR);
        }
        if all.len() >= CREDENTIALS_MAX {
            let longest_ago = all.iter().min_by_key(|(_, known)| *lock(&known.used));
            if let Some(id) = longest_ago.map(|(id, _)| *id) {
                all.remove(&id);
            }
        }
        let known = Arc::new(Known {
            facts: tokio::sync::Mutex::default(),
            failures: AtomicUsize::new(0),
            used: Mutex::new(now),
        });
        all.insert(id, Arc::clone(&known));
        known
    }

    /// Whether they have each of these rights.
    async fn has(
        &self,
        own: &Authorization,
        asked: &[Right],
    ) -> Result<HashMap<Right, bool>, ServiceError> {
        if self.authority.is_at_hand() {
            let answers = self.authority.has(own, asked).await?;
            return Ok(asked.iter().cloned().zip(answers).collect());
        }
        let known = self.known(own);
        let mut turn = known.turn().await;
        let facts = &turn.facts;
        if let Some(Err(reason)) = facts.person() {
            return Err(ServiceError::Unauthorized { reason });
        }
        let now = Instant::now();
        let mut has = HashMap::new();
        let mut unknown = Vec::new();
        for right in asked {
            match facts.right(right, now) {
                Some(it) => drop(has.insert(right.clone(), it)),
                None if unknown.contains(right) => {}
                None => unknown.push(right.clone()),
            }
        }
        if unknown.is_empty() {
            return Ok(has);
        }
        turn.may_ask()?;
        let answers = match self.authority.has(own, &unknown).await {
            Ok(answers) if answers.len() == unknown.len() => answers,
            Ok(_) => {
                return Err(ServiceError::Internal {
                    reason: "the authority answered another question".to_owned(),
                });
            }
            Err(error) => return Err(turn.failed(now, error)),
        };
        let facts = &mut turn.facts;
        facts.make_room(now);
        for (right, it) in unknown.into_iter().zip(answers) {
            facts.rights.insert(right.clone(), (now, it));
            has.insert(right, it);
        }
        Ok(has)
    }
}

impl Known {
    /// Waits until nobody asks.
    async fn turn(&self) -> Turn<'_> {
        let failures = self.failures.load(Ordering::SeqCst);
        let facts = self.facts.lock().await;
        Turn {
            known: self,
            facts,
            has_failed: self.failures.load(Ordering::SeqCst) != failures,
        }
    }
}

impl Turn<'_> {
    /// # Errors
    /// What whoever asked meanwhile has heard, where nobody could be asked: it is no use to wait
    /// for that again.
    fn may_ask(&self) -> Result<(), ServiceError> {
        match &self.facts.unanswered {
            Some(reason) if self.has_failed => Err(ServiceError::Unavailable {
                reason: reason.clone(),
            }),
            _ => Ok(()),
        }
    }

    /// A refusal ends everything that was known of the credential; that nobody could be asked says
    /// nothing of it, and is told to whoever waits.
    fn failed(&mut self, at: Instant, error: StoreError) -> ServiceError {
        match &error {
            StoreError::Unauthorized { reason } => {
                self.facts.person = Some((at, Err(reason.clone())));
                self.facts.rights.clear();
            }
            StoreError::Unavailable { reason } => {
                self.facts.unanswered = Some(reason.clone());
                self.known.failures.fetch_add(1, Ordering::SeqCst);
            }
            _ => {}
        }
        error.into()
    }
}

impl Facts {
    fn person(&self) -> Option<Result<Person, String>> {
        let (at, person) = self.person.as_ref()?;
        let for_long = if person.is_ok() {
            KNOWN_FOR
        } else {
            REFUSED_FOR
        };
        (at.elapsed() < for_long).then(|| person.clone())
    }

    fn right(&self, right: &Right, now: Instant) -> Option<bool> {
        let (at, has) = self.rights.get(right)?;
        (now.duration_since(*at) < KNOWN_FOR).then_some(*has)
    }

    fn make_room(&mut self, now: Instant) {
        if self.rights.len() >= RIGHTS_MAX {
            self.rights
                .retain(|_, (at, _)| now.duration_since(*at) < KNOWN_FOR);
        }
        if self.rights.len() >= RIGHTS_MAX {
            self.rights.clear();
        }
    }
}

impl std::fmt::Debug for Asking {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Asking").field(&self.authority).finish()
    }
}

impl<'a> Caller<'a> {
    /// Whether rights count at all: without people of the store everybody has all of them.
    pub(crate) fn is_asked(&self) -> bool {
        self.access.0.is_some()
    }

    /// Their own credential, where the store has people.
    pub(crate) fn own(&self) -> Result<Option<&'a Authorization>, ServiceError> {
        match (&self.access.0, &self.by.credential) {
            (None, _) => Ok(None),
            (Some(_), Credential::Own(own)) => Ok(Some(own)),
            (Some(_), Credential::SingleUser) => Err(nobody()),
        }
    }

    /// Whether they have all of these rights.
    async fn has_all(&self, rights: &[Right]) -> Result<bool, ServiceError> {
        let (Some(asking), Some(own)) = (&self.access.0, self.own()?) else {
            return Ok(true);
        };
        let has = asking.has(own, rights).await?;
        Ok(rights.iter().all(|right| has.get(right) == Some(&true)))
    }

    /// Whether they may read what belongs to a space, and to a stream in it.
    pub(crate) async fn may_read(
        &self,
        space: &Space,
        stream: Option<&StreamName>,
    ) -> Result<bool, ServiceError> {
        self.has_all(&to_read(space, stream)).await
    }

    /// The same of a space alone, where an empty answer would be taken for the truth.
    ///
    /// # Errors
    /// [`ServiceError::Forbidden`]: of the space they learn that they have no role there, and
    /// nothing else.
    pub(crate) async fn must_read(&self, space: &Space) -> Result<(), ServiceError> {
        match self.may_read(space, None).await? {
            true => Ok(()),
            false => Err(forbidden_in(space, Role::Viewer)),
        }
    }

    /// Whether they see a task.
    pub(crate) async fn sees(&self, task: &Task) -> Result<bool, ServiceError> {
        self.has_all(&to_see(task)).await
    }

    /// Whether they see each of these tasks; asked in one question.
    pub(crate) async fn sees_each(&self, tasks: &[Task]) -> Result<Vec<bool>, ServiceError> {
        let (Some(asking), Some(own)) = (&self.access.0, self.own()?) else {
            return Ok(vec![true; tasks.len()]);
        };
        let rights: Vec<Right> = tasks.iter().flat_map(to_see).collect();
        let has = asking.has(own, &rights).await?;
        let sees = |task| {
            to_see(task)
                .iter()
                .all(|right| has.get(right) == Some(&true))
        };
        Ok(tasks.iter().map(sees).collect())
    }

    /// Whether they may change tasks in a space; false where they may not even read there, and are
    /// answered as if there were nothing. It depends on no task.
    ///
    /// # Errors
    /// [`ServiceError::Forbidden`] where they may read and no more.
    pub(crate) async fn may_change(&self, space: &Space) -> Result<bool, ServiceError> {
        if self.has_all(&[operator(space)]).await? {
            return Ok(true);
        }
        match self.may_read(space, None).await? {
            true => Err(forbidden_in(space, Role::Operator)),
            false => Ok(false),
        }
    }

    /// The same where nothing can be answered as if there were nothing.
    ///
    /// # Errors
    /// [`ServiceError::Forbidden`].
    pub(crate) async fn must_operate(&self, space: &Space) -> Result<(), ServiceError> {
        match self.has_all(&[operator(space)]).await? {
            true => Ok(()),
            false => Err(forbidden_in(space, Role::Operator)),
        }
    }

    /// # Errors
    /// [`ServiceError::Forbidden`] unless they may manage what belongs to a space: its schedules.
    pub(crate) async fn must_manage(&self, space: &Space) -> Result<(), ServiceError> {
        let right = Right::In(space.clone(), Role::Admin);
        match self.has_all(&[right]).await? {
            true => Ok(()),
            false => Err(forbidden_in(space, Role::Admin)),
        }
    }

    /// Whether they may see and manage what belongs to no space.
    pub(crate) async fn is_admin(&self) -> Result<bool, ServiceError> {
        self.has_all(&[Right::Everywhere(Role::Admin)]).await
    }

    /// # Errors
    /// [`ServiceError::Forbidden`] unless they may see and manage what belongs to no space.
    pub(crate) async fn must_be_admin(&self) -> Result<(), ServiceError> {
        match self.is_admin().await? {
            true => Ok(()),
            false => Err(ServiceError::Forbidden {
                needed: format!("the role `{}` in all spaces", Role::Admin),
            }),
        }
    }
}

fn to_read(space: &Space, stream: Option<&StreamName>) -> Vec<Right> {
    let mut rights = vec![Right::In(space.clone(), Role::Viewer)];
    rights.extend(stream.cloned().map(Right::ReadStream));
    rights
}

/// A task tells of every stream that its run may read, and a run hands down what it has read: its
/// children are seen with the right to those streams alone.
fn to_see(task: &Task) -> Vec<Right> {
    let mut rights = to_read(&task.space, task.stream.as_ref());
    let above = task
        .parent
        .as_ref()
        .and_then(|parent| parent.stream.clone());
    rights.extend(above.map(Right::ReadStream));
    rights.extend(task.also_read().cloned().map(Right::ReadStream));
    rights
}

fn operator(space: &Space) -> Right {
    Right::In(space.clone(), Role::Operator)
}

fn forbidden_in(space: &Space, role: Role) -> ServiceError {
    ServiceError::Forbidden {
        needed: format!("the role `{role}` in the space `{space}`"),
    }
}

fn nobody() -> ServiceError {
    ServiceError::Unauthorized {
        reason: "there is none: send your own as `Authorization`".to_owned(),
    }
}

fn lock<T>(it: &Mutex<T>) -> MutexGuard<'_, T> {
    it.lock().unwrap_or_else(PoisonError::into_inner)
}

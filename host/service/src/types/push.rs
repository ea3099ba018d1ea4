//! Takes in a component: checked, compiled, asked what it is, kept, and made the active version
//! of its type. A broken one changes nothing. One that is kept already is made active alone.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use schemars::JsonSchema;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use taskhost_model::audit::Act;
use taskhost_model::descriptor::Descriptor;
use taskhost_model::error::ErrorKind;
use taskhost_model::ids::{Digest, TypeId};
use taskhost_model::requester::Requester;
use taskhost_runtime::{LoadError, RunFailure};
use taskhost_store::components::{COMPONENT_BYTES_MAX, Version, VersionState};
use tokio::sync::{Mutex, Semaphore};

use super::changes::{changes_between, warnings};
use super::said::told;
use super::view::said;
use super::{LoadedVersion, TaskTypes};
use crate::error::ServiceError;
use crate::signatures::Signed;

/// Components that are taken in at once; more wait: each is in memory, and its guest, too.
const PUSHES_AT_ONCE: usize = 4;

/// An accepted component.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Pushed {
    /// The component's sha256.
    pub digest: Digest,
    /// Its type.
    #[serde(rename = "id")]
    pub type_id: TypeId,
    /// Its author's version.
    pub version: String,
    /// Where it is in its life.
    pub state: VersionState,
    /// False when this very component was known already.
    #[serde(skip)]
    pub created: bool,
    /// What differs from the version that was active before, for people.
    pub changes: Vec<String>,
    /// What it wants and neither the policy nor an approval allows, in words. Nothing runs it until
    /// an operator approves.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub needs_approval: Vec<String>,
    /// What allows that for good, to be pasted into the settings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub setting: Option<String>,
    /// Keys of the descriptor that this host ignores, and that a later push is active, for people.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// Where a component comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// Somebody wants it to be active now.
    Pushed,
    /// It lies somewhere, perhaps since long ago: what has taken its place stays there.
    Found,
}

/// What pushes share.
#[derive(Debug)]
pub(super) struct Pushes {
    /// How many have come: each has its number.
    come: AtomicU64,
    places: Arc<Semaphore>,
    /// Of each type the number of the push whose version is active. Held from comparing with
    /// what is known until all of a component is kept and active, and while what is unused is
    /// forgotten: nothing comes between, and nothing is forgotten that becomes active.
    pub(super) latest: Mutex<HashMap<TypeId, u64>>,
}

impl Pushes {
    /// The number of one that comes now.
    pub(super) fn number(&self) -> u64 {
        self.come.fetch_add(1, Ordering::Relaxed)
    }
}

impl Default for Pushes {
    fn default() -> Self {
        Self {
            come: AtomicU64::new(0),
            places: Arc::new(Semaphore::new(PUSHES_AT_ONCE)),
            latest: Mutex::default(),
        }
    }
}

impl TaskTypes {
    /// Takes in a component and makes it the active version of its type, also when it was taken
    /// in before and another one has taken its place. Of two of a type the later one is active.
    /// One that wants too much waits for approval. `signature`: the text of its `.minisig` file.
    /// # Errors
    /// [`ServiceError::InvalidComponent`] with every mistake, or what it says.
    pub async fn push(
        &self,
        by: &Requester,
        bytes: Arc<[u8]>,
        signature: Option<String>,
    ) -> Result<Pushed, ServiceError> {
        self.0.access.caller(by).must_be_admin().await?;
        self.take(by, Origin::Pushed, bytes, signature).await
    }

    /// The same for one that the host has found: what has taken its place stays active.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub async fn push_found(
        &self,
        bytes: Arc<[u8]>,
        signature: Option<String>,
    ) -> Result<Pushed, ServiceError> {
        let by = &Requester::host();
        self.take(by, Origin::Found, bytes, signature).await
    }

    async fn take(
        &self,
        by: &Requester,
        origin: Origin,
        bytes: Arc<[u8]>,
        signature: Option<String>,
    ) -> Result<Pushed, ServiceError> {
        let size = bytes.len() as u64;
        if size > COMPONENT_BYTES_MAX {
            let (what, bytes_max) = ("the component", COMPONENT_BYTES_MAX);
            return Err(ServiceError::TooLarge {
                what,
                bytes: size,
                bytes_max,
            });
        }
        let number = self.0.pushes.number();
        // Whoever hangs up while it waits takes the component along.
        let place = Arc::clone(&self.0.pushes.places).acquire_owned().await;
        let place = place.unwrap_or_else(|_| unreachable!("nobody closes it"));
        // From here on carried out whole, also when whoever pushes hangs up.
        let (types, by) = (self.clone(), by.clone());
        let whole = tokio::spawn(async move {
            let signed = types.signed(&bytes, signature).await?;
            let mut pushed = types
                .take_kept(&by, origin, number, bytes, signed.by)
                .await?;
            pushed.warnings.extend(signed.warning.map(|it| told(&it)));
            types.make_room().await;
            drop(place);
            Ok(pushed)
        });
        whole.await.map_err(|error| ServiceError::Internal {
            reason: error.to_string(),
        })?
    }

    /// Before anything else is done with it: nobody's component is compiled whose signature is
    /// wrong.
    async fn signed(
        &self,
        bytes: &Arc<[u8]>,
        signature: Option<String>,
    ) -> Result<Signed, ServiceError> {
        let (types, bytes) = (self.clone(), Arc::clone(bytes));
        let check = move || {
            let signatures = &types.0.rules.policy.signatures;
            signatures.check(&bytes, signature.as_deref())
        };
        let checked = tokio::task::spawn_blocking(check).await;
        let checked = checked.map_err(|error| ServiceError::Internal {
            reason: error.to_string(),
        })?;
        checked.map_err(|refusal| invalid(vec![refusal]))
    }

    /// As the audit log keeps it; what is found again, as at each start, is no change.
    async fn take_kept(
        &self,
        by: &Requester,
        origin: Origin,
        number: u64,
        bytes: Arc<[u8]>,
        signed_by: Option<String>,
    ) -> Result<Pushed, ServiceError> {
        let digest = digest_of(&bytes);
        let act = Act::everywhere("type.push", &digest);
        let is_known = self.0.components.get(&digest).await?.is_some();
        let change = self.take_in(origin, number, digest, bytes, signed_by);
        if origin == Origin::Found && is_known {
            return change.await;
        }
        self.0.audit.kept(by, act, change).await
    }

    async fn take_in(
        &self,
        origin: Origin,
        number: u64,
        digest: Digest,
        bytes: Arc<[u8]>,
        signed_by: Option<String>,
    ) -> Result<Pushed, ServiceError> {
        // What has been signed once stays so.
        let with_key = |version: Version| Version {
            signed_by: signed_by.clone().or(version.signed_by),
            ..version
        };
        let loaded = match self.0.components.get(&digest).await? {
            // It was judged once; its code is loaded at first use, as after a start.
            Some(version) => self.read(with_key(version))?,
            // Compiling may take minutes: others are taken in meanwhile.
            None => self.judge(&digest, &bytes, signed_by.clone()).await?,
        };
        let mut latest = self.0.pushes.latest.lock().await;
        let stored = self.0.components.get(&digest).await?;
        let state = stored.as_ref().map(|version| version.state);
        // What it says of itself is what it said first.
        let loaded = match stored {
            Some(version) => {
                let version = with_key(version);
                if let Some(key) = &signed_by {
                    self.0.components.sign(&digest, key).await?;
                }
                self.read(version)?
            }
            None => loaded,
        };
        let type_id = loaded.version.type_id.clone();
        let is_active = state == Some(VersionState::Active) && self.is_active_here(&loaded.version);
        let is_replaced = state.is_some_and(|state| state != VersionState::Active);
        if is_active || (is_replaced && origin == Origin::Found) {
            if is_active && origin == Origin::Pushed {
                count(&mut latest, type_id, number);
            }
            return Ok(self.pushed(&loaded, false));
        }
        let new = state.is_none().then_some(bytes);
        // One that is active in the store is so at the next start at the latest.
        let is_to_be_active = state == Some(VersionState::Active);
        let is_overtaken = latest.get(&type_id).is_some_and(|newest| *newest > number);
        if !is_to_be_active && !loaded.beyond(&self.0.rules.policy).is_empty() {
            self.keep_waiting(loaded, new).await
        } else if !is_to_be_active && is_overtaken {
            self.keep_overtaken(loaded, new).await
        } else {
            let pushed = self.keep_active(loaded, new).await?;
            count(&mut latest, type_id, number);
            Ok(pushed)
        }
    }

    /// A push may have broken off after the store's part.
    pub(super) fn is_active_here(&self, version: &Version) -> bool {
        let here = self.0.catalog.active(&version.type_id);
        here.is_some_and(|here| here.version.digest == version.digest)
    }

    /// Everything that a component alone can be refused for.
    async fn judge(
        &self,
        digest: &Digest,
        bytes: &Arc<[u8]>,
        signed_by: Option<String>,
    ) -> Result<LoadedVersion, ServiceError> {
        let rules = &self.0.rules;
        if let Some(refusal) = rules.policy.signatures.refusal(signed_by.as_deref()) {
            return Err(invalid(vec![refusal]));
        }
        let descriptor = self.describe(digest, bytes).await?;
        let now = self.0.clock.now();
        self.read(Version {
            digest: digest.clone(),
            type_id: Descriptor::parse(&descriptor, &rules.bounds)
                .map_err(invalid)?
                .id,
            descriptor,
            state: VersionState::Active,
            bytes: bytes.len() as u64,
            uploaded_at: now,
            activated_at: Some(now),
            approval: None,
            signed_by,
        })
    }

    pub(super) fn read(&self, version: Version) -> Result<LoadedVersion, ServiceError> {
        LoadedVersion::read(version, &self.0.rules).map_err(invalid)
    }

    /// `new`: the bytes of what the store does not have.
    pub(super) async fn keep_active(
        &self,
        mut loaded: LoadedVersion,
        new: Option<Arc<[u8]>>,
    ) -> Result<Pushed, ServiceError> {
        let is_new = new.is_some();
        let is_back = !is_new && loaded.version.state != VersionState::PendingApproval;
        loaded.version.state = VersionState::Active;
        loaded.version.activated_at = Some(self.0.clock.now());
        self.keep(&loaded, new).await?;
        let former = self.0.catalog.active(&loaded.version.type_id);
        let mut pushed = self.pushed(&loaded, is_new);
        if is_back {
            let again = "the host has had it before: from now on it is the active version";
            pushed.changes.push(again.to_owned());
        }
        let former = former.as_deref().map(|version| &version.descriptor);
        let changes = changes_between(former, &loaded.descriptor);
        pushed.changes.extend(changes);
        let (type_id, version) = (&pushed.type_id, &pushed.version);
        let former = former.map(|former| told(&former.version));
        tracing::info!(
            %type_id, version, former, again = is_back, digest = %pushed.digest,
            "a task type is active"
        );
        self.0.catalog.activate(Arc::new(loaded));
        self.changed_here();
        Ok(pushed)
    }

    /// What wants more than is allowed is kept, and nothing runs it. What the store has already
    /// stays as it is.
    async fn keep_waiting(
        &self,
        mut loaded: LoadedVersion,
        new: Option<Arc<[u8]>>,
    ) -> Result<Pushed, ServiceError> {
        let is_new = new.is_some();
        if let Some(bytes) = new {
            loaded.version.state = VersionState::PendingApproval;
            loaded.version.activated_at = None;
            // Its labels it takes when it is approved.
            self.check_labels(&loaded.descriptor).await?;
            self.0.components.put(&loaded.version, bytes).await?;
        }
        let mut pushed = self.pushed(&loaded, is_new);
        let active = self.0.catalog.active(&pushed.type_id);
        let active = active.as_deref().map(|version| &version.descriptor);
        pushed.changes = changes_between(active, &loaded.descriptor);
        let (type_id, digest) = (&pushed.type_id, &pushed.digest);
        tracing::warn!(
            %type_id, %digest, wants = pushed.needs_approval.join(", "),
            "a component wants more than is allowed: approve it with `taskhost types approve \
             {type_id} {digest}`, or allow it in the settings:\n{}\n",
            pushed.setting.as_deref().unwrap_or_default()
        );
        Ok(pushed)
    }

    /// What a later push has replaced already is kept as what it would be by now, had it not
    /// taken so long.
    async fn keep_overtaken(
        &self,
        mut loaded: LoadedVersion,
        new: Option<Arc<[u8]>>,
    ) -> Result<Pushed, ServiceError> {
        let is_new = new.is_some();
        if is_new {
            loaded.version.state = VersionState::Retired;
            loaded.version.activated_at = None;
            self.keep(&loaded, new).await?;
        }
        let mut pushed = self.pushed(&loaded, is_new);
        let active = self.0.catalog.active(&pushed.type_id);
        let active = active.map_or_else(String::new, |it| format!(" {}", it.descriptor.version));
        let overtaken = format!(
            "it is not active: version{active}, which was pushed later, took less time and is"
        );
        pushed.warnings.push(told(&overtaken));
        let (type_id, version) = (&pushed.type_id, &pushed.version);
        tracing::info!(%type_id, version, digest = %pushed.digest, "a later push is active");
        Ok(pushed)
    }

    /// Kept, and made active if it is to be, in one write: a crash leaves all of it or nothing.
    /// Labels come after it, so that they never belong to a type that is not there; the next
    /// push of it, or the next start, takes what was not done between the two.
    async fn keep(
        &self,
        loaded: &LoadedVersion,
        new: Option<Arc<[u8]>>,
    ) -> Result<(), ServiceError> {
        let (version, components) = (&loaded.version, &self.0.components);
        self.check_labels(&loaded.descriptor).await?;
        match new {
            Some(bytes) => drop(components.put(version, bytes).await?),
            None => {
                let at = version.activated_at.unwrap_or_else(|| self.0.clock.now());
                let approval = version.approval.as_ref();
                components.activate(&version.digest, at, approval).await?;
            }
        }
        self.take_labels(&loaded.descriptor).await
    }

    /// What is said of a component, but for what has become of it.
    pub(super) fn pushed(&self, loaded: &LoadedVersion, created: bool) -> Pushed {
        let (version, beyond) = (&loaded.version, loaded.beyond(&self.0.rules.policy));
        let setting = (!beyond.is_empty()).then(|| beyond.as_setting(&version.type_id));
        Pushed {
            digest: version.digest.clone(),
            type_id: version.type_id.clone(),
            version: loaded.descriptor.version.clone(),
            state: version.state,
            created,
            changes: Vec::new(),
            needs_approval: said(&beyond),
            setting,
            warnings: warnings(&version.descriptor, &loaded.descriptor),
        }
    }

    async fn make_room(&self) {
        if let Err(error) = self.retire_unused().await {
            tracing::warn!(%error, "versions that nothing uses are left to the sweeper");
        }
    }

    /// Retires what nothing is pinned to any more, and forgets the oldest of what is retired, and
    /// of what nobody has approved.
    pub(crate) async fn retire_unused(&self) -> Result<(), ServiceError> {
        let _nothing_becomes_active = self.0.pushes.latest.lock().await;
        let pinned = self.0.tasks.unfinished().await?.by_digest;
        let is_pinned = |digest: &Digest| pinned.iter().any(|(other, _)| other == digest);
        let mut kept = HashMap::<(TypeId, bool), usize>::new();
        for version in self.0.components.list().await? {
            let is_active = version.state == VersionState::Active || self.is_active_here(&version);
            if is_active || is_pinned(&version.digest) {
                continue;
            }
            if version.state == VersionState::Draining {
                self.0.components.retire(&version.digest).await?;
            }
            let is_waiting = version.state == VersionState::PendingApproval;
            let kept = kept.entry((version.type_id, is_waiting)).or_default();
            *kept += 1;
            if *kept > self.0.retired_versions_kept {
                self.0.components.delete(&version.digest).await?;
            }
        }
        Ok(())
    }

    async fn describe(&self, digest: &Digest, bytes: &Arc<[u8]>) -> Result<String, ServiceError> {
        let (runtime, checked) = (Arc::clone(&self.0.runtime), Arc::clone(bytes));
        let check = tokio::task::spawn_blocking(move || runtime.check(&checked)).await;
        check
            .map_err(|error| ServiceError::Internal {
                reason: error.to_string(),
            })?
            .map_err(|error| invalid(error.mistakes))?;
        let component = self.0.runtime.load(digest, Arc::clone(bytes)).await;
        let component = component.map_err(|error| not_loaded(&error))?;
        let described = self.0.runtime.describe(&component).await;
        described.map_err(|RunFailure(error)| match error.kind {
            // The host's own fault, not the author's: the same upload may succeed later.
            ErrorKind::Internal => unavailable(&error.message),
            _ => invalid(vec![format!("describe() failed: {}", error.message)]),
        })
    }
}

/// What a component is known by: its sha256.
pub fn digest_of(bytes: &[u8]) -> Digest {
    let digest = Sha256::digest(bytes);
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    Digest::parse(&hex).unwrap_or_else(|_| unreachable!("a sha256 has 64 hexadecimal digits"))
}

pub(super) fn count(latest: &mut HashMap<TypeId, u64>, type_id: TypeId, number: u64) {
    let newest = latest.entry(type_id).or_insert(number);
    *newest = number.max(*newest);
}

fn not_loaded(error: &LoadError) -> ServiceError {
    match error {
        LoadError::Internal { reason } => unavailable(reason),
        error => invalid(vec![error.to_string()]),
    }
}

/// The host's words may quote the component as well.
fn unavailable(reason: &str) -> ServiceError {
    ServiceError::Unavailable {
        reason: told(reason),
    }
}

/// Mistakes may quote the component: names in it, its panic, keys and values of its descriptor.
pub(super) fn invalid(mistakes: Vec<String>) -> ServiceError {
    ServiceError::InvalidComponent {
        mistakes: mistakes.into_iter().map(|it| told(&it)).collect(),
    }
}

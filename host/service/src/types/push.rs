//! Takes in a component: checked, compiled, asked what it is, kept, and made the active version
//! of its type. A broken one changes nothing. One that is kept already is made active alone.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;
use sha2::{Digest as _, Sha256};
use taskhost_model::descriptor::Descriptor;
use taskhost_model::error::ErrorKind;
use taskhost_model::ids::{Digest, TypeId};
use taskhost_runtime::{LoadError, RunFailure};
use taskhost_store::components::{COMPONENT_BYTES_MAX, Version, VersionState};
use tokio::sync::{Mutex, Semaphore};

use super::said::told;
use super::view::{changes_between, warnings};
use super::{LoadedVersion, TaskTypes};
use crate::error::ServiceError;

/// Components that are taken in at once; more wait. Each is up to [`COMPONENT_BYTES_MAX`] in
/// memory, and its guest while it describes itself.
const PUSHES_AT_ONCE: usize = 4;

/// An accepted component.
#[derive(Debug, Clone, Serialize)]
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
    latest: Mutex<HashMap<TypeId, u64>>,
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
    /// in before and another one has taken its place. Of two for one type the one that came later
    /// is active, however long each takes to compile.
    ///
    /// # Errors
    /// [`ServiceError::InvalidComponent`] with every mistake, [`ServiceError::TooLarge`], or
    /// what the store says.
    pub async fn push(&self, bytes: Arc<[u8]>) -> Result<Pushed, ServiceError> {
        self.take(Origin::Pushed, bytes).await
    }

    /// The same for a component that lies somewhere and that nobody has pushed just now: what has
    /// taken its place stays active.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub async fn push_found(&self, bytes: Arc<[u8]>) -> Result<Pushed, ServiceError> {
        self.take(Origin::Found, bytes).await
    }

    async fn take(&self, origin: Origin, bytes: Arc<[u8]>) -> Result<Pushed, ServiceError> {
        let size = bytes.len() as u64;
        if size > COMPONENT_BYTES_MAX {
            let (what, bytes_max) = ("the component", COMPONENT_BYTES_MAX);
            return Err(ServiceError::TooLarge {
                what,
                bytes: size,
                bytes_max,
            });
        }
        let number = self.0.pushes.come.fetch_add(1, Ordering::Relaxed);
        // Whoever hangs up while it waits takes the component away with it.
        let place = Arc::clone(&self.0.pushes.places).acquire_owned().await;
        let place = place.unwrap_or_else(|_| unreachable!("nobody closes it"));
        // From here on carried out whole, also when whoever pushes hangs up.
        let types = self.clone();
        let whole = tokio::spawn(async move {
            let pushed = types.take_in(origin, number, bytes).await?;
            types.make_room().await;
            drop(place);
            Ok(pushed)
        });
        whole.await.map_err(|error| ServiceError::Internal {
            reason: error.to_string(),
        })?
    }

    async fn take_in(
        &self,
        origin: Origin,
        number: u64,
        bytes: Arc<[u8]>,
    ) -> Result<Pushed, ServiceError> {
        let digest = digest_of(&bytes);
        let loaded = match self.0.components.get(&digest).await? {
            // It was judged once; its code is loaded at first use, as after a start.
            Some(version) => self.read(version)?,
            // Compiling may take minutes: others are taken in meanwhile.
            None => self.judge(&digest, &bytes).await?,
        };
        let mut latest = self.0.pushes.latest.lock().await;
        let stored = self.0.components.get(&digest).await?;
        let state = stored.as_ref().map(|version| version.state);
        // What it says of itself is what it said first.
        let loaded = stored.map_or(Ok(loaded), |version| self.read(version))?;
        let type_id = loaded.version.type_id.clone();
        let is_active = state == Some(VersionState::Active) && self.is_active_here(&loaded.version);
        let is_replaced = state.is_some_and(|state| state != VersionState::Active);
        if is_active || (is_replaced && origin == Origin::Found) {
            if origin == Origin::Pushed {
                count(&mut latest, type_id, number);
            }
            return Ok(pushed(&loaded, false));
        }
        let is_overtaken = latest.get(&type_id).is_some_and(|newest| *newest > number);
        // One that is active in the store is so at the next start at the latest.
        if is_overtaken && state != Some(VersionState::Active) {
            self.keep_overtaken(loaded, state, bytes).await
        } else {
            let pushed = self.keep_active(loaded, state, bytes).await?;
            count(&mut latest, type_id, number);
            Ok(pushed)
        }
    }

    /// A push may have broken off after the store's part.
    fn is_active_here(&self, version: &Version) -> bool {
        let here = self.0.catalog.active(&version.type_id);
        here.is_some_and(|here| here.version.digest == version.digest)
    }

    /// Everything that a component alone can be refused for.
    async fn judge(
        &self,
        digest: &Digest,
        bytes: &Arc<[u8]>,
    ) -> Result<LoadedVersion, ServiceError> {
        let descriptor = self.describe(digest, bytes).await?;
        let now = self.0.clock.now();
        self.read(Version {
            digest: digest.clone(),
            type_id: Descriptor::parse(&descriptor, &self.0.bounds)
                .map_err(invalid)?
                .id,
            descriptor,
            state: VersionState::Active,
            bytes: bytes.len() as u64,
            uploaded_at: now,
            activated_at: Some(now),
        })
    }

    fn read(&self, version: Version) -> Result<LoadedVersion, ServiceError> {
        LoadedVersion::read(version, &self.0.bounds).map_err(invalid)
    }

    /// `before` is what the store has of it.
    async fn keep_active(
        &self,
        mut loaded: LoadedVersion,
        before: Option<VersionState>,
        bytes: Arc<[u8]>,
    ) -> Result<Pushed, ServiceError> {
        loaded.version.state = VersionState::Active;
        loaded.version.activated_at = Some(self.0.clock.now());
        self.keep(&loaded, before, bytes).await?;
        let mut pushed = pushed(&loaded, before.is_none());
        if before.is_some() {
            let again = "the host has had it before: from now on it is the active version";
            pushed.changes.push(again.to_owned());
        }
        let former = self.0.catalog.active(&pushed.type_id);
        let former = former.as_deref().map(|version| &version.descriptor);
        let changes = changes_between(former, &loaded.descriptor);
        pushed.changes.extend(changes);
        pushed.warnings = warnings(&loaded.version.descriptor, &loaded.descriptor);
        let (type_id, version) = (&pushed.type_id, &pushed.version);
        let former = former.map(|former| told(&former.version));
        tracing::info!(
            %type_id, version, former, again = before.is_some(), digest = %pushed.digest,
            "a task type is active"
        );
        self.0.catalog.activate(Arc::new(loaded));
        self.0.wake.something_is_due();
        Ok(pushed)
    }

    /// What a later push has replaced already is kept as what it would be by now, had it not
    /// taken so long.
    async fn keep_overtaken(
        &self,
        mut loaded: LoadedVersion,
        before: Option<VersionState>,
        bytes: Arc<[u8]>,
    ) -> Result<Pushed, ServiceError> {
        if before.is_none() {
            loaded.version.state = VersionState::Retired;
            loaded.version.activated_at = None;
            self.keep(&loaded, before, bytes).await?;
        }
        let mut pushed = pushed(&loaded, before.is_none());
        pushed.warnings = warnings(&loaded.version.descriptor, &loaded.descriptor);
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
        before: Option<VersionState>,
        bytes: Arc<[u8]>,
    ) -> Result<(), ServiceError> {
        let (version, components) = (&loaded.version, &self.0.components);
        self.check_labels(&loaded.descriptor).await?;
        match before {
            None => drop(components.put(version, bytes).await?),
            Some(VersionState::Active) => {}
            Some(_) => {
                let now = self.0.clock.now();
                components.activate(&version.digest, now).await?;
            }
        }
        self.take_labels(&loaded.descriptor).await
    }

    async fn make_room(&self) {
        if let Err(error) = self.retire_unused().await {
            tracing::warn!(%error, "versions that nothing uses are left to the sweeper");
        }
    }

    /// Retires what nothing is pinned to any more, and forgets the oldest of what is retired.
    pub(crate) async fn retire_unused(&self) -> Result<(), ServiceError> {
        let _nothing_becomes_active = self.0.pushes.latest.lock().await;
        let pinned = self.0.tasks.unfinished().await?.by_digest;
        let is_pinned = |digest: &Digest| pinned.iter().any(|(other, _)| other == digest);
        let mut kept = HashMap::<TypeId, usize>::new();
        for version in self.0.components.list().await? {
            let is_active = version.state == VersionState::Active || self.is_active_here(&version);
            if is_active || is_pinned(&version.digest) {
                continue;
            }
            if version.state == VersionState::Draining {
                self.0.components.retire(&version.digest).await?;
            }
            let kept = kept.entry(version.type_id).or_default();
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

    async fn check_labels(&self, descriptor: &Descriptor) -> Result<(), ServiceError> {
        for label in &descriptor.collections {
            let owner = self.0.documents.label_owner(label).await?;
            if let Some(owner) = owner.filter(|owner| *owner != descriptor.id) {
                return Err(invalid(vec![format!(
                    "the collection `{label}` belongs to the task type `{owner}`: choose another \
                     label"
                )]));
            }
        }
        Ok(())
    }

    /// Makes the type the owner of its labels; it may be already.
    pub(super) async fn take_labels(&self, descriptor: &Descriptor) -> Result<(), ServiceError> {
        for label in &descriptor.collections {
            self.0.documents.take_label(label, &descriptor.id).await?;
        }
        Ok(())
    }
}

/// The sha256 of a component.
fn digest_of(bytes: &[u8]) -> Digest {
    let hex: String = Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Digest::parse(&hex).unwrap_or_else(|_| unreachable!("a sha256 has 64 hexadecimal digits"))
}

fn count(latest: &mut HashMap<TypeId, u64>, type_id: TypeId, number: u64) {
    let newest = latest.entry(type_id).or_insert(number);
    *newest = number.max(*newest);
}

/// What is said of a component, but for what has become of it.
fn pushed(loaded: &LoadedVersion, created: bool) -> Pushed {
    let version = &loaded.version;
    Pushed {
        digest: version.digest.clone(),
        type_id: version.type_id.clone(),
        version: loaded.descriptor.version.clone(),
        state: version.state,
        created,
        changes: Vec::new(),
        warnings: Vec::new(),
    }
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
fn invalid(mistakes: Vec<String>) -> ServiceError {
    ServiceError::InvalidComponent {
        mistakes: mistakes.into_iter().map(|it| told(&it)).collect(),
    }
}

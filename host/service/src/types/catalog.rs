//! The versions that are in memory: the active one of each type, and those that runs use.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};

use taskhost_model::ids::{Digest, TypeId};
use taskhost_store::components::{ComponentStore, Paused, Version, VersionState};
use taskhost_store::queue::ClaimableType;

use super::{LoadedVersion, Rules};
use crate::error::ServiceError;

/// The versions in memory. A version that is not active stays while a run holds it.
#[derive(Debug, Default)]
pub(super) struct Catalog(RwLock<Versions>);

#[derive(Debug, Default)]
struct Versions {
    active: HashMap<TypeId, Arc<LoadedVersion>>,
    draining: HashMap<Digest, Weak<LoadedVersion>>,
    /// Nothing of these is claimed.
    paused: HashMap<TypeId, Paused>,
    /// Against this host's settings, and said so.
    refused: HashSet<Digest>,
}

impl Catalog {
    /// Reads the active ones of all versions, and what is paused. One that cannot be read, since
    /// the settings are narrower than when it was accepted, is left out and its tasks wait.
    pub(super) fn read_active(
        &self,
        versions: &[Version],
        paused: Vec<(TypeId, Paused)>,
        rules: &Rules,
    ) {
        self.write().paused = paused.into_iter().collect();
        for version in versions {
            if version.state != VersionState::Active {
                continue;
            }
            let (digest, type_id) = (version.digest.clone(), version.type_id.clone());
            match LoadedVersion::read(version.clone(), rules) {
                Ok(version) => self.activate(Arc::new(version)),
                Err(mistakes) => tracing::error!(
                    %digest, %type_id, mistakes = mistakes.join("; "),
                    "a known task type is against the settings and is not offered"
                ),
            }
        }
    }

    pub(super) fn active(&self, type_id: &TypeId) -> Option<Arc<LoadedVersion>> {
        self.read().active.get(type_id).cloned()
    }

    pub(super) fn all_active(&self) -> Vec<Arc<LoadedVersion>> {
        self.read().active.values().cloned().collect()
    }

    /// Makes a version the active one of its type.
    pub(super) fn activate(&self, version: Arc<LoadedVersion>) {
        let mut versions = self.write();
        versions
            .draining
            .retain(|_, version| version.strong_count() > 0);
        let former = versions
            .active
            .insert(version.version.type_id.clone(), version);
        if let Some(former) = &former {
            versions
                .draining
                .insert(former.version.digest.clone(), Arc::downgrade(former));
        }
        // Unmapping the code of a version takes its time: not under the lock, which the store's
        // writer waits for in the middle of a transaction.
        drop(versions);
    }

    /// A version that a run is pinned to: in memory, or read from the store.
    pub(super) async fn pinned(
        &self,
        digest: &Digest,
        components: &dyn ComponentStore,
        rules: &Rules,
    ) -> Result<Arc<LoadedVersion>, ServiceError> {
        if let Some(version) = self.in_memory(digest) {
            return Ok(version);
        }
        let gone = |why: String| ServiceError::Internal { reason: why };
        let stored = components.get(digest).await?;
        let stored =
            stored.ok_or_else(|| gone(format!("the version {digest} is not in the store")))?;
        let version = LoadedVersion::read(stored, rules)
            .map_err(|mistakes| gone(format!("the version {digest}: {}", mistakes.join("; "))))?;
        let version = Arc::new(version);
        self.write()
            .draining
            .insert(digest.clone(), Arc::downgrade(&version));
        Ok(version)
    }

    /// A version is gone from the store, and with its type's last one whatever is kept of the type.
    pub(super) fn forget(&self, type_id: &TypeId, digest: &Digest, was_last: bool) {
        let mut versions = self.write();
        let active = versions.active.get(type_id);
        let is_active = active.is_some_and(|version| version.version.digest == *digest);
        let forgotten = is_active.then(|| versions.active.remove(type_id));
        if was_last {
            versions.paused.remove(type_id);
        }
        // As in `activate`: not under the lock.
        drop(versions);
        drop(forgotten);
    }

    pub(super) fn paused(&self, type_id: &TypeId) -> Option<Paused> {
        self.read().paused.get(type_id).cloned()
    }

    pub(super) fn set_paused(&self, type_id: &TypeId, paused: Option<Paused>) {
        let all = &mut self.write().paused;
        match paused {
            Some(paused) => all.insert(type_id.clone(), paused),
            None => all.remove(type_id),
        };
    }

    /// Takes these for what is paused, and nothing else; whether that is new.
    pub(super) fn set_all_paused(&self, paused: Vec<(TypeId, Paused)>) -> bool {
        let paused = paused.into_iter().collect();
        let known = &mut self.write().paused;
        let is_news = *known != paused;
        *known = paused;
        is_news
    }

    /// Whether this very version is the active one here, with all that was allowed to it.
    pub(super) fn has_active(&self, version: &Version) -> bool {
        let here = self.active(&version.type_id);
        here.is_some_and(|here| {
            let here = &here.version;
            let allowed = (&version.approval, &version.signed_by);
            here.digest == version.digest && (&here.approval, &here.signed_by) == allowed
        })
    }

    /// Notes that a version is against the settings; whether that is new.
    pub(super) fn refuse(&self, digest: &Digest) -> bool {
        self.write().refused.insert(digest.clone())
    }

    pub(super) fn claimable(&self) -> Vec<ClaimableType> {
        let claimable = |version: &Arc<LoadedVersion>| ClaimableType {
            type_id: version.version.type_id.clone(),
            digest: version.version.digest.clone(),
            wall_ms: version.wall_ms(),
            runs_per_key: version.descriptor.concurrency.as_ref().map(|it| it.max),
        };
        let versions = self.read();
        let active = versions.active.iter();
        let goes_on = active.filter(|(type_id, _)| !versions.paused.contains_key(*type_id));
        goes_on.map(|(_, version)| claimable(version)).collect()
    }

    /// The active versions as their authors call them, of what is claimed.
    pub(super) fn claimable_versions(&self) -> Vec<(TypeId, String)> {
        let versions = self.read();
        let active = versions.active.iter();
        let goes_on = active.filter(|(type_id, _)| !versions.paused.contains_key(*type_id));
        goes_on
            .map(|(id, version)| (id.clone(), version.descriptor.version.clone()))
            .collect()
    }

    fn in_memory(&self, digest: &Digest) -> Option<Arc<LoadedVersion>> {
        let versions = self.read();
        let active = versions
            .active
            .values()
            .find(|version| version.version.digest == *digest);
        active
            .cloned()
            .or_else(|| versions.draining.get(digest)?.upgrade())
    }

    fn read(&self) -> RwLockReadGuard<'_, Versions> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Versions> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

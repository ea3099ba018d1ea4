//! Components in memory.

use std::sync::Arc;

use async_trait::async_trait;
use taskhost_model::ids::{Digest, TypeId};
use taskhost_model::task::Task;
use taskhost_model::time::Timestamp;

use super::{Content, Memory};
use crate::components::{
    Approval, COMPONENT_BYTES_MAX, ComponentStore, Paused, Version, VersionState,
};
use crate::error::StoreError;
use crate::limits::within;
use crate::queue::ClaimableType;

#[async_trait]
impl ComponentStore for Memory {
    async fn put(&self, version: &Version, bytes: Arc<[u8]>) -> Result<bool, StoreError> {
        within("component", bytes.len(), COMPONENT_BYTES_MAX)?;
        let mut content = self.content()?;
        if content.version(&version.digest).is_some() {
            return Ok(false);
        }
        if version.state == VersionState::Active {
            content.make_room(version);
        }
        content.components.push((version.clone(), bytes));
        Ok(true)
    }

    async fn get(&self, digest: &Digest) -> Result<Option<Version>, StoreError> {
        Ok(self.content()?.version(digest).cloned())
    }

    async fn bytes(&self, digest: &Digest) -> Result<Option<Arc<[u8]>>, StoreError> {
        let content = self.content()?;
        let found = content
            .components
            .iter()
            .find(|(version, _)| version.digest == *digest);
        Ok(found.map(|(_, bytes)| Arc::clone(bytes)))
    }

    async fn list(&self) -> Result<Vec<Version>, StoreError> {
        let content = self.content()?;
        let versions = content
            .components
            .iter()
            .map(|(version, _)| version.clone());
        let mut versions: Vec<Version> = versions.collect();
        versions.sort_by(|a, b| {
            let newest_first = b.uploaded_at.cmp(&a.uploaded_at);
            a.type_id
                .cmp(&b.type_id)
                .then(newest_first)
                .then_with(|| a.digest.cmp(&b.digest))
        });
        Ok(versions)
    }

    async fn activate(
        &self,
        digest: &Digest,
        at: Timestamp,
        approval: Option<&Approval>,
    ) -> Result<(), StoreError> {
        let mut content = self.content()?;
        let Some(version) = content.version(digest).cloned() else {
            return Ok(());
        };
        content.make_room(&version);
        if let Some(version) = content.version_mut(digest) {
            version.state = VersionState::Active;
            version.activated_at = Some(at);
            version.approval = approval.cloned().or(version.approval.take());
        }
        Ok(())
    }

    async fn sign(&self, digest: &Digest, signed_by: &str) -> Result<(), StoreError> {
        if let Some(version) = self.content()?.version_mut(digest) {
            version.signed_by = Some(signed_by.to_owned());
        }
        Ok(())
    }

    async fn retire(&self, digest: &Digest) -> Result<(), StoreError> {
        if let Some(version) = self.content()?.version_mut(digest)
            && version.state == VersionState::Draining
        {
            version.state = VersionState::Retired;
        }
        Ok(())
    }

    async fn delete(&self, digest: &Digest) -> Result<bool, StoreError> {
        let mut content = self.content()?;
        let Some(gone) = content.version(digest).cloned() else {
            return Ok(false);
        };
        let is_active = gone.state == VersionState::Active;
        let needs = |task: &Task| {
            task.run.digest.as_ref() == Some(digest) || (is_active && task.type_id == gone.type_id)
        };
        if content.unfinished().any(needs) {
            return Ok(false);
        }
        content
            .components
            .retain(|(version, _)| version.digest != *digest);
        let last = content
            .components
            .iter()
            .all(|(version, _)| version.type_id != gone.type_id);
        if last {
            content.labels.retain(|_, owner| *owner != gone.type_id);
            content.paused_types.remove(&gone.type_id);
        }
        Ok(true)
    }

    async fn set_paused(
        &self,
        type_id: &TypeId,
        paused: Option<&Paused>,
    ) -> Result<(), StoreError> {
        let all = &mut self.content()?.paused_types;
        match paused {
            Some(paused) => all.insert(type_id.clone(), paused.clone()),
            None => all.remove(type_id),
        };
        Ok(())
    }

    async fn paused(&self) -> Result<Vec<(TypeId, Paused)>, StoreError> {
        let content = self.content()?;
        let all = content.paused_types.iter();
        Ok(all
            .map(|(id, paused)| (id.clone(), paused.clone()))
            .collect())
    }
}

impl Content {
    fn version(&self, digest: &Digest) -> Option<&Version> {
        let mut versions = self.components.iter().map(|(version, _)| version);
        versions.find(|version| version.digest == *digest)
    }

    fn version_mut(&mut self, digest: &Digest) -> Option<&mut Version> {
        let mut versions = self.components.iter_mut().map(|(version, _)| version);
        versions.find(|version| version.digest == *digest)
    }

    /// Whether a type's component was deleted since somebody wanted it.
    pub(super) fn is_gone(&self, wanted: &ClaimableType) -> bool {
        self.version(&wanted.digest).is_none()
    }

    /// The active version of the type, if it is another one, becomes draining.
    fn make_room(&mut self, active: &Version) {
        for (version, _) in &mut self.components {
            let other = version.type_id == active.type_id && version.digest != active.digest;
            if other && version.state == VersionState::Active {
                version.state = VersionState::Draining;
            }
        }
    }
}

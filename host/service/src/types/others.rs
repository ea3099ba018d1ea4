//! Task types that another host has changed: read anew, as at a start.

use std::sync::Arc;

use taskhost_store::components::{Version, VersionState};

use super::{LoadedVersion, TaskTypes};
use crate::error::ServiceError;

impl TaskTypes {
    /// Reads anew what is active and what is paused. A version whose code is not here yet is
    /// loaded in the background, so that its first run does not wait for it.
    pub(crate) async fn read_again(&self) -> Result<(), ServiceError> {
        let _nothing_becomes_active = self.0.pushes.latest.lock().await;
        let components = &self.0.components;
        let paused = components.paused().await?;
        let mut is_news = self.0.catalog.set_all_paused(paused);
        let stored = components.list().await?;
        let active = |version: &&Version| version.state == VersionState::Active;
        for version in stored.iter().filter(active) {
            if self.0.catalog.has_active(version) {
                continue;
            }
            // A list may be behind what was written here a moment ago.
            let Some(version) = components.get(&version.digest).await? else {
                continue;
            };
            if version.state == VersionState::Active && !self.0.catalog.has_active(&version) {
                is_news |= self.take_over(version);
            }
        }
        for version in self.0.catalog.all_active() {
            let (type_id, digest) = (&version.version.type_id, &version.version.digest);
            let is_listed = stored.iter().any(|it| it.type_id == *type_id);
            if !is_listed && components.get(digest).await?.is_none() {
                self.0.catalog.forget(type_id, digest, true);
                is_news = true;
            }
        }
        if is_news {
            self.0.wake.something_is_due();
        }
        Ok(())
    }

    /// Returns when task types were changed here.
    pub(crate) async fn changed(&self) {
        self.0.changed.notified().await;
    }

    /// Task types were changed here: there may be something to claim, and others have to hear.
    pub(super) fn changed_here(&self) {
        self.0.wake.something_is_due();
        self.0.changed.notify_one();
    }

    /// Whether it is active here from now on.
    fn take_over(&self, version: Version) -> bool {
        let (digest, type_id) = (version.digest.clone(), version.type_id.clone());
        match LoadedVersion::read(version, &self.0.rules) {
            Ok(loaded) => {
                tracing::info!(
                    %type_id, %digest, version = loaded.descriptor.version,
                    "a task type is active, by another host"
                );
                let loaded = Arc::new(loaded);
                self.0.catalog.activate(Arc::clone(&loaded));
                self.load_in_background(loaded);
                true
            }
            Err(mistakes) => {
                if self.0.catalog.refuse(&digest) {
                    tracing::error!(
                        %digest, %type_id, mistakes = mistakes.join("; "),
                        "a task type that is active on another host is against the settings of \
                         this one, and is not offered here"
                    );
                }
                false
            }
        }
    }

    fn load_in_background(&self, version: Arc<LoadedVersion>) {
        let types = self.clone();
        tokio::spawn(async move {
            if let Err(error) = types.component(&version).await {
                tracing::debug!(%error, "a task type is loaded at its first run");
            }
        });
    }
}

//! What an operator decides of versions and types: approve, make active again, delete, pause.

use std::sync::Arc;

use taskhost_model::audit::Act;
use taskhost_model::ids::{Digest, TypeId};
use taskhost_model::requester::Requester;
use taskhost_store::components::{Approval, Paused, Version, VersionState};

use super::push::count;
use super::said::told;
use super::view::said;
use super::{Pushed, TaskTypes, TypeView};
use crate::error::ServiceError;

/// The longest reason of a pause.
const REASON_BYTES_MAX: usize = 1024;

impl TaskTypes {
    /// Allows a version what it wants beyond the policy, and makes it the active one.
    ///
    /// # Errors
    /// [`ServiceError::UnknownTaskType`], [`ServiceError::NotFound`],
    /// [`ServiceError::InvalidComponent`] where the settings are against it, or what the
    /// store says.
    pub async fn approve(
        &self,
        by: &Requester,
        type_id: &TypeId,
        digest: &Digest,
    ) -> Result<Pushed, ServiceError> {
        self.0.access.caller(by).must_be_admin().await?;
        let change = self.make_active(type_id, digest, Some(by.name.clone()));
        self.kept(by, "type.approve", type_id, Some(digest), change)
            .await
    }

    /// Makes a version the active one: back to an earlier one, too.
    ///
    /// # Errors
    /// [`ServiceError::NeedsApproval`] where it wants more than is allowed; otherwise as
    /// [`Self::approve`].
    pub async fn activate(
        &self,
        by: &Requester,
        type_id: &TypeId,
        digest: &Digest,
    ) -> Result<Pushed, ServiceError> {
        self.0.access.caller(by).must_be_admin().await?;
        let change = self.make_active(type_id, digest, None);
        self.kept(by, "type.activate", type_id, Some(digest), change)
            .await
    }

    /// Carried out whole, also when whoever wants it hangs up.
    async fn make_active(
        &self,
        type_id: &TypeId,
        digest: &Digest,
        approved_by: Option<String>,
    ) -> Result<Pushed, ServiceError> {
        let (types, type_id, digest) = (self.clone(), type_id.clone(), digest.clone());
        self.whole(async move { types.activated(&type_id, &digest, approved_by).await })
            .await
    }

    async fn activated(
        &self,
        type_id: &TypeId,
        digest: &Digest,
        approved_by: Option<String>,
    ) -> Result<Pushed, ServiceError> {
        let number = self.0.pushes.number();
        let mut latest = self.0.pushes.latest.lock().await;
        let mut loaded = self.read(self.stored(type_id, digest).await?)?;
        let beyond = loaded.beyond(&self.0.rules.policy);
        let here = self.0.catalog.active(type_id);
        let is_active = here.is_some_and(|here| here.version.digest == *digest);
        if is_active && (approved_by.is_none() || beyond.is_empty()) {
            count(&mut latest, type_id.clone(), number);
            return Ok(self.pushed(&loaded, false));
        }
        if !beyond.is_empty() {
            let Some(by) = approved_by else {
                return Err(ServiceError::NeedsApproval {
                    type_id: type_id.clone(),
                    digest: digest.clone(),
                    wants: said(&beyond),
                });
            };
            let so_far = loaded.version.approval.take();
            let so_far = so_far.map(|approval| approval.allowed).unwrap_or_default();
            tracing::info!(%type_id, %digest, by, wants = said(&beyond).join(", "), "approved");
            loaded.version.approval = Some(Approval {
                by,
                at: self.0.clock.now(),
                allowed: so_far.and(&beyond),
            });
        }
        let pushed = self.keep_active(loaded, None).await?;
        count(&mut latest, type_id.clone(), number);
        Ok(pushed)
    }

    /// Makes active what waits for approval and needs none any more, since the settings allow it by
    /// now; unless another version has become active after it had come.
    pub(super) async fn activate_allowed(&self, versions: Vec<Version>) {
        // Newest first: of several of one type the others find it active.
        for version in versions {
            let here = self.0.catalog.active(&version.type_id);
            let is_overtaken = here.is_some_and(|here| {
                here.version.activated_at.unwrap_or(version.uploaded_at) >= version.uploaded_at
            });
            if version.state != VersionState::PendingApproval || is_overtaken {
                continue;
            }
            let digest = version.digest.clone();
            // One that is against the settings otherwise stays as it is: whoever approves it is
            // told why.
            let Ok(loaded) = self.read(version) else {
                continue;
            };
            if !loaded.beyond(&self.0.rules.policy).is_empty() {
                continue;
            }
            if let Err(error) = self.keep_active(loaded, None).await {
                tracing::warn!(%digest, %error, "what the settings allow by now is not active");
            }
        }
    }

    /// The component itself.
    ///
    /// # Errors
    /// [`ServiceError::UnknownTaskType`], [`ServiceError::NotFound`], or what the store says.
    pub async fn bytes(
        &self,
        by: &Requester,
        type_id: &TypeId,
        digest: &Digest,
    ) -> Result<Arc<[u8]>, ServiceError> {
        self.0.access.caller(by).must_be_admin().await?;
        self.stored(type_id, digest).await?;
        let bytes = self.0.components.bytes(digest).await?;
        bytes.ok_or_else(|| ServiceError::NotFound {
            what: format!("version {digest} of `{type_id}`"),
        })
    }

    /// Forgets a version that nothing uses. With a type's last one the type is gone.
    ///
    /// # Errors
    /// [`ServiceError::VersionInUse`] while a run that has not ended is pinned to it, or, of the
    /// active one, while any task of its type has not ended; [`ServiceError::UnknownTaskType`],
    /// [`ServiceError::NotFound`], or what the store says.
    pub async fn delete(
        &self,
        by: &Requester,
        type_id: &TypeId,
        digest: &Digest,
    ) -> Result<(), ServiceError> {
        self.0.access.caller(by).must_be_admin().await?;
        let (types, of, version) = (self.clone(), type_id.clone(), digest.clone());
        let change = self.whole(async move { types.deleted(&of, &version).await });
        self.kept(by, "type.delete", type_id, Some(digest), change)
            .await
    }

    async fn deleted(&self, type_id: &TypeId, digest: &Digest) -> Result<(), ServiceError> {
        let _nothing_becomes_active = self.0.pushes.latest.lock().await;
        let version = self.stored(type_id, digest).await?;
        let unfinished = self.0.tasks.unfinished().await?;
        let pinned = unfinished.by_digest.iter().find(|(of, _)| of == digest);
        let of_type = unfinished.by_type.iter().find(|(of, _)| of == type_id);
        let is_active = version.state == VersionState::Active || self.is_active_here(&version);
        let of_type = of_type.filter(|_| is_active);
        let counts = [pinned.map(|it| it.1), of_type.map(|it| it.1)];
        if let Some(tasks) = counts.into_iter().flatten().find(|count| *count > 0) {
            return Err(ServiceError::VersionInUse { tasks });
        }
        let others = self.0.components.list().await?;
        let is_other = |it: &Version| it.type_id == *type_id && it.digest != *digest;
        let is_last = !others.iter().any(is_other);
        let forget = || self.0.catalog.forget(type_id, digest, is_last);
        match self.0.components.delete(digest).await {
            // From its deletion until it is forgotten it may be scheduled: then the task waits.
            Ok(true) => {
                forget();
                self.changed_here();
            }
            // One was scheduled, or claimed, since they were counted.
            Ok(false) => return Err(ServiceError::VersionInUse { tasks: 1 }),
            Err(error) => {
                // It may be deleted all the same.
                if matches!(self.0.components.get(digest).await, Ok(None)) {
                    forget();
                }
                return Err(error.into());
            }
        }
        tracing::info!(%type_id, %digest, "a version is deleted");
        Ok(())
    }

    /// Claims nothing of a type from now on, over restarts. Runs that have begun go on; what was
    /// claimed in this very moment begins.
    ///
    /// # Errors
    /// [`ServiceError::UnknownTaskType`], [`ServiceError::Invalid`] for the reason, or what the
    /// store says.
    pub async fn pause(
        &self,
        by: &Requester,
        type_id: &TypeId,
        reason: Option<String>,
    ) -> Result<TypeView, ServiceError> {
        self.0.access.caller(by).must_be_admin().await?;
        if reason
            .as_ref()
            .is_some_and(|it| it.len() > REASON_BYTES_MAX)
        {
            let problem = format!("has more than {REASON_BYTES_MAX} bytes");
            return Err(ServiceError::invalid("reason", problem));
        }
        let paused = Paused {
            by: by.name.clone(),
            at: self.0.clock.now(),
            reason,
        };
        let change = self.set_paused(type_id, Some(paused));
        self.kept(by, "type.pause", type_id, None, change).await
    }

    /// Claims what waits of a type again.
    ///
    /// # Errors
    /// [`ServiceError::UnknownTaskType`], or what the store says.
    pub async fn resume(&self, by: &Requester, type_id: &TypeId) -> Result<TypeView, ServiceError> {
        self.0.access.caller(by).must_be_admin().await?;
        let change = self.set_paused(type_id, None);
        self.kept(by, "type.resume", type_id, None, change).await
    }

    async fn set_paused(
        &self,
        type_id: &TypeId,
        paused: Option<Paused>,
    ) -> Result<TypeView, ServiceError> {
        let (types, id) = (self.clone(), type_id.clone());
        let set = async move {
            // Two at once are written in the order in which they count.
            let _one_at_a_time = types.0.pushes.latest.lock().await;
            types.view(&id).await?;
            types.0.components.set_paused(&id, paused.as_ref()).await?;
            match &paused {
                Some(paused) => tracing::warn!("{}", paused_words(&id, paused)),
                None => tracing::info!(type_id = %id, "a task type goes on"),
            }
            types.0.catalog.set_paused(&id, paused);
            types.changed_here();
            Ok(())
        };
        self.whole(set).await?;
        self.view(type_id).await
    }

    async fn stored(&self, type_id: &TypeId, digest: &Digest) -> Result<Version, ServiceError> {
        let found = self.0.components.get(digest).await?;
        if let Some(version) = found.filter(|version| version.type_id == *type_id) {
            return Ok(version);
        }
        self.view(type_id).await?;
        Err(ServiceError::NotFound {
            what: format!("version {digest} of the task type `{type_id}`"),
        })
    }

    /// A change of a type, as the audit log keeps it.
    async fn kept<T>(
        &self,
        by: &Requester,
        deed: &'static str,
        type_id: &TypeId,
        digest: Option<&Digest>,
        change: impl Future<Output = Result<T, ServiceError>>,
    ) -> Result<T, ServiceError> {
        let target = match digest {
            Some(digest) => format!("{type_id}/{digest}"),
            None => type_id.to_string(),
        };
        self.0
            .audit
            .kept(by, Act::everywhere(deed, &target), change)
            .await
    }

    /// Carries out to the end what was begun, also when nobody waits for it any more.
    async fn whole<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, ServiceError>> + Send + 'static,
    ) -> Result<T, ServiceError> {
        let done = tokio::spawn(work).await;
        done.map_err(|error| ServiceError::Internal {
            reason: error.to_string(),
        })?
    }
}

/// Why tasks of a paused type wait.
pub(super) fn paused_words(type_id: &TypeId, paused: &Paused) -> String {
    let reason = paused.reason.as_deref().map(told);
    let reason = reason.map_or_else(String::new, |reason| format!(": {reason}"));
    format!(
        "the task type `{type_id}` is paused since {} by {}{reason}",
        paused.at, paused.by
    )
}

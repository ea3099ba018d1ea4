//! What people are shown of task types.

use serde::Serialize;
use serde_json::{Value, json};
use taskhost_model::capabilities::Capabilities;
use taskhost_model::concurrency::Concurrency;
use taskhost_model::contract::ContractVersion;
use taskhost_model::descriptor::{Descriptor, Limits, Retry, StreamUse};
use taskhost_model::ids::{Digest, Label, TypeId};
use taskhost_model::requester::Requester;
use taskhost_model::time::Timestamp;
use taskhost_store::components::{Approval, Paused, Version, VersionState};
use taskhost_store::tasks::Unfinished;

use super::changes::warnings;
use super::said::told;
use super::{LoadedVersion, TaskTypes};
use crate::error::ServiceError;
use crate::signatures::key_id;

/// A task type.
#[derive(Debug, Clone, Serialize)]
pub struct TypeView {
    /// Its id.
    pub id: TypeId,
    /// For people, one line.
    pub title: String,
    /// For people, a paragraph.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The active version, as its author numbers it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The active version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active: Option<Digest>,
    /// All versions, newest first.
    pub versions: Vec<VersionView>,
    /// Nothing of it is claimed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused: Option<Paused>,
    /// Tasks of this type that have not ended, where whoever asks may know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unfinished: Option<u64>,
    /// Whether it works on a stream.
    pub stream: StreamUse,
    /// What a run may use.
    pub limits: Limits,
    /// How failures are tried again.
    pub retry: Retry,
    /// How many of its runs may be at work at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<Concurrency>,
    /// Milliseconds between asking a run to stop and stopping it.
    pub grace_ms: u64,
    /// Seconds until a run that is not live is shown as stale.
    pub stale_after_s: u64,
    /// Collections that it owns.
    pub collections: Vec<Label>,
    /// Collections of the space that people keep and it reads.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub space_collections: Vec<Label>,
    /// Whether it asks whatever models it is allowed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub any_model: bool,
    /// What it wants to reach beyond its stream and its collections.
    #[serde(skip_serializing_if = "Capabilities::is_empty")]
    pub wanted: Capabilities,
    /// What of that it may.
    #[serde(skip_serializing_if = "Capabilities::is_empty")]
    pub granted: Capabilities,
    /// Where its params name the streams that it reads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub streams_from: Option<String>,
    /// The contract that a host has to have at least.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_host: Option<ContractVersion>,
    /// JSON Schema of params.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub params_schema: Option<Value>,
    /// JSON Schema of results.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result_schema: Option<Value>,
    /// JSON Schema of checkpoints.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint_schema: Option<Value>,
    /// Keys of the descriptor that this host ignores.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// A version of a task type.
#[derive(Debug, Clone, Serialize)]
pub struct VersionView {
    /// The component's sha256.
    pub digest: Digest,
    /// As its author numbers it.
    pub version: String,
    /// For people, one line.
    pub title: String,
    /// Where it is in its life.
    pub state: ShownState,
    /// Why it is rejected, in words that its author can use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What it wants and is not allowed, in words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub needs_approval: Vec<String>,
    /// What an operator has allowed this very version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approval>,
    /// The id of the trusted key that has signed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signed_by: Option<String>,
    /// Size of the component.
    pub bytes: u64,
    /// When it was accepted.
    pub uploaded_at: Timestamp,
    /// Unfinished runs that use it, where whoever asks may know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runs_pinned: Option<u64>,
}

/// Where a version is in its life, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ShownState {
    /// It wants more than the policy allows.
    PendingApproval,
    /// New runs use it.
    Active,
    /// Only runs that are pinned to it use it.
    Draining,
    /// Nothing uses it.
    Retired,
    /// It was accepted once, and now the settings are against it, or this host cannot read what it
    /// says of itself: nothing uses it.
    Rejected,
}

impl From<VersionState> for ShownState {
    fn from(state: VersionState) -> Self {
        match state {
            VersionState::PendingApproval => Self::PendingApproval,
            VersionState::Active => Self::Active,
            VersionState::Draining => Self::Draining,
            VersionState::Retired => Self::Retired,
        }
    }
}

impl TaskTypes {
    /// All task types, by id. How many runs need them is told to admins alone.
    ///
    /// # Errors
    /// What the store says.
    pub async fn list(&self, by: &Requester) -> Result<Vec<TypeView>, ServiceError> {
        let is_admin = self.0.access.caller(by).is_admin().await?;
        if is_admin {
            return self.views().await;
        }
        let mut views = self.views_with(&Unfinished::default()).await?;
        views.iter_mut().for_each(TypeView::hide_use);
        Ok(views)
    }

    /// One task type.
    ///
    /// # Errors
    /// [`ServiceError::UnknownTaskType`], or what the store says.
    pub async fn get(&self, by: &Requester, id: &TypeId) -> Result<TypeView, ServiceError> {
        one(self.list(by).await?, id)
    }

    /// One task type, with everything that is known.
    pub(super) async fn view(&self, id: &TypeId) -> Result<TypeView, ServiceError> {
        one(self.views().await?, id)
    }

    async fn views(&self) -> Result<Vec<TypeView>, ServiceError> {
        let unfinished = self.0.tasks.unfinished().await?;
        self.views_with(&unfinished).await
    }

    async fn views_with(&self, unfinished: &Unfinished) -> Result<Vec<TypeView>, ServiceError> {
        let versions = self.0.components.list().await?;
        let by_type = versions.chunk_by(|a, b| a.type_id == b.type_id);
        by_type
            .map(|versions| self.type_view(versions, unfinished))
            .collect()
    }

    /// The view of one type's versions, newest first; shown is the active one, or else the newest.
    fn type_view(
        &self,
        versions: &[Version],
        unfinished: &Unfinished,
    ) -> Result<TypeView, ServiceError> {
        let active = versions
            .iter()
            .find(|version| version.state == VersionState::Active);
        let shown = active.or_else(|| versions.first());
        let shown = shown.ok_or_else(|| ServiceError::Internal {
            reason: "no version".to_owned(),
        })?;
        let (descriptor, _) = read(shown);
        let count = |counts: &[(TypeId, u64)]| {
            counts
                .iter()
                .find(|(id, _)| *id == shown.type_id)
                .map_or(0, |(_, count)| *count)
        };
        let allowed = self.0.rules.policy.allowed_to(shown);
        Ok(TypeView {
            id: shown.type_id.clone(),
            title: descriptor.title.clone(),
            description: descriptor.description.clone(),
            version: active.map(|_| descriptor.version.clone()),
            active: active.map(|version| version.digest.clone()),
            versions: versions
                .iter()
                .map(|version| self.version_view(version, unfinished))
                .collect(),
            paused: self.0.catalog.paused(&shown.type_id),
            unfinished: Some(count(&unfinished.by_type)),
            stream: descriptor.stream,
            limits: descriptor.limits,
            retry: descriptor.retry,
            grace_ms: descriptor.grace_ms,
            stale_after_s: descriptor.stale_after_s,
            warnings: warnings(&shown.descriptor, &descriptor),
            concurrency: descriptor.concurrency,
            collections: descriptor.collections,
            space_collections: descriptor.space_collections,
            any_model: descriptor.any_model,
            granted: granted(&descriptor.capabilities, descriptor.any_model, &allowed),
            wanted: descriptor.capabilities,
            streams_from: descriptor.streams_from,
            min_host: descriptor.min_host,
            params_schema: descriptor.params_schema,
            result_schema: descriptor.result_schema,
            checkpoint_schema: descriptor.checkpoint_schema,
        })
    }

    /// The models that a type may ask as it is now.
    pub(crate) fn models(&self, type_id: &TypeId) -> Vec<Label> {
        let Some(active) = self.0.catalog.active(type_id) else {
            return Vec::new();
        };
        let allowed = self.0.rules.policy.allowed_to(&active.version);
        let descriptor = &active.descriptor;
        granted(&descriptor.capabilities, descriptor.any_model, &allowed).models
    }

    fn version_view(&self, version: &Version, unfinished: &Unfinished) -> VersionView {
        let pinned = unfinished
            .by_digest
            .iter()
            .find(|(digest, _)| *digest == version.digest);
        let (descriptor, trouble) = read(version);
        let allowed = self.0.rules.policy.allowed_to(version);
        let reason = trouble.or_else(|| self.rejection(version));
        VersionView {
            digest: version.digest.clone(),
            version: descriptor.version,
            title: descriptor.title,
            state: match &reason {
                Some(_) => ShownState::Rejected,
                None => version.state.into(),
            },
            reason,
            needs_approval: said(&descriptor.capabilities.beyond(&allowed)),
            approval: version.approval.clone(),
            signed_by: version.signed_by.as_deref().map(key_id),
            bytes: version.bytes,
            uploaded_at: version.uploaded_at,
            runs_pinned: Some(pinned.map_or(0, |(_, count)| *count)),
        }
    }

    /// Why a version that the store has as active is not offered.
    fn rejection(&self, version: &Version) -> Option<String> {
        let here = self.0.catalog.active(&version.type_id);
        let is_here = here.is_some_and(|here| here.version.digest == version.digest);
        if version.state != VersionState::Active || is_here {
            return None;
        }
        let mistakes = LoadedVersion::read(version.clone(), &self.0.rules).err()?;
        Some(told(&mistakes.join("; ")))
    }
}

impl TypeView {
    /// Without what tells of tasks that somebody may not see.
    fn hide_use(&mut self) {
        self.unfinished = None;
        self.versions
            .iter_mut()
            .for_each(|it| it.runs_pinned = None);
    }
}

fn one(views: Vec<TypeView>, id: &TypeId) -> Result<TypeView, ServiceError> {
    let found = views.into_iter().find(|view| view.id == *id);
    found.ok_or_else(|| ServiceError::UnknownTaskType {
        type_id: id.clone(),
    })
}

/// What a version may of what it wants.
fn granted(wanted: &Capabilities, any_model: bool, allowed: &Capabilities) -> Capabilities {
    let within = wanted.within(allowed);
    let models = Capabilities {
        models: allowed.models.clone(),
        ..Capabilities::default()
    };
    if any_model {
        within.and(&models)
    } else {
        within
    }
}

/// Each thing in words that can be told.
pub(super) fn said(capabilities: &Capabilities) -> Vec<String> {
    capabilities.words().iter().map(|it| told(it)).collect()
}

/// What a version says of itself. Where this host cannot read that, little more than its type, and
/// why: it keeps no other from being shown.
fn read(version: &Version) -> (Descriptor, Option<String>) {
    let error = match serde_json::from_str(&version.descriptor) {
        Ok(descriptor) => return (descriptor, None),
        Err(error) => error,
    };
    let title = "its descriptor cannot be read";
    let little = json!({"id": version.type_id, "version": "?", "title": title});
    let little = serde_json::from_value(little);
    let little = little.unwrap_or_else(|_| unreachable!("a descriptor needs no more than that"));
    let why = format!("{title} ({error}): delete this version, and push its component again");
    (little, Some(told(&why)))
}

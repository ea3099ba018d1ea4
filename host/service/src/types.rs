//! Task types: components that are loaded while the host runs.
//!
//! A version's descriptor and schemas are kept in memory while it is active or a run is pinned
//! to it; its code is loaded at first use, through the runtime's cache.

mod catalog;
mod checks;
mod said;
mod changes;
mod push;
mod labels;
mod life;
mod others;
mod view;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use taskhost_clients::beside::Beside;
use taskhost_clients::http::other_spellings;
use taskhost_clients::schema::Schema;
use taskhost_model::capabilities::Capabilities;
use taskhost_model::descriptor::{Bounds, Descriptor};
use taskhost_model::ids::{Digest, TypeId};
use taskhost_model::requester::Requester;
use taskhost_model::time::{Clock, Timestamp};
use taskhost_runtime::{Component, LoadError, Runtime};
use taskhost_store::components::{ComponentStore, Version};
use taskhost_store::documents::DocumentStore;
use taskhost_store::queue::ClaimableType;
use taskhost_store::tasks::TaskStore;
use tokio::sync::{Notify, OnceCell};

use crate::access::Access;
use crate::audit::Audit;
use crate::error::ServiceError;
use crate::policy::Policy;
use crate::view::{WaitReason, Waiting};
use crate::wake::Wake;
use catalog::Catalog;
use push::Pushes;

pub use push::{Pushed, digest_of};
pub use view::{ShownState, TypeView, VersionView};

/// Loads, lists and hands out task types. Cheap to clone.
#[derive(Debug, Clone)]
pub struct TaskTypes(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    access: Arc<Access>,
    audit: Audit,
    components: Arc<dyn ComponentStore>,
    documents: Arc<dyn DocumentStore>,
    tasks: Arc<dyn TaskStore>,
    runtime: Arc<Runtime>,
    rules: Rules,
    retired_versions_kept: usize,
    clock: Clock,
    catalog: Catalog,
    rejected: Mutex<Vec<Rejected>>,
    pushes: Pushes,
    wake: Arc<Wake>,
    /// Somebody has to tell other hosts.
    changed: Notify,
}

/// What a version has to meet, and what it may then reach.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rules {
    pub(crate) bounds: Bounds,
    pub(crate) policy: Policy,
    /// Of types of which an operator has decided it: so many runs with the same key at once.
    pub(crate) runs_at_once: BTreeMap<TypeId, u64>,
}

impl Rules {
    /// So many runs with the same key at once: what an operator says, or else the type.
    fn runs_per_key(&self, type_id: &TypeId, own: Option<u64>) -> Option<u64> {
        self.runs_at_once.get(type_id).copied().or(own)
    }
}

/// A file that was refused; kept for display alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Its name.
    pub file: String,
    /// Why, in words that its author can use.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

/// What the types need.
#[derive(Debug)]
pub(crate) struct TypeParts {
    pub(crate) access: Arc<Access>,
    pub(crate) audit: Audit,
    pub(crate) components: Arc<dyn ComponentStore>,
    pub(crate) documents: Arc<dyn DocumentStore>,
    pub(crate) tasks: Arc<dyn TaskStore>,
    pub(crate) runtime: Arc<Runtime>,
    pub(crate) rules: Rules,
    pub(crate) retired_versions_kept: usize,
    pub(crate) clock: Clock,
    pub(crate) wake: Arc<Wake>,
}

/// A version with everything that scheduling and running need.
#[derive(Debug)]
pub(crate) struct LoadedVersion {
    pub(crate) version: Version,
    pub(crate) descriptor: Descriptor,
    pub(crate) params: Option<Schema>,
    pub(crate) result: Option<Schema>,
    component: OnceCell<Component>,
    /// Checks that take long: a type holds up itself at most.
    checks: Beside,
}

impl LoadedVersion {
    /// Reads a version's descriptor and compiles its schemas. The mistakes are for its author.
    pub(crate) fn read(version: Version, rules: &Rules) -> Result<Self, Vec<String>> {
        let signatures = &rules.policy.signatures;
        if let Some(refusal) = signatures.refusal(version.signed_by.as_deref()) {
            return Err(vec![refusal]);
        }
        let descriptor = Descriptor::parse(&version.descriptor, &rules.bounds)?;
        let mut mistakes = other_spellings(&descriptor.capabilities);
        let mut compile = |key: &str, schema: &Option<serde_json::Value>| {
            let compiled = Schema::compile(schema.as_ref()?);
            compiled
                .map_err(|why| mistakes.push(format!("`{key}` is no JSON Schema: {why}")))
                .ok()
        };
        let params = compile("params_schema", &descriptor.params_schema);
        let result = compile("result_schema", &descriptor.result_schema);
        compile("checkpoint_schema", &descriptor.checkpoint_schema);
        if mistakes.is_empty() {
            Ok(Self {
                version,
                descriptor,
                params,
                result,
                component: OnceCell::new(),
                checks: Beside::default(),
            })
        } else {
            Err(mistakes)
        }
    }

    /// What it wants and neither the policy nor an approval allows.
    pub(crate) fn beyond(&self, policy: &Policy) -> Capabilities {
        let allowed = policy.allowed_to(&self.version);
        self.descriptor.capabilities.beyond(&allowed)
    }

    /// The type's wall-clock limit.
    pub(crate) fn wall_ms(&self) -> u64 {
        self.descriptor.limits.wall_s.saturating_mul(1000)
    }
}

impl TaskTypes {
    /// Reads what is known of the active versions. Code is loaded at first use.
    pub(crate) async fn open(parts: TypeParts) -> Result<Self, ServiceError> {
        let inner = Inner {
            access: parts.access,
            audit: parts.audit,
            components: parts.components,
            documents: parts.documents,
            tasks: parts.tasks,
            runtime: parts.runtime,
            rules: parts.rules,
            retired_versions_kept: parts.retired_versions_kept,
            clock: parts.clock,
            catalog: Catalog::default(),
            rejected: Mutex::new(Vec::new()),
            pushes: Pushes::default(),
            wake: parts.wake,
            changed: Notify::new(),
        };
        let versions = inner.components.list().await?;
        let paused = inner.components.paused().await?;
        inner.catalog.read_active(&versions, paused, &inner.rules);
        let types = Self(Arc::new(inner));
        for version in types.0.catalog.all_active() {
            types.take_labels(&version.descriptor).await?;
        }
        types.activate_allowed(versions).await;
        Ok(types)
    }

    /// Keeps a refusal for display; a newer one of the same file takes its place.
    pub fn note_rejected(&self, rejected: Rejected) {
        let mut all = self
            .0
            .rejected
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        all.retain(|other| other.file != rejected.file);
        all.push(rejected);
    }

    /// Files that were refused and have not been replaced.
    #[must_use]
    pub fn rejected(&self) -> Vec<Rejected> {
        self.0
            .rejected
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The same for somebody who asks: it is for admins.
    ///
    /// # Errors
    /// What the store says.
    pub async fn rejected_for(&self, by: &Requester) -> Result<Vec<Rejected>, ServiceError> {
        let is_admin = self.0.access.caller(by).is_admin().await?;
        Ok(if is_admin {
            self.rejected()
        } else {
            Vec::new()
        })
    }

    /// Forgets a refusal: the file has been accepted, or is gone.
    pub fn forget_rejected(&self, file: &str) {
        let mut all = self
            .0
            .rejected
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        all.retain(|other| other.file != file);
    }

    /// The active version of a type.
    pub(crate) fn active(&self, type_id: &TypeId) -> Result<Arc<LoadedVersion>, ServiceError> {
        let unknown = || ServiceError::UnknownTaskType {
            type_id: type_id.clone(),
        };
        self.0.catalog.active(type_id).ok_or_else(unknown)
    }

    /// So many runs with the same concurrency key at once, if the type has a bound.
    pub(crate) fn runs_per_key(&self, type_id: &TypeId) -> Option<u64> {
        let active = self.0.catalog.active(type_id)?;
        let own = active.descriptor.concurrency.as_ref().map(|it| it.max);
        self.0.rules.runs_per_key(type_id, own)
    }

    /// For how long a run of a type may be without a living host before readers are told, where
    /// the type has an active version.
    pub(crate) fn stale_after(&self, type_id: &TypeId) -> Option<Duration> {
        let active = self.0.catalog.active(type_id)?;
        Some(Duration::from_secs(active.descriptor.stale_after_s))
    }

    /// A version that a run is pinned to.
    pub(crate) async fn pinned(&self, digest: &Digest) -> Result<Arc<LoadedVersion>, ServiceError> {
        self.0
            .catalog
            .pinned(digest, &*self.0.components, &self.0.rules)
            .await
    }

    /// A version's code, loaded at first use.
    pub(crate) async fn component<'a>(
        &self,
        version: &'a LoadedVersion,
    ) -> Result<&'a Component, ServiceError> {
        let load = || async {
            let digest = &version.version.digest;
            let missing = || ServiceError::Internal {
                reason: format!("the component {digest} is not in the store any more"),
            };
            let bytes = self.0.components.bytes(digest).await?.ok_or_else(missing)?;
            let loaded = self.0.runtime.load(digest, bytes).await;
            loaded.map_err(|error| match error {
                // The host lacks something now that it may have in a moment.
                LoadError::Internal { reason } => ServiceError::Unavailable { reason },
                error => ServiceError::Internal {
                    reason: error.to_string(),
                },
            })
        };
        version.component.get_or_try_init(load).await
    }

    /// Why nothing of a type is claimed.
    pub(crate) fn held_up(&self, type_id: &TypeId) -> Option<Waiting> {
        if let Some(paused) = self.0.catalog.paused(type_id) {
            return Some(Waiting {
                reason: WaitReason::Paused,
                words: life::paused_words(type_id, &paused),
            });
        }
        let is_missing = self.0.catalog.active(type_id).is_none();
        is_missing.then(|| Waiting {
            reason: WaitReason::NoVersion,
            words: format!("no version of the task type `{type_id}` is active"),
        })
    }

    /// What this host can claim now.
    pub(crate) fn claimable(&self) -> Vec<ClaimableType> {
        let mut claimable = self.0.catalog.claimable();
        for one in &mut claimable {
            one.runs_per_key = self.0.rules.runs_per_key(&one.type_id, one.runs_per_key);
        }
        claimable
    }

    /// What this host can claim now, as authors call the versions.
    pub(crate) fn claimable_versions(&self) -> Vec<(TypeId, String)> {
        self.0.catalog.claimable_versions()
    }
}

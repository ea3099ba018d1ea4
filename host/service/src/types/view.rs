//! What people are shown of task types.

use serde::Serialize;
use serde_json::Value;
use taskhost_model::descriptor::{Descriptor, Limits, Retry, StreamUse};
use taskhost_model::ids::{Digest, Label, TypeId};
use taskhost_model::time::Timestamp;
use taskhost_store::components::{Version, VersionState};
use taskhost_store::tasks::Unfinished;

use super::TaskTypes;
use super::said::told;
use crate::error::ServiceError;

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
    /// Tasks of this type that have not ended.
    pub unfinished: u64,
    /// Whether it works on a stream.
    pub stream: StreamUse,
    /// What a run may use.
    pub limits: Limits,
    /// How failures are tried again.
    pub retry: Retry,
    /// Milliseconds between asking a run to stop and stopping it.
    pub grace_ms: u64,
    /// Seconds until a run that is not live is shown as stale.
    pub stale_after_s: u64,
    /// Collections that it owns.
    pub collections: Vec<Label>,
    /// JSON Schema of params.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub params_schema: Option<Value>,
    /// JSON Schema of results.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result_schema: Option<Value>,
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
    pub state: VersionState,
    /// Size of the component.
    pub bytes: u64,
    /// When it was accepted.
    pub uploaded_at: Timestamp,
    /// Unfinished runs that use it.
    pub runs_pinned: u64,
}

impl TaskTypes {
    /// All task types, by id.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn list(&self) -> Result<Vec<TypeView>, ServiceError> {
        let unfinished = self.0.tasks.unfinished().await?;
        let versions = self.0.components.list().await?;
        let by_type = versions.chunk_by(|a, b| a.type_id == b.type_id);
        by_type
            .map(|versions| type_view(versions, &unfinished))
            .collect()
    }

    /// One task type.
    ///
    /// # Errors
    /// [`ServiceError::UnknownTaskType`], or what the store says.
    pub async fn get(&self, id: &TypeId) -> Result<TypeView, ServiceError> {
        let unknown = || ServiceError::UnknownTaskType {
            type_id: id.clone(),
        };
        self.list()
            .await?
            .into_iter()
            .find(|view| view.id == *id)
            .ok_or_else(unknown)
    }
}

/// The view of one type's versions, newest first; shown is the active one, or else the newest.
fn type_view(versions: &[Version], unfinished: &Unfinished) -> Result<TypeView, ServiceError> {
    let active = versions
        .iter()
        .find(|version| version.state == VersionState::Active);
    let shown = active.or_else(|| versions.first());
    let shown = shown.ok_or_else(|| ServiceError::Internal {
        reason: "no version".to_owned(),
    })?;
    let descriptor = read(shown)?;
    let count = |counts: &[(TypeId, u64)]| {
        counts
            .iter()
            .find(|(id, _)| *id == shown.type_id)
            .map_or(0, |(_, count)| *count)
    };
    Ok(TypeView {
        id: shown.type_id.clone(),
        title: descriptor.title.clone(),
        description: descriptor.description.clone(),
        version: active.map(|_| descriptor.version.clone()),
        active: active.map(|version| version.digest.clone()),
        versions: versions
            .iter()
            .map(|v| version_view(v, unfinished))
            .collect::<Result<_, _>>()?,
        unfinished: count(&unfinished.by_type),
        stream: descriptor.stream,
        limits: descriptor.limits,
        retry: descriptor.retry,
        grace_ms: descriptor.grace_ms,
        stale_after_s: descriptor.stale_after_s,
        warnings: warnings(&shown.descriptor, &descriptor),
        collections: descriptor.collections,
        params_schema: descriptor.params_schema,
        result_schema: descriptor.result_schema,
    })
}

fn version_view(version: &Version, unfinished: &Unfinished) -> Result<VersionView, ServiceError> {
    let pinned = unfinished
        .by_digest
        .iter()
        .find(|(digest, _)| *digest == version.digest);
    let descriptor = read(version)?;
    Ok(VersionView {
        digest: version.digest.clone(),
        version: descriptor.version,
        title: descriptor.title,
        state: version.state,
        bytes: version.bytes,
        uploaded_at: version.uploaded_at,
        runs_pinned: pinned.map_or(0, |(_, count)| *count),
    })
}

fn read(version: &Version) -> Result<Descriptor, ServiceError> {
    serde_json::from_str(&version.descriptor).map_err(|error| ServiceError::Internal {
        reason: error.to_string(),
    })
}

/// Keys of a descriptor that this host does not know, as sentences.
pub(super) fn warnings(text: &str, descriptor: &Descriptor) -> Vec<String> {
    let sentence = |key: &str| told(&format!("this host does not know `{key}` and ignores it"));
    let mut warnings: Vec<String> = descriptor.unknown.keys().map(|key| sentence(key)).collect();
    let raw: Value = serde_json::from_str(text).unwrap_or_default();
    for (part, known) in [
        ("limits", serde_json::to_value(descriptor.limits)),
        ("retry", serde_json::to_value(descriptor.retry)),
    ] {
        let known = known.unwrap_or_default();
        let keys = raw
            .get(part)
            .and_then(Value::as_object)
            .into_iter()
            .flat_map(|o| o.keys());
        let unknown = keys.filter(|key| known.get(key.as_str()).is_none());
        warnings.extend(unknown.map(|key| sentence(&format!("{part}.{key}"))));
    }
    warnings
}

/// What a new version changes for an operator, as sentences.
pub(super) fn changes_between(before: Option<&Descriptor>, after: &Descriptor) -> Vec<String> {
    let Some(before) = before else {
        return vec![format!("new task type `{}`", after.id)];
    };
    let mut changes = Vec::new();
    let mut number = |what: &str, before: u64, after: u64| {
        if before != after {
            changes.push(format!("{what}: {before} → {after}"));
        }
    };
    number(
        "limits.memory_mib",
        before.limits.memory_mib,
        after.limits.memory_mib,
    );
    number("limits.cpu_ms", before.limits.cpu_ms, after.limits.cpu_ms);
    number("limits.wall_s", before.limits.wall_s, after.limits.wall_s);
    // 0: no limit.
    number(
        "limits.no_progress_s",
        before.limits.no_progress_s.unwrap_or(0),
        after.limits.no_progress_s.unwrap_or(0),
    );
    number(
        "limits.output_kib",
        before.limits.output_kib,
        after.limits.output_kib,
    );
    number(
        "retry.attempts",
        before.retry.attempts.into(),
        after.retry.attempts.into(),
    );
    number("grace_ms", before.grace_ms, after.grace_ms);
    number("stale_after_s", before.stale_after_s, after.stale_after_s);
    if before.version != after.version {
        let change = format!("version: {} → {}", before.version, after.version);
        changes.push(told(&change));
    }
    let newly = after
        .collections
        .iter()
        .filter(|label| !before.collections.contains(label));
    changes.extend(newly.map(|label| format!("newly wants: collection `{label}`")));
    if before.stream != after.stream {
        changes.push("wants a stream otherwise than before".to_owned());
    }
    for (what, before, after) in [
        ("params_schema", &before.params_schema, &after.params_schema),
        ("result_schema", &before.result_schema, &after.result_schema),
    ] {
        if before != after {
            changes.push(format!("{what} differs"));
        }
    }
    changes
}

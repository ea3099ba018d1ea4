//! What the indices are called, and the ids of documents in them.

use sha2::{Digest as _, Sha256};
use taskhost_model::ids::{DocumentId, Space, TaskKey, TypeId};

use crate::documents::Scope;

/// The indices of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Index {
    /// Task documents.
    Tasks,
    /// What lies apart from them: long texts, logs, checkpoints, recordings.
    Texts,
    /// What several tasks have to agree about: who holds a concurrency key, whose children there
    /// are.
    Shared,
    /// Collections.
    Documents,
    /// Components and what is known of their types.
    Components,
    /// Keys of runs, sealed.
    Keys,
    /// The audit log.
    Audit,
    /// Schedules.
    Schedules,
}

impl Index {
    pub(super) const ALL: [Self; 8] = [
        Self::Tasks,
        Self::Texts,
        Self::Shared,
        Self::Documents,
        Self::Components,
        Self::Keys,
        Self::Audit,
        Self::Schedules,
    ];
}

/// Aliases of one store.
#[derive(Debug, Clone)]
pub(super) struct Names {
    prefix: String,
}

impl Names {
    pub(super) fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
        }
    }

    /// The alias by which everybody reads and writes.
    pub(super) fn alias(&self, index: Index) -> String {
        let name = match index {
            Index::Tasks => "tasks",
            Index::Texts => "task_texts",
            Index::Shared => "task_shared",
            Index::Documents => "task_documents",
            Index::Components => "task_components",
            Index::Keys => "task_keys",
            Index::Audit => "audit",
            Index::Schedules => "schedules",
        };
        format!("{}_{name}", self.prefix)
    }

    /// The index behind the alias.
    pub(super) fn index(&self, index: Index) -> String {
        format!("{}-000001", self.alias(index))
    }
}

/// The id of a task's document. Neither part has a slash in it.
pub(super) fn task_id(key: &TaskKey) -> String {
    format!("{}/{}", key.space, key.id)
}

/// The name of a scope in an index.
pub(super) fn scope_id(scope: &Scope) -> String {
    let stream = scope.stream.as_ref().map_or("", |stream| stream.as_str());
    // No part has a slash in it, and no stream is called nothing.
    format!("{}/{}/{}", scope.space, stream, scope.label)
}

/// The id of a document in a collection: together the parts may be longer than an id can be.
pub(super) fn document_id(scope: &Scope, id: &DocumentId) -> String {
    hash(&[&scope_id(scope), id.as_str()])
}

/// What the runs of a type in a space with the same concurrency key have in common.
pub(super) fn lane_id(space: &Space, type_id: &TypeId, key: &str) -> String {
    format!("lane/{}", hash(&[space.as_str(), type_id.as_str(), key]))
}

/// A name for texts of any length.
pub(super) fn hash(parts: &[&str]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    let digest = hasher.finalize();
    digest
        .iter()
        .take(20)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// A name that nobody has given before.
pub(super) fn unique() -> String {
    let bits: u128 = rand::random();
    format!("{bits:032x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_run_into_each_other() {
        assert_ne!(hash(&["ab", "c"]), hash(&["a", "bc"]));
        assert_ne!(hash(&["ab"]), hash(&["ab", ""]));
        assert_eq!(hash(&["ab"]).len(), 40);
    }

    #[test]
    fn the_tasks_have_the_usual_name() {
        let names = Names::new(".streams");
        assert_eq!(names.alias(Index::Tasks), ".streams_tasks");
        assert_eq!(names.index(Index::Tasks), ".streams_tasks-000001");
    }
}

//! The store of collections: documents that outlive the runs that wrote them.

use std::sync::Arc;

use async_trait::async_trait;
use taskhost_model::condition::Condition;
use taskhost_model::ids::{DocumentId, Label, Space, StreamKey, StreamName, TaskKey, TypeId};
use taskhost_model::task::{Fence, Task};

use crate::error::StoreError;

/// The largest body of one document, in bytes.
pub const BODY_BYTES_MAX: u64 = 1024 * 1024;

/// The most bytes of bodies in one page of a query.
pub const PAGE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Documents in collections.
///
/// # Guarantees
/// 1. A label belongs to the type that first took it, on the whole store, until that type's last
///    version is deleted; taking it again by the same type changes nothing.
/// 2. A run's writes happen only while its fence is the task's and its guest may be alive
///    (running or being canceled), checked in the transaction that writes; else
///    [`StoreError::Fenced`] and nothing more is written.
/// 3. Changes stand alone, are applied in order, and each is answered. A call of many may fail
///    after the first of them were made; its error says so.
/// 4. A version never comes back: a document that was deleted and made again has another one.
/// 5. `query` is ordered by id and complete over a cursor. It looks at a bounded amount, so that a
///    page may be empty though there is a next one.
#[async_trait]
pub trait DocumentStore: Send + Sync + std::fmt::Debug {
    /// Makes `owner` the owner of `label`, if nobody is; answers who is.
    async fn take_label(&self, label: &Label, owner: &TypeId) -> Result<TypeId, StoreError>;

    /// Who owns a label.
    async fn label_owner(&self, label: &Label) -> Result<Option<TypeId>, StoreError>;

    /// One document.
    async fn get(&self, scope: &Scope, id: &DocumentId) -> Result<Option<Document>, StoreError>;

    /// A page of documents, at most `limit` (1 to 1,000) and at most 4 MiB of bodies. One ends
    /// as well after 4 MiB of bodies that were looked at, each counted once for every test of the
    /// condition.
    async fn query(
        &self,
        scope: &Scope,
        condition: Option<&Condition>,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<DocumentPage, StoreError>;

    /// Applies changes in order.
    async fn apply(
        &self,
        scope: &Scope,
        writer: &Writer,
        changes: Vec<Change>,
    ) -> Result<Vec<Result<String, ChangeRefused>>, StoreError>;

    /// Removes every collection of a stream; returns how many documents went.
    async fn delete_stream(&self, key: &StreamKey) -> Result<u64, StoreError>;
}

/// One collection of one stream, or of the space itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Scope {
    /// The space.
    pub space: Space,
    /// The stream; none: the space's own.
    pub stream: Option<StreamName>,
    /// The label.
    pub label: Label,
}

/// Who writes.
#[derive(Debug, Clone)]
pub enum Writer {
    /// A run, under its lease.
    Run {
        /// The run's task.
        task: TaskKey,
        /// Its fence.
        fence: Fence,
    },
    /// Somebody, through the interface.
    Person(String),
}

/// A stored document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Its id.
    pub id: DocumentId,
    /// Opaque; changes with every write.
    pub version: String,
    /// JSON text, a JSON object.
    pub body: Arc<str>,
}

/// One page of a query.
#[derive(Debug, Clone, Default)]
pub struct DocumentPage {
    /// By id.
    pub documents: Vec<Document>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<String>,
}

/// One change.
#[derive(Debug, Clone)]
pub enum Change {
    /// Only when it does not exist.
    Create {
        /// The id.
        id: DocumentId,
        /// JSON text, a JSON object.
        body: Arc<str>,
    },
    /// Whether or not it exists.
    Put {
        /// The id.
        id: DocumentId,
        /// JSON text, a JSON object.
        body: Arc<str>,
        /// Only when it has this version.
        if_version: Option<String>,
    },
    /// Removes it.
    Delete {
        /// The id.
        id: DocumentId,
        /// Only when it has this version.
        if_version: Option<String>,
    },
}

/// Why one change was not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeRefused {
    /// It exists, or has another version.
    #[error("the document exists, or has another version")]
    Conflict,
    /// There is nothing to delete, or to put over with a version.
    #[error("there is no such document")]
    NotFound,
    /// The body is above [`BODY_BYTES_MAX`].
    #[error("the body has {bytes} bytes, at most {BODY_BYTES_MAX} are kept")]
    TooLarge {
        /// Its size.
        bytes: u64,
    },
}

/// Whether a run may write documents: its fence is the stored task's, and a guest may be alive
/// under it.
pub(crate) fn may_write(stored: Option<&Task>, fence: Fence) -> bool {
    stored
        .and_then(Task::lease)
        .is_some_and(|lease| lease.fence == fence)
}

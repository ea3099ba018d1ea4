//! What readers are shown of a task.

use std::sync::Arc;

use taskhost_model::ids::TaskKey;
use taskhost_model::status::Status;
use taskhost_model::task::Task;
use taskhost_store::queue::StoredTask;

/// A task as a reader sees it.
#[derive(Debug, Clone)]
pub struct TaskView {
    /// Its address; known even when there is no document.
    pub key: TaskKey,
    /// The computed status.
    pub status: Status,
    /// The document, if there is one.
    pub task: Option<Task>,
    /// JSON text, of a completed or acknowledged task.
    pub payload: Option<Arc<str>>,
    /// JSON text, where the payload was looked for.
    pub params: Option<Arc<str>>,
    /// Why it waits although it may be due, for people.
    pub waiting_for: Option<String>,
}

impl TaskView {
    /// What is shown of an id without a document.
    #[must_use]
    pub fn not_started(key: TaskKey) -> Self {
        Self {
            key,
            status: Status::NotStarted,
            task: None,
            payload: None,
            params: None,
            waiting_for: None,
        }
    }

    /// What is shown of a document whose run is live, or that has none at work.
    #[must_use]
    pub fn of(task: Task) -> Self {
        Self {
            key: task.key(),
            status: task.phase().status(),
            task: Some(task),
            payload: None,
            params: None,
            waiting_for: None,
        }
    }

    /// A document with its payload.
    #[must_use]
    pub fn with_payload(stored: StoredTask) -> Self {
        Self {
            payload: stored.payload,
            params: Some(stored.params),
            ..Self::of(stored.task)
        }
    }

    /// Opaque; `0` when there is no document.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.task.as_ref().map_or(0, |task| task.version)
    }

    /// Counts everything that a reader can see; `0` when there is no document.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.task.as_ref().map_or(0, |task| task.revision)
    }
}

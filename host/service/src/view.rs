//! What readers are shown of a task.

use std::ops::Deref;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use taskhost_model::ids::TaskKey;
use taskhost_model::status::Status;
use taskhost_model::task::Task;
use taskhost_store::queue::StoredTask;

/// Why a task waits that is to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WaitReason {
    /// It is due, and no host has a free slot for it.
    Slot,
    /// As many runs of its type are at work as may be at once.
    TypeLimit,
    /// As many runs with its concurrency key are at work as may be at once.
    Key,
    /// Its type is paused.
    Paused,
    /// No version of its type is active.
    NoVersion,
    /// It is not due yet.
    RunAt,
}

/// Why a task waits, and the same in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// For machines.
    pub reason: WaitReason,
    /// For people: "It waits for: …".
    pub words: String,
}

impl Deref for Waiting {
    type Target = str;

    fn deref(&self) -> &str {
        &self.words
    }
}

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
    /// Why it waits, where it is to run and does not.
    pub waiting_for: Option<Waiting>,
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

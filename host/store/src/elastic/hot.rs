//! A task's document as it is stored: the fields of the task, what the scheduler looks for, and
//! under `task` what no index looks at.

mod form;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use taskhost_model::ids::{RunId, TaskKey};
use taskhost_model::task::Task;
use taskhost_model::time::Timestamp;

use super::group::Seen;
use super::names::lane_id;
use crate::place::{self, Place};

/// A text of up to so many bytes lies in the document itself.
pub(super) const HERE_BYTES_MAX: usize = 4 * 1024;

/// A stored task document with its version.
#[derive(Debug, Clone)]
pub(super) struct Current {
    pub(super) seen: Seen,
    pub(super) hot: Arc<Hot>,
}

/// What a task's document holds.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Hot {
    pub(super) task: Task,
    pub(super) texts: Texts,
    /// Where it stood when it was written.
    pub(super) place: Place,
    /// A name of the write; whoever is told of a conflict sees by it whether it was his own write.
    pub(super) written: String,
}

/// The texts of a task.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Texts {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) params: Option<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) payload: Option<Text>,
    #[serde(default, skip_serializing_if = "Log::is_empty")]
    pub(super) log: Log,
    /// Former runs, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) former: Vec<Former>,
}

/// Where a former run is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Former {
    /// The run.
    pub(super) run: RunId,
    /// Its document among the texts.
    pub(super) id: String,
}

/// Where a text is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Text {
    /// Here.
    Here(Arc<str>),
    /// In the document of this id among the texts.
    Apart(String),
}

/// A run's log: pieces that lie apart, then what is here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Log {
    /// Of all of it.
    pub(super) bytes: u64,
    /// Ids among the texts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) apart: Vec<String>,
    /// The end.
    pub(super) here: String,
}

impl Log {
    fn is_empty(&self) -> bool {
        self.bytes == 0
    }
}

impl Hot {
    pub(super) fn new(task: Task, texts: Texts, now: Timestamp, written: &str) -> Self {
        let place = place::of(&task, now);
        Self {
            task,
            texts,
            place,
            written: written.to_owned(),
        }
    }

    pub(super) fn key(&self) -> TaskKey {
        self.task.key()
    }

    /// The lane that it stands in.
    pub(super) fn lane(&self) -> Option<String> {
        lane_of(&self.task)
    }

    /// Whether it may be claimed now, as far as its own document tells.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        matches!(self.place, Place::Ready | Place::Waiting) && self.task.run.due_at <= now
    }
}

/// The lane that a task stands in.
pub(super) fn lane_of(task: &Task) -> Option<String> {
    let key = task.concurrency_key.as_deref()?;
    Some(lane_id(&task.space, &task.type_id, key))
}

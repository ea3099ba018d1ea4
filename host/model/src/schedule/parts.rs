//! The parts of a schedule as it is stored.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::{Incarnation, RunId, StreamName, TaskId, TypeId};
use crate::time::Timestamp;

/// What becomes of a fire while the task of an older one has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// It is left out.
    Skip,
    /// It waits.
    Queue,
    /// The older one is canceled, and it waits until that has ended; of several that wait so, the
    /// latest alone.
    CancelOld,
}

/// The task that is fired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FiredTask {
    /// Its type.
    #[serde(rename = "type")]
    pub type_id: TypeId,
    /// The stream to work on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<StreamName>,
    /// Further streams that its runs may read, which the params name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also_reads: Vec<StreamName>,
    /// JSON text.
    pub params: Arc<str>,
    /// −100 to 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<i32>,
    /// Shortens the type's wall-clock limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
}

impl FiredTask {
    /// All streams that its runs may read.
    pub fn streams(&self) -> impl Iterator<Item = &StreamName> {
        self.stream.iter().chain(&self.also_reads)
    }
}

/// Why a schedule fires nothing for now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Pause {
    /// Who has paused it; none: the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// In words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Since when.
    pub at: Timestamp,
}

/// A fire that waits for an older one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// When it was due.
    pub due_at: Timestamp,
    /// The run that it will have.
    pub run: RunId,
    /// Who wanted it, where that was no due time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wanted_by: Option<String>,
}

/// A fire whose task is to be written, or has not ended as far as is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Active {
    /// When it was due.
    pub due_at: Timestamp,
    /// The task.
    pub task: TaskId,
    /// Its run.
    pub run: RunId,
    /// The life of the host that writes it.
    pub by: Incarnation,
    /// The store has it.
    #[serde(default)]
    pub is_written: bool,
    /// A later fire wants it to end.
    #[serde(default)]
    pub is_to_cancel: bool,
    /// Who wanted it, where that was no due time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wanted_by: Option<String>,
}

/// What became of a due time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PastOutcome {
    /// Its task was scheduled.
    Fired,
    /// Its task could not be scheduled.
    Failed,
    /// It was left out, as the overlap policy wants.
    Skipped,
    /// It has passed while nobody could fire, and was not made up for.
    Missed,
}

/// What became of a due time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Past {
    /// When it was due; of several that were missed, the last.
    pub due_at: Timestamp,
    /// When that was noted.
    pub at: Timestamp,
    /// What became of it.
    pub outcome: PastOutcome,
    /// Its task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskId>,
    /// Why it was not fired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who wanted it, where that was no due time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wanted_by: Option<String>,
}

/// How many due times became what, since the schedule was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Counts {
    /// Tasks that were scheduled.
    pub fired: u64,
    /// Tasks that could not be.
    pub failed: u64,
    /// Left out, as the overlap policy wants.
    pub skipped: u64,
    /// Passed while nobody could fire; so many at least.
    pub missed: u64,
}

impl Past {
    /// Without a task, a reason and a person.
    pub(super) fn of(due_at: Timestamp, at: Timestamp, outcome: PastOutcome) -> Self {
        Self {
            due_at,
            at,
            outcome,
            task: None,
            reason: None,
            wanted_by: None,
        }
    }
}

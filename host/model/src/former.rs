//! What stays of a run when another one of the same task takes its place.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::TaskError;
use crate::ids::{Digest, RunId, StreamName, TypeId};
use crate::status::Status;
use crate::task::{Task, Usage};
use crate::time::Timestamp;

/// A run of a task, over all its attempts, as its history shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FormerRun {
    /// The run.
    pub id: RunId,
    /// Its type: a task may have had another one before.
    #[serde(rename = "type")]
    pub type_id: TypeId,
    /// The stream that it worked on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<StreamName>,
    /// Further streams that it could read, or that those above it could, the one that its parent
    /// was on among them: they have to be readable for whoever sees the run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also_reads: Vec<StreamName>,
    /// How it ended, or how far it is.
    pub status: Status,
    /// When it was scheduled.
    pub created_at: Timestamp,
    /// When its last attempt began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// The last attempt, from 1.
    pub attempt: u32,
    /// How many there could have been.
    pub max_attempts: u32,
    /// How many hosts were lost under it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub crashes: u32,
    /// Who scheduled it.
    pub requested_by: String,
    /// Who canceled it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canceled_by: Option<String>,
    /// In their words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel_reason: Option<String>,
    /// The host that had it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The component.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// What its last attempt has used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<TaskError>,
}

impl FormerRun {
    /// The latest run of a task.
    #[must_use]
    pub fn of(task: &Task) -> Self {
        let status = task.phase().status();
        let last_ended = [
            task.last_completed_at,
            task.last_failed_at,
            task.last_canceled_at,
        ];
        let above = task.parent.as_ref().and_then(|it| it.stream.as_ref());
        Self {
            id: task.run.id,
            type_id: task.type_id.clone(),
            stream: task.stream.clone(),
            also_reads: above.into_iter().chain(task.also_read()).cloned().collect(),
            status,
            created_at: task.created_at,
            started_at: task.run.started_at,
            // Those of former runs are older.
            ended_at: last_ended
                .into_iter()
                .flatten()
                .max()
                .filter(|_| status.is_terminal()),
            attempt: task.run.attempt,
            max_attempts: task.run.max_attempts,
            crashes: task.run.crashes,
            requested_by: task.requested_by.clone(),
            canceled_by: task.canceled_by.clone(),
            cancel_reason: task.run.cancel_reason.clone(),
            host: task.run.host.clone(),
            digest: task.run.digest.clone(),
            usage: task.usage,
            error: task.error.clone().filter(|_| status == Status::Failed),
        }
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands over a reference"
)]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

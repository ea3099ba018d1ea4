//! A task document as a row: columns for what is looked for, compact JSON for the rest.

use std::borrow::Cow;

use rusqlite::Row;
use serde::{Deserialize, Serialize};
use taskhost_model::error::TaskError;
use taskhost_model::ids::{
    Digest, Incarnation, RunId, RunKeyId, Space, StreamName, TaskId, TypeId,
};
use taskhost_model::receipt::Receipt;
use taskhost_model::status::{RunState, Status};
use taskhost_model::task::{Lease, Parent, Progress, Run, Suspension, Task, Usage};
use taskhost_model::time::Timestamp;
use taskhost_model::trace::TraceParent;

use crate::error::StoreError;

/// The columns of a task in the order in which [`read`] wants them.
pub(super) const COLUMNS: &str = "space, id, type, stream, status, created_ms, deleted_ms, rank, \
                                  due_ms, digest, requested_by, body, concurrency_key, expires_ms";

/// How many columns [`COLUMNS`] names.
pub(super) const COLUMNS_COUNT: usize = 14;

/// Reads a task from the first columns of a row.
pub(super) fn read(row: &Row<'_>) -> Result<Task, StoreError> {
    let text = |index| row.get_ref(index).and_then(|value| Ok(value.as_str()?));
    let optional = |index| {
        row.get_ref(index)
            .and_then(|value| Ok(value.as_str_or_null()?))
    };
    let at = |index| row.get(index).map(Timestamp::from_ms);
    let status = text(4)?;
    let body: Body<'_> = serde_json::from_str(text(11)?).map_err(damaged)?;
    Ok(Task {
        space: Space::parse(text(0)?).map_err(damaged)?,
        id: TaskId::parse(text(1)?).map_err(damaged)?,
        type_id: TypeId::parse(text(2)?).map_err(damaged)?,
        stream: optional(3)?
            .map(StreamName::parse)
            .transpose()
            .map_err(damaged)?,
        status: Status::parse(status).ok_or_else(|| damaged(format!("status `{status}`")))?,
        created_at: at(5)?,
        deleted_at: row.get::<_, Option<i64>>(6)?.map(Timestamp::from_ms),
        requested_by: text(10)?.to_owned(),
        last_completed_at: body.completed_ms.map(Timestamp::from_ms),
        last_acknowledged_at: body.acknowledged_ms.map(Timestamp::from_ms),
        last_canceled_at: body.canceled_ms.map(Timestamp::from_ms),
        last_failed_at: body.failed_ms.map(Timestamp::from_ms),
        also_reads: body.also_reads.into_owned(),
        parent: body.parent.map(Cow::into_owned),
        concurrency_key: optional(12)?.map(str::to_owned),
        record: body.record,
        canceled_by: body.canceled_by.map(Cow::into_owned),
        acknowledged_by: body.acknowledged_by.map(Cow::into_owned),
        version: body.version,
        revision: body.revision,
        previous: body.previous.into_owned(),
        expires_at: row.get::<_, Option<i64>>(13)?.map(Timestamp::from_ms),
        receipt: body.receipt.map(Cow::into_owned),
        progress: body.progress.map(Cow::into_owned),
        usage: body.usage,
        error: body.error.map(Cow::into_owned),
        run: Run {
            rank: row.get(7)?,
            due_at: at(8)?,
            digest: optional(9)?
                .map(Digest::parse)
                .transpose()
                .map_err(damaged)?,
            ..body.run.into_run()
        },
    })
}

/// The part of a task that has no column, as JSON text.
pub(super) fn body(task: &Task) -> Result<String, StoreError> {
    // Taken apart by name, so that a new field of the model is not forgotten here.
    let Task {
        id: _,
        type_id: _,
        space: _,
        stream: _,
        status: _,
        created_at: _,
        requested_by: _,
        deleted_at: _,
        concurrency_key: _,
        expires_at: _,
        last_completed_at,
        last_acknowledged_at,
        last_canceled_at,
        last_failed_at,
        also_reads,
        parent,
        record,
        canceled_by,
        acknowledged_by,
        version,
        revision,
        previous,
        run,
        receipt,
        progress,
        usage,
        error,
    } = task;
    let body = Body {
        version: *version,
        revision: *revision,
        completed_ms: last_completed_at.map(Timestamp::as_ms),
        acknowledged_ms: last_acknowledged_at.map(Timestamp::as_ms),
        canceled_ms: last_canceled_at.map(Timestamp::as_ms),
        failed_ms: last_failed_at.map(Timestamp::as_ms),
        also_reads: Cow::Borrowed(also_reads),
        parent: parent.as_ref().map(Cow::Borrowed),
        record: *record,
        canceled_by: canceled_by.as_deref().map(Cow::Borrowed),
        acknowledged_by: acknowledged_by.as_deref().map(Cow::Borrowed),
        previous: Cow::Borrowed(previous),
        run: RunBody::of(run),
        receipt: receipt.as_ref().map(Cow::Borrowed),
        progress: progress.as_ref().map(Cow::Borrowed),
        usage: *usage,
        error: error.as_ref().map(Cow::Borrowed),
    };
    serde_json::to_string(&body).map_err(damaged)
}

/// What cannot be read back.
pub(super) fn damaged(problem: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt {
        reason: problem.to_string(),
    }
}

#[derive(Serialize, Deserialize)]
struct Body<'a> {
    version: u64,
    revision: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    completed_ms: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    acknowledged_ms: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    canceled_ms: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failed_ms: Option<i64>,
    #[serde(default, skip_serializing_if = "<[StreamName]>::is_empty")]
    also_reads: Cow<'a, [StreamName]>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parent: Option<Cow<'a, Parent>>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    record: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    canceled_by: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    acknowledged_by: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "<[Lease]>::is_empty")]
    previous: Cow<'a, [Lease]>,
    run: RunBody<'a>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    receipt: Option<Cow<'a, Receipt>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    progress: Option<Cow<'a, Progress>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    usage: Option<Usage>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<Cow<'a, TaskError>>,
}

#[derive(Serialize, Deserialize)]
struct RunBody<'a> {
    id: RunId,
    attempt: u32,
    max_attempts: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    state: Option<RunState>,
    priority: i32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    started_ms: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deadline_ms: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    timeout_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    wall_ms: Option<u64>,
    lease_number: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    host: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    incarnation: Option<Incarnation>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<RunKeyId>,
    trace: Option<TraceParent>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cancel_requested_ms: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cancel_reason: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "is_zero")]
    crashes: u32,
    #[serde(default, skip_serializing_if = "is_zero")]
    pauses: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    suspension: Option<Cow<'a, Suspension>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    checkpoints_of: Option<RunId>,
}

impl<'a> RunBody<'a> {
    fn of(run: &'a Run) -> Self {
        let Run {
            rank: _,
            due_at: _,
            digest: _,
            key,
            id,
            attempt,
            max_attempts,
            state,
            priority,
            started_at,
            deadline_at,
            timeout_ms,
            wall_ms,
            lease_number,
            host,
            incarnation,
            trace,
            cancel_requested_at,
            cancel_reason,
            crashes,
            pauses,
            suspension,
            checkpoints_of,
        } = run;
        Self {
            id: *id,
            attempt: *attempt,
            max_attempts: *max_attempts,
            state: *state,
            priority: *priority,
            started_ms: started_at.map(Timestamp::as_ms),
            deadline_ms: deadline_at.map(Timestamp::as_ms),
            timeout_ms: *timeout_ms,
            wall_ms: *wall_ms,
            lease_number: *lease_number,
            host: host.as_deref().map(Cow::Borrowed),
            incarnation: *incarnation,
            key: *key,
            trace: *trace,
            cancel_requested_ms: cancel_requested_at.map(Timestamp::as_ms),
            cancel_reason: cancel_reason.as_deref().map(Cow::Borrowed),
            crashes: *crashes,
            pauses: *pauses,
            suspension: suspension.as_ref().map(Cow::Borrowed),
            checkpoints_of: *checkpoints_of,
        }
    }

    /// The run without what stands in columns.
    fn into_run(self) -> Run {
        Run {
            rank: 0,
            due_at: Timestamp::from_ms(0),
            digest: None,
            key: self.key,
            id: self.id,
            attempt: self.attempt,
            max_attempts: self.max_attempts,
            state: self.state,
            priority: self.priority,
            started_at: self.started_ms.map(Timestamp::from_ms),
            deadline_at: self.deadline_ms.map(Timestamp::from_ms),
            timeout_ms: self.timeout_ms,
            wall_ms: self.wall_ms,
            lease_number: self.lease_number,
            host: self.host.map(Cow::into_owned),
            incarnation: self.incarnation,
            trace: self.trace,
            cancel_requested_at: self.cancel_requested_ms.map(Timestamp::from_ms),
            cancel_reason: self.cancel_reason.map(Cow::into_owned),
            crashes: self.crashes,
            pauses: self.pauses,
            suspension: self.suspension.map(Cow::into_owned),
            checkpoints_of: self.checkpoints_of,
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

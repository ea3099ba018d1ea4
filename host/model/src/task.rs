//! The task document: one for each (space, id), so at most one live run.
//!
//! Params, payload and log are not here: they lie apart from the hot row, written once each.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::TaskError;
use crate::ids::{
    Digest, Incarnation, RunId, RunKeyId, Space, StreamName, TaskId, TaskKey, TypeId,
};
use crate::receipt::Receipt;
use crate::status::{Phase, RunState, Status};
use crate::time::Timestamp;
use crate::trace::TraceParent;

/// How much priority is worth: a task of priority 1 goes before one of priority 0 that has
/// waited a minute longer. Since the rank is fixed when queued, waiting is ageing.
pub const PRIORITY_STEP_MS: i64 = 60_000;

/// What is known of a task. `not_started` and `stale` are computed from it, never stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Task {
    /// Unique in the space.
    pub id: TaskId,
    /// The task type.
    #[serde(rename = "type")]
    pub type_id: TypeId,
    /// The space.
    pub space: Space,
    /// The stream that it works on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<StreamName>,
    /// Further streams that its run may read, which its params name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also_reads: Vec<StreamName>,
    /// The stored status.
    pub status: Status,
    /// Time of the latest scheduling.
    pub created_at: Timestamp,
    /// Kept when the task is scheduled again, like the other three.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_completed_at: Option<Timestamp>,
    /// See `last_completed_at`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_acknowledged_at: Option<Timestamp>,
    /// See `last_completed_at`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_canceled_at: Option<Timestamp>,
    /// See `last_completed_at`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failed_at: Option<Timestamp>,
    /// Whose child it is; a child ends with its parent's run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Parent>,
    /// Of the runs of its type in its space that have the same, only so many are at work at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency_key: Option<String>,
    /// Whether what its run asks and is answered is kept.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub record: bool,
    /// Who scheduled it.
    pub requested_by: String,
    /// Who canceled this run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canceled_by: Option<String>,
    /// Who acknowledged this result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged_by: Option<String>,
    /// Changes with status, schedule and result. Starts at 1; 0 means there is no document.
    pub version: u64,
    /// Changes with everything that a reader can see.
    pub revision: u64,
    /// Set on a tombstone, which is absent for every reader.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<Timestamp>,
    /// Runs that were replaced or deleted before they ended; while there are any, no new run
    /// of this id is claimed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub previous: Vec<Lease>,
    /// The latest run; stays after its end.
    pub run: Run,
    /// When the task goes by itself; only where it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// What the host has promised whoever sent it with a key that may be repeated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<Receipt>,
    /// What the run last said of itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// What the attempt has used whose guest ended last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// Why it failed; of the last attempt while waiting to be tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<TaskError>,
}

/// The run that has spawned a task, in the same space.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Parent {
    /// The parent.
    pub task: TaskId,
    /// Its run: another run of the same task has children of its own.
    pub run: RunId,
    /// What the run calls the child.
    pub key: String,
    /// How deep the child stands: 1 below a task that nobody has spawned.
    pub depth: u32,
    /// The stream that the parent is on, or the nearest one above it: whoever may not read that one
    /// is not to see what its runs hand down either.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<StreamName>,
    /// Further streams that the parent and those above it may read, for the same reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also_reads: Vec<StreamName>,
}

/// A wait for children, in which a run was suspended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Suspension {
    /// What it waits for, as a digest: the guest begins anew and asks the same again.
    pub wait: String,
    /// When the time of that wait is up.
    pub until: Timestamp,
    /// How often in a row the run was suspended in it.
    pub times: u32,
    /// The children that it waits for, in its order: before its guest begins, the host looks
    /// whether one of them has ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<TaskId>,
}

/// One run of a task, over all its attempts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Run {
    /// Made before the first write.
    pub id: RunId,
    /// 1 for the first. A run handed back or lost with its host keeps its number.
    pub attempt: u32,
    /// How many the type allows.
    pub max_attempts: u32,
    /// While the task is in progress.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<RunState>,
    /// −100 to 100; higher goes first. See [`PRIORITY_STEP_MS`].
    pub priority: i32,
    /// Not claimed before.
    pub due_at: Timestamp,
    /// `due_at` − priority × [`PRIORITY_STEP_MS`], fixed when queued; the lowest goes first.
    pub rank: i64,
    /// Just before the guest's `run` was entered; until that is known, when it was claimed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When this attempt must have ended: set by its first claim, kept through hand-back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_at: Option<Timestamp>,
    /// Shortens the type's `wall_s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// The type's `wall_s` in the version that `digest` pins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wall_ms: Option<u64>,
    /// Grows with every claim of this id, over all runs; older writers are fenced.
    pub lease_number: u64,
    /// The host that holds or held the lease.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// That host's life.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<Incarnation>,
    /// The component, pinned at the first claim for the run's whole life.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// With what it reads streams, where the store has people of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<RunKeyId>,
    /// The span that has scheduled it, where whoever did named one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceParent>,
    /// When the cancel was stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel_requested_at: Option<Timestamp>,
    /// What whoever canceled gave as reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel_reason: Option<String>,
    /// How many hosts were lost while running it.
    #[serde(default)]
    pub crashes: u32,
    /// How often it was queued again because somebody wanted a pause; no attempts.
    #[serde(default)]
    pub pauses: u32,
    /// The wait in which the attempt was last suspended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspension: Option<Suspension>,
    /// The run under whose name the checkpoints are kept that this one goes on with, where that is
    /// another one: the task was tried again by somebody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoints_of: Option<RunId>,
}

impl Run {
    /// The run under whose name its checkpoints are kept.
    #[must_use]
    pub fn keeper(&self) -> RunId {
        self.checkpoints_of.unwrap_or(self.id)
    }
}

/// What a writer of a run must show: the run's id and the number of its lease.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub struct Fence {
    /// The run.
    pub run: RunId,
    /// The lease under which it runs.
    pub lease_number: u64,
}

impl Fence {
    /// Of the same run under its next lease.
    #[must_use]
    pub const fn next(self) -> Self {
        Self {
            run: self.run,
            lease_number: self.lease_number + 1,
        }
    }
}

/// A run's hold on its task, by one life of one host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Lease {
    /// The run and its number.
    #[serde(flatten)]
    pub fence: Fence,
    /// The host's life.
    pub incarnation: Incarnation,
    /// With what the run reads streams as long as its guest is alive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<RunKeyId>,
}

/// What a run says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Progress {
    /// Units done.
    pub done: u64,
    /// Units in all, when known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// For people; at most 1 KiB.
    pub message: String,
    /// The phase that the run is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// When it was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<Timestamp>,
}

/// What an attempt used, however often its guest was begun in it; of tokens, what the run has used
/// over its attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Usage {
    /// The attempt.
    #[serde(default)]
    pub attempt: u32,
    /// The guest's own computing, by the thread's CPU clock.
    pub cpu_ms: u64,
    /// Time that the guest waited in host calls.
    pub host_wait_ms: u64,
    /// Highest sum of all memories and tables.
    pub peak_memory_bytes: u64,
    /// Calls of host functions, WASI's not counted.
    pub host_calls: u64,
    /// Requests that went out, redirects included.
    #[serde(default)]
    pub http_requests: u64,
    /// Tokens of language models, over all attempts of the run.
    #[serde(default)]
    pub tokens: u64,
}

/// One line of a run's log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LogLine {
    /// When it was written.
    pub at: Timestamp,
    /// How serious it is.
    pub level: LogLevel,
    /// At most 8 KiB.
    pub message: String,
    /// Structured fields.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fields: Option<serde_json::Value>,
}

/// Levels of log lines.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    /// For the author alone.
    Trace,
    /// For finding a fault.
    Debug,
    /// What went on.
    Info,
    /// What somebody should look at.
    Warn,
    /// What went wrong.
    Error,
}

impl Task {
    /// What the attempt has used so far, which may have begun before: the rest of what it may use
    /// is what it begins with. Tokens count over attempts.
    #[must_use]
    pub fn used(&self) -> Usage {
        let usage = self.usage.unwrap_or_default();
        let attempt = self.run.attempt;
        if usage.attempt == attempt {
            return usage;
        }
        Usage {
            attempt,
            tokens: usage.tokens,
            ..Usage::default()
        }
    }

    /// When its latest run has ended, or its result was acknowledged; none while it is to run.
    #[must_use]
    pub fn ended_at(&self) -> Option<Timestamp> {
        match self.phase() {
            Phase::Completed => self.last_completed_at,
            Phase::Acknowledged => self.last_acknowledged_at,
            Phase::Failed => self.last_failed_at,
            Phase::Canceled => self.last_canceled_at,
            _ => None,
        }
    }

    /// The task's address.
    #[must_use]
    pub fn key(&self) -> TaskKey {
        TaskKey {
            space: self.space.clone(),
            id: self.id.clone(),
        }
    }

    /// The stream that it is on, or else the nearest one above it.
    #[must_use]
    pub fn nearest_stream(&self) -> Option<&StreamName> {
        let above = self.parent.as_ref().and_then(|it| it.stream.as_ref());
        self.stream.as_ref().or(above)
    }

    /// Further streams that it may read, or that those above it may.
    pub fn also_read(&self) -> impl Iterator<Item = &StreamName> {
        let above = self.parent.iter().flat_map(|it| &it.also_reads);
        self.also_reads.iter().chain(above)
    }

    /// The run that has spawned it, with the address of its task.
    #[must_use]
    pub fn parent_run(&self) -> Option<(TaskKey, RunId)> {
        self.parent.as_ref().map(|parent| {
            let key = TaskKey {
                space: self.space.clone(),
                id: parent.task.clone(),
            };
            (key, parent.run)
        })
    }

    /// Whether it is one of those at work that its concurrency key allows: a guest may be alive,
    /// or it waits for children. How such a wait is kept is the host's affair, so one that was
    /// suspended in it holds the key as one does that waits in memory.
    #[must_use]
    pub fn holds_key(&self) -> bool {
        let is_at_work = matches!(
            self.phase(),
            Phase::Running | Phase::BeingCanceled | Phase::Suspended
        );
        self.concurrency_key.is_some() && (is_at_work || !self.previous.is_empty())
    }

    /// Where it is in its life.
    #[must_use]
    pub fn phase(&self) -> Phase {
        if self.deleted_at.is_some() {
            return Phase::Absent;
        }
        match self.status {
            Status::NotStarted => Phase::Absent,
            Status::InProgress | Status::Stale => match self.run.state {
                Some(RunState::Running) => Phase::Running,
                Some(RunState::WaitingRetry) => Phase::WaitingRetry,
                Some(RunState::Suspended) => Phase::Suspended,
                Some(RunState::Queued) | None => Phase::Queued,
            },
            Status::BeingCanceled => Phase::BeingCanceled,
            Status::Canceled => Phase::Canceled,
            Status::Failed => Phase::Failed,
            Status::Completed => Phase::Completed,
            Status::Acknowledged => Phase::Acknowledged,
        }
    }

    /// The fence of the run's current lease.
    #[must_use]
    pub fn fence(&self) -> Fence {
        Fence {
            run: self.run.id,
            lease_number: self.run.lease_number,
        }
    }

    /// The lease, while a guest may be alive under it.
    #[must_use]
    pub fn lease(&self) -> Option<Lease> {
        match self.phase() {
            Phase::Running | Phase::BeingCanceled => {
                self.run.incarnation.map(|incarnation| Lease {
                    fence: self.fence(),
                    incarnation,
                    key: self.run.key,
                })
            }
            _ => None,
        }
    }
}

/// The rank of a run that is queued for `due_at`.
#[must_use]
pub fn rank(due_at: Timestamp, priority: i32) -> i64 {
    due_at
        .as_ms()
        .saturating_sub(i64::from(priority).saturating_mul(PRIORITY_STEP_MS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_counts_of_the_run_goes_on_in_the_next_attempt_and_nothing_else_does() {
        let task = |attempt: u32, usage: serde_json::Value| -> Task {
            serde_json::from_value(serde_json::json!({
                "id": "t", "type": "hello", "space": "default", "status": "in_progress",
                "created_at": Timestamp::from_ms(1), "requested_by": "somebody", "version": 1,
                "revision": 1, "usage": usage, "run": {
                    "id": RunId::new(), "attempt": attempt, "max_attempts": 3, "priority": 0,
                    "due_at": Timestamp::from_ms(1), "rank": 0, "lease_number": 1,
                },
            }))
            .unwrap()
        };
        let usage = serde_json::json!({"attempt": 2, "cpu_ms": 1, "host_wait_ms": 2,
            "peak_memory_bytes": 3, "host_calls": 4, "http_requests": 5, "tokens": 6});
        let same = task(2, usage.clone());
        assert_eq!(Some(same.used()), same.usage);
        let next = Usage {
            attempt: 3,
            tokens: 6,
            ..Usage::default()
        };
        assert_eq!(task(3, usage).used(), next);
        let first = Usage {
            attempt: 1,
            ..Usage::default()
        };
        assert_eq!(task(1, serde_json::Value::Null).used(), first);
        // As an older host has written it.
        let older = serde_json::json!({"cpu_ms": 1, "host_wait_ms": 2, "peak_memory_bytes": 3,
            "host_calls": 4});
        assert_eq!(task(1, older).used(), first);
    }

    #[test]
    fn a_minute_of_waiting_outweighs_one_step_of_priority() {
        let old = rank(Timestamp::from_ms(1_000_000), 0);
        let new_and_higher = rank(Timestamp::from_ms(1_060_001), 1);
        assert!(old < new_and_higher);
        assert!(rank(Timestamp::from_ms(1_000_000), 1) < old);
    }
}

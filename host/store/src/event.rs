//! What happens to a task, as the layers above tell the store, and what came of it.

use std::sync::Arc;

use taskhost_model::error::TaskError;
use taskhost_model::ids::{Digest, Incarnation, RunId, RunKeyId, StreamName, TypeId};
use taskhost_model::status::Refusal;
use taskhost_model::task::{Fence, Parent, Progress, Suspension, Task, Usage};
use taskhost_model::time::Timestamp;
use taskhost_model::trace::TraceParent;

/// Anything that may change a task.
#[derive(Debug, Clone)]
#[expect(
    clippy::large_enum_variant,
    reason = "an event is made, handed over and dropped"
)]
pub enum Event {
    /// Somebody wants it to run.
    Schedule(Box<NewRun>),
    /// A host takes the due run.
    Claim(Claim),
    /// Somebody wants it to stop.
    Cancel {
        /// Who.
        by: String,
        /// In their words.
        reason: Option<String>,
        /// Only when the task has this version.
        if_version: Option<u64>,
    },
    /// Somebody has acted on the result.
    Acknowledge {
        /// Who.
        by: String,
        /// Only when the task has this version.
        if_version: Option<u64>,
    },
    /// Somebody removes it.
    Delete {
        /// Only when the task has this version.
        if_version: Option<u64>,
    },
    /// The run speaks, under its lease.
    Run {
        /// The speaker's run and lease.
        fence: Fence,
        /// What it says.
        event: RunEvent,
    },
    /// The host that held this lease is gone.
    HostLost {
        /// The lease that is lost.
        fence: Fence,
        /// After so many lost hosts the task fails.
        crashes_max: u32,
    },
    /// A run that was replaced or deleted is over: no guest is alive under this lease.
    PreviousEnded {
        /// Its lease.
        fence: Fence,
    },
    /// A child of a run that was suspended has ended: the run is due now.
    Resume {
        /// The suspended run.
        run: RunId,
    },
    /// The run has been due for longer than it may wait in the queue.
    Overdue {
        /// Only what has been due since before that.
        due_before: Timestamp,
        /// For people: how long it may wait, and who says so.
        limit: String,
    },
    /// What has ended goes when its time is up.
    Expire {
        /// What says nothing of its time goes if it has ended before that.
        unmarked_before: Timestamp,
    },
    /// It comes from another store, where nobody runs it any more.
    Import(Box<Imported>),
}

/// A task as it was in another store.
#[derive(Debug, Clone)]
pub struct Imported {
    /// The document.
    pub task: Task,
    /// JSON text.
    pub params: Arc<str>,
    /// JSON text, of a completed or acknowledged task.
    pub payload: Option<Arc<str>>,
    /// What its latest run has logged.
    pub log: Option<Arc<str>>,
}

/// A run as it is scheduled.
#[derive(Debug, Clone)]
pub struct NewRun {
    /// Made before the first write; a repeated write is recognized by it.
    pub id: RunId,
    /// The task type.
    pub type_id: TypeId,
    /// The stream that it works on.
    pub stream: Option<StreamName>,
    /// Further streams that it may read.
    pub also_reads: Vec<StreamName>,
    /// JSON text, already checked against the type's schema.
    pub params: Arc<str>,
    /// Whose child it is.
    pub parent: Option<Parent>,
    /// Of the runs of the type in the space that have the same, only so many are at work at once.
    pub concurrency_key: Option<String>,
    /// Who asks.
    pub requested_by: String,
    /// With what the run reads streams, where the store has people of its own.
    pub key: Option<RunKeyId>,
    /// −100 to 100.
    pub priority: i32,
    /// Not before.
    pub due_at: Timestamp,
    /// Shortens the type's wall-clock limit.
    pub timeout_ms: Option<u64>,
    /// Whether what it asks and is answered is kept.
    pub record: bool,
    /// The span that schedules it.
    pub trace: Option<TraceParent>,
    /// How many attempts the type allows.
    pub max_attempts: u32,
    /// Only when there is no task of this id, or only when it has this version.
    pub condition: Option<WriteCondition>,
    /// Whether it goes on with what the task's former run has kept, unless that has completed.
    pub keeps_checkpoints: bool,
    /// A digest of the request, where it may be repeated by a key: see
    /// [`taskhost_model::receipt::Receipt`].
    pub receipt: Option<String>,
}

/// A precondition on the stored version (`If-Match`, `If-None-Match`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteCondition {
    /// The task must be absent.
    Absent,
    /// The task must have this version.
    Version(u64),
}

/// A claim by one life of one host.
#[derive(Debug, Clone)]
pub struct Claim {
    /// The host's name.
    pub host: String,
    /// Its life.
    pub incarnation: Incarnation,
    /// Pinned when the run has no digest yet.
    pub digest: Digest,
    /// The type's wall-clock limit; an attempt's deadline counts from its first claim.
    pub wall_ms: u64,
}

/// What a run says.
#[derive(Debug, Clone)]
pub enum RunEvent {
    /// It moves.
    Progress(RunReport),
    /// It ended with a result.
    Completed {
        /// JSON text, already checked against the type's schema.
        payload: Arc<str>,
        /// What else there is to keep.
        end: RunReport,
    },
    /// It ended with an error.
    Failed {
        /// Why.
        error: TaskError,
        /// When it will be tried again; `None`: never.
        retry_at: Option<Timestamp>,
        /// What else there is to keep.
        end: RunReport,
    },
    /// It ended because somebody wants a pause; the same attempt is queued again after it.
    Paused {
        /// Who wants it, as an error.
        error: TaskError,
        /// Not before.
        until: Timestamp,
        /// What else there is to keep.
        end: RunReport,
    },
    /// Its guest was ended while it waits for children; the same attempt goes on later.
    Suspended {
        /// The wait.
        suspension: Suspension,
        /// Due at the latest then, also where no child ends.
        until: Timestamp,
        /// What else there is to keep.
        end: RunReport,
    },
    /// It was stopped because the host stops; the same attempt goes back to the queue.
    HandedBack {
        /// What else there is to keep.
        end: RunReport,
    },
    /// It was stopped because somebody canceled it.
    Stopped {
        /// What else there is to keep.
        end: RunReport,
    },
}

/// What is known of a run when it speaks.
#[derive(Debug, Clone, Default)]
pub struct RunReport {
    /// Just before the guest's `run` was entered.
    pub started_at: Option<Timestamp>,
    /// The latest progress.
    pub progress: Option<Progress>,
    /// What the attempt used; only when it has ended.
    pub usage: Option<Usage>,
    /// Log lines since the last report: one JSON object a line (`model::task::LogLine`), each
    /// ended by a newline. Appended to what the run has logged before.
    pub log: Option<Arc<str>>,
}

/// What came of an event.
#[derive(Debug, Clone)]
pub struct Applied {
    /// What came of it.
    pub outcome: Outcome,
    /// The document as it is stored now, a tombstone included; `None` when there is none.
    pub task: Option<Task>,
}

/// What came of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The document was written.
    Changed,
    /// Nothing changed, and that is a fine answer.
    Unchanged,
    /// This very event was applied before; nothing changed.
    Repeated,
    /// Nothing changed; whoever asked has to be told why.
    Refused(Refusal),
    /// The writer's run or lease is not the document's: it must stop.
    Fenced,
    /// The precondition on the version does not hold.
    VersionMismatch,
}

//! What is seen of the service from outside, as plain values: documents, and what happened to them.

use taskhost_model::error::ErrorKind;
use taskhost_model::ids::{Incarnation, RunId};
use taskhost_model::status::{RunState, Status};
use taskhost_model::task::{Fence, Task};
use taskhost_store::event::{Event, NewRun, Outcome, RunEvent, WriteCondition};

/// A document, as far as the model knows it. Times are in milliseconds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Shown {
    /// `not_started` of a tombstone.
    pub(crate) status: Status,
    pub(crate) state: Option<RunState>,
    pub(crate) version: u64,
    pub(crate) revision: u64,
    pub(crate) run: RunId,
    pub(crate) attempt: u32,
    pub(crate) crashes: u32,
    pub(crate) pauses: u32,
    pub(crate) lease: u64,
    pub(crate) due_ms: i64,
    pub(crate) priority: i32,
    pub(crate) created_ms: i64,
    /// Completed, acknowledged, canceled, failed.
    pub(crate) last_ms: [Option<i64>; 4],
    /// Only where it has failed.
    pub(crate) error: Option<ErrorKind>,
    /// How far it is, in its own words.
    pub(crate) done: Option<u64>,
    /// Runs that were deleted before they had ended.
    pub(crate) previous: Vec<Fence>,
}

impl Shown {
    pub(crate) fn of(task: &Task) -> Self {
        let phase = task.phase();
        let error = task.error.as_ref().map(|error| error.kind);
        let last = [
            task.last_completed_at,
            task.last_acknowledged_at,
            task.last_canceled_at,
            task.last_failed_at,
        ];
        Self {
            status: phase.status(),
            state: phase.run_state(),
            version: task.version,
            revision: task.revision,
            run: task.run.id,
            attempt: task.run.attempt,
            crashes: task.run.crashes,
            pauses: task.run.pauses,
            lease: task.run.lease_number,
            due_ms: task.run.due_at.as_ms(),
            priority: task.run.priority,
            created_ms: task.created_at.as_ms(),
            last_ms: last.map(|at| at.map(|at| at.as_ms())),
            error: error.filter(|_| phase.status() == Status::Failed),
            done: task.progress.as_ref().map(|progress| progress.done),
            previous: task.previous.iter().map(|lease| lease.fence).collect(),
        }
    }

    pub(crate) fn fence(&self) -> Fence {
        Fence {
            run: self.run,
            lease_number: self.lease,
        }
    }

    pub(crate) fn is_deleted(&self) -> bool {
        self.status == Status::NotStarted
    }

    /// It is to run, and no guest is alive for it.
    pub(crate) fn waits(&self) -> bool {
        matches!(self.state, Some(RunState::Queued | RunState::WaitingRetry))
    }

    /// A guest may be alive for it.
    pub(crate) fn is_at_work(&self) -> bool {
        self.status == Status::BeingCanceled || self.state == Some(RunState::Running)
    }
}

/// How a run says that it has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    Completed,
    /// Whether it is tried again.
    Failed(ErrorKind, bool),
    Paused,
    HandedBack,
    Stopped,
}

/// What was asked of the store.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum What {
    Schedule {
        run: RunId,
        body: String,
        due_ms: i64,
        priority: i32,
        condition: Option<WriteCondition>,
        keeps: bool,
        has_receipt: bool,
    },
    Claim,
    Cancel(Option<u64>),
    Acknowledge(Option<u64>),
    Delete(Option<u64>),
    Said(Fence, Option<u64>),
    Ended(Fence, How, Option<u64>),
    Lost(Fence),
    PreviousEnded(Fence),
    /// What was due before that.
    Overdue(i64),
    TombstonesRemoved,
    /// Nothing that this test brings about.
    Other(String),
}

impl What {
    pub(crate) fn of(event: &Event) -> Self {
        match event {
            Event::Schedule(new) => Self::scheduled(new),
            Event::Cancel { if_version, .. } => Self::Cancel(*if_version),
            Event::Acknowledge { if_version, .. } => Self::Acknowledge(*if_version),
            Event::Delete { if_version } => Self::Delete(*if_version),
            Event::Run { fence, event } => Self::said(*fence, event),
            Event::HostLost { fence, .. } => Self::Lost(*fence),
            Event::PreviousEnded { fence } => Self::PreviousEnded(*fence),
            Event::Overdue { due_before, .. } => Self::Overdue(due_before.as_ms()),
            Event::Claim(_) | Event::Resume { .. } | Event::Expire { .. } | Event::Import(_) => {
                Self::Other(format!("{event:?}"))
            }
        }
    }

    fn scheduled(new: &NewRun) -> Self {
        Self::Schedule {
            run: new.id,
            body: new.params.to_string(),
            due_ms: new.due_at.as_ms(),
            priority: new.priority,
            condition: new.condition,
            keeps: new.keeps_checkpoints,
            has_receipt: new.receipt.is_some(),
        }
    }

    fn said(fence: Fence, event: &RunEvent) -> Self {
        let (how, report) = match event {
            RunEvent::Progress(report) => {
                let done = report.progress.as_ref().map(|it| it.done);
                return Self::Said(fence, done);
            }
            RunEvent::Completed { end, .. } => (How::Completed, end),
            RunEvent::Failed {
                error,
                retry_at,
                end,
            } => (How::Failed(error.kind, retry_at.is_some()), end),
            RunEvent::Paused { end, .. } => (How::Paused, end),
            RunEvent::HandedBack { end } => (How::HandedBack, end),
            RunEvent::Stopped { end } => (How::Stopped, end),
            RunEvent::Suspended { .. } => return Self::Other(format!("{event:?}")),
        };
        Self::Ended(fence, how, report.progress.as_ref().map(|it| it.done))
    }
}

/// What was asked of the store, and what came of it.
#[derive(Debug, Clone)]
pub(crate) struct Happened {
    /// The task's id; of all tasks where it is empty.
    pub(crate) id: String,
    pub(crate) what: What,
    pub(crate) outcome: Outcome,
    /// The document afterwards, a tombstone included.
    pub(crate) after: Option<Shown>,
    /// Whose the latest lease is.
    pub(crate) owner: Option<Incarnation>,
}

impl Happened {
    /// What kind of thing it is, in words: what, its outcome, and the status afterwards.
    pub(crate) fn kind(&self) -> String {
        let what = match &self.what {
            What::Schedule { .. } => "schedule".to_owned(),
            What::Claim => "claim".to_owned(),
            What::Cancel(_) => "cancel".to_owned(),
            What::Acknowledge(_) => "acknowledge".to_owned(),
            What::Delete(_) => "delete".to_owned(),
            What::Said(..) => "said".to_owned(),
            What::Ended(_, how, _) => format!("{how:?}"),
            What::Lost(_) => "lost".to_owned(),
            What::PreviousEnded(_) => "previous ended".to_owned(),
            What::Overdue(_) => "overdue".to_owned(),
            What::TombstonesRemoved => "tombstones removed".to_owned(),
            What::Other(_) => "other".to_owned(),
        };
        let outcome = match self.outcome {
            Outcome::Refused(_) => "Refused".to_owned(),
            outcome => format!("{outcome:?}"),
        };
        let status = self.after.as_ref().map(|after| after.status.as_str());
        format!("{what}: {outcome}, {}", status.unwrap_or("nothing"))
    }
}

/// When something happens: by the clock on the wall, which a test may set, and by the one that
/// only goes on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) wall_ms: i64,
    pub(crate) passed_ms: u64,
}

/// The one of this number, counted round.
pub(crate) fn nth_of<T>(of: &mut dyn Iterator<Item = T>, nth: u8) -> Option<T> {
    let mut all: Vec<T> = of.collect();
    if all.is_empty() {
        return None;
    }
    let nth = usize::from(nth) % all.len();
    Some(all.swap_remove(nth))
}

/// # Errors
/// Where what is there is not what has to be.
pub(crate) fn same<T: PartialEq + std::fmt::Debug>(
    what: &str,
    got: &T,
    wanted: &T,
) -> Result<(), String> {
    if got == wanted {
        return Ok(());
    }
    Err(format!("{what} is\n{got:#?}\nand has to be\n{wanted:#?}"))
}

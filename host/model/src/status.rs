//! Statuses and their transitions, as one pure total function.
//!
//! A [`Phase`] is what is stored: the status, and for `in_progress` how far the run is. What a
//! reader is shown ([`Status`]) adds the two that are only ever computed, `not_started` and
//! `stale`. Whether an event comes from the run that the document carries (run id and lease
//! number) is the store's question, asked before [`Phase::next`].

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The eight statuses that readers see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// No document exists. Computed.
    NotStarted,
    /// Scheduled, running, or waiting to be tried again.
    InProgress,
    /// In progress, but its run has not been live for longer than the type allows. Computed.
    Stale,
    /// A cancel was asked for and the guest has not ended yet.
    BeingCanceled,
    /// Ended because somebody canceled it.
    Canceled,
    /// Ended with an error.
    Failed,
    /// Ended with a result that nobody has acknowledged.
    Completed,
    /// Ended with a result that somebody has acted on.
    Acknowledged,
}

impl Status {
    /// All eight, in the order above.
    pub const ALL: [Self; 8] = [
        Self::NotStarted,
        Self::InProgress,
        Self::Stale,
        Self::BeingCanceled,
        Self::Canceled,
        Self::Failed,
        Self::Completed,
        Self::Acknowledged,
    ];

    /// As written in documents and answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotStarted => "not_started",
            Self::InProgress => "in_progress",
            Self::Stale => "stale",
            Self::BeingCanceled => "being_canceled",
            Self::Canceled => "canceled",
            Self::Failed => "failed",
            Self::Completed => "completed",
            Self::Acknowledged => "acknowledged",
        }
    }

    /// Reads what [`Self::as_str`] writes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// Nothing will change it but a person.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(
            self,
            Self::Canceled | Self::Failed | Self::Completed | Self::Acknowledged
        )
    }
}

/// How far the run of an `in_progress` task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Waits for its time or for a slot.
    Queued,
    /// A host has claimed it.
    Running,
    /// An attempt failed; the next one comes at `due_at`.
    WaitingRetry,
    /// It waits for children, and its guest was ended meanwhile.
    Suspended,
}

/// What is stored of a task's life, as far as transitions are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// No document, or a tombstone.
    Absent,
    /// `in_progress`, queued.
    Queued,
    /// `in_progress`, running.
    Running,
    /// `in_progress`, waiting to be tried again.
    WaitingRetry,
    /// `in_progress`, waiting for children without a guest.
    Suspended,
    /// `being_canceled`.
    BeingCanceled,
    /// `canceled`.
    Canceled,
    /// `failed`.
    Failed,
    /// `completed`.
    Completed,
    /// `acknowledged`.
    Acknowledged,
}

/// What can happen to a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Trigger {
    /// Somebody wants it to run.
    Schedule,
    /// A host takes the run, which is due.
    Claim,
    /// Somebody wants it to stop.
    Cancel,
    /// The run ended with a result.
    Complete,
    /// The run ended with an error, and will not be tried again.
    Fail,
    /// The run ended with an error, and attempts are left.
    Retry,
    /// The run was stopped for drain; it goes back to the queue, the same attempt.
    HandBack,
    /// The run waits for children, and its guest was ended; the same attempt goes on later.
    Suspend,
    /// The run was stopped by a cancel.
    Stop,
    /// The host that ran it is gone; the run may be tried again.
    HostLost,
    /// The host that ran it is gone, once too often.
    HostLostForGood,
    /// It was due, and waited in the queue for longer than it may.
    Overdue,
    /// Somebody has acted on the result.
    Acknowledge,
    /// Somebody removes the task.
    Delete,
}

/// What comes of a trigger in a phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Next {
    /// The task moves.
    To(Phase),
    /// Nothing changes, and that is a fine answer.
    Same,
    /// Nothing changes, and whoever asked has to be told why.
    Refused(Refusal),
}

/// Why a trigger changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// Scheduling while a cancel is under way.
    #[error("the task is still being canceled")]
    CancellationInProgress,
    /// Acknowledging what is not `completed`.
    #[error("only a completed task can be acknowledged")]
    NotCompleted,
    /// The run has not started, or is over: it cannot be claimed or ended.
    #[error("the run is not in the state that this needs")]
    NotExpected,
    /// There is nothing under this id.
    #[error("there is no such task")]
    Absent,
}

impl Phase {
    /// Whether it is to run and no guest may be alive.
    #[must_use]
    pub const fn is_waiting(self) -> bool {
        matches!(self, Self::Queued | Self::WaitingRetry | Self::Suspended)
    }

    /// All phases, in the order of their declaration.
    pub const ALL: [Self; 10] = [
        Self::Absent,
        Self::Queued,
        Self::Running,
        Self::WaitingRetry,
        Self::Suspended,
        Self::BeingCanceled,
        Self::Canceled,
        Self::Failed,
        Self::Completed,
        Self::Acknowledged,
    ];

    /// The stored status; `not_started` for [`Phase::Absent`].
    #[must_use]
    pub fn status(self) -> Status {
        match self {
            Self::Absent => Status::NotStarted,
            Self::Queued | Self::Running | Self::WaitingRetry | Self::Suspended => {
                Status::InProgress
            }
            Self::BeingCanceled => Status::BeingCanceled,
            Self::Canceled => Status::Canceled,
            Self::Failed => Status::Failed,
            Self::Completed => Status::Completed,
            Self::Acknowledged => Status::Acknowledged,
        }
    }

    /// The state of the run, while it is `in_progress`.
    #[must_use]
    pub fn run_state(self) -> Option<RunState> {
        match self {
            Self::Queued => Some(RunState::Queued),
            Self::Running => Some(RunState::Running),
            Self::WaitingRetry => Some(RunState::WaitingRetry),
            Self::Suspended => Some(RunState::Suspended),
            Self::Absent
            | Self::BeingCanceled
            | Self::Canceled
            | Self::Failed
            | Self::Completed
            | Self::Acknowledged => None,
        }
    }

    /// What `trigger` makes of a task in this phase. Pure and total.
    #[must_use]
    pub fn next(self, trigger: Trigger) -> Next {
        match trigger {
            Trigger::Schedule => self.on_schedule(),
            Trigger::Cancel => self.on_cancel(),
            Trigger::Acknowledge => self.on_acknowledge(),
            Trigger::Delete if self == Self::Absent => Next::Refused(Refusal::Absent),
            Trigger::Delete => Next::To(Self::Absent),
            Trigger::Claim => match self {
                Self::Queued | Self::WaitingRetry | Self::Suspended => Next::To(Self::Running),
                _ => Next::Refused(Refusal::NotExpected),
            },
            Trigger::Overdue if self == Self::Queued => Next::To(Self::Failed),
            Trigger::Overdue => Next::Refused(Refusal::NotExpected),
            Trigger::Complete
            | Trigger::Fail
            | Trigger::Retry
            | Trigger::HandBack
            | Trigger::Suspend
            | Trigger::Stop
            | Trigger::HostLost
            | Trigger::HostLostForGood => self.on_run_end(trigger),
        }
    }

    fn on_schedule(self) -> Next {
        match self {
            Self::Absent | Self::Canceled | Self::Failed | Self::Completed | Self::Acknowledged => {
                Next::To(Self::Queued)
            }
            Self::Queued | Self::Running | Self::WaitingRetry | Self::Suspended => Next::Same,
            Self::BeingCanceled => Next::Refused(Refusal::CancellationInProgress),
        }
    }

    fn on_cancel(self) -> Next {
        match self {
            Self::Queued | Self::WaitingRetry | Self::Suspended => Next::To(Self::Canceled),
            Self::Running => Next::To(Self::BeingCanceled),
            Self::Absent
            | Self::BeingCanceled
            | Self::Canceled
            | Self::Failed
            | Self::Completed
            | Self::Acknowledged => Next::Same,
        }
    }

    fn on_acknowledge(self) -> Next {
        match self {
            Self::Completed => Next::To(Self::Acknowledged),
            Self::Absent
            | Self::Queued
            | Self::Running
            | Self::WaitingRetry
            | Self::Suspended
            | Self::BeingCanceled
            | Self::Canceled
            | Self::Failed
            | Self::Acknowledged => Next::Refused(Refusal::NotCompleted),
        }
    }

    /// The first write wins: once a cancel is stored, however the run ends, it is `canceled`.
    fn on_run_end(self, trigger: Trigger) -> Next {
        match (self, trigger) {
            (Self::BeingCanceled, _) => Next::To(Self::Canceled),
            (Self::Running, Trigger::Complete) => Next::To(Self::Completed),
            (Self::Running, Trigger::Fail | Trigger::HostLostForGood) => Next::To(Self::Failed),
            (Self::Running, Trigger::Retry) => Next::To(Self::WaitingRetry),
            (Self::Running, Trigger::Suspend) => Next::To(Self::Suspended),
            (Self::Running, Trigger::HandBack | Trigger::HostLost) => Next::To(Self::Queued),
            // A guest that says "canceled" without having been asked has failed, not canceled.
            (Self::Running, Trigger::Stop) => Next::To(Self::Failed),
            _ => Next::Refused(Refusal::NotExpected),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Phase as P;
    use Trigger as T;

    const TRIGGERS: [Trigger; 14] = [
        T::Schedule,
        T::Claim,
        T::Cancel,
        T::Complete,
        T::Fail,
        T::Retry,
        T::HandBack,
        T::Stop,
        T::HostLost,
        T::HostLostForGood,
        T::Acknowledge,
        T::Delete,
        T::Suspend,
        T::Overdue,
    ];

    /// One row a phase, one column a trigger, in the order of `TRIGGERS`. `.` is no change,
    /// `x` is refused, a letter is the phase that follows.
    const TABLE: [(Phase, &str); 10] = [
        (P::Absent, "Qx.xxxxxxxxxxx"),
        (P::Queued, ".RCxxxxxxxx-xF"),
        (P::Running, ".xBDFWQFQFx-Sx"),
        (P::WaitingRetry, ".RCxxxxxxxx-xx"),
        (P::Suspended, ".RCxxxxxxxx-xx"),
        (P::BeingCanceled, "xx.CCCCCCCx-Cx"),
        (P::Canceled, "Qx.xxxxxxxx-xx"),
        (P::Failed, "Qx.xxxxxxxx-xx"),
        (P::Completed, "Qx.xxxxxxxA-xx"),
        (P::Acknowledged, "Qx.xxxxxxxx-xx"),
    ];

    fn expected(letter: char) -> Option<Phase> {
        Some(match letter {
            'Q' => P::Queued,
            'R' => P::Running,
            'W' => P::WaitingRetry,
            'S' => P::Suspended,
            'B' => P::BeingCanceled,
            'C' => P::Canceled,
            'F' => P::Failed,
            'D' => P::Completed,
            'A' => P::Acknowledged,
            '-' => P::Absent,
            _ => return None,
        })
    }

    #[test]
    fn every_pair_of_phase_and_trigger() {
        for (phase, row) in TABLE {
            assert_eq!(row.len(), TRIGGERS.len());
            for (trigger, letter) in TRIGGERS.into_iter().zip(row.chars()) {
                let next = phase.next(trigger);
                let fits = match next {
                    Next::To(to) => expected(letter) == Some(to),
                    Next::Same => letter == '.',
                    Next::Refused(_) => letter == 'x',
                };
                assert!(
                    fits,
                    "{phase:?} on {trigger:?}: table says {letter}, code {next:?}"
                );
            }
        }
    }

    #[test]
    fn statuses_read_what_they_write() {
        for status in Status::ALL {
            assert_eq!(Status::parse(status.as_str()), Some(status));
            let json = serde_json::to_string(&status).unwrap();
            assert_eq!(json, format!("\"{}\"", status.as_str()));
        }
        assert_eq!(Status::parse("cancelled"), None);
    }

    proptest::proptest! {
        #[test]
        fn any_history_keeps_the_rules(picks in proptest::collection::vec(0usize..14, 0..60)) {
            let mut phase = P::Absent;
            let mut cancel_stored = false;
            for pick in picks {
                let trigger = TRIGGERS[pick];
                let Next::To(next) = phase.next(trigger) else { continue };
                if phase.status().is_terminal() {
                    // Only people end what has ended: schedule, acknowledge, delete.
                    proptest::prop_assert!(
                        matches!(trigger, T::Schedule | T::Acknowledge | T::Delete)
                    );
                }
                if cancel_stored && trigger != T::Delete {
                    proptest::prop_assert_eq!(next, P::Canceled);
                }
                if next == P::Acknowledged {
                    proptest::prop_assert_eq!(phase, P::Completed);
                }
                cancel_stored = next == P::BeingCanceled;
                phase = next;
            }
        }
    }
}

//! Why a run failed, as it is stored and shown.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The closed set of causes. Only [`ErrorKind::Task`] may be tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The component returned an error.
    Task,
    /// The component did something that WebAssembly forbids, or panicked.
    Trap,
    /// The component wanted more memory than its limit.
    OutOfMemory,
    /// The component computed longer than its limit.
    OutOfCpu,
    /// The attempt took longer than its wall-clock limit.
    Deadline,
    /// The component reported no progress for longer than its limit.
    NoProgress,
    /// It was due, and no host began it for longer than it may wait.
    QueueTimeout,
    /// What the component returned is no result: not JSON, too large or against its schema.
    InvalidResult,
    /// The hosts that ran it were lost, too many times.
    HostLost,
    /// The active version of the type cannot run these parameters.
    Incompatible,
    /// Nobody's name is left for it to run in: its key is gone, has expired or does not open.
    Identity,
    /// The host's own fault.
    Internal,
}

/// An ended run's error.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TaskError {
    /// Which of the causes.
    pub kind: ErrorKind,
    /// Machine-readable, an open set; for [`ErrorKind::Task`] the component's own.
    pub code: String,
    /// For people: what happened, why, and what to do.
    pub message: String,
    /// Whether the same run could succeed when tried again.
    pub retryable: bool,
    /// More, for machines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Value>,
}

impl TaskError {
    /// An error of a kind that is never tried again, with the kind's name as its code.
    #[must_use]
    pub fn of(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            code: kind.as_str().replace('_', "-"),
            message: message.into(),
            retryable: false,
            details: None,
        }
    }
}

impl ErrorKind {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Task,
        Self::Trap,
        Self::OutOfMemory,
        Self::OutOfCpu,
        Self::Deadline,
        Self::NoProgress,
        Self::QueueTimeout,
        Self::InvalidResult,
        Self::HostLost,
        Self::Incompatible,
        Self::Identity,
        Self::Internal,
    ];

    /// Reads what [`Self::as_str`] writes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// As stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Task => "task",
            Self::Trap => "trap",
            Self::OutOfMemory => "out_of_memory",
            Self::OutOfCpu => "out_of_cpu",
            Self::Deadline => "deadline",
            Self::NoProgress => "no_progress",
            Self::QueueTimeout => "queue_timeout",
            Self::InvalidResult => "invalid_result",
            Self::HostLost => "host_lost",
            Self::Incompatible => "incompatible",
            Self::Identity => "identity",
            Self::Internal => "internal",
        }
    }
}

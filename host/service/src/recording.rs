//! Recordings of runs: what a run has asked the host and was answered, kept for its requester.
//!
//! # Guarantees
//! 1. A run is recorded only where whoever scheduled it wished so and the operator allows it to
//!    its type; its children are not.
//! 2. What is stored is sealed with the host's key (`seal`). No part of it is there in the clear.
//! 3. At most [`BYTES_MAX`] are stored of a run, over its attempts. Beyond that, where the store
//!    refuses a piece, and where a guest that waits for nothing is faster than the disk, the rest
//!    is not kept, and its last line says so; the run goes on all the same. An attempt for which
//!    not even its first line has room is not recorded.
//! 4. Its requester alone reads it, and only while they may read the run's stream (`read`).
//! 5. It is gone with its task, with the next schedule, and a day after the run's end (`sweeper`).
//!    An attempt that begins again, since its host died, is recorded anew from its beginning.
//! 6. What a run has said is written within a second or so, so that little is lost with its host.
//!    A recording that lacks its end is read as one that breaks off, with the reason if it is
//!    known.
//!
//! # How it works
//! A recording is a text of JSON lines: a [`Head`], one [`Entry`] for each call, and a
//! [`LastLine`]. It is stored in pieces, which begin and end anywhere.

mod seal;
mod kept;
mod recorder;
mod read;

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use taskhost_model::error::TaskError;
use taskhost_model::ids::{Digest, RunId, Space, StreamName, TaskId, TypeId};
use taskhost_model::time::Timestamp;
use taskhost_runtime::{ExitOutcome, RunLimits};

use crate::core::Core;
use crate::host_key::{HostKey, KEY_BYTES};

pub use read::Recording;
pub(crate) use recorder::RunRecording;
pub use taskhost_runtime::Entry;

/// What is stored of a run at most, in bytes.
pub const BYTES_MAX: u64 = 64 * 1024 * 1024;
/// The longest result that is kept along with its digest, in bytes.
const RESULT_BYTES_MAX: usize = 64 * 1024;

/// What a recording begins with: all that it takes to run the component again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Head {
    /// The run.
    pub run: RunId,
    /// Its task.
    pub task: TaskId,
    /// Its type.
    #[serde(rename = "type")]
    pub type_id: TypeId,
    /// The component.
    pub digest: Digest,
    /// Its version, in its own words.
    pub version: String,
    /// The space.
    pub space: Space,
    /// The stream that it worked on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<StreamName>,
    /// Which attempt it was, from 1.
    pub attempt: u32,
    /// JSON text, to the letter.
    pub params: String,
    /// What it could use.
    pub limits: Limits,
    /// Who asked for it, and when.
    pub context: Context,
}

/// What a recorded run could use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// All memories and tables together.
    pub memory_bytes: u64,
    /// Of its own computing.
    pub cpu_ms: u64,
    /// From its start.
    pub wall_ms: u64,
    /// Of its result.
    pub output_bytes: u64,
    /// After it was asked to stop.
    pub grace_ms: u64,
    /// Of its log.
    pub log_bytes: u64,
}

/// What a recorded run knew of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Context {
    /// Who scheduled the task.
    pub requested_by: String,
    /// When.
    pub scheduled_at: Timestamp,
    /// When the attempt had to have ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_at: Option<Timestamp>,
}

/// The last line of a recording: `{"end": …}`, or `{"broken_off": "…"}`. The line before the latter
/// may be there in part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LastLine {
    /// How the attempt ended.
    End(End),
    /// Why there is no more, for people: it was added when the recording was read.
    BrokenOff(String),
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct End {
    /// How.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// Whether calls were not kept, because there were too many.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
    /// Why calls were not kept, if the host could not: the last one may be there in part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<String>,
}

/// How a component ended, before anybody else had a say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Outcome {
    /// With a result.
    Completed {
        /// In hexadecimal digits.
        result_sha256: String,
        /// JSON text, unless it is long.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        result: Option<String>,
    },
    /// With an error.
    Failed {
        /// The error.
        error: TaskError,
    },
    /// The host has stopped it.
    Stopped {
        /// Why.
        reason: String,
    },
}

/// Asks for the host's key on a thread that may wait: it lies in a file.
async fn host_key(
    core: &Core,
    ask: fn(&dyn HostKey) -> Result<[u8; KEY_BYTES], String>,
) -> Result<[u8; KEY_BYTES], String> {
    let key = Arc::clone(&core.host_key);
    let asked = tokio::task::spawn_blocking(move || ask(&*key)).await;
    asked.unwrap_or_else(|error| Err(error.to_string()))
}

impl From<&ExitOutcome> for Outcome {
    fn from(outcome: &ExitOutcome) -> Self {
        match outcome {
            ExitOutcome::Completed(result) => {
                let digest = Sha256::digest(result.as_bytes());
                let short = (result.len() <= RESULT_BYTES_MAX).then(|| result.clone());
                Self::Completed {
                    result_sha256: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
                    result: short,
                }
            }
            ExitOutcome::Failed { error, .. } => Self::Failed {
                error: error.clone(),
            },
            ExitOutcome::Stopped(reason) => Self::Stopped {
                reason: reason.as_str().to_owned(),
            },
        }
    }
}

impl Outcome {
    /// Without what is only told along with it.
    fn shorten(&mut self) {
        match self {
            Self::Completed { result, .. } => *result = None,
            Self::Failed { error } => error.details = None,
            Self::Stopped { .. } => {}
        }
    }

    /// Whether both are the same end: the same result, or the same error, whatever else is told of
    /// where it happened.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Completed { result_sha256, .. },
                Self::Completed {
                    result_sha256: also,
                    ..
                },
            ) => result_sha256 == also,
            (Self::Failed { error }, Self::Failed { error: also }) => {
                (error.kind, &error.code, &error.message) == (also.kind, &also.code, &also.message)
            }
            (Self::Stopped { reason }, Self::Stopped { reason: also }) => reason == also,
            _ => false,
        }
    }
}

impl Limits {
    pub(crate) fn of(limits: &RunLimits, log_bytes: u64) -> Self {
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Self {
            memory_bytes: limits.memory_bytes,
            cpu_ms: ms(limits.cpu),
            wall_ms: ms(limits.wall),
            output_bytes: limits.output_bytes,
            grace_ms: ms(limits.grace),
            log_bytes,
        }
    }

    /// For the runtime. A replay is still in between: it reports nothing to anybody.
    #[must_use]
    pub fn of_replay(&self) -> RunLimits {
        RunLimits {
            memory_bytes: self.memory_bytes,
            cpu: Duration::from_millis(self.cpu_ms),
            wall: Duration::from_millis(self.wall_ms),
            output_bytes: self.output_bytes,
            no_progress: None,
            grace: Duration::from_millis(self.grace_ms),
        }
    }
}

//! The error that a client answers a guest with.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use taskhost_store::error::StoreError;

const FIELD_BYTES_MAX: usize = 512;
const PROBLEM_BYTES_MAX: usize = 1024;

/// What kind of failure, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorCode {
    /// The run was not granted that.
    Denied,
    /// There is no such stream or document.
    NotFound,
    /// A document exists, or has another version.
    Conflict,
    /// An argument is not what the function takes.
    Invalid,
    /// An argument is above a limit.
    TooLarge,
    /// The run, its type or its space has used up what it may.
    QuotaExceeded,
    /// Somebody else wants a pause first.
    RateLimited,
    /// A model has answered something else than it was asked for.
    BadAnswer,
    /// The run is asked to stop.
    Canceled,
    /// The run's time is up.
    Deadline,
    /// The store cannot answer now.
    Unavailable,
    /// What all runs have of the host's memory is taken.
    HostOutOfMemory,
    /// The host's own fault.
    Internal,
}

impl ErrorCode {
    /// As a guest reads it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::NotFound => "not-found",
            Self::Conflict => "conflict",
            Self::Invalid => "invalid",
            Self::TooLarge => "too-large",
            Self::QuotaExceeded => "quota-exceeded",
            Self::RateLimited => "rate-limited",
            Self::BadAnswer => "bad-answer",
            Self::Canceled => "canceled",
            Self::Deadline => "deadline",
            Self::Unavailable => "unavailable",
            Self::HostOutOfMemory => "host-out-of-memory",
            Self::Internal => "internal",
        }
    }
}

/// Why a call did not do what it was asked.
#[derive(Debug, Clone, PartialEq, thiserror::Error, Serialize, Deserialize)]
#[error("{}: {message}", .code.as_str())]
pub struct ClientError {
    /// What kind of failure.
    pub code: ErrorCode,
    /// What happened, why, and what to do, for people.
    pub message: String,
    /// The same call may succeed later.
    pub retryable: bool,
    /// How long to wait before, in milliseconds, where that is known.
    pub retry_after_ms: Option<u64>,
    /// More for programs; an object.
    pub details: Option<Value>,
}

impl ClientError {
    /// An error that will not go away by itself.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            code,
            message,
            retryable: false,
            retry_after_ms: None,
            details: None,
        }
    }

    /// This run, its type or its requester may not.
    #[must_use]
    pub fn denied(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Denied, message)
    }

    /// An argument that is not what the function takes; `field` is empty for the whole. Both may
    /// quote the argument, so they are cut.
    pub(crate) fn invalid(field: &str, problem: &str) -> Self {
        let (field, problem) = (cut(field, FIELD_BYTES_MAX), cut(problem, PROBLEM_BYTES_MAX));
        let message = if field.is_empty() {
            problem.to_owned()
        } else {
            format!("`{field}` {problem}")
        };
        let details = json!({"errors": [{"field": field, "message": problem}]});
        Self {
            details: Some(details),
            ..Self::new(ErrorCode::Invalid, message)
        }
    }

    pub(crate) fn internal(problem: &str) -> Self {
        Self::new(ErrorCode::Internal, problem)
    }

    pub(crate) fn too_large(what: &str, size: usize, unit: &str, size_max: u64) -> Self {
        let message = format!("{what} has {size} {unit}, at most {size_max} are accepted");
        Self::new(ErrorCode::TooLarge, message)
    }
}

impl From<StoreError> for ClientError {
    fn from(error: StoreError) -> Self {
        let message = error.to_string();
        match error {
            StoreError::Unavailable { .. } | StoreError::DiskFull | StoreError::DiskReserved => {
                Self {
                    retryable: true,
                    ..Self::new(ErrorCode::Unavailable, message)
                }
            }
            StoreError::TooLarge { .. } => Self::new(ErrorCode::TooLarge, message),
            StoreError::InvalidCursor => {
                Self::invalid("cursor", "is not one that a former answer gave")
            }
            StoreError::UnknownStream { .. } => Self::new(ErrorCode::NotFound, message),
            StoreError::Unauthorized { .. } => Self::new(ErrorCode::Denied, message),
            StoreError::UnfitStream { .. } | StoreError::EmbeddedOnly { .. } => {
                Self::new(ErrorCode::Invalid, message)
            }
            StoreError::Fenced => Self::new(ErrorCode::Canceled, message),
            StoreError::Corrupt { .. } => {
                tracing::error!(%error, "stored data cannot be read");
                Self::new(ErrorCode::Internal, message)
            }
        }
    }
}

/// The longest beginning of `text` that has at most `bytes_max` bytes.
pub(crate) fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(cut("aä", 2), "a");
        assert_eq!(cut("aä", 3), "aä");
        assert_eq!(cut("", 3), "");
        assert_eq!(cut("abc", 0), "");
    }

    #[test]
    fn what_quotes_an_argument_is_short() {
        let error = ClientError::invalid(&"f".repeat(99_999), &"p".repeat(99_999));
        assert!(error.message.len() < 2048);
        assert!(error.details.unwrap().to_string().len() < 2048);
    }
}

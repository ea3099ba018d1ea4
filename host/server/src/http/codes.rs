//! The table of status codes: every problem that the interface answers, with its HTTP status,
//! its code and its title. Clients outside this repository rely on statuses and codes.

use axum::http::StatusCode;
use taskhost_service::error::ServiceError;

/// What kind of problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    Invalid,
    HostNotAllowed,
    OriginNotAllowed,
    HintNotAllowed,
    IdNotAvailable,
    UnknownTaskType,
    UnknownStream,
    NotFound,
    MethodNotAllowed,
    RequestTimeout,
    AlreadyRunning,
    KeyReused,
    CancellationInProgress,
    NotCompleted,
    NotFired,
    VersionMismatch,
    TooLarge,
    UnsupportedMediaType,
    InvalidComponent,
    NeedsApproval,
    VersionInUse,
    UnfitStream,
    EmbeddedStoreOnly,
    NoTokens,
    TooManyRequests,
    Unauthorized,
    Forbidden,
    Internal,
    Busy,
    Unavailable,
    Stopping,
    DiskFull,
    NotReady,
}

/// One row of the table.
pub(crate) struct Row {
    pub(crate) status: StatusCode,
    pub(crate) code: &'static str,
    pub(crate) title: &'static str,
    /// Another try makes sense after so many seconds; none: never.
    pub(crate) retry_after_s: Option<u32>,
}

impl Code {
    #[cfg(test)]
    pub(crate) const ALL: [Self; 33] = [
        Self::Invalid,
        Self::HostNotAllowed,
        Self::OriginNotAllowed,
        Self::HintNotAllowed,
        Self::IdNotAvailable,
        Self::UnknownTaskType,
        Self::UnknownStream,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::RequestTimeout,
        Self::AlreadyRunning,
        Self::KeyReused,
        Self::CancellationInProgress,
        Self::NotCompleted,
        Self::NotFired,
        Self::VersionMismatch,
        Self::TooLarge,
        Self::UnsupportedMediaType,
        Self::InvalidComponent,
        Self::NeedsApproval,
        Self::VersionInUse,
        Self::UnfitStream,
        Self::EmbeddedStoreOnly,
        Self::NoTokens,
        Self::TooManyRequests,
        Self::Unauthorized,
        Self::Forbidden,
        Self::Internal,
        Self::Unavailable,
        Self::Busy,
        Self::Stopping,
        Self::DiskFull,
        Self::NotReady,
    ];

    /// The table: status, code, and after how many seconds another try makes sense.
    #[rustfmt::skip]
    pub(crate) fn row(self) -> Row {
        use StatusCode as S;
        let (status, code, retry_after_s) = match self {
            Self::Invalid => (S::BAD_REQUEST, "invalid", None),
            Self::HostNotAllowed => (S::FORBIDDEN, "host-not-allowed", None),
            Self::OriginNotAllowed => (S::FORBIDDEN, "origin-not-allowed", None),
            Self::HintNotAllowed => (S::FORBIDDEN, "hint-not-allowed", None),
            Self::IdNotAvailable => (S::FORBIDDEN, "id-not-available", None),
            Self::UnknownTaskType => (S::NOT_FOUND, "unknown-task-type", None),
            Self::UnknownStream => (S::NOT_FOUND, "unknown-stream", None),
            Self::NotFound => (S::NOT_FOUND, "not-found", None),
            Self::MethodNotAllowed => (S::METHOD_NOT_ALLOWED, "method-not-allowed", None),
            Self::RequestTimeout => (S::REQUEST_TIMEOUT, "request-timeout", Some(1)),
            Self::AlreadyRunning => (S::CONFLICT, "already-running", None),
            Self::KeyReused => (S::UNPROCESSABLE_ENTITY, "key-reused", None),
            Self::CancellationInProgress => (S::CONFLICT, "cancellation-in-progress", Some(1)),
            Self::NotCompleted => (S::CONFLICT, "not-completed", None),
            Self::NotFired => (S::CONFLICT, "not-fired", None),
            Self::VersionMismatch => (S::PRECONDITION_FAILED, "version-mismatch", None),
            Self::TooLarge => (S::PAYLOAD_TOO_LARGE, "too-large", None),
            Self::UnsupportedMediaType =>
                (S::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", None),
            Self::InvalidComponent => (S::UNPROCESSABLE_ENTITY, "invalid-component", None),
            Self::NeedsApproval => (S::CONFLICT, "needs-approval", None),
            Self::VersionInUse => (S::CONFLICT, "version-in-use", None),
            Self::UnfitStream => (S::CONFLICT, "unfit-stream", None),
            Self::EmbeddedStoreOnly => (S::CONFLICT, "embedded-store-only", None),
            Self::NoTokens => (S::CONFLICT, "no-tokens", None),
            Self::TooManyRequests => (S::TOO_MANY_REQUESTS, "too-many-requests", Some(1)),
            Self::Unauthorized => (S::UNAUTHORIZED, "unauthorized", None),
            Self::Forbidden => (S::FORBIDDEN, "forbidden", None),
            Self::Internal => (S::INTERNAL_SERVER_ERROR, "internal", None),
            Self::Busy => (S::SERVICE_UNAVAILABLE, "busy", Some(1)),
            Self::Unavailable => (S::SERVICE_UNAVAILABLE, "unavailable", Some(1)),
            Self::Stopping => (S::SERVICE_UNAVAILABLE, "stopping", Some(5)),
            Self::DiskFull => (S::SERVICE_UNAVAILABLE, "disk-full", Some(60)),
            Self::NotReady => (S::SERVICE_UNAVAILABLE, "not-ready", Some(1)),
        };
        Row { status, code, title: self.title(), retry_after_s }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Invalid => "The request is not valid",
            Self::HostNotAllowed => "Not a loopback host",
            Self::OriginNotAllowed => "Foreign origin",
            Self::HintNotAllowed => "Not a hint of a host on this store",
            Self::IdNotAvailable => "The id is not available",
            Self::UnknownTaskType => "Unknown task type",
            Self::UnknownStream => "Unknown stream",
            Self::NotFound => "Not found",
            Self::MethodNotAllowed => "Method not allowed",
            Self::RequestTimeout => "The body did not arrive",
            Self::AlreadyRunning => "A run with other params is live",
            Self::KeyReused => "The key was used for another request",
            Self::CancellationInProgress => "The task is being canceled",
            Self::NotCompleted => "The task is not completed",
            Self::NotFired => "The schedule could not fire",
            Self::VersionMismatch => "It has changed",
            Self::TooLarge => "Too large",
            Self::UnsupportedMediaType => "Unsupported media type",
            Self::InvalidComponent => "The component is refused",
            Self::NeedsApproval => "Nobody has approved the version",
            Self::VersionInUse => "Runs need the version",
            Self::UnfitStream => "The stream cannot be read",
            Self::EmbeddedStoreOnly => "Only on the embedded store",
            Self::NoTokens => "This host has no tokens",
            Self::TooManyRequests => "Too many requests",
            Self::Unauthorized => "The credential is not accepted",
            Self::Forbidden => "You may not do this",
            Self::Internal => "The host failed",
            Self::Busy => "The host has too much to do",
            Self::Unavailable => "Not available now",
            Self::Stopping => "The host is stopping",
            Self::DiskFull => "The disk is full",
            Self::NotReady => "The host is not ready",
        }
    }

    /// What the service says, as a code.
    pub(crate) fn of(error: &ServiceError) -> Self {
        match error {
            ServiceError::Invalid { .. } => Self::Invalid,
            ServiceError::UnknownTaskType { .. } => Self::UnknownTaskType,
            ServiceError::UnknownStream { .. } => Self::UnknownStream,
            ServiceError::NotFound { .. } => Self::NotFound,
            ServiceError::AlreadyRunning => Self::AlreadyRunning,
            ServiceError::KeyReused => Self::KeyReused,
            ServiceError::CancellationInProgress => Self::CancellationInProgress,
            ServiceError::NotCompleted { .. } => Self::NotCompleted,
            ServiceError::NotFired { .. } => Self::NotFired,
            ServiceError::StillRunning { .. } => Self::AlreadyRunning,
            ServiceError::VersionMismatch => Self::VersionMismatch,
            ServiceError::IdNotAvailable { .. } => Self::IdNotAvailable,
            ServiceError::InvalidComponent { .. } => Self::InvalidComponent,
            ServiceError::NeedsApproval { .. } => Self::NeedsApproval,
            ServiceError::VersionInUse { .. } => Self::VersionInUse,
            ServiceError::TooLarge { .. } => Self::TooLarge,
            ServiceError::Stopping => Self::Stopping,
            ServiceError::Unavailable { .. } => Self::Unavailable,
            ServiceError::DiskFull | ServiceError::DiskReserved => Self::DiskFull,
            ServiceError::UnfitStream { .. } => Self::UnfitStream,
            ServiceError::EmbeddedOnly { .. } => Self::EmbeddedStoreOnly,
            ServiceError::NoTokens => Self::NoTokens,
            ServiceError::Unauthorized { .. } => Self::Unauthorized,
            ServiceError::Forbidden { .. } => Self::Forbidden,
            // Those of a host that does not start are told to nobody who asks it for something.
            ServiceError::NoKey | ServiceError::WrongKey { .. } | ServiceError::Internal { .. } => {
                Self::Internal
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_differ_and_statuses_are_errors() {
        let mut seen = std::collections::BTreeSet::new();
        for each in Code::ALL {
            let Row {
                status,
                code,
                title,
                ..
            } = each.row();
            assert!(seen.insert(code), "{code} stands twice");
            assert!(
                status.is_client_error() || status.is_server_error(),
                "{code}"
            );
            assert!(
                code.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'),
                "{code}"
            );
            assert!(!title.is_empty());
        }
    }

    #[test]
    fn what_clients_rely_on() {
        for (code, status, text) in [
            (Code::Invalid, 400, "invalid"),
            (Code::IdNotAvailable, 403, "id-not-available"),
            (Code::UnknownTaskType, 404, "unknown-task-type"),
            (Code::AlreadyRunning, 409, "already-running"),
            (
                Code::CancellationInProgress,
                409,
                "cancellation-in-progress",
            ),
            (Code::NotCompleted, 409, "not-completed"),
            (Code::VersionMismatch, 412, "version-mismatch"),
            (Code::TooLarge, 413, "too-large"),
            (Code::NeedsApproval, 409, "needs-approval"),
            (Code::VersionInUse, 409, "version-in-use"),
            (Code::EmbeddedStoreOnly, 409, "embedded-store-only"),
            (Code::InvalidComponent, 422, "invalid-component"),
        ] {
            let row = code.row();
            assert_eq!((row.status.as_u16(), row.code), (status, text));
        }
    }
}

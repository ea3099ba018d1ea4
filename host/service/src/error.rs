//! What the service answers when it does not do what was asked. The texts are for people.

pub use taskhost_clients::schema::FieldError;
use taskhost_model::ids::{Digest, TaskId, TypeId};
use taskhost_model::status::Status;
use taskhost_store::error::StoreError;

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The request is wrong; each mistake names its field.
    #[error("the request is not valid: {}", listed(.errors))]
    Invalid {
        /// Every mistake.
        errors: Vec<FieldError>,
    },
    /// No component of this type is loaded.
    #[error(
        "no task type `{type_id}` is active: push its component with `taskhost types push FILE`, \
         or see in `taskhost types list` whether a version of it waits for approval or is rejected"
    )]
    UnknownTaskType {
        /// The type.
        type_id: TypeId,
    },
    /// No such stream.
    #[error(
        "there is no stream `{name}` in this space that you may read: on the embedded store create \
         it with PUT, or with `taskhost ingest`; on Elasticsearch it is an index, an alias or a \
         data stream on which you need the privilege `read`"
    )]
    UnknownStream {
        /// Its name.
        name: String,
    },
    /// Something else that does not exist.
    #[error("there is no {what}")]
    NotFound {
        /// What was looked for.
        what: String,
    },
    /// A task of the same id is at work, with other params.
    #[error("the task runs already, with other params: wait until it has ended, or cancel it")]
    AlreadyRunning,
    /// A key by which a request may be repeated came with another request.
    #[error(
        "the `Idempotency-Key` came with another request before: use a new key for a new request, \
         and the same one only to repeat the very same request"
    )]
    KeyReused,
    /// Scheduling while a cancel is under way.
    #[error("the task is still being canceled: wait until its status is `canceled`, then schedule")]
    CancellationInProgress,
    /// Acknowledging what is not completed.
    #[error("only a completed task can be acknowledged; this one is `{}`", .status.as_str())]
    NotCompleted {
        /// The true status.
        status: Status,
    },
    /// A fire that its schedule leaves out, since the task of an older one has not ended.
    #[error(
        "its task `{task}` has not ended, and the schedule's overlap policy is `skip`: wait for \
         it, cancel it, or give the schedule another policy"
    )]
    StillRunning {
        /// The task.
        task: TaskId,
    },
    /// A fire whose task could not be scheduled.
    #[error("it could not be fired: {reason}")]
    NotFired {
        /// Why.
        reason: String,
    },
    /// `If-Match` or `If-None-Match` does not hold.
    #[error("it has changed since you read it: read it again and decide anew")]
    VersionMismatch,
    /// The id is kept for something else.
    #[error("the id is not available: {reason}")]
    IdNotAvailable {
        /// Why, and what to do.
        reason: String,
    },
    /// An upload that is no component for this host.
    #[error("the component is refused: {}", .mistakes.join("; "))]
    InvalidComponent {
        /// Every mistake, in words that its author can use.
        mistakes: Vec<String>,
    },
    /// A version that nobody has approved.
    #[error(
        "the version wants more than is allowed ({}): approve it with `taskhost types approve \
         {type_id} {digest}`", .wants.join(", ")
    )]
    NeedsApproval {
        /// Its type.
        type_id: TypeId,
        /// The version.
        digest: Digest,
        /// What, in words.
        wants: Vec<String>,
    },
    /// A version that cannot be deleted.
    #[error(
        "{} not ended: cancel or await {}, then delete the version",
        if *.tasks == 1 { "a task that needs the version has".to_owned() }
        else { format!("{} tasks that need the version have", .tasks) },
        if *.tasks == 1 { "it" } else { "them" }
    )]
    VersionInUse {
        /// So many tasks.
        tasks: u64,
    },
    /// A stream whose documents cannot be read.
    #[error("the stream `{name}` cannot be read: {reason}")]
    UnfitStream {
        /// Its name.
        name: String,
        /// What it lacks.
        reason: String,
    },
    /// The caller's own credential is not, or no longer, accepted.
    #[error("your credential is not, or no longer, accepted: {reason}")]
    Unauthorized {
        /// What the store said.
        reason: String,
    },
    /// The caller may not do this, and need not be kept from knowing that it exists.
    #[error("you may not do this: it needs {needed}")]
    Forbidden {
        /// Which right, in words.
        needed: String,
    },
    /// The host has no key to seal with.
    #[error(
        "this host has no key, with which hosts on a store with people seal what nobody is to \
         read: give all of them the same one, in TASKHOST_KEY or by --key-file (32 random bytes, \
         as `openssl rand -base64 32` makes them)"
    )]
    NoKey,
    /// The hosts on the store seal with another key.
    #[error(
        "this host has the key {ours}, and the hosts on its store seal with another one \
         ({theirs}): start it with theirs, in TASKHOST_KEY or by --key-file; or, where keys are to \
         be changed, with the new one and theirs among the former keys"
    )]
    WrongKey {
        /// How this host's key is named.
        ours: String,
        /// How theirs is.
        theirs: String,
    },
    /// People are known here by something else than tokens of this host, or not at all.
    #[error(
        "this host has no tokens of its own: with Elasticsearch people come with what the cluster \
         knows them by; on the embedded store start the host with `identity = \"tokens\"`"
    )]
    NoTokens,
    /// What the embedded store alone does.
    #[error(
        "{what} is for the embedded store only: on Elasticsearch streams belong to the cluster, \
         so do it there"
    )]
    EmbeddedOnly {
        /// What was asked for.
        what: &'static str,
    },
    /// A value above its limit.
    #[error("{what} has {bytes} bytes, at most {bytes_max} are accepted")]
    TooLarge {
        /// Which value.
        what: &'static str,
        /// Its size.
        bytes: u64,
        /// The limit.
        bytes_max: u64,
    },
    /// The host is about to stop.
    #[error("the host is stopping: try again in a moment")]
    Stopping,
    /// The store cannot be used now.
    #[error("the store is not available: {reason}")]
    Unavailable {
        /// What the store said.
        reason: String,
    },
    /// The disk is full.
    #[error("the disk is full: free some space; nothing was written")]
    DiskFull,
    /// What is left of the disk is kept.
    #[error(
        "the disk has no room left but the 32 MiB that are kept for ending tasks: free some \
         space; nothing was written"
    )]
    DiskReserved,
    /// The host's own fault.
    #[error("the host failed: {reason}")]
    Internal {
        /// What happened.
        reason: String,
    },
}

impl ServiceError {
    /// One mistake in one field.
    #[must_use]
    pub fn invalid(field: impl Into<String>, problem: impl Into<String>) -> Self {
        let error = FieldError {
            field: field.into(),
            problem: problem.into(),
        };
        Self::Invalid {
            errors: vec![error],
        }
    }
}

impl From<StoreError> for ServiceError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable { reason } => Self::Unavailable { reason },
            StoreError::DiskFull => Self::DiskFull,
            StoreError::DiskReserved => Self::DiskReserved,
            StoreError::TooLarge {
                what,
                bytes,
                bytes_max,
            } => Self::TooLarge {
                what,
                bytes,
                bytes_max,
            },
            StoreError::InvalidCursor => {
                Self::invalid("cursor", "is not one that a former answer gave")
            }
            StoreError::UnknownStream { name } => Self::UnknownStream { name },
            StoreError::UnfitStream { name, reason } => Self::UnfitStream { name, reason },
            StoreError::Unauthorized { reason } => Self::Unauthorized { reason },
            StoreError::EmbeddedOnly { what } => Self::EmbeddedOnly { what },
            StoreError::Fenced => Self::VersionMismatch,
            StoreError::Corrupt { reason } => Self::Internal { reason },
        }
    }
}

fn listed(errors: &[FieldError]) -> String {
    let each = errors
        .iter()
        .map(|error| format!("`{}` {}", error.field, error.problem));
    each.collect::<Vec<_>>().join("; ")
}

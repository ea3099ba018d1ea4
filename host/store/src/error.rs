//! What can go wrong between the host and its store.

/// Why a store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store cannot be reached or written now; the same call may succeed later.
    #[error("the store is not available: {reason}")]
    Unavailable {
        /// What the backend said.
        reason: String,
    },
    /// There is no space left on the device; nothing was written.
    #[error("the disk is full: free some space, nothing was written")]
    DiskFull,
    /// What is left on the device is kept for ending tasks; nothing was written.
    #[error(
        "the disk has no room left but the 32 MiB that are kept for ending tasks: free some \
         space, nothing was written"
    )]
    DiskReserved,
    /// A value is above its limit; nothing was written.
    #[error("{what} has {bytes} bytes, at most {bytes_max} are kept")]
    TooLarge {
        /// Which value.
        what: &'static str,
        /// Its size.
        bytes: u64,
        /// The limit.
        bytes_max: u64,
    },
    /// A cursor that this store did not make.
    #[error("the cursor is not one that a former answer gave")]
    InvalidCursor,
    /// No stream of this name.
    #[error("there is no stream `{name}` in this space")]
    UnknownStream {
        /// The name.
        name: String,
    },
    /// The stream's documents are not such that they can be read.
    #[error("the stream `{name}` cannot be read: {reason}")]
    UnfitStream {
        /// Its name.
        name: String,
        /// What it lacks.
        reason: String,
    },
    /// The requester's own credential is not, or no longer, accepted.
    #[error("the credential of whoever asked is not, or no longer, accepted: {reason}")]
    Unauthorized {
        /// What the backend said.
        reason: String,
    },
    /// What the embedded store alone does.
    #[error(
        "{what} is for the embedded store only: on Elasticsearch streams belong to the cluster, \
         so do it there"
    )]
    EmbeddedOnly {
        /// What was asked for.
        what: &'static str,
    },
    /// The writer's run or lease is no longer the document's.
    #[error("the run is no longer the one that may write")]
    Fenced,
    /// What is stored cannot be read back: a damaged file, or one of a newer version.
    #[error("stored data cannot be read: {reason}")]
    Corrupt {
        /// What the backend said.
        reason: String,
    },
}

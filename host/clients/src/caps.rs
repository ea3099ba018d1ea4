//! How much one call may ask for and one answer may hold.

/// A request: the JSON text of a query or a filter.
pub const REQUEST_BYTES_MAX: usize = 64 * 1024;
/// Documents of one answer together; a quarter of the run's memory holds as well.
pub const BATCH_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Requests of one `sample-many`.
pub const SAMPLES_MAX: usize = 64;
/// Documents of one page of a collection.
pub const PAGE_DOCUMENTS_MAX: u32 = 1_000;
/// Changes of one `apply`.
pub const CHANGES_MAX: usize = 1_000;
/// Texts of one `apply` together.
pub const CHANGES_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Collections that a run has open at once.
pub const COLLECTIONS_OPEN_MAX: usize = 64;
/// The key of a checkpoint.
pub const CHECKPOINT_KEY_BYTES_MAX: usize = 255;
/// A request to a language model.
pub const INFERENCE_REQUEST_BYTES_MAX: usize = 1024 * 1024;
/// All answers of one call to language models, as their servers send them.
pub const INFERENCE_ANSWER_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// Requests of one `complete-many`.
pub const COMPLETIONS_MAX: usize = 64;
/// All requests of one `complete-many`.
pub const COMPLETIONS_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Options of a child.
pub const CHILD_OPTIONS_BYTES_MAX: usize = 64 * 1024;
/// Children that a run waits for in one call.
pub const CHILDREN_WAITED_FOR_MAX: usize = 1_000;
/// Longest sleep; the deadline comes before.
pub const SLEEP_MS_MAX: u64 = 30 * 24 * 60 * 60 * 1000;
/// A progress message.
pub const MESSAGE_BYTES_MAX: usize = 1024;
/// The name of a phase.
pub const PHASE_BYTES_MAX: usize = 128;
/// A line of the log, fields included.
pub const LOG_LINE_BYTES_MAX: usize = 8 * 1024;

/// Bytes that one answer may have, for a run with so much memory.
pub(crate) fn batch_bytes_max(memory_bytes: u64) -> u64 {
    BATCH_BYTES_MAX.min(memory_bytes / 4)
}

//! What a host has promised of a request that may be repeated by its key.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::RunId;
use crate::time::Timestamp;

/// A request with a key by which it may be repeated, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Receipt {
    /// A digest of what was asked for: whoever asks for something else by the same key is told so.
    pub body: String,
    /// The run that the request has made; the task may have had others since.
    pub run: RunId,
    /// When it was accepted.
    pub at: Timestamp,
}

impl Receipt {
    /// A key counts for so long.
    pub const COUNTS_FOR: Duration = Duration::from_secs(24 * 60 * 60);
}

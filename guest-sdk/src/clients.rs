//! Everything that a task can reach, in one value.

use crate::children::Children;
use crate::context::Context;
use crate::documents::Documents;
use crate::http::Http;
use crate::inference::Inference;
use crate::log::Log;
use crate::progress::Progress;
use crate::secrets::Secrets;
use crate::state::State;
use crate::streams::Streams;

/// Everything that a task can reach. A run is handed one; it may be copied and kept.
///
/// ```
/// use taskhost_sdk::Clients;
///
/// // In a test of a function that takes clients. What asks the host panics natively.
/// let clients = Clients::new();
/// clients.log.line(taskhost_sdk::Level::Info, "goes to standard error");
/// ```
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct Clients {
    /// Who asked for this run, what it is, and how long it has.
    pub context: Context,
    /// Tells people, and the host, that the run moves.
    pub progress: Progress,
    /// Lines in the run's log.
    pub log: Log,
    /// The documents of the run's stream.
    pub streams: Streams,
    /// Documents that outlive the run.
    pub documents: Documents,
    /// What the task keeps from one attempt of its run to the next.
    pub state: State,
    /// Requests to the outside.
    pub http: Http,
    /// Placeholders of secrets.
    pub secrets: Secrets,
    /// Language models.
    pub inference: Inference,
    /// Runs of other task types.
    pub children: Children,
}

impl Clients {
    /// The clients of this run.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

//! Samples of a stream, as trees.

use serde_json::Value;
use taskhost_sdk::{Batch, Clients, Error, Query};

/// Documents that are read between two looks at whether the run shall stop.
const BEAT_DOCUMENTS: usize = 256;

/// The documents of a batch.
///
/// # Errors
/// `canceled` or `deadline` when the run is asked to stop; `unexpected-answer` where one is no
/// JSON.
pub fn documents(batch: Batch, clients: &Clients) -> Result<Vec<Value>, Error> {
    let mut documents = Vec::with_capacity(batch.documents.len());
    // One by one, so that a text is gone before the next is read.
    for (index, text) in batch.documents.into_iter().enumerate() {
        if index % BEAT_DOCUMENTS == 0 {
            clients.progress.heartbeat()?;
        }
        let document = serde_json::from_str(&text).map_err(|error| {
            let message = format!("a sampled document is no JSON: {error}");
            Error::failed("unexpected-answer", message)
        })?;
        documents.push(document);
    }
    Ok(documents)
}

/// The query with a size and a seed, and no more bytes than a small run has room for.
#[must_use]
pub fn sampling(query: Query, size: u32, seed: u64) -> Query {
    /// As trees they take several times their size; runs have 64 MiB.
    const BYTES_MAX: u64 = 4 << 20;
    query.size(size).seed(seed).max_bytes(BYTES_MAX)
}

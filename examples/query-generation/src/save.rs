//! Keeps queries in the stream's collection.

use serde_json::{Value, json};
use stream_reading::event::EventQuery;
use stream_reading::moment::{now_ms, rfc3339};
use taskhost_sdk::{Change, Clients, Error};

/// The collection that queries are kept in.
pub(crate) const COLLECTION: &str = "queries";

/// Keeps those that are not there yet, and answers how many that were: what somebody may have
/// changed since stays as it is.
///
/// # Errors
/// `unavailable`, and what a document is refused for.
pub(crate) fn save(queries: &[EventQuery], clients: &Clients) -> Result<u64, Error> {
    let collection = clients.documents.collection::<Value>(COLLECTION)?;
    let saved_at = rfc3339(now_ms());
    let mut changes = Vec::new();
    for query in queries {
        let mut body = serde_json::to_value(query).map_err(|error| {
            Error::failed(
                "internal",
                format!("the query `{}` is no JSON: {error}", query.id),
            )
        })?;
        body["saved_at"] = json!(saved_at);
        changes.push(Change::create(query.id.as_str(), body));
    }
    let mut saved = 0;
    for answer in collection.apply(&changes)? {
        match answer {
            Ok(_) => saved += 1,
            Err(error) if error.code() == "conflict" => {}
            Err(error) => return Err(error),
        }
    }
    Ok(saved)
}

//! Prompts are data: a space may have its own in place of the ones that are built in.

use serde::Deserialize;
use taskhost_sdk::{Clients, Descriptor, Error};

/// The space's collection that people keep them in.
const COLLECTION: &str = "prompts";

/// What a prompt is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prompt {
    /// The description of a stream.
    Description,
    /// A query for significant events.
    Queries,
    /// Insights over several streams.
    Insights,
}

/// A document of the collection.
#[derive(Debug, Deserialize)]
struct Kept {
    text: String,
}

impl Prompt {
    /// The document's id.
    fn id(self) -> &'static str {
        match self {
            Self::Description => "description_generation",
            Self::Queries => "query_generation",
            Self::Insights => "insights",
        }
    }
}

/// Has a task type ask models, and read prompts.
#[must_use]
pub fn asking(descriptor: Descriptor) -> Descriptor {
    descriptor.any_model().space_collection(COLLECTION)
}

/// The space's own prompt, or else the one that is built in.
///
/// # Errors
/// `unavailable`.
pub fn text(clients: &Clients, prompt: Prompt, built_in: &str) -> Result<String, Error> {
    let opened = clients
        .documents
        .collection::<serde_json::Value>(COLLECTION);
    let kept = match opened {
        Ok(collection) => collection.get(prompt.id())?,
        // A host that does not know collections of spaces has none.
        Err(error) if error.code() == "denied" => None,
        Err(error) => return Err(error),
    };
    Ok(kept
        .and_then(|kept| own(kept.body))
        .unwrap_or_else(|| built_in.to_owned()))
}

/// An empty one, or one of another shape, is none.
fn own(body: serde_json::Value) -> Option<String> {
    let kept: Kept = serde_json::from_value(body).ok()?;
    Some(kept.text).filter(|text| !text.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_text_is_a_prompt() {
        assert_eq!(own(json!({"text": "Do."})).as_deref(), Some("Do."));
        for none in [json!({"text": " "}), json!({"text": 7}), json!({})] {
            assert_eq!(own(none), None);
        }
    }
}

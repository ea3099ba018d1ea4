//! Stores sixteen documents in one call, whose bodies are the same 1 MiB of its memory.

use serde_json::json;
use taskhost_guests::raw::puts_of_one_body;
use taskhost_guests::raw::taskhost::task::documents::Collection;
use taskhost_guests::raw::taskhost::task::types::Error;

/// As large as a body may be, less the ids.
const BODY_BYTES: usize = (1 << 20) - 64;

fn describe() -> String {
    json!({
        "id": "same-text-often",
        "version": "1.0.0",
        "title": "same-text-often",
        "stream": "optional",
        "collections": ["hostile"],
    })
    .to_string()
}

fn run(_: String) -> Result<String, Error> {
    let mut body = String::with_capacity(BODY_BYTES);
    body.push_str("{\"x\":\"");
    body.extend(std::iter::repeat_n('x', BODY_BYTES - 8));
    body.push_str("\"}");
    let collection = Collection::open("hostile", None)?;
    let stored = collection.apply(&puts_of_one_body(&body, 16), None)?;
    Ok(json!({"stored": stored.iter().filter(|answer| answer.is_ok()).count()}).to_string())
}

taskhost_guests::raw_guest!(describe, run);

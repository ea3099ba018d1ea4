//! Its result is a list in a list in a list, as deep as it is told (100,000).

use serde_json::Value;
use taskhost_guests::raw::taskhost::task::types::Error;

fn describe() -> String {
    r#"{"id":"deep-json","version":"1.0.0","title":"deep-json"}"#.to_owned()
}

fn run(params: String) -> Result<String, Error> {
    let params: Value = serde_json::from_str(&params).unwrap_or_default();
    let depth = params["depth"].as_u64().unwrap_or(100_000);
    let depth = usize::try_from(depth).unwrap_or(usize::MAX);
    Ok("[".repeat(depth) + &"]".repeat(depth))
}

taskhost_guests::raw_guest!(describe, run);

//! Its result is no JSON.

use taskhost_guests::raw::taskhost::task::types::Error;

fn describe() -> String {
    r#"{"id":"not-json","version":"1.0.0","title":"not-json"}"#.to_owned()
}

fn run(_: String) -> Result<String, Error> {
    Ok("{\"half\": an object".to_owned())
}

taskhost_guests::raw_guest!(describe, run);

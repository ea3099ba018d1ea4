//! What it says of itself is longer than the host listens to.

use taskhost_guests::raw::taskhost::task::types::Error;

fn describe() -> String {
    let story = "x".repeat(300 * 1024);
    format!(
        r#"{{"id":"huge-descriptor","version":"1","title":"huge-descriptor","story":"{story}"}}"#
    )
}

fn run(params: String) -> Result<String, Error> {
    Ok(params)
}

taskhost_guests::raw_guest!(describe, run);

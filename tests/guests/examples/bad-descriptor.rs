//! What it says of itself is no descriptor.

use taskhost_guests::raw::taskhost::task::types::Error;

fn describe() -> String {
    "I do all kinds of things".to_owned()
}

fn run(params: String) -> Result<String, Error> {
    Ok(params)
}

taskhost_guests::raw_guest!(describe, run);

//! Uses up its stack when it is asked what it is.

use taskhost_guests::raw::taskhost::task::types::Error;

fn describe() -> String {
    format!("{}", deeper(0))
}

fn deeper(depth: u64) -> u64 {
    match std::hint::black_box(depth) {
        u64::MAX => depth,
        depth => std::hint::black_box(deeper(depth + 1)) + 1,
    }
}

fn run(params: String) -> Result<String, Error> {
    Ok(params)
}

taskhost_guests::raw_guest!(describe, run);

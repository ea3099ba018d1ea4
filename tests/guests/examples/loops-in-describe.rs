//! Never says what it is.

use taskhost_guests::raw::taskhost::task::types::Error;

fn describe() -> String {
    let mut number = 0_u64;
    loop {
        number = std::hint::black_box(number.wrapping_add(1));
    }
}

fn run(params: String) -> Result<String, Error> {
    Ok(params)
}

taskhost_guests::raw_guest!(describe, run);

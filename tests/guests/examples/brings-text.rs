//! Hands 8 MiB of text to one call of the host.

use taskhost_guests::raw::taskhost::task::types::Error;
use taskhost_guests::raw::taskhost::task::{http, inference, state};

const TEXT_BYTES: usize = 8 << 20;

fn describe() -> String {
    r#"{"id": "brings-text", "version": "1.0.0", "title": "brings-text"}"#.to_owned()
}

fn run(params: String) -> Result<String, Error> {
    let text = "x".repeat(TEXT_BYTES);
    match params.trim_matches('"') {
        "complete" => drop(inference::complete(&text)?),
        "complete-many" => drop(inference::complete_many(&[text])?),
        "embed" => drop(inference::embed(&text)?),
        "send" => drop(http::send(&request(text))?),
        "send-many" => drop(http::send_many(&[request(text)])?),
        "save" => state::save("key", text.as_bytes(), 1)?,
        "load" => drop(state::load(&text)?),
        "delete" => state::delete(&text)?,
        other => panic!("there is no call `{other}`"),
    }
    Ok("{}".to_owned())
}

fn request(text: String) -> http::Request {
    http::Request {
        method: "POST".to_owned(),
        url: "http://127.0.0.1:10001/".to_owned(),
        headers: Vec::new(),
        body: Some(text.into_bytes()),
        timeout_ms: None,
    }
}

taskhost_guests::raw_guest!(describe, run);

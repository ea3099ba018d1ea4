//! Hands 8 MiB of text to one call of the host.

use taskhost_guests::raw::taskhost::task::types::Error;
use taskhost_guests::raw::taskhost::task::{http, inference, state};

const TEXT_BYTES: usize = 8 << 20;

fn describe() -> String {
    r#"{"id": "brings-text", "version": "1.0.0", "title": "brings-text"}"#.to_owned()
}

fn run(params: String) -> Result<String, Error> {
    let text = "x".repeat(TEXT_BYTES);
    let params: serde_json::Value = serde_json::from_str(&params).unwrap_or_default();
    match params["call"].as_str().unwrap_or_default() {
        "complete" => drop(inference::complete(&text)?),
        "complete-many" => drop(inference::complete_many(&[text])?.remove(0)?),
        "embed" => drop(inference::embed(&text)?),
        "send" => drop(http::send(&request(text))?),
        "send-many" => drop(http::send_many(&[request(text)])?.remove(0)?),
        "save" => state::save("key", text.as_bytes(), 1)?,
        "load" => drop(state::load(&text)?),
        "delete" => state::delete(&text)?,
        // No call is no result.
        _ => return Ok("null".to_owned()),
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
        options: None,
    }
}

taskhost_guests::raw_guest!(describe, run);

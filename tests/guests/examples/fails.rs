//! Fails with the error that it is told, up to the attempt on which it is to succeed.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use taskhost_sdk::{Clients, Error};

#[derive(Deserialize, JsonSchema)]
struct Params {
    code: String,
    message: Option<String>,
    #[serde(default)]
    retryable: bool,
    retry_after_ms: Option<u64>,
    details: Option<Value>,
    succeed_on_attempt: Option<u32>,
}

fn run(params: Params, clients: &Clients) -> Result<Value, Error> {
    let attempt = clients.context.attempt();
    if params
        .succeed_on_attempt
        .is_some_and(|wanted| attempt >= wanted)
    {
        return Ok(json!({"attempt": attempt}));
    }
    let message = params
        .message
        .unwrap_or_else(|| format!("attempt {attempt} was to fail"));
    let mut error = Error::failed(params.code, message);
    if params.retryable {
        error = error.retryable();
    }
    if let Some(ms) = params.retry_after_ms {
        error = error.retry_after_ms(ms);
    }
    if let Some(details) = params.details {
        error = error.with_details(details);
    }
    Err(error)
}

taskhost_guests::guest!("fails", Params, run, |it| it.attempts(3));

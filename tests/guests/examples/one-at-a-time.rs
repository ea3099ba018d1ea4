//! Of the runs with one `key`, one is at work at once. It says that it began, sleeps, and says
//! between which times it was there. With `child` it has a child of its own type with that key, and
//! waits for it.

use std::time::{Duration, SystemTime};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use taskhost_guests::guest;
use taskhost_guests::taskhost_sdk::{Clients, Error};

#[derive(Deserialize, JsonSchema)]
struct Params {
    key: String,
    ms: u64,
    #[serde(default)]
    child: Option<String>,
}

fn now_us() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.map_or(0, |time| u64::try_from(time.as_micros()).unwrap_or(0))
}

fn run(params: Params, clients: &Clients) -> Result<Value, Error> {
    clients.progress.report(0, None, "began")?;
    let began_us = now_us();
    // tidy: sleep allowed because it is what this guest is for
    clients.context.sleep(Duration::from_millis(params.ms))?;
    let child = params.child.map(|key| child(&key, clients)).transpose()?;
    Ok(json!({
        "key": params.key, "began_us": began_us, "ended_us": now_us(), "child": child,
    }))
}

/// Its status, or why there is none.
fn child(key: &str, clients: &Clients) -> Result<Value, Error> {
    let params = json!({"key": key, "ms": 1});
    match clients.children.spawn("one", "one-at-a-time", &params) {
        Ok(id) => {
            let ended = clients.children.wait_any(&[id], Duration::from_secs(60))?;
            Ok(json!(ended.map(|child| child.status)))
        }
        Err(error) => Ok(json!({"code": error.code(), "message": error.message()})),
    }
}

guest!("one-at-a-time", Params, run, |it| it
    .runs_at_once_per("/key", 1)
    .child("one-at-a-time"));

//! May be without progress for a second, and takes three: computing, writing to its log, sleeping,
//! or saying that it moves.

use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use taskhost_sdk::{Clients, Error, Level};

#[derive(Deserialize, JsonSchema)]
struct Params {
    how: How,
}

#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum How {
    Compute,
    Log,
    Sleep,
    Move,
}

const LONG: Duration = Duration::from_secs(3);

fn run(params: Params, clients: &Clients) -> Result<Value, Error> {
    let start = Instant::now();
    while start.elapsed() < LONG {
        match params.how {
            How::Compute => {}
            How::Log => clients.log.line(Level::Info, "busy, as everybody can see"),
            // tidy: sleep allowed because it is what this guest is for
            How::Sleep => clients.context.sleep(LONG)?,
            How::Move => {
                clients.progress.heartbeat()?;
                // tidy: sleep allowed because a heartbeat a moment is enough
                clients.context.sleep(Duration::from_millis(10))?;
            }
        }
    }
    Ok(json!({"how": "well"}))
}

taskhost_guests::guest!("stands-still", Params, run, |it| it
    .no_progress_s(1)
    .grace_ms(100));

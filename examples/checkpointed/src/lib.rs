//! Works in steps and keeps how far it is: whatever ends an attempt, the next one goes on there.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use taskhost_sdk::{Clients, Descriptor, Error, Task};

/// Another number whenever [`Place`] changes: what an older version has saved is left alone then.
const FORM: u32 = 1;

#[derive(Deserialize, JsonSchema)]
struct Params {
    /// How many steps there are.
    steps: u64,
    /// Milliseconds that each takes.
    #[serde(default)]
    step_ms: u64,
    /// After so many steps the first attempt fails.
    #[serde(default)]
    fails_after: Option<u64>,
}

#[derive(Default, Serialize, Deserialize)]
struct Place {
    done: u64,
    sum: u64,
}

#[derive(Serialize, JsonSchema)]
struct Outcome {
    /// The sum of the numbers of all steps.
    sum: u64,
    /// Steps that earlier attempts had done.
    found_done: u64,
}

struct Checkpointed;

impl Task for Checkpointed {
    type Params = Params;
    type Result = Outcome;

    fn descriptor() -> Descriptor {
        Descriptor::new("checkpointed", "1.0.0")
            .title("Count in steps, and go on after a crash")
            .attempts(3)
    }

    fn run(params: Params, clients: &Clients) -> Result<Outcome, Error> {
        let mut place: Place = clients.state.load("place", FORM)?.unwrap_or_default();
        let found_done = place.done;
        while place.done < params.steps {
            clients
                .context
                .sleep(Duration::from_millis(params.step_ms))?;
            place.done += 1;
            place.sum += place.done;
            clients.state.save("place", FORM, &place)?;
            let message = format!("step {} of {}", place.done, params.steps);
            clients
                .progress
                .report(place.done, Some(params.steps), &message)?;
            let fails = params.fails_after == Some(place.done);
            if fails && clients.context.attempt() == 1 {
                return Err(Error::failed("as-asked", "the first attempt fails here").retryable());
            }
        }
        let sum = place.sum;
        Ok(Outcome { sum, found_done })
    }
}

taskhost_sdk::export!(Checkpointed);

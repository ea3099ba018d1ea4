//! The smallest task type: greets whoever is named. Start from here.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use taskhost_sdk::{Clients, Descriptor, Error, Task};

/// Whom to greet.
#[derive(Deserialize, JsonSchema)]
struct Params {
    /// A name.
    name: String,
}

#[derive(Serialize, JsonSchema)]
struct Greeting {
    /// What to say to them.
    greeting: String,
}

struct Hello;

impl Task for Hello {
    type Params = Params;
    type Result = Greeting;

    fn descriptor() -> Descriptor {
        Descriptor::new("hello", "1.0.0").title("Say hello")
    }

    fn run(Params { name }: Params, clients: &Clients) -> Result<Greeting, Error> {
        let greeting = format!("Hello, {name}!");
        clients.progress.report(1, Some(1), &greeting)?;
        Ok(Greeting { greeting })
    }
}

taskhost_sdk::export!(Hello);

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
        let greeting = greeting(&name);
        clients.progress.report(1, Some(1), &greeting)?;
        Ok(Greeting { greeting })
    }
}

fn greeting(name: &str) -> String {
    format!("Hello, {name}!")
}

taskhost_sdk::export!(Hello);

#[cfg(test)]
mod tests {
    #[test]
    fn greets_by_name() {
        assert_eq!(super::greeting("you"), "Hello, you!");
    }
}

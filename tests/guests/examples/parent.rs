//! Does with children what it is told, step by step, and says what came of each:
//! `{"steps": [{"spawn": {key, task_type, params, priority?}}, {"status": ID}, {"wait": {ids, ms}},
//! {"cancel": ID}, {"sleep": MS}, {"spawn_many": COUNT}]}`. Where an id is wanted, the key of a
//! child will do. It asks for children of the types `hello`, `sleeper`, `parent` and `missing`.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use taskhost_guests::guest;
use taskhost_guests::taskhost_sdk::{Child, ChildOptions, Clients, Error};

#[derive(Deserialize, JsonSchema)]
struct Params {
    steps: Vec<Step>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Step {
    Spawn {
        key: String,
        task_type: String,
        params: Value,
        #[serde(default)]
        priority: Option<i32>,
    },
    SpawnMany(u64),
    Status(String),
    Wait {
        ids: Vec<String>,
        ms: u64,
    },
    Cancel(String),
    Sleep(u64),
}

/// Ids of children by their keys.
type Ids = BTreeMap<String, String>;

fn run(params: Params, clients: &Clients) -> Result<Value, Error> {
    let mut ids = Ids::new();
    let mut answers = Vec::new();
    for (number, step) in params.steps.into_iter().enumerate() {
        clients.progress.report(number as u64, None, "at work")?;
        match done(step, &mut ids, clients) {
            Ok(answer) => answers.push(answer),
            Err(error) if error.is_canceled() => return Err(error),
            Err(error) => answers.push(json!({
                "code": error.code(), "message": error.message(), "details": error.details(),
            })),
        }
    }
    Ok(json!({"answers": answers}))
}

fn done(step: Step, ids: &mut Ids, clients: &Clients) -> Result<Value, Error> {
    let children = clients.children;
    let id_of = |name: &String| ids.get(name).unwrap_or(name).clone();
    match step {
        Step::Spawn {
            key,
            task_type,
            params,
            priority,
        } => {
            let options = priority.map_or_else(ChildOptions::new, |priority| {
                ChildOptions::new().priority(priority)
            });
            let id = children.spawn_with(&key, &task_type, &params, options)?;
            ids.insert(key, id.clone());
            Ok(json!(id))
        }
        Step::SpawnMany(count) => {
            for number in 0..count {
                children.spawn(&format!("n{number}"), "hello", &json!({"name": "you"}))?;
            }
            Ok(json!(count))
        }
        Step::Status(name) => children.status(&id_of(&name)).map(|child| told(&child)),
        Step::Wait { ids: names, ms } => {
            let wanted: Vec<String> = names.iter().map(id_of).collect();
            let ended = children.wait_any(&wanted, Duration::from_millis(ms))?;
            Ok(ended.map_or(Value::Null, |child| told(&child)))
        }
        Step::Cancel(name) => children.cancel(&id_of(&name)).map(|()| json!("canceled")),
        Step::Sleep(ms) => {
            // tidy: sleep allowed because it is asked for: a child that takes a while
            clients.context.sleep(Duration::from_millis(ms))?;
            Ok(json!("slept"))
        }
    }
}

fn told(child: &Child) -> Value {
    json!({
        "key": child.key, "status": child.status, "ended": child.ended,
        "result": child.result::<Value>().ok(),
        "failed": child.error.as_ref().map(|error| &error.code),
    })
}

guest!("parent", Params, run, |descriptor| descriptor
    .child("hello")
    .child("sleeper")
    .child("parent")
    .child("missing")
    .grace_ms(5_000));

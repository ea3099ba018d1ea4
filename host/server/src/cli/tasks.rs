//! The commands for tasks: `schedule`, `status`, `watch`, `cancel`, `retry`, `acknowledge`,
//! `delete`.

use std::path::Path;

use reqwest::{Method, StatusCode};
use serde_json::{Map, Value, json};
use taskhost_model::ids::{StreamName, TaskId, TypeId};
use uuid::Uuid;

use super::chosen::{Chosen, SomeTasks};
use super::client::{Client, Target};
use super::failure::{Exit, Failure};
use super::files;
use super::follow::follow;
use super::progress::Progress;
use super::show;
use super::text;

/// What is read of a params file; the host's own limit is lower.
const PARAMS_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Schedule a task.
#[derive(Debug, clap::Args)]
pub struct Schedule {
    /// The task type, as `taskhost types list` shows it.
    #[arg(value_name = "TYPE")]
    pub type_id: TypeId,
    /// The task's id [default: type and stream; without a stream a new one each time].
    #[arg(long)]
    pub id: Option<TaskId>,
    /// The stream to work on.
    #[arg(long)]
    pub stream: Option<StreamName>,
    /// Parameters: JSON, or @FILE that holds it.
    #[arg(long, value_name = "JSON|@FILE")]
    pub params: Option<String>,
    /// From -100 to 100; higher goes first.
    #[arg(long, allow_hyphen_values = true)]
    pub priority: Option<i32>,
    /// Keep what the run asks and is answered for `taskhost replay`; an operator has to allow it.
    #[arg(long)]
    pub record: bool,
    /// Follow the task until it ends.
    #[arg(long)]
    pub watch: bool,
    #[command(flatten)]
    pub(crate) target: Target,
}

/// A command about one task.
#[derive(Debug, clap::Args)]
pub struct OneTask {
    /// The task's id.
    pub id: TaskId,
    #[command(flatten)]
    pub(crate) target: Target,
}

/// Cancel tasks.
#[derive(Debug, clap::Args)]
pub struct Cancel {
    /// Why, for whoever looks at it later.
    #[arg(long)]
    pub reason: Option<String>,
    #[command(flatten)]
    pub(crate) chosen: Chosen,
}

/// Run tasks again.
#[derive(Debug, clap::Args)]
pub struct Retry {
    /// Forget what the former run has kept, and begin from the start.
    #[arg(long)]
    pub fresh: bool,
    /// Follow the task until it ends; for one task.
    #[arg(long)]
    pub watch: bool,
    #[command(flatten)]
    pub(crate) chosen: Chosen,
}

pub(crate) async fn schedule(command: &Schedule) -> Result<Exit, Failure> {
    let params = params(command.params.as_deref())?;
    let client = Client::new(&command.target)?;
    let id = match &command.id {
        Some(id) => id.clone(),
        None => default_id(&command.type_id, command.stream.as_ref())?,
    };
    let mut body = json!({"type": command.type_id, "params": params});
    if let Some(stream) = &command.stream {
        body["stream"] = json!(stream);
    }
    if let Some(priority) = command.priority {
        body["priority"] = json!(priority);
    }
    if command.record {
        body["record"] = json!(true);
    }
    let request = client
        .in_space(Method::PUT, &["tasks", id.as_str()])
        .json(&body);
    let task = match client.call(request).await {
        Ok(task) => task,
        Err(failure) => return Err(with_what_waits(&client, &command.type_id, failure).await),
    };
    if command.watch {
        return watch_id(&client, &command.target, &id).await;
    }
    if command.target.json {
        say!("{}", text::json(&task));
        return Ok(Exit::Done);
    }
    match task["outcome"].as_str() {
        Some("already_running") => say!("{id}: already running with the same params"),
        _ => say!("{id}: scheduled"),
    }
    if let Some(why) = task["run"]["waiting_because"].as_str() {
        say!("It waits: {}", text::shown(why));
    }
    say!("Follow it with `taskhost watch {id}`.");
    Ok(Exit::Done)
}

/// A type without an active version may have one that waits for an operator.
async fn with_what_waits(client: &Client, type_id: &TypeId, mut failure: Failure) -> Failure {
    let request = client.request(Method::GET, &["v1", "task-types", type_id.as_str()]);
    let view = client.call(request).await.unwrap_or_default();
    let versions = view["versions"].as_array().into_iter().flatten();
    let mut waiting = versions.filter(|version| version["state"] == "pending_approval");
    if let (true, Some(version)) = (view["active"].is_null(), waiting.next()) {
        let digest = version["digest"]
            .as_str()
            .map(text::shown)
            .unwrap_or_default();
        failure.message.push_str(&format!(
            "\nIts version {digest:.12} waits for approval: `taskhost types approve {type_id} \
             {digest:.12}`"
        ));
    }
    failure
}

/// One task for each type and stream, as Kibana has it; a new one each time without a stream.
fn default_id(type_id: &TypeId, stream: Option<&StreamName>) -> Result<TaskId, Failure> {
    let composed = stream.and_then(|stream| TaskId::parse(&format!("{type_id}_{stream}")).ok());
    composed.map_or_else(
        || {
            let random = Uuid::new_v4().simple().to_string();
            TaskId::parse(&format!("{type_id}-{}", &random[..8]))
                .map_err(|error| Failure::failed(error.to_string()))
        },
        Ok,
    )
}

/// Reads `--params`; nothing is an empty object.
pub(crate) fn params(given: Option<&str>) -> Result<Value, Failure> {
    let Some(given) = given else {
        return Ok(Value::Object(Map::new()));
    };
    let from_file = given
        .strip_prefix('@')
        .map(|file| files::read(Path::new(file), PARAMS_BYTES_MAX).map_err(Failure::wrong_use));
    let params = match &from_file.transpose()? {
        Some(bytes) => serde_json::from_slice(bytes),
        None => serde_json::from_str(given),
    };
    params.map_err(|error| {
        let problem = match (error.is_eof(), error.line(), error.column()) {
            (true, _, _) => "it ends too early".to_owned(),
            (false, line, column) => format!("look at line {line}, column {column}"),
        };
        let shown = text::shortened(given, 60);
        Failure::wrong_use(format!(
            "--params `{shown}` is no JSON: {problem}; write '{{\"name\": \"you\"}}', or @FILE \
             with a file that holds it"
        ))
    })
}

pub(crate) async fn status(command: &OneTask) -> Result<Exit, Failure> {
    let client = Client::new(&command.target)?;
    let request = client.in_space(Method::GET, &["tasks", command.id.as_str()]);
    let task = client.call(request).await?;
    if command.target.json || is_known(&task) {
        show::task(command.id.as_str(), &task, command.target.json);
    }
    known(&command.target, &command.id, &task)
}

pub(super) fn is_known(task: &Value) -> bool {
    task["status"] != "not_started"
}

/// What the interface calls `not_started` is mostly a typing error here.
pub(super) fn known(target: &Target, id: &TaskId, task: &Value) -> Result<Exit, Failure> {
    match is_known(task) {
        true => Ok(Exit::Done),
        false => Err(unknown(target, id)),
    }
}

fn unknown(target: &Target, id: &TaskId) -> Failure {
    Failure::failed(format!(
        "there is no task `{id}` in space `{}`: it was never scheduled, or it is deleted; \
         `taskhost list` shows what there is",
        target.space
    ))
}

pub(crate) async fn watch(command: &OneTask) -> Result<Exit, Failure> {
    let client = Client::new(&command.target)?;
    watch_id(&client, &command.target, &command.id).await
}

async fn watch_id(client: &Client, target: &Target, id: &TaskId) -> Result<Exit, Failure> {
    let mut progress = Progress::new(target.json);
    let followed = follow(client, id.as_str(), &mut progress).await;
    progress.finish();
    let task = followed?;
    if target.json || is_known(&task) {
        show::task(id.as_str(), &task, target.json);
    }
    known(target, id, &task).map(|_| exit_of(&task))
}

/// The exit code of a task that has ended.
pub(crate) fn exit_of(task: &Value) -> Exit {
    match task["status"].as_str() {
        Some("completed" | "acknowledged") => Exit::Done,
        Some("canceled") => Exit::Canceled,
        _ => Exit::Failed,
    }
}

pub(crate) async fn cancel(command: &Cancel) -> Result<Exit, Failure> {
    let (chosen, target) = (&command.chosen, &command.chosen.target);
    let Some(task_id) = chosen.one()? else {
        let reason = command.reason.as_ref();
        let more = reason.map_or(Value::Null, |reason| json!({"reason": reason}));
        return chosen.each("cancel", more).await;
    };
    let (client, id) = (Client::new(target)?, task_id.as_str());
    let mut request = client.in_space(Method::POST, &["tasks", id, "cancel"]);
    if let Some(reason) = &command.reason {
        request = request.json(&json!({"reason": reason}));
    }
    let task = client.call(request).await?;
    let had_ended = matches!(
        task["status"].as_str(),
        Some("completed" | "acknowledged" | "failed")
    );
    let note = if had_ended {
        ", it had ended already"
    } else {
        ""
    };
    if target.json || is_known(&task) {
        say(id, &task, note, target.json);
    }
    known(target, task_id, &task)
}

pub(crate) async fn retry(command: &Retry) -> Result<Exit, Failure> {
    let (chosen, target) = (&command.chosen, &command.chosen.target);
    let body = json!({"fresh": command.fresh});
    let Some(task_id) = chosen.one()? else {
        if command.watch {
            return Err(Failure::wrong_use("--watch follows one task: give its id"));
        }
        return chosen.each("retry", body).await;
    };
    let (client, id) = (Client::new(target)?, task_id.as_str());
    let request = client.in_space(Method::POST, &["tasks", id, "retry"]);
    let (status, task) = client.answer(request.json(&body)).await?;
    match status {
        StatusCode::NOT_FOUND if task["code"] == "not-found" => {
            return Err(unknown(target, task_id));
        }
        status if !status.is_success() => return Err(Failure::of_problem(&task)),
        _ if command.watch => return watch_id(&client, target, task_id).await,
        _ if target.json => say!("{}", text::json(&task)),
        _ if task["outcome"] == "already_running" => say!("{id}: runs already"),
        _ => say!("{id}: runs again. Follow it with `taskhost watch {id}`."),
    }
    Ok(Exit::Done)
}

pub(crate) async fn acknowledge(command: &SomeTasks) -> Result<Exit, Failure> {
    let (chosen, target) = (&command.chosen, &command.chosen.target);
    let Some(task_id) = chosen.one()? else {
        return chosen.each("acknowledge", Value::Null).await;
    };
    let (client, id) = (Client::new(target)?, task_id.as_str());
    let request = client.in_space(Method::POST, &["tasks", id, "acknowledge"]);
    let (status, answer) = client.answer(request).await?;
    if status.is_success() {
        say(id, &answer, "", target.json);
        return Ok(Exit::Done);
    }
    if status == StatusCode::CONFLICT {
        let read = client.in_space(Method::GET, &["tasks", id]);
        let task = client.call(read).await?;
        known(target, task_id, &task)?;
        // What is wanted is so already.
        if task["status"] == "acknowledged" {
            say(id, &task, " already", target.json);
            return Ok(Exit::Done);
        }
    }
    Err(Failure::of_problem(&answer))
}

pub(crate) async fn delete(command: &SomeTasks) -> Result<Exit, Failure> {
    let (chosen, target) = (&command.chosen, &command.chosen.target);
    let Some(id) = chosen.one()? else {
        return chosen.each("delete", Value::Null).await;
    };
    let client = Client::new(target)?;
    let request = client.in_space(Method::DELETE, &["tasks", id.as_str()]);
    let (status, answer) = client.answer(request).await?;
    match status {
        StatusCode::NOT_FOUND => return Err(unknown(target, id)),
        status if !status.is_success() => return Err(Failure::of_problem(&answer)),
        // The host answers nothing, and so does `--json`.
        _ if target.json => {}
        _ => say!("{id}: deleted"),
    }
    Ok(Exit::Done)
}

/// One line: what the task is now, and a note for people.
fn say(id: &str, task: &Value, note: &str, json: bool) {
    if json {
        say!("{}", text::json(task));
    } else {
        let status = task["status"].as_str().unwrap_or_default();
        say!("{id}: {status}{note}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_made_of_type_and_stream() {
        let type_id = TypeId::parse("streams_feature_identification").unwrap();
        let stream = StreamName::parse("demo").unwrap();
        assert_eq!(
            default_id(&type_id, Some(&stream)).unwrap().as_str(),
            "streams_feature_identification_demo"
        );
        let long = StreamName::parse(&"x".repeat(200)).unwrap();
        let type_id = TypeId::parse(&"t".repeat(64)).unwrap();
        for id in [
            default_id(&type_id, Some(&long)).unwrap(),
            default_id(&type_id, None).unwrap(),
        ] {
            assert!(id.as_str().starts_with("ttt"), "{id}");
        }
    }

    #[test]
    fn params_are_json_or_a_file_of_it() {
        assert_eq!(params(None).unwrap(), json!({}));
        assert_eq!(params(Some("{\"a\":1}")).unwrap(), json!({"a": 1}));
        for (bad, words) in [
            ("{", "`{` is no JSON: it ends too early"),
            ("", "it ends too early"),
            (
                "{name: 1}",
                "`{name: 1}` is no JSON: look at line 1, column 2",
            ),
            ("@/no/such/file", "/no/such/file cannot be read"),
            ("@/dev/zero", "more than 64.0 MiB"),
        ] {
            let failure = params(Some(bad)).unwrap_err();
            assert_eq!(failure.exit, Exit::WrongUse, "{failure}");
            assert!(failure.message.contains(words), "{failure}");
        }
    }

    #[test]
    fn exit_codes_follow_the_status() {
        for (status, exit) in [
            ("completed", Exit::Done),
            ("acknowledged", Exit::Done),
            ("failed", Exit::Failed),
            ("canceled", Exit::Canceled),
        ] {
            assert_eq!(exit_of(&json!({"status": status})), exit);
        }
    }
}

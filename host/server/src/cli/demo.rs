//! `taskhost demo`: the main job from end to end, on a host of its own that is gone afterwards.

use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use taskhost_model::ids::{Space, StreamName};

use super::client::{Client, Target};
use super::failure::{Exit, Failure};
use super::features::systems;
use super::follow::follow;
use super::ingest::ingest;
use super::progress::Progress;
use super::serve::{Signals, log_to_stderr, wrong_settings};
use super::table::Medium;
use super::tasks::exit_of;
use super::text;
use crate::app::App;
use crate::settings::{Flags, Settings};

const STREAM: &str = "demo";
const TYPE: &str = "streams_feature_identification";
const TASK: &str = "streams_feature_identification_demo";

/// Find the systems that write into a file of logs, on a host of its own.
#[derive(Debug, clap::Args)]
pub struct Demo {
    /// The logs: NDJSON, or plain lines.
    #[arg(long, value_name = "FILE")]
    pub data_file: PathBuf,
    /// Folder with the component feature-identification.wasm.
    #[arg(long, value_name = "FOLDER")]
    pub task_types: PathBuf,
    /// Leave the host running.
    #[arg(long)]
    pub keep: bool,
}

pub(crate) async fn run(command: &Demo) -> Result<Exit, Failure> {
    log_to_stderr("warn")?;
    let mut signals = Signals::new()?;
    let folder = tempfile::Builder::new().prefix("taskhost-demo-").tempdir();
    let folder =
        folder.map_err(|error| Failure::failed(format!("no temporary folder: {error}")))?;
    say!(
        "Starting a host on a temporary store, with the task types of {} …",
        text::shown(&command.task_types.to_string_lossy())
    );
    let started = App::start(settings(folder.path(), command)?).await;
    let mut app = started.map_err(|error| Failure::failed(error.to_string()))?;
    let is_ready = tokio::select! {
        () = app.get_ready() => true,
        () = signals.next() => false,
    };
    if !is_ready {
        app.stop().await;
        return Ok(Exit::Canceled);
    }
    say!("It listens on {}", app.url());
    let client = client(&app)?;
    let exit = tokio::select! {
        exit = show(command, &client) => exit,
        () = signals.next() => Ok(Exit::Canceled),
    };
    if command.keep && matches!(exit, Ok(Exit::Done)) {
        say!(
            "\nThe host keeps running until Ctrl-C, at {}\nTry, in another terminal:",
            app.url()
        );
        try_next(&format!(" --url {}", app.url()));
        signals.next().await;
    }
    app.stop().await;
    if exit.is_ok() && !command.keep {
        say!("The host is stopped and its temporary store is gone.\n");
        say!("Try next, with logs of your own:");
        let program = program();
        say!(
            "  {program} serve --task-types {}",
            shown(&command.task_types)
        );
        try_next("");
    }
    exit
}

/// Commands that follow on from what was shown.
fn try_next(url: &str) {
    let program = program();
    if url.is_empty() {
        say!("and, in another terminal:");
        say!("  {program} ingest mine FILE");
        say!("  {program} schedule {TYPE} --stream mine --watch \\");
        say!("      --params '{{\"start\": 0, \"end\": 4102444800000}}'");
    } else {
        say!("  {program} status {TASK}{url}");
        say!("  {program} ingest mine FILE{url}");
        say!("  {program} schedule {TYPE} --stream mine --watch \\");
        say!("      --params '{{\"start\": 0, \"end\": 4102444800000}}'{url}");
        say!("  {program} list{url}");
    }
}

/// How the user has called this program.
fn program() -> String {
    let name = std::env::args()
        .next()
        .unwrap_or_else(|| "taskhost".to_owned());
    text::shown(&name)
}

fn shown(path: &Path) -> String {
    text::shown(&path.to_string_lossy())
}

fn settings(data: &Path, command: &Demo) -> Result<Settings, Failure> {
    let flags = Flags {
        listen: Some("127.0.0.1:0".to_owned()),
        data: Some(data.to_string_lossy().into_owned()),
        task_types: Some(command.task_types.to_string_lossy().into_owned()),
        store: Some("embedded".to_owned()),
        elasticsearch_url: None,
        key_file: None,
        identity: Some("none".to_owned()),
    };
    let environment = |name: &str| std::env::var(name).ok();
    Settings::read(None, &environment, flags).map_err(|mistakes| wrong_settings(&mistakes))
}

fn client(app: &App) -> Result<Client, Failure> {
    let space = Space::parse("default").map_err(|error| Failure::failed(error.to_string()))?;
    Client::new(&Target {
        url: app.url(),
        space,
        json: false,
        token_file: None,
    })
}

/// Ingest, schedule, watch, show, acknowledge: all of it over HTTP.
async fn show(command: &Demo, client: &Client) -> Result<Exit, Failure> {
    let stream = StreamName::parse(STREAM).map_err(|error| Failure::failed(error.to_string()))?;
    check_type(command, client).await?;
    let file = &command.data_file;
    say!("Ingesting {} into the stream `{STREAM}` …", shown(file));
    let ingested = ingest(client, &stream, file, None, false).await?;
    say!("{} documents are in the stream.", ingested.accepted);
    let documents = ingested.accepted;
    if documents == 0 {
        return Err(Failure::failed(format!("{} holds no lines", shown(file))));
    }
    schedule(client).await?;
    say!("Scheduled the task `{TASK}`.");
    let mut progress = Progress::new(false);
    let followed = follow(client, TASK, &mut progress).await;
    progress.finish();
    let task = followed?;
    let exit = exit_of(&task);
    if exit != Exit::Done {
        super::show::task(TASK, &task, false);
        return Ok(exit);
    }
    print_systems(&task, documents);
    let acknowledge = client.in_space(Method::POST, &["tasks", TASK, "acknowledge"]);
    let acknowledged = client.call(acknowledge).await?;
    say!(
        "The task is {}.",
        acknowledged["status"].as_str().unwrap_or_default()
    );
    Ok(Exit::Done)
}

/// Without the task type there is nothing to show: says why it is not there.
async fn check_type(command: &Demo, client: &Client) -> Result<(), Failure> {
    let answer = client
        .call(client.request(Method::GET, &["v1", "task-types"]))
        .await?;
    let each = |key: &str| answer[key].as_array().cloned().unwrap_or_default();
    if each("task_types").iter().any(|one| one["id"] == TYPE) {
        return Ok(());
    }
    let mut message = format!(
        "{} holds no component of the task type `{TYPE}`: build it with examples/build.sh",
        shown(&command.task_types)
    );
    for file in each("rejected") {
        let text_of = |value: &Value| value.as_str().map(text::shown).unwrap_or_default();
        let (file, reason) = (text_of(&file["file"]), text_of(&file["reason"]));
        message.push_str(&format!("\n  {file} is refused: {reason}"));
    }
    Err(Failure::failed(message))
}

/// Schedules over everything that the stream holds, as Kibana would.
async fn schedule(client: &Client) -> Result<(), Failure> {
    let stream = client
        .call(client.in_space(Method::GET, &["streams", STREAM]))
        .await?;
    let last: taskhost_model::time::Timestamp =
        serde_json::from_value(stream["last_at"].clone())
            .map_err(|error| Failure::failed(format!("the stream has no last time: {error}")))?;
    let end = last.plus(Duration::from_millis(1));
    let body = json!({"action": "schedule", "from": stream["first_at"], "to": end});
    let path = ["internal", "streams", STREAM, "features", "_task"];
    client
        .call(client.request(Method::POST, &path).json(&body))
        .await?;
    Ok(())
}

fn print_systems(task: &Value, documents: u64) {
    let payload = &task["payload"];
    let found = payload["features"].as_array().map_or(0, Vec::len);
    let sampled = payload["documents_sampled"].as_u64().unwrap_or(0);
    let duration_ms = payload["duration_ms"].as_u64().unwrap_or(0);
    let unmatched = payload["unmatched"].as_u64().unwrap_or(0);
    say!("\n{}", systems(Medium::of_stdout(), payload, documents));
    say!(
        "\n{found} systems, from {sampled} sampled documents in {}.{:02} s; {} of the sample \
         belongs to none.",
        duration_ms / 1000,
        duration_ms % 1000 / 10,
        text::percent(unmatched, sampled)
    );
}

//! `taskhost test`: runs a component as a host would, on a host of its own, and disturbs it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use taskhost_model::ids::StreamName;
use taskhost_store::components::COMPONENT_BYTES_MAX;
use tokio::sync::mpsc::UnboundedReceiver;

use super::client::{Client, Target};
use super::failure::{Exit, Failure};
use super::follow::follow;
use super::progress::Progress;
use super::serve::{self, log_to_stderr};
use super::{files, ingest, log, show, tasks, text};
use crate::kit::fixtures::Fixtures;
use crate::kit::script::{Deed, Plan, Script};
use crate::kit::{KitFolder, KitHost};
use taskhost_clients::calls::CallScript;

const TASK: &str = "test";

/// Run a component in the real sandbox, on a host of its own that is gone afterwards.
#[derive(Debug, clap::Args)]
#[command(after_help = FIXTURES)]
pub struct Test {
    /// The component, a *.wasm file.
    pub component: PathBuf,
    /// Folder with what to test with.
    #[arg(long, value_name = "DIR")]
    pub fixtures: Option<PathBuf>,
    /// Parameters: JSON, or @FILE that holds it; win over the fixtures.
    #[arg(long, value_name = "JSON|@FILE")]
    pub params: Option<String>,
    /// The stream to work on [default: the only one of the fixtures].
    #[arg(long)]
    pub stream: Option<StreamName>,
    /// More components that have to be there, such as types of children.
    #[arg(long, value_name = "FILE")]
    pub also: Vec<PathBuf>,
    /// Let the Nth call of that name fail once: `streams.sample:2`.
    #[arg(long, value_name = "CALL:N", value_parser = call_and_number)]
    pub fail: Vec<(String, u64)>,
    /// Cancel the task at the Nth host call.
    #[arg(long, value_name = "N")]
    pub cancel_at: Option<u64>,
    /// Kill the host at the Nth host call, and start it again.
    #[arg(long, value_name = "N")]
    pub kill_at: Vec<u64>,
    /// Sleeps take the time that they say.
    #[arg(long)]
    pub real_time: bool,
    /// How it has to end: completed, failed or canceled [default: completed, and canceled with
    /// --cancel-at].
    #[arg(long, value_name = "STATUS", value_parser = ["completed", "failed", "canceled"])]
    pub expect: Option<String>,
    /// The settings of the host that it is meant for [default: those of a new host].
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

const FIXTURES: &str = "\
Fixtures, all of them optional:
  params.json           the params
  result.json           the result that has to come out
  streams/NAME.ndjson   the documents of a stream, one a line

Calls are counted from 1 over the whole test, all but those of `log` and the ones of `context` that
cannot fail. The exit code is 0 when the task ended as expected, with the expected result.";

fn call_and_number(text: &str) -> Result<(String, u64), String> {
    let parsed = text
        .rsplit_once(':')
        .and_then(|(call, number)| Some((call.to_owned(), number.parse().ok()?)));
    let known = parsed.filter(|(call, number)| call.contains('.') && *number > 0);
    known.ok_or_else(|| "write a call and which one of it: `streams.sample:2`".to_owned())
}

pub(crate) async fn run(command: &Test) -> Result<Exit, Failure> {
    log_to_stderr("error")?;
    let fixtures = match &command.fixtures {
        Some(folder) => Fixtures::read(folder).map_err(Failure::wrong_use)?,
        None => Fixtures::default(),
    };
    let params = match &command.params {
        Some(given) => tasks::params(Some(given))?,
        None => fixtures.params(),
    };
    let (script, deeds) = Script::new(Plan {
        fail: command.fail.clone(),
        cancel_at: command.cancel_at,
        kill_at: command.kill_at.clone(),
        real_time: command.real_time,
    });
    let script = Arc::new(script);
    let given: Arc<dyn CallScript> = Arc::<Script>::clone(&script);
    let host = start(command.config.as_deref(), Some(given)).await?;
    let bench = Bench {
        client: client_of(&host)?,
        host,
        script,
        deeds,
        quiet: command.json,
    };
    bench.test(command, &fixtures, params).await
}

/// A host with the component, and what disturbs it.
struct Bench {
    client: Client,
    host: KitHost,
    script: Arc<Script>,
    deeds: UnboundedReceiver<Deed>,
    quiet: bool,
}

impl Bench {
    async fn test(
        mut self,
        command: &Test,
        fixtures: &Fixtures,
        params: Value,
    ) -> Result<Exit, Failure> {
        for file in &command.also {
            push(&self.client, file).await?;
        }
        let pushed = push(&self.client, &command.component).await?;
        if !self.quiet {
            said_of(&pushed);
        }
        for (name, file) in &fixtures.streams {
            ingest::ingest(&self.client, name, file, None, true).await?;
        }
        let stream = command.stream.as_ref().or(fixtures.only_stream());
        let mut body = json!({"type": pushed["id"], "params": params});
        if let Some(stream) = stream {
            body["stream"] = json!(stream);
        }
        let schedule = self.client.in_space(Method::PUT, &["tasks", TASK]);
        self.client.call(schedule.json(&body)).await?;
        let task = self.until_it_ends().await?;
        let verdict = verdict(command, fixtures, &task);
        self.report(&task, &verdict).await?;
        self.host.stop().await;
        Ok(if verdict.is_ok() {
            Exit::Done
        } else {
            Exit::Failed
        })
    }

    async fn until_it_ends(&mut self) -> Result<Value, Failure> {
        let mut progress = Progress::new(self.quiet);
        loop {
            let deed = tokio::select! {
                task = follow(&self.client, TASK, &mut progress) => {
                    progress.finish();
                    return task;
                }
                Some(deed) = self.deeds.recv() => deed,
            };
            match deed {
                Deed::Cancel => {
                    let cancel = self
                        .client
                        .in_space(Method::POST, &["tasks", TASK, "cancel"]);
                    self.client.call(cancel).await?;
                    progress.note("the test cancels the task");
                }
                Deed::Kill => {
                    progress.note("the test kills the host, and starts it again");
                    let killed = self.host.kill(|| self.script.is_dead()).await;
                    killed.map_err(|error| Failure::failed(error.to_string()))?;
                    self.client = client_of(&self.host)?;
                }
            }
            self.script.go_on();
        }
    }

    async fn report(&self, task: &Value, verdict: &Result<String, String>) -> Result<(), Failure> {
        let calls = self.script.calls();
        if self.quiet {
            let calls: serde_json::Map<String, Value> = calls
                .into_iter()
                .map(|(name, count)| (name.to_owned(), json!(count)))
                .collect();
            let said = verdict.as_ref().unwrap_or_else(|why| why);
            let all = json!({"ok": verdict.is_ok(), "verdict": said, "task": task, "calls": calls});
            say!("{}", text::json(&all));
            return Ok(());
        }
        for line in log::lines(&self.client, TASK, task).await? {
            say!("  log        {}", log::shown(&line));
        }
        show::task(TASK, task, false);
        let calls: Vec<String> = calls
            .iter()
            .map(|(name, count)| format!("{count} {name}"))
            .collect();
        say!("  calls      {}", none_or(&calls));
        if self.script.slept_ms() > 0 {
            say!(
                "  slept      {} ms, which took no time (--real-time)",
                self.script.slept_ms()
            );
        }
        match verdict {
            Ok(said) => say!("ok: {said}"),
            Err(why) => say!("FAILED: {why}"),
        }
        Ok(())
    }
}

fn none_or(calls: &[String]) -> String {
    if calls.is_empty() {
        return "none".to_owned();
    }
    calls.join(", ")
}

/// Whether it ended as it should.
fn verdict(command: &Test, fixtures: &Fixtures, task: &Value) -> Result<String, String> {
    let wanted = match (&command.expect, command.cancel_at) {
        (Some(status), _) => status.as_str(),
        (None, Some(_)) => "canceled",
        (None, None) => "completed",
    };
    let status = task["status"].as_str().unwrap_or_default();
    if status != wanted {
        return Err(format!("it is {status}, and should be {wanted}"));
    }
    match &fixtures.result {
        Some(result) if status == "completed" && task["payload"] != *result => Err(format!(
            "the result is not that of result.json, which is\n{}",
            text::shown_lines(&serde_json::to_string_pretty(result).unwrap_or_default())
        )),
        Some(_) if status == "completed" => Ok("completed, with the result of result.json".into()),
        _ => Ok(format!("{status}, as it should be")),
    }
}

/// A host of its own, with everything of the settings but address and folders.
pub(crate) async fn start(
    config: Option<&Path>,
    script: Option<Arc<dyn CallScript>>,
) -> Result<KitHost, Failure> {
    let folder = KitFolder::new()
        .map_err(|error| Failure::failed(format!("no temporary folder: {error}")))?;
    let settings = serve::read(config, folder.flags())?;
    let started = KitHost::start(folder, settings, script).await;
    started.map_err(|error| Failure::failed(error.to_string()))
}

pub(crate) fn client_of(host: &KitHost) -> Result<Client, Failure> {
    let space = taskhost_model::ids::Space::parse("default")
        .map_err(|error| Failure::failed(error.to_string()))?;
    Client::new(&Target {
        url: host.url(),
        space,
        json: false,
    })
}

/// Loads a component into the host, as anybody would.
pub(crate) async fn push(client: &Client, file: &Path) -> Result<Value, Failure> {
    let bytes = files::read(file, COMPONENT_BYTES_MAX).map_err(Failure::wrong_use)?;
    let request = client
        .request(Method::POST, &["v1", "task-types"])
        .header("content-type", "application/wasm")
        .body(bytes);
    let (status, pushed): (StatusCode, Value) = client.answer(request).await?;
    if status.is_success() {
        Ok(pushed)
    } else {
        Err(Failure::of_problem(&pushed))
    }
}

/// Says that a host takes the component, and what it warns of.
pub(crate) fn said_of(pushed: &Value) {
    let string = |key: &str| pushed[key].as_str().map(text::shown).unwrap_or_default();
    say!(
        "{} {}: a host takes it ({})",
        string("id"),
        string("version"),
        string("state")
    );
    let warnings = pushed["warnings"].as_array();
    for warning in warnings.map(Vec::as_slice).unwrap_or_default() {
        let warning = warning.as_str().map(text::shown).unwrap_or_default();
        say!("  warning: {warning}");
    }
}

//! `taskhost test`: runs a component as a host would, on a host of its own, and disturbs it.

mod calls;
mod collections;
mod told;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use taskhost_clients::calls::CallScript as _;
use taskhost_clients::http::Outside;
use taskhost_model::ids::{Space, StreamName, TypeId};
use taskhost_store::components::COMPONENT_BYTES_MAX;
use taskhost_store::documents::DocumentStore;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_util::task::AbortOnDropHandle;

use super::client::{Client, Target};
use super::failure::{Exit, Failure};
use super::follow::follow;
use super::progress::Progress;
use super::serve::{self, log_to_stderr};
use super::{files, ingest, log, show, tasks, text};
use crate::app::Disturbance;
use crate::kit::answers::Unanswered;
use crate::kit::fixtures::Fixtures;
use crate::kit::model::Model;
use crate::kit::script::{Deed, Plan, Script};
use crate::kit::stand_in;
use crate::kit::web::Web;
use crate::kit::wishes::{Setup, Wish};
use crate::kit::{KitFolder, KitHost};
use calls::{call_and_number, trace};
use collections::Collections;
use told::{not_scheduled, without_log};

const TASK: &str = "test";
const SPACE: &str = "default";

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
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub cancel_at: Option<u64>,
    /// Kill the host at the Nth host call, and start it again.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub kill_at: Vec<u64>,
    /// Waits take the time that they say.
    #[arg(long)]
    pub real_time: bool,
    /// Print each host call with its number and what it was answered.
    #[arg(long)]
    pub trace: bool,
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

const FIXTURES: &str = r#"Fixtures, all of them optional:
  params.json                   the params
  result.json                   the result that has to come out
  streams/NAME.ndjson           the documents of a stream, one a line
  documents/LABEL.ndjson        what a collection holds before: {"id": …, "body": {…}} a line
  documents/LABEL.after.ndjson  what it has to hold afterwards
  inference.json                what models answer, a list of
                                {"when"?: {"contains": TEXT}, "answer": TEXT} with in place of
                                the text {"json": …}, {"tool_calls": [{"name", "arguments"}]},
                                {"embeddings": […]} or {"message": …}, and in place of the answer
                                "error": {"status": 429, "retry_after_s"?: 1}
  http.json                     what the network answers, a list of
                                {"request": {"method", "url", "headers"?}, "response":
                                {"status", "headers"?, "body"? or "body_json"?}}, or in place of
                                the response "error": "unavailable"
  secrets.json                  {"NAME": "value"}
  children/TYPE.json            what children of a type end with: {"result": …}, or a list
                                of {"when"?: PARAMS, "result": …}, or in place of the result
                                "error": {"code", "message"}; --also FILE is the real one

Each entry of a list answers once, in their order; the last one that fits answers what is left. What
has no answer fails the test. Nothing but what these files say is reached, and what the descriptor
asks for is allowed; with --config it is what these settings allow, and without --fixtures these
settings lead to the real thing.

Calls are counted from 1 over the whole test, all but those of `log` and the ones of `context` that
cannot fail; --trace shows their numbers. What is to happen at a call that is never made fails the
test. The exit code is 0 when the task ended as expected, with the expected result.

Time is virtual: whenever all runs wait (a sleep, also one of the language's own, a wait for
children, the pause before the next attempt or the one that a model wants), the clock goes on to the
end of the next wait at once. `context.remaining`, deadlines and the clocks of the language show it.
Computing takes the time that it takes; limits of CPU time and of time without progress are counted
really, and so are the time limits of single requests."#;

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
    let wishes = wishes(command).await?;
    let bench = Bench::start(command, fixtures, &wishes).await?;
    bench.test(command, params).await
}

/// What the components ask for, as a host tells that is gone afterwards: the test's own has to be
/// set up for it when it starts.
async fn wishes(command: &Test) -> Result<Vec<Wish>, Failure> {
    let host = start(command.config.as_deref()).await?;
    let client = client_of(&host)?;
    let mut wishes = Vec::new();
    for file in command.also.iter().chain([&command.component]) {
        let pushed = push(&client, file).await?;
        let id = pushed["id"].as_str().unwrap_or_default();
        let view = client.request(Method::GET, &["v1", "task-types", id]);
        let view = client.call(view).await?;
        let not_clear = |why: String| Failure::failed(format!("its capabilities: {why}"));
        let wanted = view.get("wanted").cloned().unwrap_or_else(|| json!({}));
        wishes.push(Wish {
            type_id: TypeId::parse(id).map_err(|error| not_clear(error.to_string()))?,
            wanted: serde_json::from_value(wanted).map_err(|error| not_clear(error.to_string()))?,
        });
    }
    host.stop().await;
    Ok(wishes)
}

/// A host with the component, and what disturbs it.
struct Bench {
    client: Client,
    host: KitHost,
    fixtures: Fixtures,
    script: Arc<Script>,
    deeds: UnboundedReceiver<Deed>,
    unanswered: Unanswered,
    /// Answers until the test is over, also while the host is dead.
    _model: Model,
    /// Skips what nobody works in.
    _time: AbortOnDropHandle<()>,
    quiet: bool,
}

impl Bench {
    async fn start(
        command: &Test,
        mut fixtures: Fixtures,
        wishes: &[Wish],
    ) -> Result<Self, Failure> {
        let unanswered = Unanswered::default();
        let turns = std::mem::take(&mut fixtures.inference);
        let model = Model::start(turns, unanswered.clone()).await;
        let model = model.map_err(|error| Failure::failed(format!("no model: {error}")))?;
        let folder = new_folder()?;
        let mut settings = serve::read(command.config.as_deref(), folder.flags())?;
        // With an operator's settings alone it is their models and networks that are tried.
        let is_real = command.config.is_some() && command.fixtures.is_none();
        let exchanges = std::mem::take(&mut fixtures.http);
        let web = Web::new(exchanges, fixtures.children.clone(), unanswered.clone());
        if !is_real {
            let setup = Setup {
                fixtures: &fixtures,
                wishes,
                is_operators: command.config.is_some(),
                model_url: &model.url(),
            };
            setup.complete(&mut settings).map_err(Failure::wrong_use)?;
        }
        let tested = wishes.last().map(|wish| &wish.type_id);
        let stand_ins = fixtures.children.keys();
        let stand_ins = stand_ins.map(|id| stand_in::id_of(id, tested));
        let (script, deeds) = Script::new(Plan {
            fail: command.fail.clone(),
            cancel_at: command.cancel_at,
            kill_at: command.kill_at.clone(),
            real_time: command.real_time,
            stand_ins: stand_ins.collect(),
            tested: tested.cloned(),
        });
        let script = Arc::new(script);
        let time = script.time();
        let passing = AbortOnDropHandle::new(tokio::spawn(async move { time.pass().await }));
        let outside: Arc<dyn Outside> = Arc::new(web);
        let disturbance = Disturbance {
            script: Some(Arc::<Script>::clone(&script)),
            outside: (!is_real).then_some(outside),
        };
        let started = KitHost::start(folder, settings, disturbance).await;
        let host = started.map_err(|error| Failure::failed(error.to_string()))?;
        Ok(Self {
            client: client_of(&host)?,
            host,
            fixtures,
            script,
            deeds,
            unanswered,
            _model: model,
            _time: passing,
            quiet: command.json,
        })
    }

    async fn test(mut self, command: &Test, params: Value) -> Result<Exit, Failure> {
        for file in &command.also {
            push(&self.client, file).await?;
        }
        for type_id in self.fixtures.children.keys() {
            let id = stand_in::id_of(type_id, self.script.tested());
            let component = stand_in::component(type_id, &id).map_err(Failure::failed)?;
            push_bytes(&self.client, component).await?;
        }
        let pushed = push(&self.client, &command.component).await?;
        if !self.quiet {
            said_of(&pushed);
        }
        for (name, file) in &self.fixtures.streams {
            ingest::ingest(&self.client, name, file, None, true).await?;
        }
        let stream = command.stream.as_ref().or(self.fixtures.only_stream());
        let stream = stream.cloned();
        let space = space()?;
        self.collections(&space, stream.as_ref())
            .fill(&*self.documents()?)
            .await?;
        let mut body = json!({"type": pushed["id"], "params": params});
        if let Some(stream) = &stream {
            body["stream"] = json!(stream);
        }
        let schedule = self.client.in_space(Method::PUT, &["tasks", TASK]);
        let scheduled = self.client.call(schedule.json(&body)).await;
        scheduled.map_err(|why| not_scheduled(self.source_of_params(command), why))?;
        let task = self.until_it_ends().await?;
        let collections = self.collections(&space, stream.as_ref());
        let differences = collections.differences(&*self.documents()?).await?;
        let verdict = self.verdict(command, &task, &differences);
        self.report(command, &task, &verdict).await?;
        self.host.stop().await;
        Ok(if verdict.is_ok() {
            Exit::Done
        } else {
            Exit::Failed
        })
    }

    fn source_of_params(&self, command: &Test) -> &'static str {
        match (&command.params, &self.fixtures.params) {
            (Some(_), _) => "are those of --params",
            (None, Some(_)) => "are those of the fixtures' params.json",
            (None, None) => {
                "are `{}`, since none are given: write them into params.json of --fixtures, or \
                 after --params"
            }
        }
    }

    fn collections<'a>(
        &'a self,
        space: &'a Space,
        stream: Option<&'a StreamName>,
    ) -> Collections<'a> {
        Collections {
            fixtures: &self.fixtures.documents,
            space,
            stream,
        }
    }

    fn documents(&self) -> Result<Arc<dyn DocumentStore>, Failure> {
        let documents = self.host.documents();
        documents.ok_or_else(|| Failure::failed("the test's host is not there any more"))
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

    async fn report(
        &self,
        command: &Test,
        task: &Value,
        verdict: &Result<String, String>,
    ) -> Result<(), Failure> {
        let calls = self.script.calls();
        let lines = log::lines(&self.client, TASK, task).await?;
        let task = &without_log(task);
        if self.quiet {
            let calls: serde_json::Map<String, Value> = calls
                .into_iter()
                .map(|(name, count)| (name.to_owned(), json!(count)))
                .collect();
            let said = verdict.as_ref().unwrap_or_else(|why| why);
            let mut all = json!({"ok": verdict.is_ok(), "verdict": said, "task": task,
                "calls": calls, "log": lines, "slept_ms": self.script.skipped_ms()});
            if command.trace {
                all["trace"] = json!(self.script.trace());
            }
            say!("{}", text::json(&all));
            return Ok(());
        }
        for line in &lines {
            say!("  log        {}", log::shown(line));
        }
        show::task(TASK, task, false);
        let calls: Vec<String> = calls
            .iter()
            .map(|(name, count)| format!("{count} {name}"))
            .collect();
        say!("  calls      {}", none_or(&calls));
        if command.trace {
            trace(&self.script.trace());
        }
        if self.script.skipped_ms() > 0 {
            say!(
                "  waited     {} ms, which took no time (--real-time)",
                self.script.skipped_ms()
            );
        }
        match verdict {
            Ok(said) => say!("ok: {said}"),
            Err(why) => say!("FAILED: {}", text::shown_lines(why)),
        }
        Ok(())
    }

    /// Whether it ended as it should.
    fn verdict(
        &self,
        command: &Test,
        task: &Value,
        differences: &[String],
    ) -> Result<String, String> {
        let unanswered = self.unanswered.all();
        if !unanswered.is_empty() {
            return Err(unanswered.join("\n"));
        }
        let not_done = self.script.not_done();
        if !not_done.is_empty() {
            return Err(not_done.join("\n"));
        }
        let wanted = match (&command.expect, command.cancel_at) {
            (Some(status), _) => status.as_str(),
            (None, Some(_)) => "canceled",
            (None, None) => "completed",
        };
        let status = task["status"].as_str().unwrap_or_default();
        if status != wanted {
            return Err(format!(
                "the task is {status}, not {wanted} as it should be"
            ));
        }
        let result = self.fixtures.result.as_ref();
        let result = result.filter(|_| status == "completed");
        if let Some(result) = result.filter(|result| task["payload"] != **result) {
            return Err(format!(
                "the result is not that of result.json, which is\n{}",
                serde_json::to_string_pretty(result).unwrap_or_default()
            ));
        }
        if !differences.is_empty() {
            return Err(differences.join("\n"));
        }
        Ok(match result {
            Some(_) => "completed, with the result of result.json".to_owned(),
            None => format!("{status}, as it should be"),
        })
    }
}

fn none_or(calls: &[String]) -> String {
    if calls.is_empty() {
        return "none".to_owned();
    }
    calls.join(", ")
}

/// A host of its own, with everything of the settings but address and folders.
pub(crate) async fn start(config: Option<&Path>) -> Result<KitHost, Failure> {
    let folder = new_folder()?;
    let settings = serve::read(config, folder.flags())?;
    let started = KitHost::start(folder, settings, Disturbance::default()).await;
    started.map_err(|error| Failure::failed(error.to_string()))
}

fn new_folder() -> Result<KitFolder, Failure> {
    KitFolder::new().map_err(|error| Failure::failed(format!("no temporary folder: {error}")))
}

fn space() -> Result<Space, Failure> {
    Space::parse(SPACE).map_err(|error| Failure::failed(error.to_string()))
}

pub(crate) fn client_of(host: &KitHost) -> Result<Client, Failure> {
    Client::new(&Target {
        url: host.url(),
        space: space()?,
        json: false,
        token_file: None,
    })
}

/// Loads a component into the host, as anybody would.
pub(crate) async fn push(client: &Client, file: &Path) -> Result<Value, Failure> {
    let bytes = files::read(file, COMPONENT_BYTES_MAX).map_err(Failure::wrong_use)?;
    push_bytes(client, bytes).await
}

pub(crate) async fn push_bytes(client: &Client, bytes: Vec<u8>) -> Result<Value, Failure> {
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
    let state = string("state");
    let what = match state.as_str() {
        "pending_approval" => "a host keeps it until an operator approves it",
        _ => "a host takes it",
    };
    say!("{} {}: {what} ({state})", string("id"), string("version"));
    let warnings = pushed["warnings"].as_array();
    for warning in warnings.map(Vec::as_slice).unwrap_or_default() {
        let warning = warning.as_str().map(text::shown).unwrap_or_default();
        say!("  warning: {warning}");
    }
}

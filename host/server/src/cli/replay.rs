//! `taskhost replay`: a recorded run again, in the real sandbox of this process, answered by its
//! recording.

mod found;
mod recorded;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use taskhost_clients::run::RunClients;
use taskhost_clients::sink::RunSink;
use taskhost_clients::stop::StopSignal;
use taskhost_model::ids::{Digest, TaskId};
use taskhost_model::task::{LogLine, Progress};
use taskhost_runtime::{Replay, RunRequest, Runtime, RuntimeSettings, Stopped, Tape};
use taskhost_service::recording::{BYTES_MAX, End, Head, LastLine, Outcome};
use taskhost_service::types::digest_of;
use taskhost_store::components::COMPONENT_BYTES_MAX;

use super::client::{Client, Target};
use super::failure::{Exit, Failure};
use super::serve::log_to_stderr;
use super::{files, log, tasks, text};
use crate::app::compile_command;
use recorded::{Recorded, save};

/// What is read of a recording: what a host keeps, and a line that it adds.
const RECORDING_BYTES_MAX: u64 = BYTES_MAX + 64 * 1024;

/// Run a recorded run again, here, with the answers that it got.
#[derive(Debug, clap::Args)]
#[command(after_help = NOTES)]
pub struct ReplayRun {
    /// The id of a run, or of the task whose latest run it is, or a file that --save has written.
    #[arg(value_name = "RUN|TASK|FILE")]
    pub run: String,
    /// A component in place of the recorded one, mended perhaps.
    #[arg(long, value_name = "FILE")]
    pub component: Option<PathBuf>,
    /// Which attempt [default: the latest one that was recorded].
    #[arg(long, value_name = "N")]
    pub attempt: Option<u32>,
    /// Keep the recording in a file, for its owner alone, but not encrypted.
    #[arg(long, value_name = "FILE")]
    pub save: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) target: Target,
}

const NOTES: &str = "\
A task is recorded when it is scheduled with --record, which an operator has to allow. The exit code
is 0 when the run ends as it did. Log lines may differ; any other call that does ends the replay.
Where a file and a task have the same name the file is taken.";

/// What came of a replay.
struct Replayed {
    outcome: Outcome,
    stopped: Option<Stopped>,
    /// The recording's next call, if the guest has ended before.
    left: Option<String>,
    calls: Vec<(String, u64)>,
    log: Vec<LogLine>,
}

pub(crate) async fn run(command: &ReplayRun) -> Result<Exit, Failure> {
    log_to_stderr("error")?;
    let client = Client::new(&command.target)?;
    let bytes = recording(command, &client).await?;
    if let Some(file) = &command.save {
        save(file, &bytes)?;
        eprintln!("saved to {}", files::shown(file));
    }
    let mut recorded = Recorded::read(bytes)?;
    let component = component(command, &client, &recorded.head).await?;
    let digest = digest_of(&component);
    let quiet = command.target.json;
    if !quiet {
        recorded.introduce(command, &digest);
    }
    let calls = std::mem::take(&mut recorded.calls);
    let replayed = replay(&recorded, calls, component, &digest, quiet).await?;
    let verdict = verdict(&recorded, &replayed);
    report(&recorded, &replayed, &digest, &verdict, quiet);
    Ok(if verdict.is_ok() {
        Exit::Done
    } else {
        Exit::Failed
    })
}

async fn recording(command: &ReplayRun, client: &Client) -> Result<Vec<u8>, Failure> {
    let file = Path::new(&command.run);
    let id = TaskId::parse(&command.run);
    if file.is_file() {
        return files::read(file, RECORDING_BYTES_MAX).map_err(Failure::wrong_use);
    }
    let id = id.map_err(|error| {
        let message = format!("there is no such file, and no task can have this id: {error}");
        Failure::wrong_use(message)
    })?;
    let failure = match recorded_of(command, client, &id).await {
        Err(failure) => failure,
        bytes => return bytes,
    };
    // A host says the same of whatever somebody may not see.
    let task = client.in_space(Method::GET, &["tasks", id.as_str()]);
    if tasks::is_known(&client.call(task).await?) {
        return Err(failure);
    }
    match found::task_of(client, &command.run).await? {
        Some(id) => recorded_of(command, client, &id).await,
        None => Err(Failure::failed(format!(
            "there is no file `{id}` here, and no task or latest run of that id in space `{}`: \
             `taskhost list` shows what there is",
            command.target.space
        ))),
    }
}

async fn recorded_of(
    command: &ReplayRun,
    client: &Client,
    id: &TaskId,
) -> Result<Vec<u8>, Failure> {
    let mut request = client.in_space(Method::GET, &["tasks", id.as_str(), "recording"]);
    if let Some(attempt) = command.attempt {
        request = request.query(&[("attempt", attempt)]);
    }
    fetched(client, request, ("the recording", RECORDING_BYTES_MAX)).await
}

async fn component(
    command: &ReplayRun,
    client: &Client,
    head: &Head,
) -> Result<Arc<[u8]>, Failure> {
    let bytes = match &command.component {
        Some(file) => files::read(file, COMPONENT_BYTES_MAX).map_err(Failure::wrong_use)?,
        None => {
            let (type_id, digest) = (head.type_id.as_str(), head.digest.as_str());
            let path = ["v1", "task-types", type_id, "versions", digest, "component"];
            let request = client.request(Method::GET, &path);
            let bytes = fetched(client, request, ("the component", COMPONENT_BYTES_MAX)).await?;
            let sent = digest_of(&bytes);
            if sent != head.digest {
                return Err(Failure::failed(format!(
                    "the host has sent another component ({sent}) than was recorded ({}): is the \
                     recording another host's? Name the component's file with --component",
                    head.digest
                )));
            }
            bytes
        }
    };
    Ok(bytes.into())
}

/// The body of an answer, which has a name for people and at most so many bytes.
async fn fetched(
    client: &Client,
    request: RequestBuilder,
    (what, bytes_max): (&str, u64),
) -> Result<Vec<u8>, Failure> {
    let mut response = client.send(request).await?;
    let status = response.status();
    let mut bytes = Vec::new();
    let broken_off = |error| client.broken_off(what, &error);
    while let Some(chunk) = response.chunk().await.map_err(broken_off)? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() as u64 > bytes_max {
            let most = text::bytes(bytes_max);
            let message = format!("{what} has more than {most}, the most that is read");
            return Err(Failure::failed(message));
        }
    }
    if status == StatusCode::OK {
        return Ok(bytes);
    }
    let problem = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    Err(Failure::of_problem(&problem))
}

/// Shows or keeps what is logged.
#[derive(Debug)]
struct LogSink {
    quiet: bool,
    lines: Mutex<Vec<LogLine>>,
}

impl RunSink for LogSink {
    fn progress(&self, _: Progress) {}

    fn log(&self, line: LogLine) {
        if self.quiet {
            let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
            lines.push(line);
        } else if let Ok(line) = serde_json::to_value(&line) {
            say!("  log        {}", log::shown(&line));
        }
    }
}

async fn replay(
    recorded: &Recorded,
    calls: String,
    component: Arc<[u8]>,
    digest: &Digest,
    quiet: bool,
) -> Result<Replayed, Failure> {
    let failed = |error: String| Failure::failed(error);
    let folder = tempfile::tempdir();
    let folder = folder.map_err(|error| failed(format!("no temporary folder: {error}")))?;
    let mut settings = RuntimeSettings::new(folder.path().to_owned());
    settings.compile = compile_command(folder.path());
    let runtime = Runtime::start(settings).map_err(|error| failed(error.to_string()))?;
    let checked = runtime.check(&component);
    checked.map_err(|error| failed(format!("the component is refused: {error}")))?;
    let loaded = runtime.load(digest, component).await;
    let loaded = loaded.map_err(|error| failed(error.to_string()))?;
    let stop = StopSignal::new();
    let tape = Arc::new(Replay::new(calls, recorded.is_open(), stop.clone()));
    let lines = Mutex::default();
    let sink = Arc::new(LogSink { quiet, lines });
    let limits = recorded.limits();
    let shown = Arc::<LogSink>::clone(&sink);
    let request = RunRequest {
        params: recorded.head.params.clone(),
        clients: RunClients::replaying(stop.clone(), shown, limits.log_bytes),
        limits: limits.of_replay(),
        stop,
        on_start: Box::new(|| ()),
        tape: Tape::Replays(Arc::clone(&tape)),
    };
    let exit = runtime.run(&loaded, request).await;
    let log = std::mem::take(&mut *sink.lines.lock().unwrap_or_else(PoisonError::into_inner));
    // Looked at first: what is left may be what cannot be read.
    let left = tape.next_call();
    Ok(Replayed {
        outcome: Outcome::from(&exit.outcome),
        stopped: tape.stopped(),
        left,
        calls: tape.calls(),
        log,
    })
}

/// Whether it has ended as it did.
fn verdict(recorded: &Recorded, replayed: &Replayed) -> Result<String, String> {
    let over = match &replayed.stopped {
        Some(Stopped::Differs(said) | Stopped::Unreadable(said)) => return Err(said.clone()),
        Some(Stopped::Over { call }) => Some(call),
        None => None,
    };
    let now = said_of(&replayed.outcome);
    let end = match (&recorded.last, &replayed.left) {
        (Some(LastLine::End(end)), _) => end,
        (_, Some(call)) => {
            let ended = "it ended before the recording does, which goes on with";
            return Err(format!("{ended} `{call}`; now it is {now}"));
        }
        (Some(LastLine::BrokenOff(reason)), None) => {
            let same = "as far as it goes it is the same: the recording broke off";
            return Err(format!("{same}: {reason}"));
        }
        (None, None) => {
            return Err("as far as it goes it is the same: the recording has no end".to_owned());
        }
    };
    if let Some(call) = over {
        match end {
            End {
                lost: Some(reason), ..
            } => {
                let same = "as far as it was kept it is the same: the recording broke off before";
                return Err(format!("{same} `{call}`: {reason}"));
            }
            End { cut: true, .. } => {
                let same = "as far as it was kept it is the same: the recording was cut before";
                return Err(format!("{same} `{call}`"));
            }
            _ => {}
        }
    }
    let was = said_of(&end.outcome);
    match (&end.outcome, &replayed.left) {
        (Outcome::Stopped { reason }, None) => Ok(format!(
            "the same calls up to where it was stopped ({reason})"
        )),
        (_, Some(call)) => Err(format!(
            "it ended before the recording does, which goes on with `{call}`; now it is {now}, \
             and was {was}"
        )),
        (outcome, None) if outcome.is_same(&replayed.outcome) => Ok(format!("{was}, as it was")),
        (_, None) => Err(format!("after the same calls it is {now}, and was {was}")),
    }
}

fn said_of(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Completed { result, .. } => match result {
            Some(result) => format!("completed with {}", text::shortened(result, 200)),
            None => "completed with a long result".to_owned(),
        },
        Outcome::Failed { error } => {
            let message = text::shortened(&error.message, 200);
            format!("failed ({}: {message})", error.kind.as_str())
        }
        Outcome::Stopped { reason } => format!("stopped ({reason})"),
    }
}

fn report(
    recorded: &Recorded,
    replayed: &Replayed,
    digest: &Digest,
    verdict: &Result<String, String>,
    quiet: bool,
) {
    let said = verdict.as_ref().unwrap_or_else(|why| why);
    if quiet {
        let calls: serde_json::Map<String, Value> = replayed
            .calls
            .iter()
            .map(|(name, count)| (name.clone(), json!(count)))
            .collect();
        let all = json!({
            "ok": verdict.is_ok(), "verdict": said, "run": recorded.head.run,
            "attempt": recorded.head.attempt, "recorded_digest": recorded.head.digest,
            "digest": digest, "calls": calls, "log": replayed.log,
            "recorded": Value::from(recorded), "now": replayed.outcome,
        });
        say!("{}", text::json(&all));
        return;
    }
    let calls = replayed.calls.iter();
    let calls: Vec<String> = calls
        .map(|(name, count)| format!("{count} {name}"))
        .collect();
    match calls.is_empty() {
        true => say!("  calls      none"),
        false => say!("  calls      {}", calls.join(", ")),
    }
    if replayed.stopped.is_none() {
        show(&replayed.outcome);
    }
    match verdict {
        Ok(_) => say!("ok: {}", text::shown(said)),
        Err(_) => say!("FAILED: {}", text::shown(said)),
    }
}

fn show(outcome: &Outcome) {
    match outcome {
        Outcome::Completed {
            result: Some(result),
            ..
        } => {
            let value: Value = serde_json::from_str(result).unwrap_or(Value::Null);
            let pretty = serde_json::to_string_pretty(&value).unwrap_or_default();
            say!("  result");
            for line in text::shown_lines(&pretty).lines() {
                say!("    {line}");
            }
        }
        Outcome::Failed { error } => {
            say!("  error      {}", text::shown(&error.message));
            let frames = error.details.as_ref().map(|details| &details["frames"]);
            for frame in frames.and_then(Value::as_array).into_iter().flatten() {
                let frame = frame.as_str().map(text::shown).unwrap_or_default();
                say!("  in         {frame}");
            }
        }
        other => say!("  end        {}", said_of(other)),
    }
}

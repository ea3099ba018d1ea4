//! `taskhost replay`: a recorded run again, in the real sandbox of this process, answered by its
//! recording.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use taskhost_clients::run::RunClients;
use taskhost_clients::sink::RunSink;
use taskhost_clients::stop::StopSignal;
use taskhost_model::ids::{Digest, TaskId};
use taskhost_model::task::{LogLine, Progress};
use taskhost_runtime::{Replay, RunRequest, Runtime, RuntimeSettings, Stopped, Tape};
use taskhost_service::recording::{BYTES_MAX, End, EndLine, Head, Outcome};
use taskhost_service::types::digest_of;
use taskhost_store::components::COMPONENT_BYTES_MAX;

use super::client::{Client, Target};
use super::failure::{Exit, Failure};
use super::serve::log_to_stderr;
use super::{files, log, text};
use crate::app::compile_command;

/// What is read of a saved recording: its lines are a little more than what they hold.
const FILE_BYTES_MAX: u64 = BYTES_MAX * 2;

/// Run a recorded run again, here, with the answers that it got.
#[derive(Debug, clap::Args)]
#[command(after_help = NOTES)]
pub struct ReplayRun {
    /// The task's id, or a file that --save has written.
    #[arg(value_name = "RUN")]
    pub run: String,
    /// A component in place of the recorded one, mended perhaps.
    #[arg(long, value_name = "FILE")]
    pub component: Option<PathBuf>,
    /// Which attempt [default: the latest one that was recorded].
    #[arg(long, value_name = "N")]
    pub attempt: Option<u32>,
    /// Keep the recording in a file, which is not encrypted.
    #[arg(long, value_name = "FILE")]
    pub save: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) target: Target,
}

const NOTES: &str = "\
A task is recorded when it is scheduled with --record, which an operator has to allow. The exit code
is 0 when the run ends as it did. Log lines may differ; any other call that does ends the replay.";

/// A recording, read.
struct Recorded {
    head: Head,
    /// Calls, one JSON object each.
    lines: Vec<String>,
    /// None when its host died.
    end: Option<End>,
}

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
    }
    let recorded = Recorded::read(&bytes)?;
    drop(bytes);
    let component = component(command, &client, &recorded.head).await?;
    let digest = digest_of(&component);
    let quiet = command.target.json;
    if !quiet {
        recorded.introduce(command, &digest);
    }
    let replayed = replay(&recorded, component, &digest, quiet).await?;
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
    if file.is_file() {
        return files::read(file, FILE_BYTES_MAX).map_err(Failure::wrong_use);
    }
    let id = TaskId::parse(&command.run).map_err(|error| {
        let message = format!("there is no such file, and {error}");
        Failure::wrong_use(message)
    })?;
    let mut request = client.in_space(Method::GET, &["tasks", id.as_str(), "recording"]);
    if let Some(attempt) = command.attempt {
        request = request.query(&[("attempt", attempt)]);
    }
    fetched(client, request).await
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
            fetched(client, client.request(Method::GET, &path)).await?
        }
    };
    Ok(bytes.into())
}

async fn fetched(client: &Client, request: reqwest::RequestBuilder) -> Result<Vec<u8>, Failure> {
    let response = client.send(request).await?;
    let status = response.status();
    let bytes = response.bytes().await;
    let bytes = bytes.map_err(|error| client.unreachable(&error))?;
    if status == StatusCode::OK {
        return Ok(bytes.into());
    }
    let problem = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    Err(Failure::of_problem(&problem))
}

/// Readable by its owner alone: the host keeps the same encrypted.
fn save(file: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let written = options
        .open(file)
        .and_then(|mut file| file.write_all(bytes));
    written.map_err(|error| {
        let message = format!("{} cannot be written: {error}", files::shown(file));
        Failure::failed(message)
    })
}

impl Recorded {
    fn read(bytes: &[u8]) -> Result<Self, Failure> {
        let wrong = |problem: String| {
            let message = format!("that is no recording that this taskhost can read: {problem}");
            Failure::failed(message)
        };
        let text = std::str::from_utf8(bytes).map_err(|error| wrong(error.to_string()))?;
        // A host that died may have left half a line.
        let mut lines = text
            .split_inclusive('\n')
            .filter_map(|line| line.strip_suffix('\n'));
        let head = lines.next().unwrap_or_default();
        let head = serde_json::from_str(head);
        let head = head.map_err(|error| wrong(format!("its first line has {error}")))?;
        let mut lines: Vec<String> = lines.map(str::to_owned).collect();
        let end = lines.last().and_then(|line| {
            let EndLine { end } = serde_json::from_str(line).ok()?;
            Some(end)
        });
        if end.is_some() {
            lines.pop();
        }
        Ok(Self { head, lines, end })
    }

    /// Whether calls may have followed that are not there.
    fn is_open(&self) -> bool {
        let stopped = |end: &End| end.cut || matches!(end.outcome, Outcome::Stopped { .. });
        self.end.as_ref().is_none_or(stopped)
    }

    fn introduce(&self, command: &ReplayRun, digest: &Digest) {
        let Head {
            type_id,
            version,
            attempt,
            run,
            task,
            ..
        } = &self.head;
        let version = text::shown(version);
        say!("{task}: attempt {attempt} of run {run}, {type_id} {version}");
        if let Some(file) = command
            .component
            .as_ref()
            .filter(|_| *digest != self.head.digest)
        {
            let file = files::shown(file);
            say!("  component  {file}, which is another one than was recorded ({digest})");
        }
    }
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
    let tape = Replay::new(
        recorded.lines.iter().cloned(),
        recorded.is_open(),
        stop.clone(),
    );
    let tape = Arc::new(tape);
    let lines = Mutex::default();
    let sink = Arc::new(LogSink { quiet, lines });
    let limits = recorded.head.limits;
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
    Ok(Replayed {
        outcome: Outcome::from(&exit.outcome),
        stopped: tape.stopped(),
        left: tape.next_call(),
        calls: tape.calls(),
        log,
    })
}

/// Whether it has ended as it did.
fn verdict(recorded: &Recorded, replayed: &Replayed) -> Result<String, String> {
    let Some(end) = &recorded.end else {
        return match &replayed.stopped {
            Some(Stopped::Differs(said)) => Err(said.clone()),
            _ => Err("as far as it goes it is the same, and its host died: it has no end".into()),
        };
    };
    match (&replayed.stopped, &end.outcome) {
        (Some(Stopped::Differs(said)), _) => Err(said.clone()),
        (Some(Stopped::Over { call }), _) if end.cut => Err(format!(
            "as far as it was kept it is the same: the recording was cut before `{call}`"
        )),
        (_, Outcome::Stopped { reason }) if replayed.left.is_none() => Ok(format!(
            "the same calls up to where it was stopped ({reason})"
        )),
        _ => match &replayed.left {
            Some(call) => Err(format!(
                "it ended before the recording does, which goes on with `{call}`; now it is {}, \
                 and was {}",
                said_of(&replayed.outcome),
                said_of(&end.outcome)
            )),
            None if end.outcome.is_same(&replayed.outcome) => {
                Ok(format!("{}, as it was", said_of(&end.outcome)))
            }
            None => Err(format!(
                "after the same calls it is {}, and was {}",
                said_of(&replayed.outcome),
                said_of(&end.outcome)
            )),
        },
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
            "recorded": recorded.end, "now": replayed.outcome,
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

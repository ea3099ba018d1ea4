//! `taskhost log`: what a run of a task has logged, or logs.

use std::time::Duration;

use reqwest::{Method, Response};
use serde_json::Value;
use taskhost_model::ids::{RunId, TaskId};

use super::client::{Client, Target};
use super::events::EventParser;
use super::failure::{Exit, Failure};
use super::tasks::known;
use super::text;

/// A connection without even a comment for so long is dead.
const SILENCE: Duration = Duration::from_secs(45);
/// So often in a row a connection may break without a line.
const BREAKS_MAX: u32 = 5;
/// Before the next one is made.
const PAUSE: Duration = Duration::from_millis(500);

/// Print what a run has logged.
#[derive(Debug, clap::Args)]
pub struct Log {
    /// The task's id.
    pub id: TaskId,
    /// One of its runs, as `taskhost runs` shows them [default: the latest].
    #[arg(long, value_parser = RunId::parse)]
    pub run: Option<RunId>,
    /// Go on until the run has ended.
    #[arg(long, short)]
    pub follow: bool,
    #[command(flatten)]
    pub(crate) target: Target,
}

pub(crate) async fn log(command: &Log) -> Result<Exit, Failure> {
    let client = Client::new(&command.target)?;
    let id = command.id.as_str();
    let run = match command.run {
        Some(run) => run.to_string(),
        None => {
            let request = client.in_space(Method::GET, &["tasks", id]);
            let task = client.call(request).await?;
            known(&command.target, &command.id, &task)?;
            task["run"]["id"].as_str().unwrap_or_default().to_owned()
        }
    };
    if command.follow {
        return follow(&client, command, &run).await;
    }
    let lines = lines_of(&client, id, &run).await?;
    if lines.is_empty() {
        let which = match command.run {
            Some(_) => "its run",
            None => "its latest run",
        };
        eprintln!("{id}: {which}, {}, has logged nothing", text::shown(&run));
    }
    for line in &lines {
        say_line(command, line);
    }
    Ok(Exit::Done)
}

fn say_line(command: &Log, line: &Value) {
    if command.target.json {
        say!("{}", text::json(line));
    } else {
        say!("{}", shown(line));
    }
}

/// Prints lines as they come; where the connection breaks it goes on after the last one.
async fn follow(client: &Client, command: &Log, run: &str) -> Result<Exit, Failure> {
    let mut seen: Option<String> = None;
    let mut breaks = 0;
    loop {
        let path = ["tasks", command.id.as_str(), "runs", run, "log"];
        let request = client.in_space(Method::GET, &path);
        let mut request = request.query(&[("follow", "true")]);
        if let Some(seen) = &seen {
            request = request.header("last-event-id", seen);
        }
        let response = client.send(request).await?;
        if !response.status().is_success() {
            let problem = response.json().await.unwrap_or_default();
            return Err(Failure::of_problem(&problem));
        }
        let before = seen.clone();
        if listen(response, command, &mut seen).await {
            return Ok(Exit::Done);
        }
        breaks = if seen == before { breaks + 1 } else { 0 };
        if breaks > BREAKS_MAX {
            return Err(client.not_ready());
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Whether the log is whole.
async fn listen(mut response: Response, command: &Log, seen: &mut Option<String>) -> bool {
    let mut parser = EventParser::default();
    while let Ok(Ok(Some(part))) = tokio::time::timeout(SILENCE, response.chunk()).await {
        for event in parser.take(&part) {
            match event.name.as_str() {
                "end" => return true,
                "log" => {
                    seen.clone_from(&event.id);
                    let line = serde_json::from_str(&event.data).unwrap_or_default();
                    say_line(command, &line);
                }
                _ => {}
            }
        }
    }
    false
}

/// What the task's latest run has logged.
pub(crate) async fn lines(client: &Client, id: &str, task: &Value) -> Result<Vec<Value>, Failure> {
    lines_of(client, id, task["run"]["id"].as_str().unwrap_or_default()).await
}

async fn lines_of(client: &Client, id: &str, run: &str) -> Result<Vec<Value>, Failure> {
    let request = client.in_space(Method::GET, &["tasks", id, "runs", run, "log"]);
    let (status, lines) = client.lines(request).await?;
    if !status.is_success() {
        return Err(Failure::of_problem(lines.first().unwrap_or(&Value::Null)));
    }
    Ok(lines)
}

/// Time, level, message and fields on one line.
pub(crate) fn shown(line: &Value) -> String {
    let string = |key: &str| line[key].as_str().map(text::shown).unwrap_or_default();
    let mut shown = format!(
        "{} {:<5} {}",
        string("at"),
        string("level"),
        string("message")
    );
    if let Some(fields) = line.get("fields") {
        shown.push(' ');
        shown.push_str(&text::json(fields));
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_line_has_its_time_first_and_everything_escaped() {
        let line = json!({"at": "2026-01-01T00:00:00.000Z", "level": "info",
            "message": "a\n\u{1b}[1m", "fields": {"n": 1}});
        let expected = "2026-01-01T00:00:00.000Z info  a\\n\\u{1b}[1m {\"n\":1}";
        assert_eq!(shown(&line), expected);
    }
}

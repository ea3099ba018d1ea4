//! `taskhost log`: what the latest run of a task has logged.

use reqwest::Method;
use serde_json::Value;

use super::client::Client;
use super::failure::{Exit, Failure};
use super::tasks::{OneTask, known};
use super::text;

pub(crate) async fn log(command: &OneTask) -> Result<Exit, Failure> {
    let client = Client::new(&command.target)?;
    let id = command.id.as_str();
    let task = client
        .call(client.in_space(Method::GET, &["tasks", id]))
        .await?;
    known(&command.target, &command.id, &task)?;
    let lines = lines(&client, id, &task).await?;
    if lines.is_empty() {
        eprintln!(
            "{id}: its latest run, {}, has logged nothing",
            text::shown(task["run"]["id"].as_str().unwrap_or_default())
        );
    }
    for line in &lines {
        if command.target.json {
            say!("{}", text::json(line));
        } else {
            say!("{}", shown(line));
        }
    }
    Ok(Exit::Done)
}

/// What the task's latest run has logged.
pub(crate) async fn lines(client: &Client, id: &str, task: &Value) -> Result<Vec<Value>, Failure> {
    let run = task["run"]["id"].as_str().unwrap_or_default();
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

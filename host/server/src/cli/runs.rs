//! `taskhost runs`: the latest run of a task, and those before it that are kept.

use reqwest::Method;
use serde_json::Value;

use super::client::Client;
use super::failure::{Exit, Failure};
use super::table::{Medium, table};
use super::tasks::OneTask;
use super::text;

pub(crate) async fn run(command: &OneTask) -> Result<Exit, Failure> {
    let client = Client::new(&command.target)?;
    let id = command.id.as_str();
    let request = client.in_space(Method::GET, &["tasks", id, "runs"]);
    let answer = client.call(request).await?;
    if command.target.json {
        say!("{}", text::json(&answer));
        return Ok(Exit::Done);
    }
    let runs = answer["runs"].as_array().cloned().unwrap_or_default();
    let rows: Vec<Vec<String>> = runs.iter().map(row).collect();
    let header = [
        "run",
        "status",
        "scheduled",
        "by",
        "ended",
        "attempt",
        "cpu",
        "error",
    ];
    say!("{}", table(Medium::of_stdout(), &header, &rows));
    if !runs.is_empty() {
        eprintln!("The log of one of them: taskhost log {id} --run RUN");
    }
    Ok(Exit::Done)
}

fn row(run: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let error = &run["error"];
    let why = match (error["kind"].as_str(), error["message"].as_str()) {
        (Some(kind), Some(message)) => format!("{kind}: {}", text::shortened(message, 60)),
        _ => String::new(),
    };
    let cpu = run["usage"]["cpu_ms"].as_u64();
    vec![
        text(&run["id"]),
        text(&run["status"]),
        text(&run["created_at"]),
        text(&run["requested_by"]),
        text(&run["ended_at"]),
        format!("{} of {}", run["attempt"], run["max_attempts"]),
        cpu.map_or_else(String::new, |ms| format!("{ms} ms")),
        why,
    ]
}

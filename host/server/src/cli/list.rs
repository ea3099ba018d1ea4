//! `taskhost list`: the tasks of a space.

use std::num::NonZeroUsize;

use reqwest::Method;
use serde_json::{Value, json};

use super::chosen::Filter;
use super::client::{Client, Target};
use super::failure::{Exit, Failure};
use super::show;
use super::table::{Medium, table};
use super::text;

/// Rows that one request asks for.
const PAGE: usize = 1_000;

/// List tasks, the newest first.
#[derive(Debug, clap::Args)]
pub struct List {
    #[command(flatten)]
    pub(crate) filter: Filter,
    /// Also count them by status.
    #[arg(long)]
    pub counts: bool,
    /// At most so many.
    #[arg(long, default_value_t = NonZeroUsize::new(100).unwrap_or(NonZeroUsize::MIN))]
    pub limit: NonZeroUsize,
    #[command(flatten)]
    pub(crate) target: Target,
}

pub(crate) async fn list(command: &List) -> Result<Exit, Failure> {
    let client = Client::new(&command.target)?;
    let Listed {
        tasks,
        next,
        counts,
    } = all(&client, command).await?;
    if command.target.json {
        let mut answer = json!({"tasks": tasks});
        if let Some(next) = next {
            answer["next"] = next;
        }
        if let Some(counts) = counts {
            answer["counts"] = counts;
        }
        say!("{}", text::json(&answer));
        return Ok(Exit::Done);
    }
    for (status, count) in counts.iter().flat_map(|it| it.as_object()).flatten() {
        say!("{count:>9} {}", text::shown(status));
    }
    if tasks.is_empty() {
        say!("no tasks");
        return Ok(Exit::Done);
    }
    let rows: Vec<Vec<String>> = tasks.iter().map(row).collect();
    let header = ["id", "type", "status", "progress", "scheduled"];
    say!("{}", table(Medium::of_stdout(), &header, &rows));
    if next.is_some() {
        eprintln!("There are more: raise --limit above {}.", command.limit);
    }
    Ok(Exit::Done)
}

/// What was found.
struct Listed {
    tasks: Vec<Value>,
    /// Where the next page would begin.
    next: Option<Value>,
    counts: Option<Value>,
}

/// Pages until the limit.
async fn all(client: &Client, command: &List) -> Result<Listed, Failure> {
    let mut tasks = Vec::new();
    let mut cursor: Option<Value> = None;
    let mut counts = None;
    while tasks.len() < command.limit.get() {
        let limit = (command.limit.get() - tasks.len()).min(PAGE).to_string();
        let mut query = vec![("limit", limit)];
        query.extend(command.filter.pairs());
        if command.counts && counts.is_none() {
            query.push(("counts", "true".to_owned()));
        }
        query.extend(
            cursor
                .iter()
                .filter_map(|c| Some(("cursor", c.as_str()?.to_owned()))),
        );
        let request = client.in_space(Method::GET, &["tasks"]).query(&query);
        let mut page = client.call(request).await?;
        let got = page["tasks"]
            .as_array_mut()
            .map(std::mem::take)
            .unwrap_or_default();
        tasks.extend(got);
        counts = counts.or_else(|| page.get("counts").cloned());
        cursor = page.get("next").cloned();
        if cursor.is_none() {
            break;
        }
    }
    Ok(Listed {
        tasks,
        next: cursor,
        counts,
    })
}

fn row(task: &Value) -> Vec<String> {
    let text_of = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let progress = &task["progress"];
    let count = match (progress["done"].as_u64(), progress["total"].as_u64()) {
        (Some(done), Some(total)) => format!("{done}/{total}"),
        (Some(done), None) if done > 0 => done.to_string(),
        _ => String::new(),
    };
    let state = task["run"]["state"].as_str();
    let status = match state.filter(|_| task["status"] == "in_progress") {
        Some(state) => match show::waits_until(task) {
            Some(due_at) => format!("in_progress ({state} until {due_at})"),
            None => format!("in_progress ({state})"),
        },
        None => text_of(&task["status"]),
    };
    vec![
        text_of(&task["id"]),
        text_of(&task["type"]),
        status,
        count,
        text_of(&task["created_at"]),
    ]
}

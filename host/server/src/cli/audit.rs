//! `taskhost audit`: who has changed what.

use reqwest::Method;
use serde_json::Value;

use super::client::{Client, Target};
use super::failure::{Exit, Failure};
use super::table::{Medium, table};
use super::text;

/// Show who has changed what, the newest first; for admins.
#[derive(Debug, clap::Args)]
pub struct Audit {
    #[command(flatten)]
    target: Target,
    /// Of this person.
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// What was done: `task.cancel`, or `task` for all that is done to tasks.
    #[arg(long, value_name = "DEED")]
    deed: Option<String>,
    /// To what: a task's id, a stream, `TYPE/DIGEST`, a token's id.
    #[arg(long, value_name = "ID")]
    of: Option<String>,
    /// In this space alone; otherwise in all of them.
    #[arg(long, value_name = "SPACE")]
    in_space: Option<String>,
    /// Not before; RFC 3339 or epoch milliseconds.
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Before.
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// At most so many.
    #[arg(long, default_value_t = 50)]
    limit: usize,
}

/// The most that one answer has.
const PAGE: usize = 1_000;

pub(crate) async fn run(command: &Audit) -> Result<Exit, Failure> {
    let client = Client::new(&command.target)?;
    let (mut entries, mut cursor) = (Vec::new(), None::<String>);
    while entries.len() < command.limit {
        let limit = (command.limit - entries.len()).min(PAGE).to_string();
        let asked = [
            ("by", command.by.as_deref()),
            ("deed", command.deed.as_deref()),
            ("target", command.of.as_deref()),
            ("space", command.in_space.as_deref()),
            ("from", command.from.as_deref()),
            ("to", command.to.as_deref()),
            ("cursor", cursor.as_deref()),
            ("limit", Some(&limit)),
        ];
        let asked: Vec<_> = asked
            .iter()
            .filter_map(|(key, value)| Some((*key, (*value)?)))
            .collect();
        let request = client.request(Method::GET, &["v1", "audit"]).query(&asked);
        let mut page = client.call(request).await?;
        if let Value::Array(some) = page["entries"].take() {
            entries.extend(some);
        }
        cursor = page["next"].as_str().map(str::to_owned);
        if cursor.is_none() {
            break;
        }
    }
    if command.target.json {
        say!("{}", text::json(&Value::Array(entries)));
        return Ok(Exit::Done);
    }
    let header = ["at", "who", "from", "deed", "space", "of", "outcome"];
    let rows: Vec<Vec<String>> = entries.iter().map(row).collect();
    say!("{}", table(Medium::of_stdout(), &header, &rows));
    Ok(Exit::Done)
}

fn row(entry: &Value) -> Vec<String> {
    let text = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
    let who = match entry["token"].as_str() {
        Some(token) => format!("{} ({token})", text("by")),
        None => text("by"),
    };
    let of = match entry["detail"].as_str() {
        Some(detail) => format!("{} ({detail})", text("target")),
        None => text("target"),
    };
    let outcome = match entry["outcome"].as_str() {
        Some(outcome) => outcome.to_owned(),
        None => "not known".to_owned(),
    };
    vec![
        text("at"),
        who,
        text("from"),
        text("deed"),
        text("space"),
        of,
        outcome,
    ]
}

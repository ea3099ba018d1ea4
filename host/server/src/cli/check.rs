//! `taskhost check`: what a host would say to a component.

mod schema;

use std::path::PathBuf;

use reqwest::Method;
use serde_json::{Value, json};
use taskhost_model::capabilities::Capabilities;
use taskhost_runtime::Outline;
use taskhost_store::components::COMPONENT_BYTES_MAX;

use super::client::Client;
use super::failure::{Exit, Failure};
use super::serve::log_to_stderr;
use super::test::{client_of, push_bytes, said_of, start};
use super::{files, text};

/// Load a component into a host of its own that is gone afterwards, and tell what that host sees.
#[derive(Debug, clap::Args)]
pub struct Check {
    /// The component, a *.wasm file.
    pub component: PathBuf,
    /// The settings of the host that it is meant for [default: those of a new host].
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print JSON, as a host answers it.
    #[arg(long)]
    pub json: bool,
}

/// The descriptor, in the order in which it is told.
const KEYS: &[&str] = &[
    "title",
    "description",
    "stream",
    "params_schema",
    "result_schema",
    "checkpoint_schema",
    "limits",
    "collections",
    "space_collections",
    "any_model",
    "wanted",
    "granted",
    "retry",
    "concurrency",
    "grace_ms",
    "stale_after_s",
    "min_host",
    "streams_from",
];

pub(crate) async fn run(command: &Check) -> Result<Exit, Failure> {
    log_to_stderr("error")?;
    let bytes = files::read(&command.component, COMPONENT_BYTES_MAX).map_err(Failure::wrong_use)?;
    let outline = taskhost_runtime::outline(&bytes);
    // First, since a host that refuses the file tells nothing of it.
    if !command.json {
        say!("{}", files::shown(&command.component));
        say!("  size       {}", text::bytes(bytes.len() as u64));
        if let Ok(outline) = &outline {
            of_file(outline);
        }
    }
    let host = start(command.config.as_deref()).await?;
    let client = client_of(&host)?;
    let said = say_of(command, &client, bytes, outline.ok()).await;
    host.stop().await;
    said.map(|()| Exit::Done)
}

async fn say_of(
    command: &Check,
    client: &Client,
    bytes: Vec<u8>,
    outline: Option<Outline>,
) -> Result<(), Failure> {
    let pushed = push_bytes(client, bytes).await?;
    let id = pushed["id"].as_str().unwrap_or_default();
    let mut view = client
        .call(client.request(Method::GET, &["v1", "task-types", id]))
        .await?;
    if command.json {
        let outline = outline.unwrap_or_default();
        view["file"] = json!({"imports": outline.imports, "exports": outline.exports,
            "contract": outline.contract()});
        say!("{}", text::json(&view));
        return Ok(());
    }
    said_of(&pushed);
    for line in approval(&pushed) {
        say!("{line}");
    }
    for key in KEYS {
        let value = &view[*key];
        let is_empty = value.is_null() || value.as_array().is_some_and(Vec::is_empty);
        if !is_empty {
            let name = key.trim_end_matches("_schema");
            say!("  {name:<10} {}", told(key, value));
        }
    }
    Ok(())
}

/// What the file itself says.
fn of_file(outline: &Outline) {
    let contract = outline.contract();
    let contract = contract.unwrap_or_else(|| "none: it has nothing of taskhost:task".to_owned());
    say!("  contract   {}", text::shown(&contract));
    for (name, list) in [("exports", &outline.exports), ("imports", &outline.imports)] {
        let list = match list.join(", ") {
            empty if empty.is_empty() => "none".to_owned(),
            list => text::shown(&list),
        };
        say!("  {name:<10} {list}");
    }
}

/// Why a host would not run it yet, and what to paste.
fn approval(pushed: &Value) -> Vec<String> {
    let wants = pushed["needs_approval"].as_array();
    let wants = wants.map(Vec::as_slice).unwrap_or_default();
    if wants.is_empty() {
        return Vec::new();
    }
    let wants: Vec<String> = wants
        .iter()
        .filter_map(Value::as_str)
        .map(text::shown)
        .collect();
    let mut lines = vec![format!(
        "  it waits for an operator's approval: it wants {}, which the settings do not allow. \
         These do:",
        wants.join("; ")
    )];
    let setting = pushed["setting"].as_str().unwrap_or_default();
    lines.extend(
        setting
            .lines()
            .map(|line| format!("    {}", text::shown(line))),
    );
    lines
}

/// One key of the descriptor, on a line.
fn told(key: &str, value: &Value) -> String {
    if key.ends_with("_schema") {
        return text::shown(&schema::in_short(value));
    }
    if matches!(key, "wanted" | "granted") {
        let asked: Option<Capabilities> = serde_json::from_value(value.clone()).ok();
        let words = asked.map(|asked| asked.words().join("; "));
        return text::shown(&words.unwrap_or_else(|| value.to_string()));
    }
    match value {
        Value::String(text) => text::shown(text),
        Value::Array(list) => {
            let list: Vec<String> = list.iter().map(|one| told("", one)).collect();
            list.join(", ")
        }
        Value::Object(map) => {
            let pair = |(key, value): (&String, &Value)| format!("{key} {}", told("", value));
            let pairs: Vec<String> = map.iter().map(pair).collect();
            text::shown(&pairs.join(", "))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_for_approval_says_why_and_what_to_paste() {
        let pushed = json!({"needs_approval": ["secret key", "model small"],
            "setting": "[[allow]]\ntype = \"a\"\nsecrets = [\"key\"]"});
        let lines = approval(&pushed);
        assert!(
            lines[0].contains("it wants secret key; model small, which"),
            "{lines:?}"
        );
        assert_eq!(
            lines[1..],
            [
                "    [[allow]]",
                "    type = \"a\"",
                "    secrets = [\"key\"]"
            ]
        );
        assert!(approval(&json!({})).is_empty());
    }

    #[test]
    fn each_kind_of_value_has_its_words() {
        let limits = json!({"cpu_ms": 10, "memory_mib": 64});
        assert_eq!(told("limits", &limits), "cpu_ms 10, memory_mib 64");
        assert_eq!(told("collections", &json!(["a", "b"])), "a, b");
        let wanted = json!({"http": [{"origin": "https://a.example"}], "secrets": ["key"]});
        let words = "http origin https://a.example (GET, HEAD, /); secret key";
        assert_eq!(told("wanted", &wanted), words);
        let schema = json!({"type": "object", "properties": {"n": {"type": "integer"}}});
        assert_eq!(told("params_schema", &schema), "{n?: integer}");
    }
}

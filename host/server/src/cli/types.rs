//! The commands for task types: `types list`, `types push`.

use std::path::{Path, PathBuf};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use taskhost_store::components::COMPONENT_BYTES_MAX;

use super::client::{Client, Target};
use super::failure::{Exit, Failure};
use super::files;
use super::table::{Medium, table};
use super::text;

/// What to do with task types.
#[derive(Debug, clap::Subcommand)]
pub enum Types {
    /// List task types with their versions.
    List {
        #[command(flatten)]
        target: Target,
    },
    /// Load a component as a task type, or as a new version of one.
    Push {
        /// The component, a *.wasm file.
        file: PathBuf,
        #[command(flatten)]
        target: Target,
    },
}

pub(crate) async fn run(command: &Types) -> Result<Exit, Failure> {
    match command {
        Types::List { target } => list(target).await,
        Types::Push { file, target } => push(file, target).await,
    }
}

async fn list(target: &Target) -> Result<Exit, Failure> {
    let client = Client::new(target)?;
    let answer = client
        .call(client.request(Method::GET, &["v1", "task-types"]))
        .await?;
    if target.json {
        say!("{}", text::json(&answer));
        return Ok(Exit::Done);
    }
    let array = |key: &str| answer[key].as_array().cloned().unwrap_or_default();
    let rows: Vec<Vec<String>> = array("task_types").iter().flat_map(rows).collect();
    if rows.is_empty() {
        say!("no task types: load one with `taskhost types push FILE.wasm`");
    } else {
        let header = ["type", "version", "state", "title", "size", "digest"];
        say!("{}", table(Medium::of_stdout(), &header, &rows));
    }
    for file in array("rejected") {
        let (file, reason) = (string(&file["file"]), string(&file["reason"]));
        say!("refused: {file}: {reason}");
    }
    Ok(Exit::Done)
}

/// One row a version.
fn rows(view: &Value) -> Vec<Vec<String>> {
    let versions = view["versions"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let row = |version: &Value| {
        let pinned = version["runs_pinned"].as_u64().filter(|pinned| *pinned > 0);
        let state = match pinned {
            Some(1) => format!("{}, 1 run", string(&version["state"])),
            Some(pinned) => format!("{}, {pinned} runs", string(&version["state"])),
            None => string(&version["state"]),
        };
        let digest: String = string(&version["digest"]).chars().take(12).collect();
        vec![
            string(&view["id"]),
            string(&version["version"]),
            state,
            string(&version["title"]),
            text::bytes(version["bytes"].as_u64().unwrap_or(0)),
            digest,
        ]
    };
    versions.iter().map(row).collect()
}

async fn push(file: &Path, target: &Target) -> Result<Exit, Failure> {
    let client = Client::new(target)?;
    let bytes = files::read(file, COMPONENT_BYTES_MAX).map_err(Failure::wrong_use)?;
    let request = client.request(Method::POST, &["v1", "task-types"]);
    let request = request
        .header("content-type", "application/wasm")
        .body(bytes);
    let (status, pushed) = client.answer(request).await?;
    if !status.is_success() {
        return Err(Failure::of_problem(&pushed));
    }
    if target.json {
        say!("{}", text::json(&pushed));
        return Ok(Exit::Done);
    }
    let (id, version) = (string(&pushed["id"]), string(&pushed["version"]));
    let (state, digest) = (string(&pushed["state"]), string(&pushed["digest"]));
    let is_as_it_was = status == StatusCode::OK && pushed["changes"] == json!([]);
    let known = if is_as_it_was {
        ", as it was: the host has this very component already"
    } else {
        ""
    };
    say!("{id} {version}: {state} ({digest}){known}");
    for (name, mark) in [("changes", "  "), ("warnings", "  warning: ")] {
        let lines = pushed[name]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        lines.iter().for_each(|line| say!("{mark}{}", string(line)));
    }
    Ok(Exit::Done)
}

fn string(value: &Value) -> String {
    value.as_str().map(text::shown).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_version_has_a_row() {
        let version = |state: &str, pinned: u64| {
            json!({"version": "1", "title": "Say hello", "state": state, "bytes": 2048,
                "digest": "ab".repeat(32), "runs_pinned": pinned})
        };
        let versions = [version("active", 0), version("draining", 2)];
        let view = json!({"id": "hello", "versions": versions});
        let rows = rows(&view);
        assert_eq!(
            rows[0],
            [
                "hello",
                "1",
                "active",
                "Say hello",
                "2.0 KiB",
                "abababababab"
            ]
        );
        assert_eq!(rows[1][2], "draining, 2 runs");
    }
}

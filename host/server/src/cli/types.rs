//! The commands for task types: `types list`, `push`, `approve`, `activate`, `delete`, `pause`,
//! `resume`.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use taskhost_service::signatures::SIGNATURE_BYTES_MAX;
use taskhost_store::components::COMPONENT_BYTES_MAX;

use super::client::{Client, Target};
use super::failure::{Exit, Failure};
use super::files;
use super::table::{Medium, table};
use super::text;
use crate::http::SIGNATURE;

/// What to do with task types.
#[derive(Debug, clap::Subcommand)]
pub enum Types {
    /// List task types with their versions.
    List {
        #[command(flatten)]
        target: Target,
    },
    /// Load a component as a task type, or as a new version of one. The signature in
    /// FILE.minisig goes along when there is one.
    Push {
        /// The component, a *.wasm file.
        file: PathBuf,
        #[command(flatten)]
        target: Target,
    },
    /// Allow a version what it wants beyond the settings, and make it the active one.
    Approve(OneVersion),
    /// Make a version the active one: back to an earlier one, for instance.
    Activate(OneVersion),
    /// Forget a version that no run needs. If its file lies in the watched folder still, the next
    /// start loads it again.
    Delete(OneVersion),
    /// Start no more runs of a type; those that have begun go on.
    Pause {
        /// The type.
        #[arg(id = "TYPE")]
        type_id: String,
        /// Why, for whoever wonders why a task waits.
        #[arg(long)]
        reason: Option<String>,
        #[command(flatten)]
        target: Target,
    },
    /// Start runs of a paused type again.
    Resume {
        /// The type.
        #[arg(id = "TYPE")]
        type_id: String,
        #[command(flatten)]
        target: Target,
    },
}

/// A version of a type.
#[derive(Debug, clap::Args)]
pub struct OneVersion {
    /// The type.
    #[arg(id = "TYPE")]
    type_id: String,
    /// The version's digest, or as much of its beginning as no other version has.
    digest: String,
    #[command(flatten)]
    target: Target,
}

pub(crate) async fn run(command: &Types) -> Result<Exit, Failure> {
    match command {
        Types::List { target } => list(target).await,
        Types::Push { file, target } => push(file, target).await,
        Types::Approve(version) => decide(version, "approve").await,
        Types::Activate(version) => decide(version, "activate").await,
        Types::Delete(version) => delete(version).await,
        Types::Pause {
            type_id,
            reason,
            target,
        } => {
            let body = reason.as_ref().map(|reason| json!({ "reason": reason }));
            set_paused(type_id, "pause", body.unwrap_or(json!({})), target).await
        }
        Types::Resume { type_id, target } => set_paused(type_id, "resume", json!({}), target).await,
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
    array("task_types")
        .iter()
        .flat_map(remarks)
        .for_each(|line| say!("{line}"));
    for file in array("rejected") {
        let (file, reason) = (string(&file["file"]), string(&file["reason"]));
        say!("refused: {file}: {reason}");
    }
    Ok(Exit::Done)
}

/// What an operator may have to do about a type.
fn remarks(view: &Value) -> Vec<String> {
    let id = string(&view["id"]);
    let mut remarks = Vec::new();
    if view["paused"].is_object() {
        let paused = &view["paused"];
        let reason = match string(&paused["reason"]) {
            reason if reason.is_empty() => String::new(),
            reason => format!(": {reason}"),
        };
        let (at, by) = (string(&paused["at"]), string(&paused["by"]));
        remarks.push(format!(
            "paused: {id} since {at} by {by}{reason}; `taskhost types resume {id}` starts its runs"
        ));
    }
    let versions = view["versions"].as_array().cloned().unwrap_or_default();
    for version in versions {
        let digest: String = short(&version["digest"]);
        match version["state"].as_str() {
            Some("pending_approval") if version["needs_approval"].is_null() => {
                remarks.push(format!(
                    "waits: {id} {digest}; the settings allow it by now: `taskhost types activate \
                     {id} {digest}` makes it the active version"
                ));
            }
            Some("pending_approval") => remarks.push(format!(
                "waits for approval: {id} {digest} wants {}; `taskhost types approve {id} \
                 {digest}` allows it",
                listed(&version["needs_approval"])
            )),
            Some("rejected") => remarks.push(format!(
                "rejected: {id} {digest}: {}",
                string(&version["reason"])
            )),
            _ => {}
        }
    }
    remarks
}

fn listed(texts: &Value) -> String {
    let texts = texts.as_array().map(Vec::as_slice).unwrap_or_default();
    let texts: Vec<String> = texts.iter().map(string).collect();
    texts.join(", ")
}

/// As much of a digest as tells versions apart.
fn short(digest: &Value) -> String {
    string(digest).chars().take(12).collect()
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
        let is_paused = version["state"] == "active" && view["paused"].is_object();
        let state = if is_paused {
            format!("{state}, paused")
        } else {
            state
        };
        vec![
            string(&view["id"]),
            string(&version["version"]),
            state,
            string(&version["title"]),
            text::bytes(version["bytes"].as_u64().unwrap_or(0)),
            short(&version["digest"]),
        ]
    };
    versions.iter().map(row).collect()
}

async fn push(file: &Path, target: &Target) -> Result<Exit, Failure> {
    let client = Client::new(target)?;
    let bytes = files::read(file, COMPONENT_BYTES_MAX).map_err(Failure::wrong_use)?;
    let mut request = client
        .request(Method::POST, &["v1", "task-types"])
        .header("content-type", "application/wasm");
    if let Some(signature) = signature(file)? {
        request = request.header(SIGNATURE, STANDARD.encode(signature));
    }
    let (status, pushed) = client.answer(request.body(bytes)).await?;
    if !status.is_success() {
        return Err(Failure::of_problem(&pushed));
    }
    let is_as_it_was = status == StatusCode::OK && pushed["changes"] == json!([]);
    let known = if is_as_it_was {
        ", as it was: the host has this very component already"
    } else {
        ""
    };
    show(&pushed, known, target);
    Ok(Exit::Done)
}

/// What lies beside the file as its signature, if anything does.
fn signature(file: &Path) -> Result<Option<Vec<u8>>, Failure> {
    let mut beside = file.as_os_str().to_owned();
    beside.push(".minisig");
    let beside = PathBuf::from(beside);
    if !beside.exists() {
        return Ok(None);
    }
    let text = files::read(&beside, SIGNATURE_BYTES_MAX as u64);
    Ok(Some(text.map_err(Failure::wrong_use)?))
}

/// What the host answers of a version that somebody has decided about.
fn show(pushed: &Value, known: &str, target: &Target) {
    if target.json {
        say!("{}", text::json(pushed));
        return;
    }
    let (id, version) = (string(&pushed["id"]), string(&pushed["version"]));
    let (state, digest) = (string(&pushed["state"]), string(&pushed["digest"]));
    say!("{id} {version}: {state} ({digest}){known}");
    for (name, mark) in [("changes", "  "), ("warnings", "  warning: ")] {
        let lines = pushed[name]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        lines.iter().for_each(|line| say!("{mark}{}", string(line)));
    }
    let wants = listed(&pushed["needs_approval"]);
    if !wants.is_empty() && state != "active" {
        let digest = short(&pushed["digest"]);
        say!("  wants more than is allowed: {wants}");
        say!(
            "  `taskhost types approve {id} {digest}` allows it to this version and makes it \
             active;"
        );
        say!("  in the settings this allows it to all versions:");
        let setting = pushed["setting"].as_str().unwrap_or_default();
        setting
            .lines()
            .for_each(|line| say!("    {}", text::shown(line)));
    }
}

/// `approve` or `activate`.
async fn decide(version: &OneVersion, verb: &str) -> Result<Exit, Failure> {
    let client = Client::new(&version.target)?;
    let (digest, _) = found(&client, version).await?;
    let path = [
        "v1",
        "task-types",
        &version.type_id,
        "versions",
        &digest,
        verb,
    ];
    let decided = client.call(client.request(Method::POST, &path)).await?;
    show(&decided, "", &version.target);
    Ok(Exit::Done)
}

async fn delete(version: &OneVersion) -> Result<Exit, Failure> {
    let client = Client::new(&version.target)?;
    let (digest, view) = found(&client, version).await?;
    let id = &version.type_id;
    let path = ["v1", "task-types", id, "versions", &digest];
    client.call(client.request(Method::DELETE, &path)).await?;
    if !version.target.json {
        say!("{} {digest}: deleted", text::shown(id));
    }
    if view["active"] == digest.as_str() {
        eprintln!(
            "It was the active one: nothing of this type is scheduled before another version is \
             pushed, or activated."
        );
    }
    Ok(Exit::Done)
}

/// The whole digest of what was given the beginning of, and its type as the host shows it.
async fn found(client: &Client, version: &OneVersion) -> Result<(String, Value), Failure> {
    let (type_id, given) = (&version.type_id, version.digest.to_ascii_lowercase());
    let path = ["v1", "task-types", type_id];
    let view = client.call(client.request(Method::GET, &path)).await?;
    let digest = one_of(&view, &given).map_err(Failure::wrong_use)?;
    Ok((digest, view))
}

fn one_of(view: &Value, given: &str) -> Result<String, String> {
    let versions = view["versions"].as_array().cloned().unwrap_or_default();
    let digests = versions.iter().filter_map(|it| it["digest"].as_str());
    let fitting: Vec<&str> = digests.filter(|it| it.starts_with(given)).collect();
    let id = string(&view["id"]);
    match *fitting {
        [digest] if !given.is_empty() => Ok(digest.to_owned()),
        [] => Err(format!(
            "no version of `{id}` has a digest that begins with `{}`: `taskhost types list` shows \
             them",
            text::shown(given)
        )),
        _ => Err(format!(
            "several versions of `{id}` have a digest that begins with `{}`: give more of it",
            text::shown(given)
        )),
    }
}

async fn set_paused(
    type_id: &str,
    verb: &str,
    body: Value,
    target: &Target,
) -> Result<Exit, Failure> {
    let client = Client::new(target)?;
    let request = client.request(Method::POST, &["v1", "task-types", type_id, verb]);
    let view = client.call(request.json(&body)).await?;
    if target.json {
        say!("{}", text::json(&view));
        return Ok(Exit::Done);
    }
    let (id, waiting) = (
        string(&view["id"]),
        view["unfinished"].as_u64().unwrap_or(0),
    );
    let done = match verb {
        "pause" => "paused: no run of it starts",
        _ => "goes on: what waits is started",
    };
    say!("{id}: {done} ({waiting} unfinished)");
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

    #[test]
    fn a_digest_is_found_by_its_beginning() {
        let digests = ["abc1", "abd2"].map(|digest| json!({ "digest": digest }));
        let view = json!({"id": "hello", "versions": digests});
        assert_eq!(one_of(&view, "abc").unwrap(), "abc1");
        for (given, said) in [("ab", "several"), ("", "several"), ("b", "no version")] {
            assert!(
                one_of(&view, given).unwrap_err().starts_with(said),
                "{given}"
            );
        }
    }

    #[test]
    fn what_waits_for_somebody_is_remarked() {
        let version = |state: &str, more: Value| {
            let mut version = json!({"state": state, "digest": "ab".repeat(32)});
            let more = more.as_object().cloned().unwrap_or_default();
            version.as_object_mut().unwrap().extend(more);
            version
        };
        let view = json!({"id": "hello", "paused": {"at": "now", "by": "bob", "reason": "floods"},
        "versions": [
            version("pending_approval", json!({"needs_approval": ["secret a", "model b"]})),
            version("active", json!({})),
            version("rejected", json!({"reason": "no signature"})),
        ]});
        let expected = [
            "paused: hello since now by bob: floods; `taskhost types resume hello` starts its runs",
            "waits for approval: hello abababababab wants secret a, model b; `taskhost types \
             approve hello abababababab` allows it",
            "rejected: hello abababababab: no signature",
        ];
        assert_eq!(remarks(&view), expected);
    }
}

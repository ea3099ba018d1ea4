//! What has been released of the contract: its files, which never change, and components that were
//! built against it, which go on linking and running (`wit/released`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::bench::{TestRun, completed, runtime};

/// Of each released `SHA256SUMS`, and so of every released file. A line is added with each release,
/// and none is ever changed.
const RELEASED: [(&str, &str); 1] = [(
    "1.0.0",
    "bc180d2cdcd62842f2441cf684f0bd7b25a9f2325f2b51e42ae4133f20061956",
)];

fn wit() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit")
}

fn sum(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Files below a folder, by their paths in it.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(folder).unwrap().to_str().unwrap();
            found.insert(name.to_owned(), std::fs::read(&path).unwrap());
        }
    }
    found
}

#[test]
fn a_released_file_never_changes() {
    for (version, sum_of_sums) in RELEASED {
        let mut released = files(&wit().join("released").join(version));
        let sums = released.remove("SHA256SUMS").unwrap();
        assert_eq!(sum(&sums), sum_of_sums, "SHA256SUMS of {version}");
        for line in String::from_utf8(sums).unwrap().lines() {
            let (expected, name) = line.split_once("  ").unwrap();
            let file = released.remove(name);
            let file = file.unwrap_or_else(|| panic!("{version}: {name} is gone"));
            assert_eq!(sum(&file), expected, "{version}: {name} has changed");
        }
        assert!(
            released.is_empty(),
            "{version}: added {:?}",
            released.keys()
        );
    }
}

/// Whoever changes `wit/v1` gives it a new version, and a released copy with it.
#[test]
fn what_is_built_against_is_what_was_released() {
    let current = files(&wit().join("v1"));
    let text = String::from_utf8_lossy(&current["task.wit"]);
    let (_, rest) = text.split_once("package taskhost:task@").unwrap();
    let (version, _) = rest.split_once(';').unwrap();
    let released = files(&wit().join("released").join(version).join("v1"));
    for (name, bytes) in &current {
        assert!(
            released.get(name) == Some(bytes),
            "{name} is not that of {version}"
        );
    }
    assert_eq!(current.len(), released.len(), "{version} had more files");
}

fn stored() -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for (version, _) in RELEASED {
        let folder = wit().join("released").join(version).join("components");
        let components = files(&folder).into_iter();
        all.extend(
            components
                .filter(|(name, _)| name.ends_with(".wasm"))
                .map(|(name, bytes)| (format!("{version}/{name}"), bytes)),
        );
    }
    all
}

#[tokio::test]
async fn what_was_built_once_goes_on_linking() {
    let runtime = runtime();
    let stored = stored();
    assert!(stored.len() >= 6, "{:?}", stored.keys());
    for (name, bytes) in stored {
        let bytes: Arc<[u8]> = Arc::from(bytes);
        let checked = runtime.check(&bytes);
        checked.unwrap_or_else(|error| panic!("{name}: {error}"));
        let component = crate::bench::load(&runtime, bytes).await;
        let descriptor = runtime.describe(&component).await.unwrap();
        let descriptor: Value = serde_json::from_str(&descriptor).unwrap();
        assert!(descriptor["id"].is_string(), "{name}: {descriptor}");
    }
}

/// Every function of the contract, called as a component of that day calls it.
#[tokio::test]
async fn what_was_built_once_goes_on_running() {
    let runtime = runtime();
    let bytes = Arc::from(stored()["1.0.0/whole-contract.wasm"].as_slice());
    let component = crate::bench::load(&runtime, bytes).await;
    let run = TestRun::new().await;
    let said = completed(&run.run(&runtime, &component, "{}").await);
    let said = said.as_object().unwrap();
    assert_eq!(said.len(), 40, "{said:?}");
    let known = ["ok", "denied", "not-found", "unavailable"];
    for (function, answer) in said {
        let answer = answer.as_str().unwrap();
        assert!(known.contains(&answer), "{function}: {answer}");
    }
    for function in [
        "context.sleep",
        "progress.report",
        "streams.search",
        "state.save",
    ] {
        assert_eq!(said[function], "ok", "{function}");
    }
}

/// A kit of a later minor version names that version, and its component runs here as long as it
/// uses nothing newer.
#[tokio::test]
async fn a_later_minor_version_links_where_nothing_newer_is_used() {
    let runtime = runtime();
    let mut bytes = stored()["1.0.0/hello-task.wasm"].clone();
    let (from, to) = (b"@1.0.0", b"@1.9.9");
    let names = b"taskhost:task/";
    let mut changed = 0;
    for at in 0..bytes.len() - from.len() {
        let is_name = bytes[..at]
            .rsplit(|byte| *byte == b'/')
            .nth(1)
            .is_some_and(|before| before.ends_with(&names[..names.len() - 1]));
        if is_name && bytes[at..].starts_with(from) {
            bytes[at..at + to.len()].copy_from_slice(to);
            changed += 1;
        }
    }
    assert!(changed >= 4, "{changed}");
    let component = crate::bench::load(&runtime, Arc::from(bytes)).await;
    let run = TestRun::new().await;
    completed(&run.run(&runtime, &component, r#"{"name":"later"}"#).await);
}

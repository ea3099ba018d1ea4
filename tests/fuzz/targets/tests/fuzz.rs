//! Replays what is kept: inputs that were written by hand or chosen by what they reach, and every
//! one that once found something.

#![allow(
    clippy::unwrap_used,
    reason = "a harness has no caller to hand an error to: it fails the test"
)]

use std::path::{Path, PathBuf};

use taskhost_fuzz_targets::{TARGETS, Target};

/// Names the input when the test fails under it.
struct Input(PathBuf);

impl Drop for Input {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the input is {}", self.0.display());
        }
    }
}

/// Every input of a target.
fn replay(name: &str) {
    let target: Target = TARGETS.iter().find(|(known, _)| *known == name).unwrap().1;
    let folders = ["seeds", "corpus", "regressions"];
    let inputs: Vec<PathBuf> = folders.iter().flat_map(|kind| kept(kind, name)).collect();
    assert!(!inputs.is_empty(), "no input of {name} is kept");
    for path in inputs {
        let data = std::fs::read(&path).unwrap();
        let _named = Input(path);
        target(&data);
    }
}

fn kept(kind: &str, name: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let Ok(entries) = std::fs::read_dir(folder.join(kind).join(name)) else {
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

#[test]
fn component_loader() {
    replay("component_loader");
}

#[test]
fn descriptor() {
    replay("descriptor");
}

#[test]
fn condition() {
    replay("condition");
}

#[test]
fn host_call_json() {
    replay("host_call_json");
}

#[test]
fn ndjson() {
    replay("ndjson");
}

#[test]
fn kibana_routes() {
    replay("kibana_routes");
}

/// A target that nothing is handed to would prove nothing.
#[test]
fn every_target_has_its_program() {
    let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz_targets");
    let mut programs: Vec<String> = std::fs::read_dir(programs)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    programs.sort();
    let mut targets: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    targets.sort_unstable();
    assert_eq!(programs, targets);
}

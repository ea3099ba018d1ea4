//! Where the things under test lie, once `tests/run.sh` has built them.

use std::path::{Path, PathBuf};

/// The project's top folder.
#[must_use]
pub fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .expect("the project's top")
}

/// The host's binary; `TASKHOST_BINARY` names another one.
#[must_use]
pub fn binary() -> PathBuf {
    match std::env::var_os("TASKHOST_BINARY") {
        Some(path) => PathBuf::from(path),
        None => built(target().join("release/taskhost")),
    }
}

/// A component by name: a task type of `examples/`, or else a guest of `tests/guests/`.
#[must_use]
pub fn component(name: &str) -> PathBuf {
    let example = target().join(format!("task-types/{name}.wasm"));
    if example.exists() {
        return example;
    }
    let file = name.replace('-', "_");
    built(target().join(format!("wasm32-wasip2/component/examples/{file}.wasm")))
}

/// A folder for what tests write.
#[must_use]
pub fn scratch() -> PathBuf {
    let folder = target().join("test-scratch");
    std::fs::create_dir_all(&folder).expect("a folder below target/");
    folder
}

/// A folder for what tests leave for people to look at.
#[must_use]
pub fn artifacts(name: &str) -> PathBuf {
    let folder = target().join("test-artifacts").join(name);
    std::fs::create_dir_all(&folder).expect("a folder below target/");
    folder
}

fn target() -> PathBuf {
    top().join("target")
}

fn built(path: PathBuf) -> PathBuf {
    assert!(
        path.exists(),
        "{} is not built: run tests/run.sh",
        path.display()
    );
    path
}

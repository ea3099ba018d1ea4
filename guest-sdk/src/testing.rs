//! Tests of a task type in the real sandbox, from `cargo test`: feature `testing`.
//!
//! [`TaskTest`] builds the component of the crate that is tested, and hands it to `taskhost test`,
//! which runs it as every host does. The program has to be in the path, or named by the variable
//! `TASKHOST`.
//!
//! ```no_run
//! use taskhost_sdk::testing::TaskTest;
//!
//! // As a rule in `tests/component.rs`, with `#[test]` above it.
//! fn greets_whoever_is_named() {
//!     let outcome = TaskTest::new()
//!         .params(&serde_json::json!({"name": "Ada"}))
//!         .run();
//!     assert_eq!(outcome.result["greeting"], "Hello, Ada!");
//!     assert_eq!(outcome.calls("progress.report"), 1);
//! }
//! ```

#![allow(
    clippy::panic,
    reason = "what is wrong fails the test that asks: nobody is there to be handed an error"
)]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// What tasks are built for.
const TARGET: &str = "wasm32-wasip2";
/// The program, when `TASKHOST` does not name it.
const PROGRAM: &str = "taskhost";

/// Once for all tests of a program.
static RELEASE: OnceLock<Result<PathBuf, String>> = OnceLock::new();
static DEV: OnceLock<Result<PathBuf, String>> = OnceLock::new();

/// One test of a component; `taskhost test --help` explains what may be done to it.
#[derive(Debug, Clone)]
#[must_use = "nothing is tested before `run`"]
pub struct TaskTest {
    component: Component,
    arguments: Vec<OsString>,
}

#[derive(Debug, Clone)]
enum Component {
    Release,
    Dev,
    File(PathBuf),
}

/// How the task ended.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Outcome {
    /// `completed`, `failed` or `canceled`.
    pub status: String,
    /// The result; `null` where there is none.
    pub result: Value,
    /// Why it failed (`kind`, `code`, `message`); `null` where it did not.
    pub error: Value,
    /// What was logged, each with `level`, `message` and `fields`.
    pub log: Vec<Value>,
    /// What was waited for and took no time, in milliseconds: sleeps, and pauses between attempts.
    pub slept_ms: u64,
    /// `cpu_ms`, `peak_memory_bytes`, `host_calls` and so on.
    pub usage: Value,
    /// How often each host call was made, by its name: `streams.sample`.
    pub calls: BTreeMap<String, u64>,
}

impl TaskTest {
    /// A test of the crate that `cargo test` runs for. Its component is built once for all tests
    /// of a program, with the profile `release`.
    pub fn new() -> Self {
        Self::with(Component::Release)
    }

    /// A test of a component that is built already.
    pub fn of(component: impl Into<PathBuf>) -> Self {
        Self::with(Component::File(component.into()))
    }

    fn with(component: Component) -> Self {
        Self {
            component,
            arguments: Vec::new(),
        }
    }

    /// Builds with the profile `dev`: sooner there, and slower in the sandbox.
    pub fn dev(mut self) -> Self {
        self.component = Component::Dev;
        self
    }

    /// The params; they win over those of the fixtures.
    ///
    /// # Panics
    /// When they cannot be written as JSON.
    pub fn params(self, params: &impl Serialize) -> Self {
        match serde_json::to_string(params) {
            Ok(text) => self.flag("--params", text),
            Err(error) => panic!("the params are no JSON: {error}"),
        }
    }

    /// The folder with what to test with: streams, documents, answers of models and of the network.
    pub fn fixtures(self, folder: impl AsRef<Path>) -> Self {
        self.flag("--fixtures", folder.as_ref())
    }

    /// The stream to work on, where the fixtures have several.
    pub fn stream(self, name: &str) -> Self {
        self.flag("--stream", name)
    }

    /// Lets the `nth` call of that name fail: `fail("streams.sample", 2)`. Where there is no such
    /// call the test fails.
    pub fn fail(self, call: &str, nth: u64) -> Self {
        self.flag("--fail", format!("{call}:{nth}"))
    }

    /// Cancels the task at the `nth` host call, which there has to be. It has to end canceled then,
    /// unless an `expect_` says otherwise.
    pub fn cancel_at(self, nth: u64) -> Self {
        self.flag("--cancel-at", nth.to_string())
    }

    /// Kills the host at the `nth` host call, which there has to be, and starts it again.
    pub fn kill_at(self, nth: u64) -> Self {
        self.flag("--kill-at", nth.to_string())
    }

    /// One more component that has to be there, such as the type of a child.
    pub fn also(self, component: impl AsRef<Path>) -> Self {
        self.flag("--also", component.as_ref())
    }

    /// The settings of the host that it is meant for.
    pub fn config(self, file: impl AsRef<Path>) -> Self {
        self.flag("--config", file.as_ref())
    }

    /// It has to complete; so it has to without a word.
    pub fn expect_completed(self) -> Self {
        self.flag("--expect", "completed")
    }

    /// It has to fail.
    pub fn expect_failed(self) -> Self {
        self.flag("--expect", "failed")
    }

    /// It has to end canceled.
    pub fn expect_canceled(self) -> Self {
        self.flag("--expect", "canceled")
    }

    fn flag(mut self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        // With `=`, so that a value may begin with a dash.
        let mut flag = OsString::from(name);
        flag.push("=");
        flag.push(value);
        self.arguments.push(flag);
        self
    }

    /// Runs it, and answers how it ended.
    ///
    /// # Panics
    /// When the component cannot be built, when there is no `taskhost`, and when the task did not
    /// end as it has to, each in words that say why.
    pub fn run(self) -> Outcome {
        let component = self.component.file().unwrap_or_else(|why| panic!("{why}"));
        let program = std::env::var_os("TASKHOST").unwrap_or_else(|| PROGRAM.into());
        let mut command = Command::new(&program);
        command.arg("test").arg(&component).args(&self.arguments);
        let output = command.arg("--json").output();
        let output = output.unwrap_or_else(|error| match error.kind() {
            ErrorKind::NotFound => panic!("{}", no_program(&program)),
            _ => panic!("{} does not start: {error}", program.display()),
        });
        let (said, why) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        let Ok(answer) = serde_json::from_str::<Value>(&said) else {
            panic!(
                "`taskhost test` could not run {}:\n{why}{said}",
                component.display()
            );
        };
        if answer["ok"] != true {
            panic!("{}", not_as_expected(&answer, &why));
        }
        Outcome::of(&answer)
    }
}

impl Default for TaskTest {
    fn default() -> Self {
        Self::new()
    }
}

impl Outcome {
    /// The result as a type of yours.
    ///
    /// # Panics
    /// When it is another one.
    #[must_use]
    pub fn result_as<T: DeserializeOwned>(&self) -> T {
        serde_json::from_value(self.result.clone())
            .unwrap_or_else(|error| panic!("the result is another one ({error}): {}", self.result))
    }

    /// How often a host call was made: `streams.sample`.
    #[must_use]
    pub fn calls(&self, name: &str) -> u64 {
        self.calls.get(name).copied().unwrap_or(0)
    }

    fn of(answer: &Value) -> Self {
        let task = &answer["task"];
        let calls = answer["calls"].as_object().into_iter().flatten();
        let calls = calls.map(|(name, count)| (name.clone(), count.as_u64().unwrap_or(0)));
        Self {
            status: task["status"].as_str().unwrap_or_default().to_owned(),
            result: task["payload"].clone(),
            error: task["error"].clone(),
            log: answer["log"].as_array().cloned().unwrap_or_default(),
            slept_ms: answer["slept_ms"].as_u64().unwrap_or(0),
            usage: task["usage"].clone(),
            calls: calls.collect(),
        }
    }
}

impl Component {
    fn file(&self) -> Result<PathBuf, String> {
        match self {
            Self::File(file) => Ok(file.clone()),
            Self::Release => RELEASE.get_or_init(|| build(&["--release"])).clone(),
            Self::Dev => DEV.get_or_init(|| build(&[])).clone(),
        }
    }
}

/// Builds the component of the crate that is tested.
fn build(profile: &[&str]) -> Result<PathBuf, String> {
    let folder = std::env::var_os("CARGO_MANIFEST_DIR").ok_or(
        "which crate is tested? `cargo test` says it (CARGO_MANIFEST_DIR): run the test with it, \
         or name a component with `TaskTest::of`",
    )?;
    let manifest = PathBuf::from(folder).join("Cargo.toml");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["build", "--lib", "--target", TARGET])
        .args(["--message-format", "json-render-diagnostics"])
        .args(profile)
        .arg("--manifest-path")
        .arg(&manifest)
        // It takes minutes the first time, and says what it does.
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("cargo does not start: {error}"))?;
    if !output.status.success() {
        return Err(format!(
            "the component cannot be built: cargo has said why (`rustup target add {TARGET}`, if \
             that is missing)"
        ));
    }
    let said = String::from_utf8_lossy(&output.stdout);
    built(&said, &manifest).ok_or_else(|| {
        format!(
            "{} makes no component: its library needs `crate-type = [\"cdylib\"]`",
            manifest.display()
        )
    })
}

/// The component among what cargo says that it has made.
fn built(said: &str, manifest: &Path) -> Option<PathBuf> {
    let messages = said
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    let of_this = |message: &Value| {
        let made_from = message["manifest_path"].as_str();
        message["reason"] == "compiler-artifact" && made_from.map(Path::new) == Some(manifest)
    };
    let files = messages.filter(of_this).flat_map(|message: Value| {
        let files = message["filenames"].as_array().cloned();
        files.unwrap_or_default()
    });
    let mut files = files.filter_map(|file| file.as_str().map(PathBuf::from));
    files.find(|file| {
        file.extension()
            .is_some_and(|extension| extension == "wasm")
    })
}

fn no_program(program: &std::ffi::OsStr) -> String {
    format!(
        "there is no program `{}`, which has the sandbox that the component is tested in: build it \
         in a clone of taskhost (`cargo build --release --package taskhost-server --bin \
         taskhost`), then put the folder `target/release` into your PATH, or name the program in \
         the variable TASKHOST",
        program.display()
    )
}

/// Everything that helps to see why.
fn not_as_expected(answer: &Value, said: &str) -> String {
    let mut why = answer["verdict"].as_str().unwrap_or_default().to_owned();
    let error = &answer["task"]["error"];
    if !error.is_null() {
        why.push_str(&format!("\nerror: {error:#}"));
    }
    if let Some(result) = answer["task"].get("payload") {
        why.push_str(&format!("\nresult: {result:#}"));
    }
    for line in answer["log"].as_array().into_iter().flatten() {
        why.push_str(&format!("\nlog: {line}"));
    }
    format!("{why}\n{said}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_said_becomes_arguments() {
        let test = TaskTest::of("x.wasm")
            .params(&json!({"n": 1}))
            .fixtures("f")
            .fail("state.save", 2)
            .kill_at(3)
            .expect_failed();
        let expected = [
            "--params={\"n\":1}",
            "--fixtures=f",
            "--fail=state.save:2",
            "--kill-at=3",
            "--expect=failed",
        ];
        assert_eq!(test.arguments, expected);
    }

    #[test]
    fn an_answer_is_read_and_a_bad_one_explained() {
        let answer = json!({"ok": true, "verdict": "completed", "slept_ms": 7,
            "calls": {"state.save": 2}, "log": [{"message": "hi"}],
            "task": {"status": "completed", "payload": {"n": 1}, "usage": {"cpu_ms": 3}}});
        let outcome = Outcome::of(&answer);
        assert_eq!(
            (outcome.status.as_str(), outcome.slept_ms),
            ("completed", 7)
        );
        assert_eq!((outcome.calls("state.save"), outcome.calls("x")), (2, 0));
        let result: BTreeMap<String, u8> = outcome.result_as();
        assert_eq!(result["n"], 1);
        assert!(outcome.error.is_null());
        let answer = json!({"ok": false, "verdict": "it is failed", "log": [],
            "task": {"status": "failed", "error": {"message": "no such city"}}});
        let why = not_as_expected(&answer, "");
        assert!(why.starts_with("it is failed\nerror: {"), "{why}");
        assert!(why.contains("no such city"), "{why}");
    }

    #[test]
    fn the_component_is_found_among_what_cargo_says() {
        let said = concat!(
            "{\"reason\":\"compiler-artifact\",\"manifest_path\":\"/b/Cargo.toml\",",
            "\"filenames\":[\"/t/b.wasm\"]}\n",
            "{\"reason\":\"compiler-artifact\",\"manifest_path\":\"/a/Cargo.toml\",",
            "\"filenames\":[\"/t/a.d\",\"/t/a.wasm\"]}\nnoise\n",
        );
        let found = built(said, Path::new("/a/Cargo.toml"));
        assert_eq!(found, Some(PathBuf::from("/t/a.wasm")));
        assert_eq!(built(said, Path::new("/c/Cargo.toml")), None);
    }

    #[test]
    fn a_missing_program_is_explained() {
        let said = no_program("taskhost".as_ref());
        for words in ["no program `taskhost`", "cargo build --release", "TASKHOST"] {
            assert!(said.contains(words), "{said}");
        }
    }
}

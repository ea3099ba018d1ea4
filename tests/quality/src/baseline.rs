//! The baseline beside our figures: scikit-learn's DBSCAN over Drain3's templates, with the
//! parameters that suit it best on the same mix. A Python script does it, in an environment of
//! its own under the user's cache folder.

use std::fs;
use std::io;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::mix::Mix;

/// What the script needs, with the versions that the figures were made with.
const PACKAGES: [&str; 3] = ["scikit-learn==1.9.1", "numpy==2.4.6", "drain3==0.9.11"];
/// The environment's folder changes with the versions.
const ENVIRONMENT: &str = "taskhost/quality-1";

/// The baseline's figures for one mix.
#[derive(Debug, Clone, Copy)]
pub struct Baseline {
    /// Adjusted Rand index.
    pub ari: f64,
    /// F1 of each source's best cluster, averaged.
    pub f1: f64,
    /// The best `eps`.
    pub eps: f64,
    /// The best `min_samples`.
    pub min_samples: u64,
}

/// A Python that has what the script needs.
#[derive(Debug, Clone)]
pub struct Python(PathBuf);

impl Python {
    /// Finds or makes the environment.
    ///
    /// # Errors
    /// A sentence that says what is missing.
    pub fn prepare() -> Result<Self, String> {
        let folder = cache_folder()?.join(ENVIRONMENT);
        let python = folder.join("bin/python");
        if !folder.join("complete").exists() {
            run(Command::new("python3")
                .arg("-m")
                .arg("venv")
                .arg("--clear")
                .arg(&folder))?;
            let mut install = Command::new(&python);
            run(install
                .args(["-m", "pip", "install", "--quiet"])
                .args(PACKAGES))?;
            fs::write(folder.join("complete"), "").map_err(|error| error.to_string())?;
        }
        Ok(Self(python))
    }

    /// The baseline on a mix.
    ///
    /// # Errors
    /// A sentence that says what went wrong.
    pub fn measure(&self, mix: &Mix) -> Result<Baseline, String> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("baseline.py");
        let mut child = Command::new(&self.0)
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| error.to_string())?;
        let lines = input(mix);
        let written = child
            .stdin
            .take()
            .map(|mut stdin| stdin.write_all(lines.as_bytes()));
        let output = child
            .wait_with_output()
            .map_err(|error| error.to_string())?;
        if !output.status.success() || written.is_none_or(|written| written.is_err()) {
            return Err(format!("baseline.py ended with {}", output.status));
        }
        let value: Value = serde_json::from_slice(&output.stdout).map_err(|e| e.to_string())?;
        let number = |key: &str| {
            value[key]
                .as_f64()
                .ok_or(format!("baseline.py says no {key}"))
        };
        Ok(Baseline {
            ari: number("ari")?,
            f1: number("f1")?,
            eps: number("eps")?,
            min_samples: number("min_samples")? as u64,
        })
    }
}

fn input(mix: &Mix) -> String {
    let lines = mix.documents.iter().zip(&mix.sources);
    lines
        .map(|(document, source)| format!("{}\n", json!([document["message"], source])))
        .collect()
}

fn run(command: &mut Command) -> Result<(), String> {
    let describe = |problem: &dyn std::fmt::Display| format!("{command:?}: {problem}");
    let status = Command::new(command.get_program())
        .args(command.get_args())
        .stdout(Stdio::null())
        .status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(describe(&status)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(describe(
            &"no such program: install python3 and python3-venv",
        )),
        Err(error) => Err(describe(&error)),
    }
}

fn cache_folder() -> Result<PathBuf, String> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    set("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| set("HOME").map(|home| PathBuf::from(home).join(".cache")))
        .ok_or_else(|| "there is no HOME to keep a Python environment under".to_owned())
}

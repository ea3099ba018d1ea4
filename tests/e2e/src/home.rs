//! A folder that one host after another lives in: data, settings and watched folder.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Arc;

use tokio::process::Command;

use crate::{PATIENCE, places};

/// Settings that keep tests short; what a test adds comes after them.
const SETTINGS: &str = "listen = \"127.0.0.1:0\"\nruns.retry_backoff_ms = 20\n\
    runs.sweep_interval_s = 1\n";

/// The folder. It goes with its last owner; a host is one.
#[derive(Debug, Clone)]
pub struct Home {
    folder: Arc<tempfile::TempDir>,
}

impl Home {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("home-")
            .tempdir_in(places::scratch());
        let folder = Arc::new(folder.expect("a folder for the test"));
        let home = Self { folder };
        std::fs::create_dir_all(home.task_types()).unwrap();
        home.settings("");
        home
    }

    /// One whose watched folder holds these components.
    #[must_use]
    pub fn with(components: &[&str]) -> Self {
        let home = Self::new();
        for name in components {
            home.add(name);
        }
        home
    }

    /// The folder itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The host's data.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    /// The watched folder.
    #[must_use]
    pub fn task_types(&self) -> PathBuf {
        self.path().join("data/task-types")
    }

    /// Puts a component into the watched folder, whole from the first moment on.
    pub fn add(&self, name: &str) {
        self.add_bytes(name, &std::fs::read(places::component(name)).unwrap());
    }

    /// Puts any bytes there as `NAME.wasm`.
    pub fn add_bytes(&self, name: &str, bytes: &[u8]) {
        let beside = self.path().join(name);
        std::fs::write(&beside, bytes).unwrap();
        std::fs::rename(beside, self.task_types().join(format!("{name}.wasm"))).unwrap();
    }

    /// Adds to the settings of hosts that are started from now on.
    pub fn settings(&self, more: &str) {
        std::fs::write(self.settings_file(), format!("{SETTINGS}{more}")).unwrap();
    }

    /// The settings file.
    #[must_use]
    pub fn settings_file(&self) -> PathBuf {
        self.path().join("taskhost.toml")
    }

    /// The command that starts a host here.
    #[must_use]
    pub fn serve(&self) -> Command {
        let mut command = program();
        command
            .arg("serve")
            .arg("--config")
            .arg(self.settings_file());
        command.arg("--data").arg(self.data());
        command.current_dir(self.path());
        command
    }

    /// What a host says that does not start.
    pub async fn refused(&self) -> Output {
        let output = tokio::time::timeout(PATIENCE, self.serve().output()).await;
        let output = output.expect("it started").unwrap();
        assert!(!output.status.success(), "{output:?}");
        assert!(output.stdout.is_empty(), "{output:?}");
        output
    }
}

impl Default for Home {
    fn default() -> Self {
        Self::new()
    }
}

/// The binary, with nothing of the user's own: no settings, and a cache below `target/`.
#[must_use]
pub fn program() -> Command {
    let mut command = Command::new(places::binary());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TASKHOST_") {
            command.env_remove(name);
        }
    }
    command.env("XDG_CACHE_HOME", places::scratch().join("cache"));
    command.env("RUST_BACKTRACE", "0");
    command.kill_on_drop(true);
    command
}

//! Compiles components: in a process of its own that may use only so much, one at a time, and
//! through the cache, so that the host itself only reads what is compiled.
//!
//! A compiler is the largest piece of code that works on an author's bytes. What it takes of
//! memory and time is not the host's to lose.
//!
//! What a child has compiled once is known by an empty file ([`Known`]): it needs no child again,
//! and does not wait behind one.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, setpriority_process, setrlimit};
use taskhost_model::ids::Digest;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use tokio::sync::oneshot;
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::check::COMPONENT_BYTES_MAX;
use crate::engine;
use crate::error::LoadError;
use crate::settings::CompileCommand;

/// Address space of the process that compiles.
const CHILD_MEMORY_BYTES: u64 = 2 * 1024 * 1024 * 1024;
const CHILD_MEMORY: &str = "2 GiB of memory";
/// Its CPU time.
const CHILD_CPU_S: u64 = 120;
const CHILD_CPU: &str = "120 s of CPU time";
/// The system's last word: over its CPU time, or out of the machine's memory.
const CHILD_KILLED: &str = "120 s of CPU time, or what memory the machine has";
/// Its time by the wall; it has the lowest priority, so it may wait long for its turn.
const CHILD_WALL: Duration = Duration::from_secs(900);
const CHILD_WALL_TEXT: &str = "15 minutes";
/// What is read of its complaints.
const COMPLAINT_BYTES_MAX: u64 = 16 * 1024;
/// Everything else goes first.
const LOWEST_PRIORITY: i32 = 19;

const SIGABRT: i32 = 6;
const SIGKILL: i32 = 9;
const SIGXCPU: i32 = 24;

/// Which components a child has compiled for this engine, within its limits.
#[derive(Debug)]
pub(crate) struct Known {
    folder: PathBuf,
}

impl Known {
    /// Beside the code, in a folder for each version and configuration of the engine. The cache
    /// removes from its folder what does not look like code of its own: a file without an
    /// extension, two folders deep, stays, and goes like code when there are too many.
    pub(crate) fn beside(cache_dir: &Path, engine: &Engine) -> Self {
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        let of_engine = format!("{:016x}", hasher.finish());
        Self {
            folder: cache_dir.join("compiled").join(of_engine),
        }
    }

    pub(crate) fn has(&self, digest: &Digest) -> bool {
        self.folder.join(digest.as_str()).is_file()
    }

    /// Notes a component. Where that fails it is compiled by a child once more.
    pub(crate) fn note(&self, digest: &Digest) {
        let noted = std::fs::create_dir_all(&self.folder)
            .and_then(|()| std::fs::write(self.folder.join(digest.as_str()), ""));
        if let Err(error) = noted {
            tracing::warn!(%digest, %error, "it could not be noted that a component is compiled");
        }
    }
}

/// What the process of [`CompileCommand`] does: limits itself, reads a component from `input`
/// and leaves its code in the folder.
///
/// # Errors
/// A sentence for the component's author.
pub fn compile_child(cache_dir: &Path, input: impl Read) -> Result<(), String> {
    limit_this_process().map_err(|error| format!("the compiler could not be limited: {error}"))?;
    let mut bytes = Vec::new();
    let read = input
        .take(COMPONENT_BYTES_MAX as u64 + 1)
        .read_to_end(&mut bytes);
    read.map_err(|error| format!("the component could not be read: {error}"))?;
    let cache = engine::cache(cache_dir).map_err(|error| error.to_string())?;
    let engine = engine::for_compiling(cache).map_err(|error| error.to_string())?;
    // Code that cannot be kept (the disk is full, another process writes the same) is no fault of
    // the component: the host compiles it once more, which is safe now that it went well here.
    Component::from_binary(&engine, &bytes).map_err(|error| format!("{error:#}"))?;
    Ok(())
}

/// Compiles in a process of its own.
pub(crate) async fn in_child(command: &CompileCommand, bytes: &[u8]) -> Result<(), LoadError> {
    let internal = |error: std::io::Error| LoadError::Internal {
        reason: format!("the compiler does not start: {error}"),
    };
    let mut child = Command::new(&command.program)
        .args(&command.args)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(internal)?;
    let (input, errors) = (child.stdin.take(), child.stderr.take());
    let write = async {
        if let Some(mut input) = input {
            // A child that has ended does not read on; its status says why.
            drop(input.write_all(bytes).await);
        }
    };
    let read = async {
        let mut complaint = Vec::new();
        if let Some(errors) = errors {
            drop(
                errors
                    .take(COMPLAINT_BYTES_MAX)
                    .read_to_end(&mut complaint)
                    .await,
            );
        }
        String::from_utf8_lossy(&complaint).trim().to_owned()
    };
    let work = async { tokio::join!(write, read, child.wait()) };
    match tokio::time::timeout(CHILD_WALL, work).await {
        Ok(((), complaint, status)) => ended(status.map_err(internal)?, complaint),
        Err(_) => Err(LoadError::CompileLimit {
            limit: CHILD_WALL_TEXT,
        }),
    }
}

/// Loads code, from the cache where it is there; else compiles on this thread of low priority.
pub(crate) async fn on_thread(engine: &Engine, bytes: Arc<[u8]>) -> Result<Component, LoadError> {
    let (send, loaded) = oneshot::channel();
    let engine = engine.clone();
    let work = move || {
        // Of this thread alone; it is a courtesy, so that it may fail.
        setpriority_process(None, LOWEST_PRIORITY).ok();
        drop(send.send(Component::from_binary(&engine, &bytes)));
    };
    let internal = |reason: String| LoadError::Internal { reason };
    std::thread::Builder::new()
        .name("taskhost-compile".to_owned())
        .spawn(work)
        .map_err(|error| internal(error.to_string()))?;
    let loaded = loaded
        .await
        .map_err(|_| internal("the compiler panicked".to_owned()))?;
    loaded.map_err(|error| LoadError::Refused {
        reason: format!("{error:#}"),
    })
}

fn ended(status: ExitStatus, complaint: String) -> Result<(), LoadError> {
    use std::os::unix::process::ExitStatusExt;
    match status.signal() {
        None if status.success() => Ok(()),
        None if is_memory(&complaint) => Err(LoadError::CompileLimit {
            limit: CHILD_MEMORY,
        }),
        None => Err(LoadError::Refused { reason: complaint }),
        Some(SIGXCPU) => Err(LoadError::CompileLimit { limit: CHILD_CPU }),
        Some(SIGKILL) => Err(LoadError::CompileLimit {
            limit: CHILD_KILLED,
        }),
        Some(SIGABRT) if is_memory(&complaint) => Err(LoadError::CompileLimit {
            limit: CHILD_MEMORY,
        }),
        Some(signal) => {
            let reason = format!("it brings the compiler down (signal {signal}) {complaint}");
            Err(LoadError::Refused { reason })
        }
    }
}

/// Rust's words for a failed allocation, and the system's.
fn is_memory(complaint: &str) -> bool {
    complaint.contains("memory allocation of") || complaint.contains("Cannot allocate memory")
}

fn limit_this_process() -> rustix::io::Result<()> {
    let limit = |resource, most| {
        setrlimit(
            resource,
            Rlimit {
                current: Some(most),
                maximum: Some(most),
            },
        )
    };
    setpriority_process(None, LOWEST_PRIORITY)?;
    limit(Resource::As, CHILD_MEMORY_BYTES)?;
    limit(Resource::Cpu, CHILD_CPU_S)?;
    limit(Resource::Core, 0)
}

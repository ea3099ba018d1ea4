//! What the runtime is told when it starts, and what each run may use.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// How the runtime works.
#[derive(Debug, Clone)]
pub struct RuntimeSettings {
    /// Compiled components are kept here. The folder belongs to the host: what is in it is
    /// executed.
    pub cache_dir: PathBuf,
    /// Threads that run guests.
    pub workers: usize,
    /// Runs alive at once, at most; the machine's limit on memory maps may allow fewer.
    pub runs_max: usize,
    /// Memory of all runs together, and of what describes itself. The first 4 MiB of each are not
    /// counted, or, where so many at once would have more than the same again, an equal part.
    pub memory_bytes_max: u64,
    /// Compiles in a process of its own, with limits of its own. Without it this process
    /// compiles, on a thread of low priority.
    pub compile: Option<CompileCommand>,
    /// What a component may compute to describe itself.
    pub describe_cpu: Duration,
}

impl RuntimeSettings {
    /// As many threads as there are cores, 64 runs at once with what memory they want, compiling
    /// in this process, 2 s to describe.
    #[must_use]
    pub fn new(cache_dir: PathBuf) -> Self {
        let workers = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            cache_dir,
            workers,
            runs_max: 64,
            memory_bytes_max: u64::MAX,
            compile: None,
            describe_cpu: Duration::from_secs(2),
        }
    }
}

/// A program that reads a component from its standard input and hands it to
/// [`crate::compile_child`], with the folder of [`RuntimeSettings::cache_dir`].
#[derive(Debug, Clone)]
pub struct CompileCommand {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
}

/// What a guest may make the host copy in one call: an `apply` of 16 MiB and what surrounds it.
const CALL_BYTES_MAX: u64 = 24 * 1024 * 1024;

/// What one run may use.
#[derive(Debug, Clone, Copy)]
pub struct RunLimits {
    /// All memories and tables together.
    pub memory_bytes: u64,
    /// The guest's own computing.
    pub cpu: Duration,
    /// From the call until the run is asked to stop because its time is up.
    pub wall: Duration,
    /// The result.
    pub output_bytes: u64,
    /// The longest time without a word of progress; none: no limit.
    pub no_progress: Option<Duration>,
    /// Between asking a run to stop and ending it wherever it is.
    pub grace: Duration,
}

impl RunLimits {
    /// What one call may bring to the host, or the guest leave there: no more than it may have.
    pub(crate) fn call_bytes(&self) -> usize {
        let bytes = CALL_BYTES_MAX.min(self.memory_bytes);
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }
}

//! The taskhost binary: reads the command line, does it, ends with its exit code.

use std::process::ExitCode;
use std::time::Duration;

use taskhost_server::cli::{self, Cli, Command, Exit, Failure};

/// Gives memory back to the system after a burst, where glibc's keeps it, and is faster with many
/// threads. `.cargo/config.toml` has its settings.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Of each thread; only what is used of it takes memory. A check of deeply nested JSON against a
/// deeply nested schema needs more than the usual 2 MiB where nothing is optimized.
const STACK_BYTES: usize = 8 * 1024 * 1024;

/// After a burst the threads that read go, and their memory with them.
const BLOCKING_THREADS_KEPT: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let done = match Cli::of_arguments().command {
        // Limits its own process: before any thread is started.
        Command::CompileComponent { cache } => {
            return match cli::compile(&cache) {
                Ok(exit) => exit.into(),
                Err(failure) => {
                    // For the host, which adds what it knows.
                    eprintln!("{failure}");
                    failure.exit.into()
                }
            };
        }
        command => run(command),
    };
    match done {
        Ok(exit) => exit.into(),
        Err(failure) => {
            eprintln!("error: {failure}");
            failure.exit.into()
        }
    }
}

fn run(command: Command) -> Result<Exit, Failure> {
    let mut builder = match command {
        Command::Serve(_) | Command::Demo(_) | Command::Check(_) | Command::Test(_) => {
            tokio::runtime::Builder::new_multi_thread()
        }
        _ => tokio::runtime::Builder::new_current_thread(),
    };
    let runtime = builder
        .enable_all()
        .thread_stack_size(STACK_BYTES)
        .thread_keep_alive(BLOCKING_THREADS_KEPT)
        .build()
        .map_err(|error| Failure {
            exit: Exit::Failed,
            message: format!("no threads: {error}"),
        })?;
    let done = runtime.block_on(cli::run(command));
    // What still blocks (a read of standard input) must not hold the end back.
    runtime.shutdown_background();
    done
}

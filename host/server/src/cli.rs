//! The command line: what there is, and who does it.

/// Prints a line to standard output. A reader that has gone (`| head`) ends the command: what it
/// has not asked for is nobody's loss.
macro_rules! say {
    () => { say!("") };
    ($($text:tt)*) => { $crate::cli::say_line(format_args!($($text)*)) };
}

mod text;
mod table;
mod failure;
mod files;
mod credential;
mod client;
mod events;
mod progress;
mod follow;
mod show;
mod condition;
mod features;
mod batches;
mod ingest;
mod chosen;
mod tasks;
mod list;
mod runs;
mod submit;
mod schedules;
mod log;
mod types;
mod hosts;
mod audit;
mod token;
mod serve;
mod backup;
mod lines;
mod export;
mod import;
mod doctor;
mod demo;
mod test;
mod replay;
mod new;
mod check;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

pub use failure::{Exit, Failure};

/// What `--help` ends with; [`Exit`] has the codes.
const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  something failed, the task too; or there is no such task
  2  used wrongly
  3  the task was canceled
  4  the host cannot be reached";

/// Runs background tasks over streams of data; what a task does is a WebAssembly component.
#[derive(Debug, Parser)]
#[command(
    name = "taskhost",
    version,
    arg_required_else_help = true,
    after_help = EXIT_CODES
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What there is to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the host.
    Serve(serve::Serve),
    /// Find the systems that write into a file of logs, on a host of its own.
    Demo(demo::Demo),
    /// Check a settings file, and tell every mistake at once.
    CheckConfig(serve::CheckConfig),
    /// Send the lines of a file to a stream, which is made when it does not exist.
    Ingest(ingest::Ingest),
    /// Schedule a task.
    Schedule(tasks::Schedule),
    /// Show a task; exit code 1 when there is none.
    Status(tasks::OneTask),
    /// Follow a task until it ends.
    Watch(tasks::OneTask),
    /// Schedule many tasks: each line of a file is one, as JSON.
    Submit(submit::Submit),
    /// Cancel a task, or all that filters find.
    Cancel(tasks::Cancel),
    /// Run a task again with its params, or all failed ones that filters find.
    Retry(tasks::Retry),
    /// Acknowledge completed tasks: their results have been acted on.
    Acknowledge(chosen::SomeTasks),
    /// Print what a run of a task has logged.
    Log(log::Log),
    /// List the runs of a task: the latest, and those before it.
    Runs(tasks::OneTask),
    /// Delete tasks, their results and their logs; runs that still go on are stopped.
    Delete(chosen::SomeTasks),
    /// List tasks, the newest first.
    List(list::List),
    /// Make a folder to write a task type in.
    New(new::New),
    /// Tell what a host would say to a component.
    Check(check::Check),
    /// Test a component, on a host of its own.
    Test(test::Test),
    /// Run a recorded run again, here.
    Replay(replay::ReplayRun),
    /// List and load task types.
    #[command(subcommand)]
    Types(types::Types),
    /// Fire tasks again and again.
    #[command(subcommand)]
    Schedules(schedules::Schedules),
    /// List the hosts on the store.
    Hosts(hosts::Hosts),
    /// Show who has changed what, the newest first; for admins.
    Audit(audit::Audit),
    /// Make, list and revoke tokens: by what a host on the embedded store knows people.
    #[command(subcommand)]
    Token(token::Token),
    /// Copy the embedded store of a host, which may go on running, into a new folder.
    Backup(backup::Backup),
    /// Put a backup in the place of the store in a data folder whose host is stopped.
    Restore(backup::Restore),
    /// Write tasks, collections and the settings of streams to a file, as JSON lines.
    Export(export::Export),
    /// Read what `export` wrote into another store.
    Import(import::Import),
    /// Look whether a host and what it needs is well, and say what to do where it is not.
    Doctor(doctor::Doctor),
    /// Compile a component from standard input into a cache; the host calls it.
    #[command(hide = true)]
    CompileComponent {
        /// The cache.
        cache: PathBuf,
    },
}

impl Cli {
    /// Reads the arguments of this process, and ends it where they are wrong or ask for help.
    #[must_use]
    pub fn of_arguments() -> Self {
        Self::try_parse().unwrap_or_else(|error| {
            // What it quotes must not steer the terminal: it is told of escaped arguments.
            let shown = std::env::args_os().map(|one| text::shown(&one.to_string_lossy()));
            Self::try_parse_from(shown).err().unwrap_or(error).exit()
        })
    }
}

fn say_line(line: std::fmt::Arguments<'_>) {
    use std::io::Write;
    if writeln!(std::io::stdout(), "{line}").is_err() {
        std::process::exit(Exit::Failed as i32);
    }
}

/// Compiles a component from standard input, in a process that limits itself.
///
/// # Errors
/// What is wrong with the component.
pub fn compile(cache: &std::path::Path) -> Result<Exit, Failure> {
    taskhost_runtime::compile_child(cache, std::io::stdin().lock())
        .map_or_else(|reason| Err(Failure::failed(reason)), |()| Ok(Exit::Done))
}

/// Does what the command line says.
///
/// # Errors
/// [`Failure`] with its exit code and words for people.
pub async fn run(command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Serve(command) => serve::serve(command).await,
        Command::Demo(command) => demo::run(&command).await,
        Command::CheckConfig(command) => serve::check_config(&command),
        Command::Ingest(command) => ingest::run(&command).await,
        Command::Schedule(command) => tasks::schedule(&command).await,
        Command::Status(command) => tasks::status(&command).await,
        Command::Watch(command) => tasks::watch(&command).await,
        Command::Cancel(command) => tasks::cancel(&command).await,
        Command::Acknowledge(command) => tasks::acknowledge(&command).await,
        Command::Log(command) => log::log(&command).await,
        Command::Delete(command) => tasks::delete(&command).await,
        Command::List(command) => list::list(&command).await,
        Command::Submit(command) => submit::run(&command).await,
        Command::Retry(command) => tasks::retry(&command).await,
        Command::Runs(command) => runs::run(&command).await,
        Command::New(command) => new::run(&command),
        Command::Check(command) => check::run(&command).await,
        Command::Test(command) => test::run(&command).await,
        Command::Replay(command) => replay::run(&command).await,
        Command::Types(command) => types::run(&command).await,
        Command::Schedules(command) => schedules::run(&command).await,
        Command::Hosts(command) => hosts::run(&command).await,
        Command::Audit(command) => audit::run(&command).await,
        Command::Token(command) => token::run(&command).await,
        Command::Backup(command) => backup::back_up(&command),
        Command::Restore(command) => backup::restore(&command).await,
        Command::Export(command) => export::run(&command).await,
        Command::Import(command) => import::run(&command).await,
        Command::Doctor(command) => doctor::run(&command).await,
        Command::CompileComponent { cache } => compile(&cache),
    }
}

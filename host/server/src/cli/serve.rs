//! `taskhost serve` and `taskhost check-config`.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use super::failure::{Exit, Failure};
use super::files;
use super::text;
use crate::app::App;
use crate::settings::{self, File, Flags, Mistake, Settings};

/// Most that is read of a settings file.
const SETTINGS_BYTES_MAX: u64 = 1024 * 1024;
/// Open files without which the host does not start: its own, and some for connections.
const OPEN_FILES_MIN: usize = 128;
/// What is logged unless `TASKHOST_LOG` says otherwise.
const LOG: &str = "info";

/// What `taskhost serve --help` ends with.
const VARIABLES: &str = "\
Every setting can come from the environment as well, `runs.slots` from TASKHOST_RUNS_SLOTS. Only
from there, or from a file that a setting names, come:
  TASKHOST_KEY                     the key that all hosts of a store share
  TASKHOST_ELASTICSEARCH_PASSWORD  the host's own password, of TASKHOST_ELASTICSEARCH_USERNAME
  TASKHOST_ELASTICSEARCH_API_KEY   its API key instead, as Elasticsearch encodes it";

/// Run the host.
#[derive(Debug, clap::Args)]
#[command(after_help = VARIABLES)]
pub struct Serve {
    /// The settings file; `examples/taskhost.toml` explains every key.
    #[arg(long, env = "TASKHOST_CONFIG")]
    pub config: Option<PathBuf>,
    /// Address and port to listen on; port 0 takes a free one [default: 127.0.0.1:7700].
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// Folder that holds everything; with Elasticsearch, this host's name and its lock alone
    /// [default: ./taskhost-data].
    #[arg(long, value_name = "FOLDER")]
    pub data: Option<String>,
    /// Where everything is kept: `embedded` in the data folder, or `elasticsearch`, for many hosts
    /// [default: embedded].
    #[arg(long, value_name = "STORE")]
    pub store: Option<String>,
    /// Addresses of Elasticsearch, with commas between them [default: http://127.0.0.1:9200].
    #[arg(long, value_name = "URL")]
    pub elasticsearch_url: Option<String>,
    /// File with the key that all hosts of a store share, if it is not in TASKHOST_KEY.
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<String>,
    /// Who is asked who they are, on the embedded store: `none` for one user on loopback, or
    /// `tokens`, so that nobody comes in without one [default: none].
    #[arg(long, value_name = "WHO")]
    pub identity: Option<String>,
    /// How the log on standard error is written: `text` for people, or `json`, an object a line.
    #[arg(
        long,
        env = "TASKHOST_LOG_FORMAT",
        value_enum,
        default_value_t,
        value_name = "FORMAT"
    )]
    pub log_format: LogFormat,
    /// Watched folder of task types [default: task-types in the data folder].
    #[arg(long, value_name = "FOLDER")]
    pub task_types: Option<String>,
}

/// How a log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// An object a line, for programs.
    Json,
}

/// Check a settings file, and tell every mistake at once.
#[derive(Debug, clap::Args)]
pub struct CheckConfig {
    /// The settings file [env: TASKHOST_CONFIG].
    pub file: Option<PathBuf>,
    /// The same, as `taskhost serve` takes it.
    #[arg(long, value_name = "FILE", conflicts_with = "file")]
    pub config: Option<PathBuf>,
}

pub(crate) fn check_config(command: &CheckConfig) -> Result<Exit, Failure> {
    // Read here: a variable that is set is no conflict with a file that is named.
    let of_environment = || std::env::var_os("TASKHOST_CONFIG").map(PathBuf::from);
    let given = command.file.clone().or_else(|| command.config.clone());
    let Some(file) = given.or_else(of_environment) else {
        let message = "name the settings file: taskhost check-config FILE";
        return Err(Failure::wrong_use(message));
    };
    let settings = read(Some(&file), Flags::default())?;
    // Nothing is made here, so that of the folders only this one can be said to be missing.
    warn_of_doubts(&settings);
    let types = &settings.folder;
    if !types.is_default && !types.folder.is_dir() {
        return Err(Failure::failed(format!(
            "`task_types` is no mistake in writing, but there is no folder {}",
            files::shown(&types.folder)
        )));
    }
    say!("{}: no mistakes", files::shown(&file));
    Ok(Exit::Done)
}

pub(crate) async fn serve(command: Serve) -> Result<Exit, Failure> {
    log_as(LOG, command.log_format)?;
    let flags = Flags {
        listen: command.listen,
        data: command.data,
        task_types: command.task_types,
        store: command.store,
        elasticsearch_url: command.elasticsearch_url,
        key_file: command.key_file,
        identity: command.identity,
    };
    let warn: &dyn Fn(&str) = match command.log_format {
        LogFormat::Text => &warn_on_stderr,
        LogFormat::Json => &|warning| tracing::warn!("{}", text::shown(warning)),
    };
    let mut settings = read_warning(command.config.as_deref(), flags, warn)?;
    settings.doubts().iter().for_each(|doubt| warn(doubt));
    arm_crash_point()?;
    // Some files are left for the store, for compilers, and for what is asked beside.
    let connections_max = &mut settings.http.connections_max;
    *connections_max = (*connections_max).min(raise_open_files()? - OPEN_FILES_MIN / 2);
    let mut signals = Signals::new()?;
    // It may wait for its store.
    let started = tokio::select! {
        started = App::start(settings) => started,
        () = signals.next() => return Ok(Exit::Done),
    };
    let mut app = started.map_err(|e| Failure::failed(e.to_string()))?;
    if let Some(token) = app.take_first_token() {
        tell_first_token(&token);
    }
    let url = app.url();
    let is_ready = tokio::select! {
        () = app.get_ready() => true,
        () = signals.next() => false,
    };
    if is_ready {
        tracing::info!(%url, "ready");
        // Whoever started this host may have gone: that is no reason to stop.
        let _ = writeln!(std::io::stdout(), "listening on {url}");
        signals.next().await;
    }
    tracing::info!("stopping: runs get their grace; another signal ends it at once");
    tokio::select! {
        () = app.stop() => {}
        () = signals.next() => return Err(Failure::failed("stopped at once, by a second signal")),
    }
    tracing::info!("stopped");
    Ok(Exit::Done)
}

/// Told once, past the log: who keeps what goes to standard error keeps it too, and is told so.
fn tell_first_token(token: &str) {
    let text = format!(
        "This host knows people by tokens, and has had none so far. This is an admin's, and it is \
         shown this once:\n\n  {token}\n\nPut it into TASKHOST_TOKEN, or into a file of your own \
         for --token-file, and make others by `taskhost token create`. Where standard error is \
         kept, make yourself another one and revoke this one by its id, the digits between the \
         first two `_`."
    );
    // Whoever started this host may have gone; then `taskhost token create --data` makes another.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Logs go to standard error; `TASKHOST_LOG` says which.
pub(crate) fn log_to_stderr(default: &str) -> Result<(), Failure> {
    log_as(default, LogFormat::Text)
}

pub(crate) fn log_as(default: &str, format: LogFormat) -> Result<(), Failure> {
    let wanted = std::env::var("TASKHOST_LOG").unwrap_or_else(|_| default.to_owned());
    let refused = |why: String| {
        let example = "debug, or info,taskhost_service=debug";
        Failure::wrong_use(format!(
            "TASKHOST_LOG is `{wanted}`: {why}; it looks like {example}"
        ))
    };
    // The filter takes any word for the name of a module, and is then silent about all others.
    let is_level = |word: &&str| word.trim().parse::<LevelFilter>().is_ok();
    let mut words = wanted.split(',').filter(|word| !word.contains(['=', '[']));
    if let Some(word) = words.find(|word| !is_level(word)) {
        return Err(refused(format!("`{word}` is no level")));
    }
    let filter = EnvFilter::try_new(&wanted).map_err(|error| refused(error.to_string()))?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Text => log.with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
    Ok(())
}

/// Asks for an end: SIGTERM, or Ctrl-C.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// Heard so that it does not end the process: a file that may not grow is an error of the
    /// write, which the store tells.
    _file_size: Signal,
}

impl Signals {
    pub(crate) fn new() -> Result<Self, Failure> {
        let listen =
            |kind| signal(kind).map_err(|error| Failure::failed(format!("no signals: {error}")));
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            _file_size: listen(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?,
        })
    }

    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

pub(crate) fn read(file: Option<&Path>, flags: Flags) -> Result<Settings, Failure> {
    read_warning(file, flags, &warn_on_stderr)
}

fn warn_on_stderr(warning: &str) {
    eprintln!("warning: {}", text::shown(warning));
}

fn read_warning(
    file: Option<&Path>,
    flags: Flags,
    warn: &dyn Fn(&str),
) -> Result<Settings, Failure> {
    let file = file.map(|path| {
        let refused = |why| Failure::wrong_use(format!("the settings file {why}"));
        let text = files::read_text(path, SETTINGS_BYTES_MAX).map_err(refused)?;
        let name = files::shown(path);
        Ok::<_, Failure>(File { name, text })
    });
    for (name, _) in std::env::vars_os() {
        if let Some(warning) = settings::unknown_variable(&name.to_string_lossy()) {
            warn(&warning);
        }
    }
    let environment = |name: &str| std::env::var(name).ok();
    Settings::read(file.transpose()?.as_ref(), &environment, flags)
        .map_err(|mistakes| wrong_settings(&mistakes))
}

/// Every mistake on a line of its own.
pub(crate) fn wrong_settings(mistakes: &[Mistake]) -> Failure {
    let mut message = match mistakes.len() {
        1 => "one mistake in the settings:".to_owned(),
        count => format!("{count} mistakes in the settings:"),
    };
    for mistake in mistakes {
        message.push_str("\n  ");
        message.push_str(&text::shown(&mistake.to_string()));
    }
    Failure::wrong_use(message)
}

fn warn_of_doubts(settings: &Settings) {
    for doubt in settings.doubts() {
        warn_on_stderr(&doubt);
    }
}

/// A test lets the host die at a named point of a write.
fn arm_crash_point() -> Result<(), Failure> {
    let Ok(wanted) = std::env::var("TASKHOST_CRASH_AT") else {
        return Ok(());
    };
    let armed = taskhost_store::crash::parse(&wanted)
        .and_then(|(name, pass)| taskhost_store::crash::arm(name, pass));
    armed.map_err(|error| Failure::wrong_use(format!("TASKHOST_CRASH_AT: {error}")))
}

/// Each connection takes a file handle, and the usual limit of 1,024 is soon reached. With very
/// few the host would start and then wait for them for ever.
///
/// Answers how many files may be open.
fn raise_open_files() -> Result<usize, Failure> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::debug!(%error, "the limit of open files stays");
    }
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    match usize::try_from(files).unwrap_or(usize::MAX) {
        files if files < OPEN_FILES_MIN => Err(Failure::failed(format!(
            "this process may open {files} files at once, and the host needs at least \
             {OPEN_FILES_MIN}: raise it with `ulimit -n`, or LimitNOFILE in a systemd unit"
        ))),
        files => Ok(files),
    }
}

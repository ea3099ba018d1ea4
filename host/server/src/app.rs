//! Puts the host together, and takes it apart: store → runtime → service → HTTP → folder. The
//! only place that knows every layer.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use taskhost_clients::calls::CallScript;
use taskhost_clients::http::{Network, Outside};
use taskhost_clients::inference::{Connector, Connectors, HttpServer};
use taskhost_model::ids::Label;
use taskhost_model::time::Clock;
use taskhost_runtime::{CompileCommand, Runtime, RuntimeError, RuntimeSettings};
use taskhost_service::error::ServiceError;
use taskhost_service::nudge::Seals;
use taskhost_service::peers::Messenger;
use taskhost_service::spans::SpanSink;
use taskhost_service::{Parts, Service};
use taskhost_store::documents::DocumentStore;
use taskhost_store::error::StoreError;
use taskhost_store::open::{OpenError, Stores};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::first_token;
use crate::folder::{self, Folder, FolderError};
use crate::host_key::KeyFile;
use crate::host_name;
use crate::http::{self, About, Hearing, State};
use crate::memory;
use crate::metrics;
use crate::post::Post;
use crate::settings::{ConnectorSettings, HttpSettings, Settings};
use crate::store_of::open_stores;
use crate::traces::{Exporting, Traces};

/// The hidden subcommand with which the host calls itself to compile a component.
pub const COMPILE_COMMAND: &str = "compile-component";

/// Between two looks at whether the store has nothing to do.
const REST_INTERVAL: Duration = Duration::from_secs(1);
/// Time for the last answers to be written after every run has ended.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// Why the host does not start.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The first token.
    #[error("no first token could be made: {0}")]
    Token(#[from] StoreError),
    /// The watched folder.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The store.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The runtime.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// The service.
    #[error("the task service does not start: {0}")]
    Service(#[from] ServiceError),
    /// A language model.
    #[error("[connectors.{name}] cannot be used: {problem}")]
    Connector {
        /// Its name.
        name: Label,
        /// Why.
        problem: String,
    },
    /// The address.
    #[error("cannot listen on {address}: {error}; choose another address with --listen")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system says.
        error: std::io::Error,
    },
    /// Anything else that the system refuses.
    #[error("the host does not start: {0}")]
    System(#[from] std::io::Error),
}

/// What a test of a task type has in the place of what a serving host has.
#[derive(Debug, Clone, Default)]
pub struct Disturbance {
    /// Stands between guests and their clients.
    pub script: Option<Arc<dyn CallScript>>,
    /// Whoever answers for the network.
    pub outside: Option<Arc<dyn Outside>>,
}

/// A host that runs.
#[derive(Debug)]
pub struct App {
    address: SocketAddr,
    is_encrypted: bool,
    first_token: Option<String>,
    service: Service,
    stores: Stores,
    state: State,
    grace: Duration,
    stop: CancellationToken,
    http: JoinHandle<()>,
    /// Taken out when every file in it has been judged.
    folder: Option<Folder>,
    watching: Option<JoinHandle<()>>,
    /// Sends traces, where somebody collects them.
    exporting: Option<Exporting>,
}

impl App {
    /// Starts a host. When it returns, the host answers; it runs tasks and is ready once
    /// [`Self::get_ready`] has returned as well.
    ///
    /// # Errors
    /// [`AppError`], in words that say what to do.
    pub async fn start(settings: Settings) -> Result<Self, AppError> {
        Self::start_disturbed(settings, Disturbance::default()).await
    }

    /// Starts a host for a test of a task type.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_disturbed(
        settings: Settings,
        disturbance: Disturbance,
    ) -> Result<Self, AppError> {
        let time = disturbance.script.as_ref().map(|script| script.time());
        let clock = time.unwrap_or_default().clock();
        let stores = open_stores(&settings, clock.clone()).await?;
        let first_token = first_token::made(&stores, &clock).await?;
        folder::prepare(&settings.folder)?;
        metrics::collect();
        // Whatever may fail comes before the service.
        let (listener, address) = listen(&settings.http).await?;
        let is_encrypted = settings.http.tls.is_some();
        stores.announce(&url(address, is_encrypted))?;
        let runtime = Arc::new(Runtime::start(runtime_settings(&settings))?);
        let capacity = runtime.capacity();
        let (host, hearing) = among_others(&settings, &stores, address, &clock)?;
        let about = About {
            host,
            store: settings.store.name(),
            started_at: clock.now(),
        };
        let (spans, exporting) = collected(&settings, &about.host)?.unzip();
        let service = Service::start(Parts {
            stores: stores.clone(),
            runtime,
            clock: clock.clone(),
            settings: service_settings(&settings, capacity),
            host: about.host.clone(),
            connectors: connectors(&settings)?,
            network: network(&settings, disturbance.outside),
            script: disturbance.script,
            host_key: Arc::new(KeyFile::beside(&settings.data)),
            key_ring: settings.keys.clone(),
            address: hearing.as_ref().map(|it| it.address.clone()),
            spans: spans.clone(),
            messenger: messenger(hearing.as_ref())?,
        })
        .await?;
        let (params_bytes_max, http) = (settings.limits.params_bytes_max, &settings.http);
        let state = State::new(
            service.clone(),
            stores.clone(),
            about,
            params_bytes_max,
            http,
        );
        hearing.into_iter().for_each(|it| state.hear_hints(it));
        spans.into_iter().for_each(|it| state.trace_to(it));
        let (stop, grace) = (CancellationToken::new(), settings.shutdown_grace);
        let http = tokio::spawn(serve(
            listener,
            state.clone(),
            settings.http,
            stop.clone(),
            grace,
        ));
        let folder = Some(Folder::watch(settings.folder, service.types.clone(), clock));
        Ok(Self {
            address,
            is_encrypted,
            first_token,
            service,
            stores,
            state,
            grace,
            stop,
            http,
            folder,
            watching: None,
            exporting,
        })
    }

    /// Returns when every file in the watched folder has been activated or refused; from then
    /// on `/readyz` answers 200.
    pub async fn get_ready(&mut self) {
        if let Some(folder) = &mut self.folder {
            folder.judge_all().await;
        }
        self.service.begin();
        self.state.folder_is_judged();
        tokio::spawn(rest_now_and_then(self.stores.clone(), self.stop.clone()));
        tokio::spawn(metrics::keep(self.stop.clone()));
        let folder = self.folder.take();
        self.watching = folder.map(|folder| tokio::spawn(folder.run(self.stop.clone())));
    }

    /// Its collections, without anybody's rights: for what a test begins and ends with.
    pub(crate) fn documents(&self) -> Arc<dyn DocumentStore> {
        Arc::clone(&self.stores.documents)
    }

    /// Where it listens.
    #[must_use]
    pub fn url(&self) -> String {
        url(self.address, self.is_encrypted)
    }

    /// The token of an admin that the first start has made, to be told once.
    pub fn take_first_token(&mut self) -> Option<String> {
        self.first_token.take()
    }

    /// Stops as if it were killed: what runs is found lost by the next host on this data folder.
    /// `is_dead` is called when nothing of a run counts any more, and its guest may still be alive.
    pub async fn abandon(self, is_dead: impl FnOnce()) {
        self.service.die();
        is_dead();
        self.state.stopping().cancel();
        self.stop.cancel();
        if let Some(watching) = self.watching {
            drop(watching.await);
        }
        self.service.abandon().await;
        drop(self.http.await);
        self.stores.close().await;
    }

    /// Stops: nothing new is taken, open streams of events end, runs get their grace, what is
    /// left of them is handed back, everything is on disk.
    pub async fn stop(self) {
        self.state.stopping().cancel();
        self.stop.cancel();
        if let Some(watching) = self.watching {
            drop(watching.await);
        }
        let ((), http) = tokio::join!(self.service.drain(self.grace), self.http);
        drop(http);
        if let Some(exporting) = self.exporting {
            exporting.end().await;
        }
        self.stores.close().await;
    }
}

fn url(address: SocketAddr, is_encrypted: bool) -> String {
    let scheme = if is_encrypted { "https" } else { "http" };
    format!("{scheme}://{address}")
}

/// After a burst the store's caches go, once nothing has happened for a while.
async fn rest_now_and_then(stores: Stores, stop: CancellationToken) {
    while stop
        .run_until_cancelled(tokio::time::sleep(REST_INTERVAL))
        .await
        .is_some()
    {
        if let Err(error) = stores.rest().await {
            tracing::debug!(%error, "the store's memory is not given back");
        }
    }
}

async fn serve(
    listener: TcpListener,
    state: State,
    settings: HttpSettings,
    stop: CancellationToken,
    grace: Duration,
) {
    http::serve(listener, state, &settings, stop, grace + LAST_ANSWERS).await;
}

fn runtime_settings(settings: &Settings) -> RuntimeSettings {
    let mut runtime = RuntimeSettings::new(settings.component_cache.clone());
    runtime.runs_max = settings.runs.slots + settings.runs.parked;
    let memory_bytes = settings.runs.memory_bytes;
    runtime.memory_bytes_max = memory_bytes.unwrap_or_else(|| memory::allowed_bytes() / 2);
    runtime.compile = compile_command(&settings.component_cache);
    runtime
}

/// This program, compiling into a cache.
pub(crate) fn compile_command(cache: &Path) -> Option<CompileCommand> {
    this_program().map(|program| CompileCommand {
        program,
        args: vec![COMPILE_COMMAND.into(), cache.into()],
    })
}

/// This program. On Linux by the name that still works when its file has been replaced.
fn this_program() -> Option<PathBuf> {
    let itself = Path::new("/proc/self/exe");
    if itself.try_exists().unwrap_or(false) {
        return Some(itself.to_owned());
    }
    std::env::current_exe().ok()
}

/// As many slots as the runtime has room for: a run beyond them waits in the queue, where it can be
/// seen. What is left is for runs that wait for children.
fn service_settings(settings: &Settings, capacity: usize) -> taskhost_service::settings::Settings {
    let slots = settings.runs.slots.min(capacity);
    if settings.runs.slots > slots {
        tracing::warn!(
            wanted = settings.runs.slots,
            slots,
            "fewer slots than wanted: the system allows a process so many memory maps \
             (vm.max_map_count), and each run takes some"
        );
    }
    let params_bytes_max = usize::try_from(settings.limits.params_bytes_max);
    taskhost_service::settings::Settings {
        slots,
        parked: settings.runs.parked.min(capacity - slots),
        bounds: settings.bounds,
        policy: settings.policy.clone(),
        params_bytes_max: params_bytes_max.unwrap_or(usize::MAX),
        retry_backoff: settings.runs.retry_backoff,
        retry_backoff_max: settings.runs.retry_backoff_max,
        types: settings.types.clone(),
        retention: settings.runs.retention,
        crashes_max: settings.runs.crashes_max,
        document_bytes_max: settings.limits.document_bytes_max,
        log_bytes_max: settings.limits.log_bytes_max,
        sweep_interval: settings.runs.sweep_interval,
        retired_versions_kept: settings.runs.retired_versions_kept,
        audit: settings.audit,
        features_keep_days: settings.features_keep_days,
        hosts: taskhost_service::settings::HostSettings {
            beat_interval: settings.hosts.beat_interval,
            lease: settings.hosts.lease,
            ..taskhost_service::settings::HostSettings::default()
        },
    }
}

/// Where traces go, and what sends them.
type Collected = (Arc<dyn SpanSink>, Exporting);

fn collected(settings: &Settings, host: &str) -> Result<Option<Collected>, AppError> {
    let endpoint = settings.telemetry.otlp_endpoint.as_deref();
    let collected = endpoint.map(|endpoint| Traces::to(endpoint, host));
    collected
        .transpose()
        .map_err(|error| AppError::System(std::io::Error::other(error)))
}

fn network(settings: &Settings, outside: Option<Arc<dyn Outside>>) -> Network {
    let outbound = settings.outbound.clone();
    match outside {
        Some(outside) => Network::with_outside(outbound.open_networks, outbound.secrets, outside),
        None => Network::new(outbound.open_networks, outbound.secrets),
    }
}

fn connectors(settings: &Settings) -> Result<Connectors, AppError> {
    let connector = |settings: &ConnectorSettings| {
        let (name, url, key) = (&settings.name, settings.url.clone(), settings.key.clone());
        let setting = format!("`url` of [connectors.{name}]");
        let server = HttpServer::new(url, key, setting).map_err(|problem| {
            let name = name.clone();
            AppError::Connector { name, problem }
        })?;
        let (model, limits) = (settings.model.clone(), settings.limits.clone());
        Ok(Connector::new(
            name.clone(),
            model,
            limits,
            Arc::new(server),
        ))
    };
    let connectors: Result<Vec<_>, AppError> = settings.connectors.iter().map(connector).collect();
    Ok(Connectors::new(connectors?))
}

async fn listen(settings: &HttpSettings) -> Result<(TcpListener, SocketAddr), AppError> {
    let address = settings.listen;
    let refused = |error| AppError::Listen { address, error };
    let listener = TcpListener::bind(address).await.map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    Ok((listener, address))
}

/// This host's name, and how others on the store reach it, where there may be others.
fn among_others(
    settings: &Settings,
    stores: &Stores,
    address: SocketAddr,
    clock: &Clock,
) -> Result<(String, Option<Hearing>), AppError> {
    let machine = machine_name();
    if stores.hosts.is_none() {
        return Ok((machine, None));
    }
    let host = host_name::of_folder(&settings.data, &machine)?;
    let Some(keys) = &settings.keys else {
        return Ok((host, None));
    };
    let advertise = settings.hosts.advertise.clone();
    let hearing = Hearing {
        seals: Arc::new(Seals::new(keys.current(), clock.clone())),
        address: advertise.unwrap_or_else(|| url(address, settings.http.tls.is_some())),
    };
    Ok((host, Some(hearing)))
}

fn messenger(hearing: Option<&Hearing>) -> Result<Option<Arc<dyn Messenger>>, AppError> {
    let Some(hearing) = hearing else {
        return Ok(None);
    };
    let post = Post::new(Arc::clone(&hearing.seals)).map_err(std::io::Error::other)?;
    Ok(Some(post))
}

fn machine_name() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}

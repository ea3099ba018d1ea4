//! Opens a store. Here alone a backend is named.

mod error;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fmt, io};

use taskhost_model::time::Clock;

use crate::audit::AuditStore;
use crate::authority::Authority;
use crate::backup;
use crate::checkpoints::CheckpointStore;
use crate::components::ComponentStore;
use crate::documents::DocumentStore;
use crate::elastic::Elastic;
use crate::elastic::client::Client;
pub use crate::elastic::client::{Credentials, Settings as ElasticConnection};
use crate::elastic::people::Security;
use crate::elastic::streams::Streams;
use crate::error::StoreError;
use crate::hosts::HostStore;
use crate::limits::Limits;
use crate::lock::{FolderLock, LockError};
use crate::memory::Memory;
use crate::memory::people::Declared;
use crate::recordings::RecordingStore;
use crate::run_keys::RunKeyStore;
use crate::schedules::ScheduleStore;
use crate::sqlite::Sqlite;
use crate::sqlite::peopled::Peopled;
use crate::streams::{READS_AT_ONCE, StreamStore};
use crate::tasks::TaskStore;
use crate::tokens::TokenStore;
use crate::whole::WholeStore;
pub use error::OpenError;

/// A cluster serves whoever asks; so many searches of one host are plenty, of which no credential
/// has more than a few at once.
const ELASTIC_READS_AT_ONCE: usize = 64;

/// Where and how to store.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The data folder; made when it is missing. Other files in it are left alone.
    pub folder: PathBuf,
    /// Upper bounds.
    pub limits: Limits,
}

/// Which Elasticsearch, and how to store there.
#[derive(Debug, Clone)]
pub struct ElasticSettings {
    /// The cluster.
    pub connection: ElasticConnection,
    /// How the names of all indices begin: [`ElasticSettings::PREFIX`], unless several stores are
    /// in one cluster.
    pub prefix: String,
    /// Upper bounds.
    pub limits: Limits,
}

impl ElasticSettings {
    /// The usual prefix: tasks are in `.streams_tasks`.
    pub const PREFIX: &str = ".streams";
}

/// Everything that is stored, behind its traits.
#[derive(Debug, Clone)]
pub struct Stores {
    /// Task documents.
    pub tasks: Arc<dyn TaskStore>,
    /// What tasks keep from one attempt to the next.
    pub checkpoints: Arc<dyn CheckpointStore>,
    /// What recorded runs have asked and were answered.
    pub recordings: Arc<dyn RecordingStore>,
    /// Collections.
    pub documents: Arc<dyn DocumentStore>,
    /// Stream data.
    pub streams: Arc<dyn StreamStore>,
    /// Components.
    pub components: Arc<dyn ComponentStore>,
    /// Who has changed what.
    pub audit: Arc<dyn AuditStore>,
    /// Schedules.
    pub schedules: Arc<dyn ScheduleStore>,
    /// Other hosts on the same store; none where this process is the only one that can use it.
    pub hosts: Option<Arc<dyn HostStore>>,
    /// Who may do what; none where the store has no people of its own.
    pub people: Option<People>,
    /// Of the folder that names this host, where that is not the embedded store's.
    folder: Option<Arc<FolderLock>>,
    backend: Backend,
}

/// The people of a store, and what runs hold in their name.
#[derive(Clone)]
pub struct People {
    /// Who knows them.
    pub authority: Arc<dyn Authority>,
    /// Keys of runs.
    pub keys: Arc<dyn RunKeyStore>,
    /// Their tokens, where the store has made them itself.
    pub tokens: Option<Arc<dyn TokenStore>>,
    /// What seals the keys of runs, where nobody else is to know it than this store.
    pub own_ring: Option<[u8; 32]>,
}

impl fmt::Debug for People {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("People").field(&self.authority).finish()
    }
}

/// What is behind the traits.
#[derive(Debug, Clone)]
enum Backend {
    /// Nothing that can be asked.
    Plain,
    Embedded(Embedded),
    Elastic(Arc<Elastic>),
}

/// What only the embedded store has.
#[derive(Debug, Clone)]
struct Embedded {
    sqlite: Arc<Sqlite>,
    lock: Arc<FolderLock>,
}

/// Opens the embedded store and takes the lock on its folder, until every copy of the answer is
/// dropped. It reads and writes files: call it before serving, or from a blocking thread.
///
/// # Errors
/// [`OpenError`] when another host uses the folder, when it cannot be used, and when its files
/// are damaged, of a newer version or not ours.
pub fn open(settings: &Settings, clock: Clock) -> Result<Stores, OpenError> {
    let folder = || settings.folder.clone();
    let lock = take_lock(&settings.folder)?;
    if settings.folder.join(backup::UNFINISHED).exists() {
        return Err(OpenError::HalfRestored(folder()));
    }
    let sqlite =
        Sqlite::open(&settings.folder, settings.limits, clock, &lock).map_err(|error| {
            OpenError::Store {
                folder: folder(),
                error,
            }
        })?;
    let sqlite = Arc::new(sqlite);
    Ok(Stores {
        tasks: Arc::clone(&sqlite) as Arc<dyn TaskStore>,
        checkpoints: Arc::clone(&sqlite) as Arc<dyn CheckpointStore>,
        recordings: Arc::clone(&sqlite) as Arc<dyn RecordingStore>,
        documents: Arc::clone(&sqlite) as Arc<dyn DocumentStore>,
        streams: Arc::clone(&sqlite) as Arc<dyn StreamStore>,
        components: Arc::clone(&sqlite) as Arc<dyn ComponentStore>,
        audit: Arc::clone(&sqlite) as Arc<dyn AuditStore>,
        schedules: Arc::clone(&sqlite) as Arc<dyn ScheduleStore>,
        // The folder's lock sees to it.
        hosts: None,
        people: None,
        folder: None,
        backend: Backend::Embedded(Embedded { sqlite, lock }),
    })
}

/// The same with people: whoever has one of its tokens, and nobody else.
///
/// # Errors
/// As [`open`].
pub fn open_with_people(settings: &Settings, clock: Clock) -> Result<Stores, OpenError> {
    let mut stores = open(settings, clock)?;
    let Backend::Embedded(Embedded { sqlite, .. }) = &stores.backend else {
        return Ok(stores);
    };
    let sqlite = Arc::clone(sqlite);
    let people = sqlite.people(&settings.folder);
    let (tokens, ring) = people.map_err(|error| OpenError::Store {
        folder: settings.folder.clone(),
        error,
    })?;
    stores.streams = Arc::new(Peopled::new(&sqlite, &tokens));
    stores.people = Some(People {
        authority: Arc::clone(&tokens) as Arc<dyn Authority>,
        keys: sqlite,
        tokens: Some(tokens),
        own_ring: Some(ring),
    });
    Ok(stores)
}

/// Opens the store in Elasticsearch, and makes its indices where there are none. Stream data is
/// read from elsewhere, from [`elastic_streams`] as a rule.
///
/// # Errors
/// [`OpenError::Elastic`] when the cluster cannot be reached, does not let the host in, or has
/// indices of a newer version; [`OpenError::NoSecurity`].
pub async fn open_elastic(
    settings: &ElasticSettings,
    clock: Clock,
    streams: Arc<dyn StreamStore>,
) -> Result<Stores, OpenError> {
    let (connection, prefix) = (&settings.connection, &settings.prefix);
    let elastic = Elastic::open(connection, prefix, settings.limits, clock).await;
    let elastic = Arc::new(elastic.map_err(OpenError::Elastic)?);
    // A client of its own: what the host needs for its tasks is counted apart.
    let client = Client::new(connection).map_err(OpenError::Elastic)?;
    let security = Security::open(client).await.map_err(OpenError::Elastic)?;
    // Without it nobody could be told from anybody else.
    let security = security.ok_or(OpenError::NoSecurity)?;
    Ok(Stores {
        tasks: Arc::clone(&elastic) as Arc<dyn TaskStore>,
        checkpoints: Arc::clone(&elastic) as Arc<dyn CheckpointStore>,
        recordings: Arc::clone(&elastic) as Arc<dyn RecordingStore>,
        documents: Arc::clone(&elastic) as Arc<dyn DocumentStore>,
        streams,
        components: Arc::clone(&elastic) as Arc<dyn ComponentStore>,
        audit: Arc::clone(&elastic) as Arc<dyn AuditStore>,
        schedules: Arc::clone(&elastic) as Arc<dyn ScheduleStore>,
        hosts: Some(Arc::clone(&elastic) as Arc<dyn HostStore>),
        people: Some(People {
            authority: Arc::new(security),
            keys: Arc::clone(&elastic) as Arc<dyn RunKeyStore>,
            tokens: None,
            own_ring: None,
        }),
        folder: None,
        backend: Backend::Elastic(elastic),
    })
}

/// The streams of a cluster, each read with the credential of whoever asks.
///
/// # Errors
/// [`OpenError::Elastic`] when the connection's addresses or certificates make no sense.
pub fn elastic_streams(connection: &ElasticConnection) -> Result<Arc<dyn StreamStore>, OpenError> {
    // A client of its own: what the host needs for its tasks is counted apart.
    let client = Client::new(connection).map_err(OpenError::Elastic)?;
    Ok(Arc::new(Streams::new(client)))
}

/// A store that is gone with the process, for tests.
#[must_use]
pub fn in_memory(limits: Limits, clock: Clock) -> Stores {
    of_memory(Arc::new(Memory::new(limits, clock)), false)
}

/// The same for so many hosts that share it.
#[must_use]
pub fn in_memory_of_hosts(limits: Limits, clock: Clock, count: usize) -> Vec<Stores> {
    let memory = Memory::new(limits, clock);
    let hosts = (0..count).map(|_| of_memory(Arc::new(memory.of_another_host()), true));
    hosts.collect()
}

/// A store that is gone with the process, with people that a test declares.
#[must_use]
pub fn in_memory_with_people(limits: Limits, clock: Clock, people: &Arc<Declared>) -> Stores {
    of_people(Memory::new(limits, clock), false, people)
}

/// The same for so many hosts that share it.
#[must_use]
pub fn in_memory_of_hosts_with_people(
    limits: Limits,
    clock: Clock,
    count: usize,
    people: &Arc<Declared>,
) -> Vec<Stores> {
    let memory = Memory::new(limits, clock);
    let hosts = (0..count).map(|_| of_people(memory.of_another_host(), true, people));
    hosts.collect()
}

fn of_people(memory: Memory, is_shared: bool, people: &Arc<Declared>) -> Stores {
    let memory = Arc::new(memory.for_people(people));
    let people = People {
        authority: Arc::clone(people) as Arc<dyn Authority>,
        keys: Arc::clone(&memory) as Arc<dyn RunKeyStore>,
        tokens: None,
        own_ring: None,
    };
    Stores {
        people: Some(people),
        ..of_memory(memory, is_shared)
    }
}

fn of_memory(memory: Arc<Memory>, is_shared: bool) -> Stores {
    Stores {
        tasks: Arc::clone(&memory) as Arc<dyn TaskStore>,
        checkpoints: Arc::clone(&memory) as Arc<dyn CheckpointStore>,
        recordings: Arc::clone(&memory) as Arc<dyn RecordingStore>,
        documents: Arc::clone(&memory) as Arc<dyn DocumentStore>,
        streams: Arc::clone(&memory) as Arc<dyn StreamStore>,
        components: Arc::clone(&memory) as Arc<dyn ComponentStore>,
        audit: Arc::clone(&memory) as Arc<dyn AuditStore>,
        schedules: Arc::clone(&memory) as Arc<dyn ScheduleStore>,
        hosts: is_shared.then_some(memory as Arc<dyn HostStore>),
        people: None,
        folder: None,
        backend: Backend::Plain,
    }
}

impl Stores {
    /// Stores of any making, for tests that stand between a store and its callers.
    #[cfg(any(test, feature = "conformance"))]
    #[must_use]
    pub fn of_parts(
        tasks: Arc<dyn TaskStore>,
        checkpoints: Arc<dyn CheckpointStore>,
        recordings: Arc<dyn RecordingStore>,
        documents: Arc<dyn DocumentStore>,
        streams: Arc<dyn StreamStore>,
        components: Arc<dyn ComponentStore>,
    ) -> Self {
        Self {
            tasks,
            checkpoints,
            recordings,
            documents,
            streams,
            components,
            audit: Arc::new(Memory::new(Limits::default(), Clock::default())),
            schedules: Arc::new(Memory::new(Limits::default(), Clock::default())),
            hosts: None,
            people: None,
            folder: None,
            backend: Backend::Plain,
        }
    }

    /// Takes the lock on a data folder, until every copy of this is dropped: whoever holds it is
    /// the host that the folder names. The embedded store has done so when it was opened.
    ///
    /// # Errors
    /// [`OpenError`] when another host uses the folder, or when it cannot be used.
    pub fn hold(&mut self, folder: &Path) -> Result<(), OpenError> {
        self.folder = Some(take_lock(folder)?);
        Ok(())
    }

    /// Writes where this host listens, so that a second one on the same folder can name it.
    ///
    /// # Errors
    /// What the system says when the file cannot be written.
    pub fn announce(&self, address: &str) -> io::Result<()> {
        match &self.backend {
            Backend::Embedded(embedded) => embedded.lock.write(address),
            Backend::Elastic(_) | Backend::Plain => match &self.folder {
                Some(lock) => lock.write(address),
                None => Ok(()),
            },
        }
    }

    /// Whether any write would succeed now: it makes one, or asks whether there is a place for it,
    /// and looks for room for new data.
    ///
    /// # Errors
    /// Whatever a write would fail with.
    pub async fn writable(&self) -> Result<(), StoreError> {
        match &self.backend {
            Backend::Embedded(embedded) => embedded.sqlite.writable().await,
            Backend::Elastic(elastic) => elastic.writable().await,
            Backend::Plain => Ok(()),
        }
    }

    /// Everything that is kept, where that can be told.
    #[must_use]
    pub fn whole(&self) -> Option<Arc<dyn WholeStore>> {
        match &self.backend {
            Backend::Embedded(embedded) => Some(Arc::clone(&embedded.sqlite) as _),
            Backend::Elastic(elastic) => Some(Arc::clone(elastic) as _),
            Backend::Plain => None,
        }
    }

    /// Gives memory back that is kept for speed, where little was written since the last call.
    ///
    /// # Errors
    /// When the store is not available.
    pub async fn rest(&self) -> Result<(), StoreError> {
        match &self.backend {
            Backend::Embedded(embedded) => embedded.sqlite.rest().await,
            Backend::Elastic(_) | Backend::Plain => Ok(()),
        }
    }

    /// How many reads of documents are served at once, before further ones wait for them.
    #[must_use]
    pub fn reads_at_once(&self) -> usize {
        match &self.backend {
            Backend::Elastic(_) => ELASTIC_READS_AT_ONCE,
            Backend::Embedded(_) | Backend::Plain => READS_AT_ONCE as usize,
        }
    }

    /// How many requests were sent to Elasticsearch, where the store is there.
    #[must_use]
    pub fn requests(&self) -> Option<u64> {
        self.requests_by_kind().map(|kinds| kinds.values().sum())
    }

    /// The same for each kind of request, named as its API is: `_bulk`, `_mget`, `_search` …
    #[must_use]
    pub fn requests_by_kind(&self) -> Option<BTreeMap<&'static str, u64>> {
        match &self.backend {
            Backend::Elastic(elastic) => Some(elastic.requests()),
            Backend::Embedded(_) | Backend::Plain => None,
        }
    }

    /// Lets lists show everything that was written: on a cluster they may be a second late. For
    /// tests.
    ///
    /// # Errors
    /// When the store is not available.
    #[cfg(any(test, feature = "conformance"))]
    pub async fn settle(&self) -> Result<(), StoreError> {
        match &self.backend {
            Backend::Elastic(elastic) => elastic.settle().await,
            Backend::Embedded(_) | Backend::Plain => Ok(()),
        }
    }

    /// Writes what waits and closes the store; every later call answers
    /// [`StoreError::Unavailable`].
    pub async fn close(&self) {
        match &self.backend {
            Backend::Embedded(embedded) => embedded.sqlite.close().await,
            Backend::Elastic(elastic) => elastic.close(),
            Backend::Plain => {}
        }
    }
}

/// The lock on a data folder, for whoever changes it without a host.
#[derive(Debug)]
pub struct HeldFolder(#[expect(dead_code, reason = "it is held")] Arc<FolderLock>);

impl HeldFolder {
    /// Takes it, until it is dropped.
    ///
    /// # Errors
    /// [`OpenError`] when a host uses the folder, or when it cannot be used.
    pub fn take(folder: &Path) -> Result<Self, OpenError> {
        take_lock(folder).map(Self)
    }
}

fn take_lock(folder: &Path) -> Result<Arc<FolderLock>, OpenError> {
    let of = || folder.to_owned();
    std::fs::create_dir_all(folder).map_err(|error| OpenError::Folder {
        folder: of(),
        error,
    })?;
    let lock = FolderLock::take(folder).map_err(|error| match error {
        LockError::Held { pid, address } => OpenError::InUse {
            folder: of(),
            pid,
            address,
        },
        LockError::Io(error) => OpenError::Folder {
            folder: of(),
            error,
        },
    })?;
    Ok(Arc::new(lock))
}

//! The service's own settings, checked by whoever reads them.

use std::collections::BTreeMap;
use std::time::Duration;

use taskhost_model::descriptor::Bounds;
use taskhost_model::ids::TypeId;

use crate::policy::Policy;

/// How the service behaves.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Runs at once.
    pub slots: usize,
    /// Runs that wait for children in memory at once, beside those in slots.
    pub parked: usize,
    /// The most that a descriptor may ask for.
    pub bounds: Bounds,
    /// What task types may reach.
    pub policy: Policy,
    /// The largest params, in bytes.
    pub params_bytes_max: usize,
    /// The largest document of a stream, in bytes.
    pub document_bytes_max: u64,
    /// The longest log of a run, in bytes.
    pub log_bytes_max: u64,
    /// The wait before the second attempt; doubled for each one after, with jitter.
    pub retry_backoff: Duration,
    /// The longest wait between two attempts.
    pub retry_backoff_max: Duration,
    /// What an operator has decided of task types, beside what they may reach.
    pub types: BTreeMap<TypeId, TypeSettings>,
    /// What has ended is kept for so long; of what does not say when it goes, too.
    pub retention: Duration,
    /// A task whose hosts were lost so often fails.
    pub crashes_max: u32,
    /// How often the sweeper looks for what was left behind.
    pub sweep_interval: Duration,
    /// How it lives with others on one store.
    pub hosts: HostSettings,
    /// Of a type's retired versions that nothing is pinned to, so many newest are kept.
    pub retired_versions_kept: usize,
    /// Features are kept for so many days that are not found again.
    pub features_keep_days: u32,
    /// How long the audit log is kept.
    pub audit: AuditBounds,
}

/// How long entries of the audit log are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditBounds {
    /// So long.
    pub age: Duration,
    /// And so many of each kind: of what is decided, and of what is done all day.
    pub entries: u64,
}

impl Default for AuditBounds {
    fn default() -> Self {
        Self {
            age: Duration::from_secs(90 * 24 * 60 * 60),
            entries: 1_000_000,
        }
    }
}

impl Settings {
    /// What an operator has decided of a type.
    #[must_use]
    pub fn of_type(&self, type_id: &TypeId) -> TypeSettings {
        self.types.get(type_id).copied().unwrap_or_default()
    }

    /// Of those types of which an operator has decided it, how many runs may be at work at once.
    pub(crate) fn runs_at_once(&self) -> BTreeMap<TypeId, u64> {
        let decided = self.types.iter();
        let decided = decided.filter_map(|(id, it)| Some((id.clone(), it.runs_at_once?)));
        decided.collect()
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            slots: 64,
            parked: 64,
            bounds: Bounds::default(),
            policy: Policy::default(),
            params_bytes_max: 1024 * 1024,
            document_bytes_max: 1024 * 1024,
            log_bytes_max: 1024 * 1024,
            retry_backoff: Duration::from_secs(1),
            retry_backoff_max: Duration::from_secs(300),
            types: BTreeMap::new(),
            retention: Duration::from_secs(7 * 24 * 60 * 60),
            crashes_max: 5,
            sweep_interval: Duration::from_secs(10),
            hosts: HostSettings::default(),
            retired_versions_kept: 5,
            features_keep_days: 7,
            audit: AuditBounds::default(),
        }
    }
}

/// What an operator has decided of a task type, in place of what its descriptor or the host says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TypeSettings {
    /// Attempts in all, the first one included.
    pub attempts: Option<u32>,
    /// The wait before the second attempt.
    pub retry_backoff: Option<Duration>,
    /// The longest wait between two attempts.
    pub retry_backoff_max: Option<Duration>,
    /// What is due and has not begun for so long fails.
    pub queue_timeout: Option<Duration>,
    /// Of its runs in a space that have the same concurrency key so many may be at work at once, on
    /// all hosts together; of a type without keys, of all its runs in a space.
    pub runs_at_once: Option<u64>,
}

/// How a host lives with others on one store. All of them have to have the same lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostSettings {
    /// How often it says that it is alive.
    pub beat_interval: Duration,
    /// A host that says nothing for so long is lost, and what it runs is given to others.
    pub lease: Duration,
    /// How often it looks at the others.
    pub look_interval: Duration,
    /// How often it looks, while it runs something, whether another host wants that to stop.
    pub stops_interval: Duration,
    /// The longest time between two looks for work that it did not hear of.
    pub poll_max: Duration,
}

impl Default for HostSettings {
    fn default() -> Self {
        Self {
            beat_interval: Duration::from_secs(5),
            lease: Duration::from_secs(30),
            look_interval: Duration::from_millis(1_500),
            stops_interval: Duration::from_millis(500),
            poll_max: Duration::from_secs(3),
        }
    }
}

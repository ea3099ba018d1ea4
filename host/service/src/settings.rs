//! The service's own settings, checked by whoever reads them.

use std::time::Duration;

use taskhost_model::descriptor::Bounds;

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
            crashes_max: 5,
            sweep_interval: Duration::from_secs(10),
            hosts: HostSettings::default(),
            retired_versions_kept: 5,
            features_keep_days: 7,
        }
    }
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

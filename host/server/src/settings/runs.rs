//! How tasks are run, how large what is kept may be, and what a task type may ask for.

use std::time::Duration;

use taskhost_model::descriptor::Bounds;

use super::reader::Reader;
use super::{seconds, size};

/// Each takes a place in memory, and address space; more have to be wanted.
const PARKED_DEFAULT_MAX: u64 = 256;

const DAY_S: u64 = 86_400;

/// How tasks are run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunSettings {
    /// Runs at once.
    pub slots: usize,
    /// Runs that wait for children in memory, beside those in slots.
    pub parked: usize,
    /// Memory of all runs together, in bytes; none: half of what this process may take.
    pub memory_bytes: Option<u64>,
    /// Wait before the second attempt.
    pub retry_backoff: Duration,
    /// The longest wait between two attempts.
    pub retry_backoff_max: Duration,
    /// So many lost hosts make a task fail.
    pub crashes_max: u32,
    /// How often is looked for what was left behind.
    pub sweep_interval: Duration,
    /// Retired versions that are kept of each type.
    pub retired_versions_kept: usize,
    /// What has ended is kept for so long.
    pub retention: Duration,
    /// Runs of one task that are shown, the latest among them.
    pub runs_kept: usize,
}

/// How large what is kept may be, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitSettings {
    /// Params of one task.
    pub params_bytes_max: u64,
    /// Log of one run.
    pub log_bytes_max: u64,
    /// Checkpoints of one task together.
    pub checkpoints_bytes_max: u64,
    /// One document of a stream.
    pub document_bytes_max: u64,
}

impl RunSettings {
    pub(super) fn from_reader(reader: &mut Reader<'_>) -> Self {
        let slots = reader.number("runs.slots", 64, 1..=10_000);
        let parked = reader.number("runs.parked", slots.min(PARKED_DEFAULT_MAX), 0..=10_000);
        let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let settings = Self {
            slots: count(slots),
            parked: count(parked),
            memory_bytes: match reader.number("runs.memory_mib", 0, 0..=16 * 1024 * 1024) {
                0 => None,
                mib => Some(mib * 1024 * 1024),
            },
            retry_backoff: Duration::from_millis(reader.number(
                "runs.retry_backoff_ms",
                1_000,
                1..=DAY_S * 1000,
            )),
            retry_backoff_max: seconds(reader, "runs.retry_backoff_max_s", 300, DAY_S),
            crashes_max: narrow(reader.number("runs.crashes_max", 5, 1..=100)),
            sweep_interval: seconds(reader, "runs.sweep_interval_s", 10, 3600),
            retired_versions_kept: size(reader, "runs.retired_versions_kept", 5, 100),
            retention: seconds(reader, "runs.retention_s", 7 * DAY_S, 3_650 * DAY_S),
            runs_kept: size(reader, "runs.history", 10, 100),
        };
        if settings.retry_backoff > settings.retry_backoff_max {
            let problem = "is longer than `runs.retry_backoff_max_s`".to_owned();
            reader.contradiction("runs.retry_backoff_ms", problem);
        }
        settings
    }
}

/// Task types bound what they take alike.
pub(super) fn features_keep_days(reader: &mut Reader<'_>) -> u32 {
    narrow(reader.number("features.keep_days", 7, 1..=365))
}

impl LimitSettings {
    pub(super) fn from_reader(reader: &mut Reader<'_>) -> Self {
        let mut kib = |key, default, most| reader.number(key, default, 1..=most) * 1024;
        Self {
            params_bytes_max: kib("limits.params_kib", 1024, 16 * 1024),
            log_bytes_max: kib("limits.log_kib", 1024, 64 * 1024),
            checkpoints_bytes_max: kib("limits.checkpoints_kib", 8 * 1024, 64 * 1024),
            document_bytes_max: kib("limits.document_kib", 1024, 16 * 1024),
        }
    }
}

pub(super) fn bounds(reader: &mut Reader<'_>) -> Bounds {
    let default = Bounds::default();
    let mut bound = |key, default, most| reader.number(key, default, 1..=most);
    Bounds {
        memory_mib: bound("task_type_limits.memory_mib", default.memory_mib, 4096),
        cpu_ms: bound("task_type_limits.cpu_ms", default.cpu_ms, DAY_S * 1000),
        wall_s: bound("task_type_limits.wall_s", default.wall_s, 30 * DAY_S),
        output_kib: bound("task_type_limits.output_kib", default.output_kib, 64 * 1024),
        attempts: narrow(bound(
            "task_type_limits.attempts",
            default.attempts.into(),
            100,
        )),
        grace_ms: bound("task_type_limits.grace_ms", default.grace_ms, 3_600_000),
        host_calls: bound(
            "task_type_limits.host_calls",
            default.host_calls,
            1_000_000_000_000,
        ),
        tokens: bound("task_type_limits.tokens", default.tokens, 1_000_000_000_000),
    }
}

fn narrow(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

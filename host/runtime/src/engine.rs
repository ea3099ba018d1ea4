//! The engine: how components are compiled, where their instances live, and how many fit.
//!
//! The host and the process that compiles for it build their engine from one function, since
//! the cache finds compiled code by the engine's configuration.

use std::fs::Metadata;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;

use rustix::process::{Uid, geteuid};
use wasmtime::{
    Cache, CacheConfig, Config, Enabled, Engine, InstanceAllocationStrategy,
    PoolingAllocationConfig,
};

use crate::error::RuntimeError;

/// Stack of compiled code; what is deeper traps.
const WASM_STACK_BYTES: usize = 1024 * 1024;
/// Stack of a run: host functions have what compiled code leaves.
const ASYNC_STACK_BYTES: usize = 2 * 1024 * 1024;
/// Kept from one instance to the next in the same slot: it is zeroed instead of mapped anew,
/// which makes a fresh instance four times as fast (measured on small Rust components). A small
/// component writes to less; hostile ones leave so much behind in each slot that they were in.
const MEMORY_KEPT_BYTES: usize = 16 * 1024;
const TABLE_KEPT_BYTES: usize = 4 * 1024;
/// Of a stack so much is kept, and the rest is given back: a run that recurses deeply would leave
/// 1 MiB behind on each stack that it is the first to use so, until the process ends.
const STACK_KEPT_BYTES: usize = 8 * 1024;

/// Memory maps of the process that one instance takes at most, in the pool or outside of it; the
/// end-to-end tests `many_parked` see to it.
const MAPS_PER_INSTANCE: usize = 7;
/// Where the system does not say how many maps a process may have: Linux's default.
const MAPS_DEFAULT: usize = 65_530;

/// Memories of one slot. A component with more takes several slots.
pub(crate) const MEMORIES_PER_SLOT: u32 = 1;
/// Tables of one slot.
pub(crate) const TABLES_PER_SLOT: u32 = 4;
/// Core instances of one component. They only count: the pool has so many for every slot.
pub(crate) const CORE_INSTANCES_MAX: u32 = 256;
/// The most slots that one component may take.
pub(crate) const SLOTS_MAX: u32 = 8;
/// Elements of a table.
const TABLE_ELEMENTS_MAX: usize = 100_000;

/// An engine, and whom its slots have room for.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) engine: Engine,
    pub(crate) room: Room,
}

/// How the slots are shared out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Room {
    /// Runs, of one slot each.
    pub(crate) guests: usize,
    /// Slots that components of several take beside that one.
    pub(crate) further_slots: usize,
}

impl Room {
    /// As many runs as are wanted, each with all the slots that a component may take where there
    /// are so many. What `describe` may take and what one large component may take is kept free
    /// of the rest.
    fn within(slots_max: usize, guests_wanted: usize) -> Self {
        let for_runs = slots_max - SLOTS_MAX as usize;
        let further_each = SLOTS_MAX as usize - 1;
        let guests = guests_wanted.clamp(1, for_runs - further_each);
        let further_slots = (for_runs - guests).min(guests * further_each);
        Self {
            guests,
            further_slots,
        }
    }

    /// All slots, those for `describe` among them.
    fn slots(self) -> usize {
        self.guests + self.further_slots + SLOTS_MAX as usize
    }
}

/// The engine for so many guests at once, or as many as fit. Instances live in a pool; where the
/// address space for it is refused, each is mapped by itself.
pub(crate) fn start(cache: Cache, guests_max: usize) -> Result<Started, RuntimeError> {
    let room = Room::within(slots_max(maps_max()), guests_max);
    let slots = room.slots();
    let mut pooled = config(cache.clone());
    pooled.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(slots)));
    let engine = Engine::new(&pooled).or_else(|error| {
        tracing::warn!(error = %format!("{error:#}"), slots, "the pool for instances is refused");
        Engine::new(&config(cache))
    });
    let engine = engine.map_err(|error| RuntimeError::Engine {
        reason: format!("{error:#}"),
    })?;
    Ok(Started { engine, room })
}

/// An engine that compiles and runs nothing.
pub(crate) fn for_compiling(cache: Cache) -> Result<Engine, RuntimeError> {
    let engine = Engine::new(&config(cache));
    engine.map_err(|error| RuntimeError::Engine {
        reason: format!("{error:#}"),
    })
}

/// Opens the folder of compiled code, or makes it. What is in it is executed, so that one which
/// anybody else may write is refused.
pub(crate) fn cache(dir: &Path) -> Result<Cache, RuntimeError> {
    let refused = |reason: String| RuntimeError::Cache { reason };
    let describe = |error: std::io::Error| refused(format!("{}: {error}", dir.display()));
    let made = std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir);
    made.map_err(describe)?;
    let dir = std::fs::canonicalize(dir).map_err(describe)?;
    let metadata = std::fs::metadata(&dir).map_err(describe)?;
    if let Some(why) = not_private(&metadata, geteuid()) {
        return Err(refused(format!("{} {why}", dir.display())));
    }
    let mut settings = CacheConfig::new();
    settings.with_directory(dir);
    Cache::new(settings).map_err(|error| refused(format!("{error:#}")))
}

/// Why a folder may hold code that others have put there; ends with what to do about it.
fn not_private(folder: &Metadata, user: Uid) -> Option<String> {
    let (owner, user, mode) = (folder.uid(), user.as_raw(), folder.mode() & 0o7777);
    if owner != user {
        return Some(format!(
            "belongs to user {owner}, the host runs as user {user} and executes what is in it: \
             name a folder of user {user}, or one that does not exist yet"
        ));
    }
    (mode & 0o022 != 0).then(|| {
        format!(
            "may be written by other users (mode {mode:03o}), and the host executes what is in \
             it: empty it and make it private (`chmod 700`), or name another folder"
        )
    })
}

fn config(cache: Cache) -> Config {
    let mut config = Config::new();
    config
        .cache(Some(cache))
        .epoch_interruption(true)
        .wasm_memory64(false)
        .concurrency_support(false)
        .max_wasm_stack(WASM_STACK_BYTES)
        .async_stack_size(ASYNC_STACK_BYTES)
        .async_stack_zeroing(true);
    config
}

fn pool(slots: usize) -> PoolingAllocationConfig {
    let slots = u32::try_from(slots).unwrap_or(u32::MAX);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(slots)
        .total_stacks(slots)
        .total_memories(slots.saturating_mul(MEMORIES_PER_SLOT))
        .total_tables(slots.saturating_mul(TABLES_PER_SLOT))
        .total_core_instances(slots.saturating_mul(CORE_INSTANCES_MAX))
        .max_memories_per_component(SLOTS_MAX * MEMORIES_PER_SLOT)
        .max_tables_per_component(SLOTS_MAX * TABLES_PER_SLOT)
        .max_core_instances_per_component(CORE_INSTANCES_MAX)
        .max_memories_per_module(SLOTS_MAX * MEMORIES_PER_SLOT)
        .max_tables_per_module(SLOTS_MAX * TABLES_PER_SLOT)
        .table_elements(TABLE_ELEMENTS_MAX)
        .linear_memory_keep_resident(MEMORY_KEPT_BYTES)
        .table_keep_resident(TABLE_KEPT_BYTES)
        .async_stack_keep_resident(STACK_KEPT_BYTES)
        .pagemap_scan(Enabled::Auto);
    pool
}

/// An eighth of the maps is left to the rest of the host: at the limit an ordinary allocation
/// fails, and with it the process. There is always a place for `describe` and one for a run.
fn slots_max(maps_max: usize) -> usize {
    (maps_max / 8 * 7 / MAPS_PER_INSTANCE).max(2 * SLOTS_MAX as usize)
}

fn maps_max() -> usize {
    let setting = std::fs::read_to_string("/proc/sys/vm/max_map_count");
    setting
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(MAPS_DEFAULT)
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, metadata, set_permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn slots_leave_maps_to_the_host() {
        assert_eq!(slots_max(65_530), 8_191);
        assert_eq!(slots_max(0), 16);
    }

    #[test]
    fn slots_are_shared_out_to_the_last_one() {
        let room = |slots_max, wanted| {
            let room = Room::within(slots_max, wanted);
            assert!(room.slots() <= slots_max && room.further_slots >= 7);
            (room.guests, room.further_slots)
        };
        assert_eq!(room(8_191, 64), (64, 448));
        assert_eq!(room(8_191, 8_000), (8_000, 183));
        assert_eq!(room(8_191, usize::MAX), (8_176, 7));
        assert_eq!(room(16, 0), (1, 7));
    }

    #[test]
    fn more_slots_than_maps_allow_are_not_made() {
        let dir = tempfile::tempdir().unwrap();
        let started = start(cache(dir.path()).unwrap(), usize::MAX).unwrap();
        assert_eq!(started.room.slots(), slots_max(maps_max()));
    }

    #[test]
    fn a_folder_that_others_may_write_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        for (mode, accepted) in [(0o700, true), (0o755, true), (0o775, false), (0o702, false)] {
            set_permissions(dir.path(), Permissions::from_mode(mode)).unwrap();
            let opened = cache(dir.path()).map_err(|error| error.to_string());
            assert_eq!(opened.is_ok(), accepted, "{mode:o}");
            if let Err(text) = opened {
                assert!(text.contains(&format!("(mode {mode:o})")), "{text}");
                assert!(text.contains("chmod 700"), "{text}");
            }
        }
        let new = dir.path().join("a/b");
        cache(&new).unwrap();
        assert_eq!(metadata(new).unwrap().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_folder_of_somebody_else_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let folder = metadata(dir.path()).unwrap();
        assert_eq!(not_private(&folder, geteuid()), None);
        let other = Uid::from_raw(folder.uid() + 1);
        let text = not_private(&folder, other).unwrap();
        assert!(
            text.contains(&format!("belongs to user {}", folder.uid())),
            "{text}"
        );
    }
}

//! What a host's process holds, to see that it does not grow.

use crate::host::Host;

/// What may come on top of what was held after the warm-up. A component that stays loaded holds a
/// descriptor, two maps and 1 MiB (measured with a type for each load). So the quick run finds it
/// when one of nine loads stays, and the long one when one of a hundred does. What does grow is
/// bounded by something else: memory by the pages that SQLite keeps and by what the allocator
/// gives back late, descriptors by SQLite's readers and this test's connections, and threads by
/// tokio's, which live on for 10 s.
const RSS_TOLERANCE_KIB: u64 = 16 * 1024;
const DESCRIPTORS_TOLERANCE: usize = 8;
const THREADS_TOLERANCE: usize = 8;
const MAPS_TOLERANCE: usize = 16;

/// What a process holds.
#[derive(Debug, Clone, Copy)]
pub struct Held {
    /// Resident memory.
    pub rss_kib: u64,
    /// Open files and sockets.
    pub descriptors: usize,
    /// Threads.
    pub threads: usize,
    /// Memory maps.
    pub maps: usize,
}

impl Held {
    /// By this host, now.
    ///
    /// # Panics
    /// When it is gone.
    #[must_use]
    pub fn by(host: &Host) -> Self {
        let folder = format!("/proc/{}", host.pid().as_raw_nonzero());
        let count = |name: &str| {
            std::fs::read_dir(format!("{folder}/{name}"))
                .unwrap()
                .count()
        };
        let text = |name: &str| std::fs::read_to_string(format!("{folder}/{name}")).unwrap();
        let status = text("status");
        let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let rss = rss.unwrap().trim().strip_suffix(" kB").unwrap();
        Self {
            rss_kib: rss.parse().unwrap(),
            descriptors: count("fd"),
            threads: count("task"),
            maps: text("maps").lines().count(),
        }
    }

    /// Whether it is no more than that, and what may come on top.
    #[must_use]
    pub fn is_flat_since(&self, before: &Self) -> bool {
        self.rss_kib <= before.rss_kib + RSS_TOLERANCE_KIB
            && self.descriptors <= before.descriptors + DESCRIPTORS_TOLERANCE
            && self.threads <= before.threads + THREADS_TOLERANCE
            && self.maps <= before.maps + MAPS_TOLERANCE
    }

    /// The less of both, of each.
    #[must_use]
    pub fn least(self, other: Self) -> Self {
        Self {
            rss_kib: self.rss_kib.min(other.rss_kib),
            descriptors: self.descriptors.min(other.descriptors),
            threads: self.threads.min(other.threads),
            maps: self.maps.min(other.maps),
        }
    }
}

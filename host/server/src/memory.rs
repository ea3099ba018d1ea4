//! What memory this process may take.

use std::path::Path;

/// Where the system keeps the limits of groups of processes (cgroup v2).
const GROUPS: &str = "/sys/fs/cgroup";
/// Where the system says nothing.
const UNKNOWN_BYTES: u64 = 4 * 1024 * 1024 * 1024;

/// Bytes: the machine's memory, or the smallest limit of the groups that this process is in.
pub(crate) fn allowed_bytes() -> u64 {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let machine = machine_bytes(&read("/proc/meminfo")).unwrap_or(UNKNOWN_BYTES);
    match own_group(&read("/proc/self/cgroup")) {
        Some(group) => machine.min(group_bytes(Path::new(GROUPS), group)),
        None => machine,
    }
}

/// From the text of `/proc/meminfo`.
fn machine_bytes(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// From the text of `/proc/self/cgroup`: a path below the groups' folder.
fn own_group(cgroup: &str) -> Option<&Path> {
    let path = cgroup.lines().find_map(|line| line.strip_prefix("0::/"))?;
    Some(Path::new(path))
}

/// The smallest limit of a group and those that it is in; the largest number where there is none.
fn group_bytes(groups: &Path, group: &Path) -> u64 {
    let limit = |group: &Path| {
        let text = std::fs::read_to_string(groups.join(group).join("memory.max")).ok()?;
        text.trim().parse().ok()
    };
    group
        .ancestors()
        .filter_map(limit)
        .min()
        .unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_says_what_it_has() {
        let text = "MemTotal:       24683212 kB\nMemFree:        21445136 kB\n";
        assert_eq!(machine_bytes(text), Some(24_683_212 * 1024));
        assert_eq!(machine_bytes(""), None);
        let here = allowed_bytes();
        assert!(here > 64 * 1024 * 1024, "{here}");
    }

    #[test]
    fn the_smallest_limit_of_all_groups_counts() {
        let groups = tempfile::tempdir().unwrap();
        let inner = groups.path().join("a/b");
        std::fs::create_dir_all(&inner).unwrap();
        std::fs::write(inner.join("memory.max"), "max\n").unwrap();
        assert_eq!(group_bytes(groups.path(), Path::new("a/b")), u64::MAX);
        std::fs::write(groups.path().join("a/memory.max"), "1000\n").unwrap();
        assert_eq!(group_bytes(groups.path(), Path::new("a/b")), 1000);
        std::fs::write(inner.join("memory.max"), "2000\n").unwrap();
        assert_eq!(group_bytes(groups.path(), Path::new("a/b")), 1000);
        assert_eq!(own_group("1:x:/y\n0::/a/b\n"), Some(Path::new("a/b")));
        assert_eq!(own_group(""), None);
    }
}

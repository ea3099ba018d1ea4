//! What memory this process may take.

use std::path::Path;

/// Where the system keeps the limits of groups of processes: the version of the groups, which line
/// of `/proc/self/cgroup` names ours, the folder, and the file of the limit.
const GROUPS: [(&str, &str, &str); 2] = [
    ("0::/", "/sys/fs/cgroup", "memory.max"),
    (
        ":memory:/",
        "/sys/fs/cgroup/memory",
        "memory.limit_in_bytes",
    ),
];
/// Where the system says nothing.
const UNKNOWN_BYTES: u64 = 4 * 1024 * 1024 * 1024;

/// Bytes: the machine's memory, or the smallest limit of the groups that this process is in.
pub(crate) fn allowed_bytes() -> u64 {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let machine = machine_bytes(&read("/proc/meminfo")).unwrap_or(UNKNOWN_BYTES);
    let own = read("/proc/self/cgroup");
    let limits = GROUPS.iter().filter_map(|(mark, folder, file)| {
        let group = own_group(&own, mark)?;
        Some(group_bytes(Path::new(folder), group, file))
    });
    limits.fold(machine, u64::min)
}

/// From the text of `/proc/meminfo`.
fn machine_bytes(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// From the text of `/proc/self/cgroup`, the line with this mark: a path below the groups' folder.
fn own_group<'a>(cgroup: &'a str, mark: &str) -> Option<&'a Path> {
    let path = cgroup.lines().find_map(|line| {
        let (before, path) = line.split_once(mark)?;
        // A number, or nothing: what stands in a path is no mark.
        before
            .bytes()
            .all(|byte| byte.is_ascii_digit())
            .then_some(path)
    })?;
    Some(Path::new(path))
}

/// The smallest limit of a group and those that it is in; the largest number where there is none.
fn group_bytes(groups: &Path, group: &Path, file: &str) -> u64 {
    let limit = |group: &Path| {
        let text = std::fs::read_to_string(groups.join(group).join(file)).ok()?;
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
        let bytes = || group_bytes(groups.path(), Path::new("a/b"), "limit");
        std::fs::write(inner.join("limit"), "max\n").unwrap();
        assert_eq!(bytes(), u64::MAX);
        std::fs::write(groups.path().join("a/limit"), "1000\n").unwrap();
        assert_eq!(bytes(), 1000);
        std::fs::write(inner.join("limit"), "2000\n").unwrap();
        assert_eq!(bytes(), 1000);
    }

    #[test]
    fn both_versions_of_groups_are_found() {
        let [(second, ..), (first, ..)] = GROUPS;
        let text = "12:pids:/x\n9:memory:/batch/0::/odd\n0::/a/b\n";
        assert_eq!(own_group(text, second), Some(Path::new("a/b")));
        assert_eq!(own_group(text, first), Some(Path::new("batch/0::/odd")));
        assert_eq!(own_group("", second), None);
    }
}

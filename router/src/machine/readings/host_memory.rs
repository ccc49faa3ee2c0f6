//! Main memory: that of the machine, or of Crucible's control group where its limit is smaller.
//!
//! What can be reclaimed counts as free: `MemAvailable` of `/proc/meminfo`, and of a control group its
//! inactive file cache, as `kubectl top` counts it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::super::files::number;

/// How much main memory Crucible can have, and how much of it is taken, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostMemory {
    /// All memory, or the limit of the control group where that is smaller.
    pub total: u64,
    /// The part of it that is in use and cannot be reclaimed.
    pub used: u64,
}

/// The files of one version of control groups.
#[derive(Clone, Copy, Debug)]
struct GroupFiles {
    /// The beginning of its line in `/proc/self/cgroup` up to the path.
    line: fn(&str) -> Option<&str>,
    mount: &'static str,
    limit: &'static str,
    used: &'static str,
    inactive: &'static str,
}

const VERSIONS: [GroupFiles; 2] = [
    GroupFiles {
        line: |line| line.strip_prefix("0::/"),
        mount: "sys/fs/cgroup",
        limit: "memory.max",
        used: "memory.current",
        inactive: "inactive_file",
    },
    GroupFiles {
        line: |line| Some(line.split_once(":memory:/")?.1),
        mount: "sys/fs/cgroup/memory",
        limit: "memory.limit_in_bytes",
        used: "memory.usage_in_bytes",
        inactive: "total_inactive_file",
    },
];

/// Reads main memory below `root`; `None` where the system does not report it.
pub(super) fn read(root: &Path) -> Option<HostMemory> {
    let machine = machine(root)?;
    let groups = VERSIONS.iter().filter_map(|version| group(root, *version));
    let smallest = groups.min_by_key(|group| group.total);
    Some(match smallest.filter(|group| group.total < machine.total) {
        Some(group) => group,
        None => machine,
    })
}

#[cfg(target_os = "linux")]
fn machine(root: &Path) -> Option<HostMemory> {
    let text = fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let bytes = |name: &str| -> Option<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        kib.checked_mul(1024)
    };
    let total = bytes("MemTotal:")?;
    Some(HostMemory {
        total,
        used: total.saturating_sub(bytes("MemAvailable:")?),
    })
}

/// Other systems are asked by their own interfaces, whatever the root.
#[cfg(not(target_os = "linux"))]
fn machine(_: &Path) -> Option<HostMemory> {
    let mut system = sysinfo::System::new().ok()?;
    system.refresh_memory();
    let total = system.total_memory();
    let used = system.used_memory();
    (total > 0).then_some(HostMemory { total, used })
}

/// Reads the control group with the smallest limit among that of this process and those above it.
fn group(root: &Path, version: GroupFiles) -> Option<HostMemory> {
    let own = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let path = own.lines().find_map(version.line)?;
    let mount = root.join(version.mount);
    let group = mount.join(path);
    // In a container the path may be one of the host, and the mount is the group itself.
    let from = if group.is_dir() { group } else { mount.clone() };
    let above = from.ancestors().take_while(|at| at.starts_with(&mount));
    let limits = above.filter_map(|at| {
        let limit: u64 = number(&at.join(version.limit))?;
        Some((limit, at.to_owned()))
    });
    let (total, at): (u64, PathBuf) = limits.min_by_key(|(limit, _)| *limit)?;
    let used: u64 = number(&at.join(version.used))?;
    let inactive = inactive(&at, version.inactive).unwrap_or_default();
    Some(HostMemory {
        total,
        used: used.saturating_sub(inactive).min(total),
    })
}

fn inactive(group: &Path, name: &str) -> Option<u64> {
    let text = fs::read_to_string(group.join("memory.stat")).ok()?;
    let mut lines = text.lines().filter_map(|line| line.split_once(' '));
    lines.find(|(of, _)| *of == name)?.1.trim().parse().ok()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::machine::files::put;

    const MEMINFO: &str = "MemTotal:       1000 kB\nMemFree: 1 kB\nMemAvailable:    400 kB\n";

    fn told(root: &Path) -> Option<(u64, u64)> {
        read(root).map(|memory| (memory.total, memory.used))
    }

    #[test]
    fn what_cannot_be_reclaimed_is_used() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(told(root.path()), None);
        put(root.path(), "proc/meminfo", MEMINFO);
        assert_eq!(told(root.path()), Some((1_024_000, 614_400)));
        // A group without a limit, or with one above the machine's memory, limits nothing.
        put(root.path(), "proc/self/cgroup", "0::/a/b\n");
        put(root.path(), "sys/fs/cgroup/a/b/memory.max", "max\n");
        put(root.path(), "sys/fs/cgroup/a/b/memory.current", "5\n");
        assert_eq!(told(root.path()), Some((1_024_000, 614_400)));
        put(root.path(), "sys/fs/cgroup/a/b/memory.max", "9000000\n");
        assert_eq!(told(root.path()), Some((1_024_000, 614_400)));
    }

    #[test]
    fn the_smallest_limit_of_the_groups_around_counts() {
        let root = tempfile::tempdir().unwrap();
        put(root.path(), "proc/meminfo", MEMINFO);
        put(root.path(), "proc/self/cgroup", "1:name=x:/y\n0::/a/b\n");
        for (group, limit, used) in [("a", "1000", "900"), ("a/b", "5000", "400")] {
            let at = format!("sys/fs/cgroup/{group}");
            put(root.path(), &format!("{at}/memory.max"), limit);
            put(root.path(), &format!("{at}/memory.current"), used);
        }
        put(
            root.path(),
            "sys/fs/cgroup/a/memory.stat",
            "anon 100\ninactive_file 300\n",
        );
        assert_eq!(told(root.path()), Some((1000, 600)));
    }

    #[test]
    fn a_container_sees_its_own_group_at_the_mount() {
        for (cgroup, at, limit, used) in [
            (
                "0::/docker/77\n",
                "sys/fs/cgroup",
                "memory.max",
                "memory.current",
            ),
            (
                "4:memory:/docker/77\n",
                "sys/fs/cgroup/memory",
                "memory.limit_in_bytes",
                "memory.usage_in_bytes",
            ),
        ] {
            let root = tempfile::tempdir().unwrap();
            put(root.path(), "proc/meminfo", MEMINFO);
            put(root.path(), "proc/self/cgroup", cgroup);
            put(root.path(), &format!("{at}/{limit}"), "2000");
            put(root.path(), &format!("{at}/{used}"), "2500");
            assert_eq!(told(root.path()), Some((2000, 2000)), "{cgroup}");
        }
    }
}

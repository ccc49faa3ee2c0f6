//! Cores, NUMA nodes and memory, read from `/sys` and `/proc` below a given root, and of the
//! driver of graphics cards.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
};

use super::evidence::Machine;
use crate::router::vram::{self, Told};

/// What the system below `root` (`/`; another one in tests) and its driver tell.
pub fn read(root: &Path) -> Machine {
    with(root, vram::nvidia())
}

/// The same without a driver: processor and main memory.
pub fn read_files(root: &Path) -> Machine {
    with(root, Told::default())
}

fn with(root: &Path, nvidia: Told) -> Machine {
    let cpus = root.join("sys/devices/system/cpu");
    Machine {
        cores: cores(&cpus),
        nodes: count(numbered(&root.join("sys/devices/system/node"), "node").len()),
        memory: memory(&root.join("proc/meminfo")),
        gpu: vram::largest_of(root, &nvidia),
        on_gpu: nvidia.holders,
    }
}

/// Distinct pairs of package and core.
fn cores(cpus: &Path) -> Option<u32> {
    let read = |path: PathBuf| fs::read_to_string(path).ok();
    let found: HashSet<(String, String)> = numbered(cpus, "cpu")
        .into_iter()
        .filter_map(|cpu| {
            let topology = cpu.join("topology");
            Some((
                read(topology.join("physical_package_id"))?,
                read(topology.join("core_id"))?,
            ))
        })
        .collect();
    count(found.len())
}

fn memory(meminfo: &Path) -> Option<u64> {
    let text = fs::read_to_string(meminfo).ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// The folders `prefix0`, `prefix1`, ...
fn numbered(folder: &Path, prefix: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    entries
        .filter_map(Result::ok)
        .filter(|entry| {
            let name = entry.file_name();
            name.to_str()
                .and_then(|n| n.strip_prefix(prefix))
                .is_some_and(|n| n.parse::<u32>().is_ok())
        })
        .map(|entry| entry.path())
        .collect()
}

fn count(n: usize) -> Option<u32> {
    u32::try_from(n).ok().filter(|n| *n > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::evidence::Gpu;

    fn put(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn threads_of_one_core_count_once() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        for (cpu, core) in [(0, 0), (1, 1), (2, 0), (3, 1)] {
            let at = format!("sys/devices/system/cpu/cpu{cpu}/topology");
            put(root, &format!("{at}/physical_package_id"), "0\n");
            put(root, &format!("{at}/core_id"), &format!("{core}\n"));
        }
        put(root, "sys/devices/system/cpu/cpufreq/x", "");
        put(root, "sys/devices/system/node/node0/cpulist", "0-3");
        put(root, "sys/devices/system/node/node1/cpulist", "");
        put(
            root,
            "proc/meminfo",
            "MemTotal:       1000 kB\nMemFree: 1 kB\n",
        );
        put(
            root,
            "sys/class/drm/card0/device/mem_info_vram_total",
            "8000\n",
        );
        let expected = Machine {
            cores: Some(2),
            nodes: Some(2),
            memory: Some(1_024_000),
            gpu: Some(Gpu {
                memory: 8000,
                told_by: "amdgpu, /sys/class/drm",
            }),
            on_gpu: None,
        };
        assert_eq!(read_files(root), expected);
        let nvidia = Told {
            largest: Some(24_000),
            holders: Some(vec![7]),
            ..Told::default()
        };
        let both = with(root, nvidia);
        assert_eq!(
            (both.gpu.unwrap().memory, both.on_gpu),
            (24_000, Some(vec![7]))
        );
    }

    #[test]
    fn what_the_system_does_not_tell_is_unknown() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(read_files(root.path()), Machine::default());
    }
}

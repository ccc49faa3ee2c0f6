//! The hardware of this machine: cores, NUMA nodes, main memory and graphics cards.
//!
//! Cores, nodes and memory are read from `/sys` and `/proc` below a given root, graphics cards also
//! from their driver. What the system does not report is `None`, never an error.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
};

use super::gpu::{self, DriverReport, GraphicsCard};

/// The hardware of a machine. A field is `None` where the system does not report it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hardware {
    /// Number of physical cores.
    pub cores: Option<u32>,
    /// Number of NUMA nodes.
    pub nodes: Option<u32>,
    /// Main memory in bytes.
    pub memory: Option<u64>,
    /// The graphics card with the most memory, where the kernel or a driver reports one.
    pub gpu: Option<GraphicsCard>,
    /// Ids of all processes that compute on NVIDIA's cards; `None` where no driver reports them.
    pub on_gpu: Option<Vec<u32>>,
}

/// Reads the hardware from the file system below `root` (`/`; another folder in tests) and from the
/// driver of the graphics cards.
pub fn read(root: &Path) -> Hardware {
    with(root, gpu::nvidia())
}

/// Reads processor, memory and AMD cards from the file system below `root`, without asking a driver.
/// It serves the recipe for Ollama, which needs memory and nodes of memory and so loads no driver's library.
pub fn read_files(root: &Path) -> Hardware {
    with(root, DriverReport::default())
}

fn with(root: &Path, nvidia: DriverReport) -> Hardware {
    let cpus = root.join("sys/devices/system/cpu");
    Hardware {
        cores: cores(&cpus),
        nodes: count(numbered(&root.join("sys/devices/system/node"), "node").len()),
        memory: memory(&root.join("proc/meminfo")),
        gpu: gpu::largest_of(root, &nvidia),
        on_gpu: nvidia.holders,
    }
}

/// Counts the distinct pairs of package and core, so that the threads of one core count once.
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

/// Returns the folders `prefix0`, `prefix1`, ... in `folder`.
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
        let expected = Hardware {
            cores: Some(2),
            nodes: Some(2),
            memory: Some(1_024_000),
            gpu: Some(GraphicsCard {
                memory: 8000,
                told_by: "amdgpu, /sys/class/drm",
            }),
            on_gpu: None,
        };
        assert_eq!(read_files(root), expected);
        let nvidia = DriverReport {
            largest: Some(24_000),
            holders: Some(vec![7]),
            ..DriverReport::default()
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
        assert_eq!(read_files(root.path()), Hardware::default());
    }
}

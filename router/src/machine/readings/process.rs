//! What this process uses, as the metrics of every Prometheus client name it (Linux, `/proc`).

use std::{fs, path::Path};

/// What this process uses at this moment. A field is `None` where `/proc` does not say it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ProcessReading {
    /// User and system time of all threads in seconds, in steps of a clock tick (mostly 10 ms).
    pub cpu_seconds: Option<f64>,
    /// Resident memory in bytes.
    pub resident_bytes: Option<u64>,
    /// Virtual memory in bytes.
    pub virtual_bytes: Option<u64>,
    /// Open file descriptors.
    pub open_fds: Option<u64>,
    /// The most file descriptors that may be open; `None` where there is no such limit.
    pub max_fds: Option<u64>,
    /// The moment of its start, as seconds since 1970.
    pub start_seconds: Option<f64>,
    /// Threads.
    pub threads: Option<u64>,
}

/// The fields of `/proc/self/stat` that are read here (`proc_pid_stat(5)`).
struct Stat {
    cpu_ticks: f64,
    started_ticks: f64,
}

/// Reads what this process uses below `root`; `None` where there is no `/proc`.
pub(super) fn read(root: &Path) -> Option<ProcessReading> {
    let own = root.join("proc/self");
    let status = fs::read_to_string(own.join("status")).ok()?;
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
    let bytes = |name: &str| -> Option<u64> {
        let kib: u64 = field(name)?
            .trim()
            .strip_suffix("kB")?
            .trim()
            .parse()
            .ok()?;
        kib.checked_mul(1024)
    };
    let stat = stat(&own);
    let ticks = ticks_per_second();
    let booted = booted(root);
    Some(ProcessReading {
        cpu_seconds: stat.as_ref().map(|stat| stat.cpu_ticks / ticks),
        resident_bytes: bytes("VmRSS:"),
        virtual_bytes: bytes("VmSize:"),
        open_fds: open_fds(&own),
        max_fds: max_fds(&own),
        start_seconds: stat
            .zip(booted)
            .map(|(stat, booted)| booted + stat.started_ticks / ticks),
        threads: field("Threads:").and_then(|text| text.trim().parse().ok()),
    })
}

fn stat(own: &Path) -> Option<Stat> {
    let text = fs::read_to_string(own.join("stat")).ok()?;
    // The name stands in parentheses and may hold anything.
    let (_, rest) = text.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let field = |at: usize| -> Option<f64> { fields.get(at)?.parse().ok() };
    Some(Stat {
        cpu_ticks: field(11)? + field(12)?,
        started_ticks: field(19)?,
    })
}

/// The moment at which the system was started, as seconds since 1970.
fn booted(root: &Path) -> Option<f64> {
    let text = fs::read_to_string(root.join("proc/stat")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("btime "))?;
    line.trim().parse().ok()
}

fn open_fds(own: &Path) -> Option<u64> {
    let entries = fs::read_dir(own.join("fd")).ok()?;
    // One of them lists the others.
    u64::try_from(entries.count().saturating_sub(1)).ok()
}

fn max_fds(own: &Path) -> Option<u64> {
    let text = fs::read_to_string(own.join("limits")).ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The clock ticks of `/proc` per second, as the kernel tells every process.
#[cfg(target_os = "linux")]
fn ticks_per_second() -> f64 {
    let ticks = u32::try_from(rustix::param::clock_ticks_per_second());
    f64::from(ticks.unwrap_or(100).max(1))
}

/// No other system has such a `/proc`.
#[cfg(not(target_os = "linux"))]
const fn ticks_per_second() -> f64 {
    100.0
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::machine::files::put;

    #[test]
    fn files_are_read_in_fractions_of_a_second() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        assert_eq!(read(root), None);
        put(
            root,
            "proc/self/status",
            "Name:\tx\nVmSize:\t  20 kB\nVmRSS:\t  10 kB\nThreads:\t3\n",
        );
        let ticks = ticks_per_second();
        let (user, system, started) = (ticks, ticks / 4.0, 2.0 * ticks);
        put(
            root,
            "proc/self/stat",
            &format!("7 (a) b) S 1 1 1 0 -1 0 0 0 0 0 {user} {system} 0 0 20 0 3 0 {started} 1 1"),
        );
        put(root, "proc/stat", "cpu 1\nbtime 1000\n");
        for fd in 0..4 {
            put(root, &format!("proc/self/fd/{fd}"), "");
        }
        put(
            root,
            "proc/self/limits",
            "Limit  Soft Limit  Hard Limit  Units\nMax open files   1024   4096   files\n",
        );
        let expected = ProcessReading {
            cpu_seconds: Some(1.25),
            resident_bytes: Some(10_240),
            virtual_bytes: Some(20_480),
            open_fds: Some(3),
            max_fds: Some(1024),
            start_seconds: Some(1002.0),
            threads: Some(3),
        };
        assert_eq!(read(root), Some(expected));
    }

    #[test]
    fn this_process_is_read() {
        let reading = read(Path::new("/")).unwrap();
        assert!(reading.cpu_seconds.is_some_and(|cpu| cpu >= 0.0));
        assert!(reading.resident_bytes > Some(1 << 16));
        assert!(reading.open_fds > Some(2) && reading.threads >= Some(1));
        assert!(reading.start_seconds > Some(1.7e9));
    }
}

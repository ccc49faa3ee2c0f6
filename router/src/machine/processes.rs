//! Processes and their groups, read from `/proc` below a given root (`/`; another folder in tests).

use std::{fs, path::Path};

/// The state of one process (`proc_pid_stat(5)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProcessStat {
    /// Whether it has ended and its parent has not waited for it (a zombie).
    pub(crate) ended: bool,
    /// Id of the process that started it, or adopted it.
    pub(crate) parent: u32,
    /// Id of its process group.
    pub(crate) group: u32,
    /// The moment of its start, in clock ticks since the start of the system.
    pub(crate) started: u64,
}

/// Reads the state of one process; `None` where there is no such process.
pub(crate) fn stat(root: &Path, pid: u32) -> Option<ProcessStat> {
    parse(&fs::read_to_string(root.join(format!("proc/{pid}/stat"))).ok()?)
}

fn parse(text: &str) -> Option<ProcessStat> {
    // The name stands in parentheses and may hold anything.
    let (_, rest) = text.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    Some(ProcessStat {
        ended: matches!(*fields.first()?, "Z" | "X"),
        parent: fields.get(1)?.parse().ok()?,
        group: fields.get(2)?.parse().ok()?,
        started: fields.get(19)?.parse().ok()?,
    })
}

/// Returns the processes of a group that have not ended; `None` where the system has no `/proc`.
pub(crate) fn of_group(root: &Path, group: u32) -> Option<Vec<u32>> {
    living(root, |_, stat| stat.group == group)
}

/// Returns the processes that have this pair in their environment and have not ended; `None` where
/// the system has no `/proc`.
pub(crate) fn with_variable(root: &Path, name: &str, value: &str) -> Option<Vec<u32>> {
    let wanted = format!("{name}={value}");
    living(root, |pid, _| {
        let environment = fs::read(root.join(format!("proc/{pid}/environ")));
        environment.is_ok_and(|e| e.split(|b| *b == 0).any(|pair| pair == wanted.as_bytes()))
    })
}

/// Returns the processes of this parent that have ended and were not waited for.
#[cfg(target_os = "linux")]
pub(crate) fn ended_children(root: &Path, parent: u32) -> Vec<u32> {
    let ended = |_, stat: &ProcessStat| stat.ended && stat.parent == parent;
    all(root, ended).unwrap_or_default()
}

fn living(root: &Path, test: impl Fn(u32, &ProcessStat) -> bool) -> Option<Vec<u32>> {
    all(root, |pid, stat| !stat.ended && test(pid, stat))
}

fn all(root: &Path, test: impl Fn(u32, &ProcessStat) -> bool) -> Option<Vec<u32>> {
    let entries = fs::read_dir(root.join("proc")).ok()?;
    let pids = entries.filter_map(|e| e.ok()?.file_name().to_str()?.parse().ok());
    let found = pids.filter(|pid| stat(root, *pid).is_some_and(|stat| test(*pid, &stat)));
    Some(found.collect())
}

/// Returns an id that differs after every start of the system; empty where the system has none.
pub(crate) fn boot(root: &Path) -> String {
    let id = fs::read_to_string(root.join("proc/sys/kernel/random/boot_id"));
    id.unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_anything() {
        let line = "42 (a) R (b)) S 7 40 40 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 9876 1 2\n";
        let expected = ProcessStat {
            ended: false,
            parent: 7,
            group: 40,
            started: 9876,
        };
        assert_eq!(parse(line), Some(expected));
        let ended = parse(&line.replace(") S 7", ") Z 7")).unwrap();
        assert!(ended.ended);
        assert_eq!(parse("42 (a"), None);
        assert_eq!(parse("42 (a) S 7"), None);
    }

    #[test]
    fn a_system_without_proc_does_not_tell() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(of_group(root.path(), 1), None);
        assert_eq!(with_variable(root.path(), "A", "b"), None);
        assert_eq!(boot(root.path()), "");
    }
}

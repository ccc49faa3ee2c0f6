//! The record of one child in `state_dir`, and the judgement over it at the next start.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::machine::processes;

/// The variable that a child and all it starts have.
pub(super) const MARK: &str = "STARTED_BY_CRUCIBLE";

/// The record of a child, the content of its file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KeptChild {
    /// Engine or model, for people.
    pub(super) name: String,
    /// Process id of the child.
    pub(super) pid: u32,
    /// Value of its mark.
    pub(super) mark: String,
    /// The Crucible that started it.
    pub(super) owner: u32,
    /// When that was started, in ticks since the system's start.
    pub(super) owner_started: Option<u64>,
    /// The id of the system's start during which the child was started.
    pub(super) boot: String,
}

/// The fate of a child that an earlier Crucible started, as the next one finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ChildFate {
    /// The Crucible that started the child runs.
    Owned,
    /// The child has ended.
    Ended,
    /// These have its mark, and nobody owns them.
    Orphans(Vec<u32>),
    /// The system does not tell.
    Unknown,
}

// === impl KeptChild ===

impl KeptChild {
    /// Judges what became of the child, by the processes under `root` (`/`).
    pub(super) fn fate(&self, root: &Path) -> ChildFate {
        let boot = processes::boot(root);
        if !boot.is_empty() && boot != self.boot {
            return ChildFate::Ended;
        }
        let owner = processes::stat(root, self.owner);
        if owner.is_some_and(|o| !o.ended && Some(o.started) == self.owner_started) {
            return ChildFate::Owned;
        }
        match processes::with_variable(root, MARK, &self.mark) {
            // Its number may be another's by now; a running owner looks after its children.
            None if exists(self.owner) => ChildFate::Owned,
            None => ChildFate::Unknown,
            Some(pids) if pids.is_empty() => ChildFate::Ended,
            Some(pids) => ChildFate::Orphans(pids),
        }
    }
}

/// Whether a process with this id exists, on systems that tell nothing else of it.
#[cfg(unix)]
fn exists(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok();
    let pid = pid.and_then(rustix::process::Pid::from_raw);
    pid.is_some_and(|pid| rustix::process::test_kill_process(pid).is_ok())
}

#[cfg(not(unix))]
const fn exists(_: u32) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A made-up `/` with one process.
    fn system(pid: u32, started: u64, mark: &str) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join(format!("proc/{pid}"));
        std::fs::create_dir_all(&folder).unwrap();
        let zeros = "0 ".repeat(15);
        let stat = format!("{pid} (sh) S 1 {pid} {pid} {zeros} {started} 0\n");
        std::fs::write(folder.join("stat"), stat).unwrap();
        let environment = format!("A=b\0{MARK}={mark}\0");
        std::fs::write(folder.join("environ"), environment).unwrap();
        let random = root.path().join("proc/sys/kernel/random");
        std::fs::create_dir_all(&random).unwrap();
        std::fs::write(random.join("boot_id"), "this\n").unwrap();
        root
    }

    fn kept() -> KeptChild {
        KeptChild {
            name: "ollama".to_owned(),
            pid: 70,
            mark: "50-900-0".to_owned(),
            owner: 50,
            owner_started: Some(900),
            boot: "this".to_owned(),
        }
    }

    #[test]
    fn who_has_the_mark_of_a_crucible_that_is_gone_is_an_orphan() {
        let fate = |pid, started, mark: &str, kept: KeptChild| {
            kept.fate(system(pid, started, mark).path())
        };
        // The shell that was started may be gone, what it started has the mark.
        assert_eq!(
            fate(71, 950, "50-900-0", kept()),
            ChildFate::Orphans(vec![71])
        );
        assert_eq!(fate(71, 950, "50-900-01", kept()), ChildFate::Ended);
        assert_eq!(fate(50, 900, "", kept()), ChildFate::Owned);
        // Another process has the owner's number by now.
        assert_eq!(
            fate(50, 901, "50-900-0", kept()),
            ChildFate::Orphans(vec![50])
        );
        let earlier = KeptChild {
            boot: "before".to_owned(),
            ..kept()
        };
        assert_eq!(fate(71, 950, "50-900-0", earlier), ChildFate::Ended);
        let nothing = tempfile::tempdir().unwrap();
        let gone = KeptChild {
            owner: u32::MAX,
            ..kept()
        };
        assert_eq!(gone.fate(nothing.path()), ChildFate::Unknown);
        #[cfg(unix)]
        {
            let runs = KeptChild {
                owner: std::process::id(),
                ..kept()
            };
            assert_eq!(runs.fate(nothing.path()), ChildFate::Owned);
        }
    }
}

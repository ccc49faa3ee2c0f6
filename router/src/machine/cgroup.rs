//! A control group of its own for a child process, with a memory limit that the system enforces
//! (Linux, cgroup v2).
//!
//! By the rules of the kernel's `cgroup-v2.rst` and systemd's `CGROUP_DELEGATION`: a group with
//! processes cannot give controllers to groups below it, so Crucible first moves itself into a
//! group of its own. That needs a group that is given to Crucible alone.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use tokio::time::sleep;

use super::processes;

/// The group of Crucible itself, below the group that was given to it.
const OWN: &str = "crucible";
/// The first part of the name of a child's group.
const CHILD: &str = "engine-";
/// Attempts to remove a group that still has processes; 50 ms pass between them.
const LOOKS: u32 = 20;

const GIVE: &str = "systemd-run --user --scope -p Delegate=yes crucible serve";
const BOOT: &str = "boot Linux with systemd.unified_cgroup_hierarchy=1";

/// The memory limit in bytes that the system enforces on an engine, or why it enforces none.
pub type MemoryLimit = Result<u64, NoMemoryLimit>;

/// The reason why the system does not limit the memory of an engine that Crucible started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoMemoryLimit {
    /// The reason in words.
    pub why: String,
    /// A command or setting that mends it.
    pub fix: &'static str,
}

/// The control group of one child process.
#[derive(Debug)]
pub(crate) struct ControlGroup {
    folder: PathBuf,
}

// === impl ControlGroup ===

impl ControlGroup {
    /// Creates a group that may use `bytes` of memory. `root` is the root of the file system, `own`
    /// the process id of Crucible.
    pub(crate) fn limited(
        root: &Path,
        own: u32,
        name: &str,
        bytes: u64,
    ) -> Result<Self, NoMemoryLimit> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let above = given(root, own)?;
        remove_left_behind(&above, own);
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = above.join(format!("{CHILD}{name}-{own}-{n}"));
        fs::create_dir(&folder).map_err(|e| refused(&folder, &e))?;
        let limit = folder.join("memory.max");
        match fs::write(&limit, bytes.to_string()) {
            Ok(()) => Ok(Self { folder }),
            Err(error) => {
                // An empty group harms nobody.
                let _ = fs::remove_dir(&folder);
                Err(refused(&limit, &error))
            }
        }
    }

    /// Moves a process into it, and with it all that it starts from now on.
    pub(crate) fn add(&self, pid: u32) -> Result<(), NoMemoryLimit> {
        let list = self.folder.join("cgroup.procs");
        fs::write(&list, pid.to_string()).map_err(|e| refused(&list, &e))
    }

    /// Kills the processes that are left in the group and removes it.
    pub(crate) async fn end(&self) {
        // Not there before Linux 5.14.
        let _ = fs::write(self.folder.join("cgroup.kill"), "1");
        for _ in 0..LOOKS {
            match fs::remove_dir(&self.folder) {
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                    sleep(Duration::from_millis(50)).await;
                }
                _ => return,
            }
        }
        tracing::warn!("{} has processes and stays", self.folder.display());
    }
}

/// The group below which children may have groups with a limit.
fn given(root: &Path, own: u32) -> Result<PathBuf, NoMemoryLimit> {
    let none = |why: &str| NoMemoryLimit {
        why: why.to_owned(),
        fix: BOOT,
    };
    let top = root.join("sys/fs/cgroup");
    let groups = fs::read_to_string(root.join(format!("proc/{own}/cgroup"))).unwrap_or_default();
    let group = groups.lines().find_map(|l| l.strip_prefix("0::/"));
    let Some(group) = group.filter(|_| top.join("cgroup.controllers").is_file()) else {
        return Err(none("this system has no control groups of version 2"));
    };
    let at = top.join(group);
    if let Some(above) = at.parent().filter(|_| at.ends_with(OWN))
        && gives_memory(above)
    {
        return Ok(above.to_owned());
    }
    if !has_memory(&at.join("cgroup.controllers")) {
        return Err(not_given(group, "has no memory controller"));
    }
    let all = fs::read_to_string(at.join("cgroup.procs")).map_err(|e| refused(&at, &e))?;
    let pids: Vec<u32> = all.lines().filter_map(|l| l.trim().parse().ok()).collect();
    let is_ours = |pid: &u32| {
        *pid == own || processes::stat(root, *pid).is_some_and(|stat| stat.parent == own)
    };
    if let Some(other) = pids.iter().find(|pid| !is_ours(pid)) {
        let why = format!("is shared with other processes, such as {other}");
        return Err(not_given(group, &why));
    }
    let leaf = at.join(OWN);
    match fs::create_dir(&leaf) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(refused(&leaf, &error));
        }
        _ => {}
    }
    let list = leaf.join("cgroup.procs");
    for pid in pids {
        // The kernel takes one at a time.
        fs::write(&list, pid.to_string()).map_err(|e| refused(&list, &e))?;
    }
    let control = at.join("cgroup.subtree_control");
    fs::write(&control, "+memory").map_err(|e| refused(&control, &e))?;
    Ok(at)
}

fn has_memory(controllers: &Path) -> bool {
    let text = fs::read_to_string(controllers).unwrap_or_default();
    text.split_whitespace()
        .any(|word| word.trim_start_matches('+') == "memory")
}

fn gives_memory(group: &Path) -> bool {
    has_memory(&group.join("cgroup.subtree_control"))
}

/// Groups of a Crucible that crashed; one that still has processes stays.
fn remove_left_behind(above: &Path, own: u32) {
    let entries = fs::read_dir(above).into_iter().flatten();
    for entry in entries.filter_map(Result::ok) {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(CHILD) && !name.contains(&format!("-{own}-")) {
            let _ = fs::remove_dir(entry.path());
        }
    }
}

fn refused(path: &Path, error: &io::Error) -> NoMemoryLimit {
    NoMemoryLimit {
        why: format!("{}: {error}", path.display()),
        fix: GIVE,
    }
}

fn not_given(group: &str, why: &str) -> NoMemoryLimit {
    NoMemoryLimit {
        why: format!("Crucible's control group /{group} {why}"),
        fix: GIVE,
    }
}

#[cfg(test)]
mod tests;

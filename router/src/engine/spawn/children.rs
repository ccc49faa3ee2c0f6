//! A child is an engine process that Crucible started. Each has a file in `state_dir`, by which the
//! next start finds those that outlived a crash.
//!
//! A child has a mark in its environment, which every process that it starts inherits. A process
//! with the mark of a Crucible that is gone is an orphan and is ended (Linux; elsewhere a log line
//! names it).

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use tokio::{
    process::{Child, Command},
    sync::OnceCell,
    task::spawn_blocking,
    time::{Instant, sleep},
};
#[cfg(target_os = "linux")]
use tokio_util::sync::CancellationToken;

#[cfg(target_os = "linux")]
use super::orphans;
use super::{
    kept_child::{ChildFate, KeptChild, MARK},
    orphans::{Awaited, AwaitedChild},
    sockets::SocketFolder,
};
use crate::machine::processes;
use crate::state_dir::{self, StateDir};

/// The name of the folder in `state_dir` that holds the files of the children.
const FOLDER: &str = "children";
/// The time that an orphan has to end after SIGTERM, and once more after SIGKILL.
const GRACE: Duration = Duration::from_secs(5);
/// The time between two looks whether the orphans have ended.
const LOOK: Duration = Duration::from_millis(50);

/// The engine processes that this Crucible started, and those that an earlier one left behind and that are ended.
#[derive(Debug, Default)]
pub struct Children {
    /// The folder with the files of the children; `None` where nothing is to outlive the run.
    folder: Option<PathBuf>,
    /// The state directory that another Crucible may own; `None` where no other one can.
    state: Option<Arc<StateDir>>,
    /// The root of the file system, below which `/proc` is read.
    root: PathBuf,
    count: AtomicU32,
    swept: OnceCell<()>,
    awaited: Awaited,
    /// The folder for the sockets of children; where it is `None`, they listen on ports.
    sockets: Option<SocketFolder>,
}

// === impl Children ===

impl Children {
    /// Makes the record of the children in a folder that no other Crucible uses. Where `state_dir`
    /// is empty nothing is written; `root` is the root of the file system, another folder in tests.
    pub(crate) fn new(state_dir: &Path, root: &Path) -> Self {
        let folder = !state_dir.as_os_str().is_empty();
        Self {
            folder: folder.then(|| state_dir.join(FOLDER)),
            sockets: folder.then(|| SocketFolder::new(state_dir)),
            root: root.to_owned(),
            ..Self::default()
        }
    }

    /// Makes the record as [`Children::new`] does, in a state directory that another Crucible may
    /// own. What that one started is not ended before this process owns the directory.
    pub(crate) fn under(state: Arc<StateDir>, root: &Path) -> Self {
        let alone = Self::new(state.folder(), root);
        Self {
            state: Some(state),
            ..alone
        }
    }

    /// Makes a record without a folder, for a command that ends its children itself. Nothing is
    /// written, because no later start has to find them.
    pub fn unrecorded() -> Self {
        Self::new(Path::new(""), Path::new("/"))
    }

    /// Returns the root of the file system, below which `/proc` is read.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the folder for the sockets of children. It is `None` where nothing may be written,
    /// and as long as [`Children::sweep`] has not looked for what an earlier Crucible left behind.
    pub(super) fn sockets(&self) -> Option<&SocketFolder> {
        self.sockets.as_ref().filter(|_| self.swept.initialized())
    }

    /// Puts a new mark into the environment of a child that is about to start, and returns it.
    pub(super) fn mark(&self, command: &mut Command) -> String {
        let owner = std::process::id();
        let started = processes::stat(&self.root, owner).map_or(0, |s| s.started);
        let n = self.count.fetch_add(1, Ordering::Relaxed);
        let mark = format!("{owner}-{started}-{n}");
        command.env(MARK, &mark);
        mark
    }

    /// Starts a child. As long as the [`AwaitedChild`] lives, the caller waits for the child's end,
    /// and `reap_orphans` leaves it alone.
    pub(super) fn start(&self, command: &mut Command) -> io::Result<(Child, AwaitedChild)> {
        self.awaited.start(command)
    }

    /// Waits for the ends of orphans until `stop`, so that none stays a zombie. It does nothing
    /// where the system does not hand orphans to this process.
    #[cfg(target_os = "linux")]
    pub(crate) async fn reap_orphans(&self, stop: CancellationToken) {
        if orphans::inherits() {
            orphans::reap_until(self.awaited.clone(), self.root.clone(), stop).await;
        }
    }

    /// Writes the file of a child that runs; `name` is its engine or model, for people. A failure
    /// is logged: after a crash this child would not be found.
    pub(super) async fn record(&self, mark: &str, name: &str, pid: u32) {
        let Some(folder) = self.folder.clone() else {
            return;
        };
        let owner = std::process::id();
        let kept = KeptChild {
            name: name.to_owned(),
            pid,
            mark: mark.to_owned(),
            owner,
            owner_started: processes::stat(&self.root, owner).map(|s| s.started),
            boot: processes::boot(&self.root),
        };
        let written = spawn_blocking(move || -> io::Result<()> {
            std::fs::create_dir_all(&folder)?;
            std::fs::write(folder.join(&kept.mark), serde_json::to_vec(&kept)?)
        });
        if let Ok(Err(error)) = written.await {
            let folder = self.folder.as_deref().unwrap_or(Path::new("")).display();
            tracing::warn!("{folder}: {error}; after a crash the child {pid} would not be noticed");
        }
    }

    /// Removes the file of a child that has ended.
    pub(super) async fn forget(&self, mark: &str) {
        if let Some(folder) = &self.folder {
            // Where it could not be written there is nothing to remove.
            let _ = tokio::fs::remove_file(folder.join(mark)).await;
        }
    }

    /// Ends the processes that a crashed Crucible left behind; it is called before any child is
    /// started. It works once in a run, and not as long as another Crucible owns the folder.
    pub(crate) async fn sweep(&self) {
        if self.state.as_ref().is_none_or(|state| state.is_ours()) {
            self.swept.get_or_init(|| self.end_orphans()).await;
        }
    }

    /// Waits until this process owns the state directory, and then does as [`Children::sweep`].
    pub(crate) async fn sweep_when_owned(&self) {
        if let Some(state) = &self.state {
            state.wait_until_owned().await;
        }
        self.sweep().await;
    }

    async fn end_orphans(&self) {
        for (file, kept) in self.read().await {
            let name = &*kept.name;
            match kept.fate(&self.root) {
                ChildFate::Owned => continue,
                ChildFate::Ended => {}
                ChildFate::Unknown => tracing::warn!(
                    name,
                    "process {} was started by a Crucible that is gone; end it if it still runs",
                    kept.pid
                ),
                ChildFate::Orphans(pids) => {
                    tracing::warn!(
                        name,
                        ?pids,
                        "ending processes that a crashed Crucible left behind"
                    );
                    if !self.end(&kept.mark).await {
                        tracing::error!(name, ?pids, "they do not end; end them by hand");
                        continue;
                    }
                }
            }
            // What stays is looked at again by the next start.
            let _ = tokio::fs::remove_file(file).await;
        }
        if let Some(sockets) = &self.sockets {
            sockets.remove_stale().await;
        }
    }

    async fn read(&self) -> Vec<(PathBuf, KeptChild)> {
        let Some(folder) = self.folder.clone() else {
            return Vec::new();
        };
        let read = move || {
            let entries = std::fs::read_dir(folder).into_iter().flatten();
            let kept = entries.filter_map(|entry| {
                let path = entry.ok()?.path();
                let kept = serde_json::from_str(&state_dir::read(&path).ok()?).ok()?;
                Some((path, kept))
            });
            kept.collect()
        };
        // It ends early only if the runtime ends.
        spawn_blocking(read).await.unwrap_or_default()
    }

    /// Ends all processes with this mark, by SIGTERM and after 5 s by SIGKILL, and reports whether
    /// they are gone.
    async fn end(&self, mark: &str) -> bool {
        let living = || processes::with_variable(&self.root, MARK, mark).unwrap_or_default();
        for forced in [false, true] {
            for pid in living() {
                signal(pid, forced);
            }
            let until = Instant::now() + GRACE;
            while Instant::now() < until {
                if living().is_empty() {
                    return true;
                }
                sleep(LOOK).await;
            }
        }
        false
    }
}

#[cfg(unix)]
fn signal(pid: u32, forced: bool) {
    use rustix::process::{Pid, Signal, kill_process};
    let signal = if forced { Signal::KILL } else { Signal::TERM };
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // It may have ended by itself just now.
        let _ = kill_process(pid, signal);
    }
}

#[cfg(not(unix))]
const fn signal(_: u32, _: bool) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn an_orphan_that_does_not_listen_is_killed_and_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let crashed = Children::new(folder.path(), Path::new("/"));
        let mut command = Command::new("sh");
        let script = "trap '' TERM; sleep 1000 & echo up; wait";
        command
            .args(["-c", script])
            .stdout(std::process::Stdio::piped());
        let mark = crashed.mark(&mut command);
        let mut child = command.spawn().unwrap();
        let mut up = [0; 3];
        let mut out = child.stdout.take().unwrap();
        tokio::io::AsyncReadExt::read_exact(&mut out, &mut up)
            .await
            .unwrap();
        crashed.record(&mark, "ollama", child.id().unwrap()).await;
        let file = folder.path().join(FOLDER).join(&mark);
        assert!(file.exists());
        // While its owner runs it is left alone.
        Children::new(folder.path(), Path::new("/")).sweep().await;
        assert!(file.exists() && child.try_wait().unwrap().is_none());
        let text = std::fs::read_to_string(&file).unwrap();
        let mut kept: KeptChild = serde_json::from_str(&text).unwrap();
        kept.owner_started = Some(1);
        std::fs::write(&file, serde_json::to_vec(&kept).unwrap()).unwrap();
        Children::new(folder.path(), Path::new("/")).sweep().await;
        assert!(!file.exists());
        assert!(!child.wait().await.unwrap().success());
        let left = processes::with_variable(Path::new("/"), MARK, &mark);
        assert_eq!(left, Some(Vec::new()));
    }
}

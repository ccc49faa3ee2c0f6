//! Children that outlive a crash: one file for each in `state_dir`, read by the next start.
//!
//! A child has a mark in its environment that all it starts inherits. Who still has the mark of a
//! Crucible that is gone is an orphan and is ended (Linux; elsewhere it is only told).

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
    orphans::{Awaited, OrphanHold},
    sockets::SocketFolder,
};
use crate::machine::processes;
use crate::state_dir::{self, StateDir};

/// Name of the folder in `state_dir`.
const FOLDER: &str = "children";
/// From SIGTERM to SIGKILL.
const GRACE: Duration = Duration::from_secs(5);
/// Between two looks at those that are to end.
const LOOK: Duration = Duration::from_millis(50);

/// The children of this Crucible, and those that an earlier one left behind.
#[derive(Debug, Default)]
pub struct Children {
    /// `None`: nothing outlives the run.
    folder: Option<PathBuf>,
    /// `None`: it is nobody else's.
    state: Option<Arc<StateDir>>,
    /// Of the file system.
    root: PathBuf,
    count: AtomicU32,
    swept: OnceCell<()>,
    awaited: Awaited,
    /// `None`: its children listen on ports.
    sockets: Option<SocketFolder>,
}

// === impl Children ===

impl Children {
    /// `state_dir` may be empty: then nothing is written. `root` is the root of the file system.
    pub(crate) fn new(state_dir: &Path, root: &Path) -> Self {
        let folder = !state_dir.as_os_str().is_empty();
        Self {
            folder: folder.then(|| state_dir.join(FOLDER)),
            sockets: folder.then(|| SocketFolder::new(state_dir)),
            root: root.to_owned(),
            ..Self::default()
        }
    }

    /// In a folder that another Crucible may own: what it started is left alone as long as it does.
    pub(crate) fn under(state: Arc<StateDir>, root: &Path) -> Self {
        let alone = Self::new(state.folder(), root);
        Self {
            state: Some(state),
            ..alone
        }
    }

    /// Of a command that ends them itself: nothing is written, as nobody has to find them again.
    pub fn unrecorded() -> Self {
        Self::new(Path::new(""), Path::new("/"))
    }

    /// Root of the file system.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The folder for the sockets of children; `None` where nothing may be written, and where another
    /// Crucible owns the folder or what it left behind was not looked at yet.
    pub(super) fn sockets(&self) -> Option<&SocketFolder> {
        self.sockets.as_ref().filter(|_| self.swept.initialized())
    }

    /// Gives the child its mark.
    pub(super) fn mark(&self, command: &mut Command) -> String {
        let owner = std::process::id();
        let started = processes::stat(&self.root, owner).map_or(0, |s| s.started);
        let n = self.count.fetch_add(1, Ordering::Relaxed);
        let mark = format!("{owner}-{started}-{n}");
        command.env(MARK, &mark);
        mark
    }

    /// Starts one, whose end is known while what comes with it is held.
    pub(super) fn start(&self, command: &mut Command) -> io::Result<(Child, OrphanHold)> {
        self.awaited.start(command)
    }

    /// Waits for the ends of orphans, where this process inherits them.
    #[cfg(target_os = "linux")]
    pub(crate) async fn reap_orphans(&self, stop: CancellationToken) {
        if orphans::inherits() {
            orphans::reap_until(self.awaited.clone(), self.root.clone(), stop).await;
        }
    }

    /// Writes down that it runs.
    pub(super) async fn enter(&self, mark: &str, name: &str, pid: u32) {
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

    /// It has ended.
    pub(super) async fn leave(&self, mark: &str) {
        if let Some(folder) = &self.folder {
            // Where it could not be written there is nothing to remove.
            let _ = tokio::fs::remove_file(folder.join(mark)).await;
        }
    }

    /// Ends what a crashed Crucible left behind; once in a run, and before any start. Nothing where
    /// the folder is another's, who looks after it.
    pub(crate) async fn sweep(&self) {
        if self.state.as_ref().is_none_or(|state| state.is_ours()) {
            self.swept.get_or_init(|| self.look()).await;
        }
    }

    /// The same as soon as the folder is ours.
    pub(crate) async fn sweep_when_owned(&self) {
        if let Some(state) = &self.state {
            state.owned().await;
        }
        self.sweep().await;
    }

    async fn look(&self) {
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

    /// Gives whether all with that mark are gone.
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
        crashed.enter(&mark, "ollama", child.id().unwrap()).await;
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

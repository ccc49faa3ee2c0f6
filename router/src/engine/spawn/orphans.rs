//! Orphans: as the first process of a container, Crucible inherits every process whose parent has
//! ended, and has to wait for its end, or it stays in the table of processes for ever.
//!
//! Waiting for whoever ends would also take the ends of Crucible's own children from those who wait
//! for them. So these are noted when they start, and nobody is looked at while one starts.

use std::{collections::BTreeSet, io, sync::Arc};

use parking_lot::{Mutex, MutexGuard};
use tokio::process::{Child, Command};

/// The process ids of Crucible's own children, which the reaper of orphans leaves to those who wait
/// for them.
#[derive(Clone, Debug, Default)]
pub(super) struct Awaited(Arc<Mutex<BTreeSet<u32>>>);

/// Keeps a child of Crucible's own from being reaped as an orphan, until it is dropped.
#[derive(Debug)]
pub(super) struct AwaitedChild {
    pid: Option<u32>,
    awaited: Awaited,
}

// === impl Awaited ===

impl Awaited {
    /// Starts a child and notes its process id: the reaper of orphans leaves it alone until the
    /// returned [`AwaitedChild`] is dropped.
    pub(super) fn start(&self, command: &mut Command) -> io::Result<(Child, AwaitedChild)> {
        let mut pids = self.pids();
        let child = command.spawn()?;
        let pid = child.id();
        pids.extend(pid);
        drop(pids);
        let awaited = self.clone();
        Ok((child, AwaitedChild { pid, awaited }))
    }

    fn pids(&self) -> MutexGuard<'_, BTreeSet<u32>> {
        self.0.lock()
    }
}

impl Drop for AwaitedChild {
    fn drop(&mut self) {
        if let Some(pid) = self.pid {
            self.awaited.pids().remove(&pid);
        }
    }
}

#[cfg(target_os = "linux")]
pub(super) use self::linux::{inherits, reap_until};

#[cfg(target_os = "linux")]
mod linux {
    use std::{path::PathBuf, time::Duration};

    use rustix::process::{Pid, WaitId, WaitIdOptions, child_subreaper, waitid};
    use tokio::{
        signal::unix::{SignalKind, signal},
        task::spawn_blocking,
        time::sleep,
    };
    use tokio_util::sync::CancellationToken;

    use super::Awaited;
    use crate::machine::processes;

    /// The time between two searches for orphans that have ended.
    const LOOK: Duration = Duration::from_millis(500);

    /// Whether this process inherits orphans: it is the first one, or somebody made it their heir.
    pub(in super::super) fn inherits() -> bool {
        std::process::id() == 1 || child_subreaper().is_ok_and(|heir| heir.is_some())
    }

    /// Waits for every orphan that ends, until `stop`. `root` is the root of the file system.
    pub(in super::super) async fn reap_until(
        awaited: Awaited,
        root: PathBuf,
        stop: CancellationToken,
    ) {
        let mut ends = match signal(SignalKind::child()) {
            Ok(ends) => ends,
            Err(error) => {
                tracing::warn!(%error, "orphans are not waited for");
                return;
            }
        };
        loop {
            let (awaited, root) = (awaited.clone(), root.clone());
            let looked = spawn_blocking(move || awaited.reap(&root)).await;
            if let Ok(found @ 1..) = looked {
                tracing::debug!(found, "orphans have ended");
            }
            let next = async {
                sleep(LOOK).await;
                ends.recv().await;
            };
            if stop.run_until_cancelled(next).await.is_none() {
                return;
            }
        }
    }

    impl Awaited {
        /// Waits for all that have ended and that nobody else waits for; gives their number.
        fn reap(&self, root: &std::path::Path) -> usize {
            let pids = self.pids();
            let ended = processes::ended_children(root, std::process::id());
            let orphans = ended.into_iter().filter(|pid| !pids.contains(pid));
            let waited = orphans.filter(|pid| {
                let pid = i32::try_from(*pid).ok().and_then(Pid::from_raw);
                let ended = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
                pid.is_some_and(|pid| waitid(WaitId::Pid(pid), ended).is_ok())
            });
            waited.count()
        }
    }

    #[cfg(test)]
    mod tests {
        use std::{path::Path, process::Stdio};

        use tokio::io::AsyncReadExt as _;

        use super::*;

        /// Its end, seen without waiting for it.
        async fn ended(pid: u32) {
            let stat = || processes::stat(Path::new("/"), pid);
            while stat().is_some_and(|stat| !stat.ended) {
                sleep(Duration::from_millis(5)).await;
            }
        }

        #[tokio::test]
        async fn a_child_that_is_waited_for_keeps_its_end_and_another_is_taken() {
            let awaited = Awaited::default();
            let mut command = tokio::process::Command::new("sh");
            command
                .args(["-c", "echo up; exit 7"])
                .stdout(Stdio::piped());
            let (mut own, held) = awaited.start(&mut command).unwrap();
            // In place of an orphan: nobody told of it.
            let mut other = std::process::Command::new("sh")
                .args(["-c", "exit 8"])
                .spawn()
                .unwrap();
            let mut up = [0; 3];
            let mut out = own.stdout.take().unwrap();
            out.read_exact(&mut up).await.unwrap();
            let own_pid = own.id().unwrap();
            ended(own_pid).await;
            ended(other.id()).await;
            // Only these two, as other tests have children too.
            let root = tempfile::tempdir().unwrap();
            for pid in [own_pid, other.id()] {
                let folder = root.path().join(format!("proc/{pid}"));
                std::fs::create_dir_all(&folder).unwrap();
                let stat = std::fs::read(format!("/proc/{pid}/stat")).unwrap();
                std::fs::write(folder.join("stat"), stat).unwrap();
            }
            assert_eq!(awaited.reap(root.path()), 1);
            assert_eq!(processes::stat(Path::new("/"), other.id()), None);
            assert!(other.wait().is_err());
            assert_eq!(own.wait().await.unwrap().code(), Some(7));
            drop(held);
            assert!(awaited.pids().is_empty());
        }
    }
}

//! A child process and its supervisor: output, end, and how long to wait after a crash.

use std::{
    collections::VecDeque,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader},
    process::{Child, ChildStdin, Command},
    sync::watch,
    time::{Instant, sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{children::Children, orphans::AwaitedChild, sockets::ChildSocket};
use crate::{
    engine::EngineError,
    machine::{cgroup::ControlGroup, processes},
};

/// The time from SIGTERM to SIGKILL.
#[cfg(unix)]
const TERM_GRACE: Duration = Duration::from_secs(5);
/// The time in which the last lines of a child that has ended are read.
const LAST_LINES: Duration = Duration::from_secs(1);
/// The time between two looks at the processes that a child left in its group when it ended.
const LOOK: Duration = Duration::from_millis(50);
/// The number of lines of output that are kept.
const KEPT_LINES: usize = 20;
/// The longest line that is kept, in bytes; the rest is read and dropped.
const LINE_LIMIT: u64 = 4096;
/// The time that a child has to run before a crash for the backoff to start anew.
pub(crate) const STABLE: Duration = Duration::from_mins(1);

/// The things that a child is started with besides its command.
pub(super) struct ChildLaunch {
    /// The name of the engine, for the log.
    pub(super) name: Arc<str>,
    /// The crashes of the child so far, which delay its next start.
    pub(super) crashes: Arc<Mutex<CrashHistory>>,
    /// The record that the child is written into.
    pub(super) children: Arc<Children>,
    /// The control group of the child, where it has one; removed when the child has ended.
    pub(super) group: Option<Arc<ControlGroup>>,
    /// The socket that the child listens on; removed when the child has ended. `None` where it
    /// listens on a port.
    pub(super) socket: Option<ChildSocket>,
}

/// A child that was started and is supervised until it has ended.
#[derive(Clone, Debug)]
pub(crate) struct Started {
    /// The id of the process, which is also that of its process group.
    pub(crate) pid: u32,
    /// The token that ends the child.
    pub(crate) stop: CancellationToken,
    /// The receiver of the child's end: `Some` with the words that say how it ended, once it has.
    pub(crate) ended: watch::Receiver<Option<String>>,
}

/// The number of crashes in a row, and the time before which the child is not started again.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CrashHistory {
    /// The number of crashes in a row; one of a child that ran for a minute starts the count anew.
    pub(crate) in_a_row: u32,
    /// The time before which the child is not started again; `None` where it may start at once.
    pub(crate) not_before: Option<Instant>,
}

/// A child and all that its supervisor needs.
struct Watched {
    child: Child,
    /// Only held: closing it tells a watching server that Crucible is gone.
    stdin: Option<ChildStdin>,
    stop: CancellationToken,
    lines: Lines,
    readers: TaskTracker,
    launch: ChildLaunch,
    mark: String,
    family: ProcessFamily,
    /// Keeps the child from being reaped as an orphan, because its end is awaited here.
    _held: AwaitedChild,
    tell: watch::Sender<Option<String>>,
}

/// The process group of a child: whoever is left in it is killed with this.
struct ProcessFamily {
    leader: u32,
    root: PathBuf,
}

type Lines = Arc<Mutex<VecDeque<String>>>;

/// Starts a command as the leader of a process group of its own.
pub(super) fn start(mut command: Command, launch: ChildLaunch) -> Result<Started, EngineError> {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command.kill_on_drop(true);
    #[cfg(unix)]
    command.process_group(0);
    let mark = launch.children.mark(&mut command);
    let (mut child, held) =
        launch
            .children
            .start(&mut command)
            .map_err(|e| EngineError::Refused {
                status: 500,
                message: format!(
                    "cannot start '{}': {e}",
                    command.as_std().get_program().to_string_lossy()
                ),
            })?;
    let family = ProcessFamily {
        // It has none only after it was waited for.
        leader: child.id().unwrap_or_default(),
        root: launch.children.root().to_owned(),
    };
    let pid = family.leader;
    let name = &launch.name;
    let lines = Lines::default();
    let readers = TaskTracker::new();
    if let Some(out) = child.stdout.take() {
        readers.spawn(keep_lines(out, Arc::clone(&lines), Arc::clone(name)));
    }
    if let Some(err) = child.stderr.take() {
        readers.spawn(keep_lines(err, Arc::clone(&lines), Arc::clone(name)));
    }
    readers.close();
    let (tell, ended) = watch::channel(None);
    let stop = CancellationToken::new();
    let watched = Watched {
        stdin: child.stdin.take(),
        child,
        stop: stop.clone(),
        lines,
        readers,
        launch,
        mark,
        family,
        _held: held,
        tell,
    };
    TaskTracker::new().spawn(supervise(watched));
    Ok(Started { pid, stop, ended })
}

// === impl CrashHistory ===

impl CrashHistory {
    /// 1 s doubling to 30 s before the next start.
    pub(crate) fn after_failure(self, began: Instant, now: Instant) -> Self {
        let stable = now.saturating_duration_since(began) >= STABLE;
        let in_a_row = if stable {
            1
        } else {
            self.in_a_row.saturating_add(1)
        };
        let wait = Duration::from_secs(1 << in_a_row.saturating_sub(1).min(5));
        Self {
            in_a_row,
            not_before: Some(now + wait.min(Duration::from_secs(30))),
        }
    }
}

// === impl ProcessFamily ===

impl ProcessFamily {
    /// Asks all of it to end.
    #[cfg(unix)]
    fn terminate(&self) {
        self.signal(rustix::process::Signal::TERM);
    }

    /// Waits until nobody is left. Only the leader is waited for by its parent, so that what a
    /// shell started has to be looked for.
    async fn gone(&self) {
        while self.lives() {
            sleep(LOOK).await;
        }
    }

    fn lives(&self) -> bool {
        match processes::of_group(&self.root, self.leader) {
            Some(pids) => !pids.is_empty(),
            None => answers(self.leader),
        }
    }

    #[cfg(unix)]
    fn signal(&self, signal: rustix::process::Signal) {
        if let Some(id) = pid(self.leader) {
            // It may have ended by itself just now.
            let _ = rustix::process::kill_process_group(id, signal);
        }
    }
}

impl Drop for ProcessFamily {
    fn drop(&mut self) {
        #[cfg(unix)]
        if self.lives() {
            self.signal(rustix::process::Signal::KILL);
        }
    }
}

#[cfg(unix)]
fn pid(raw: u32) -> Option<rustix::process::Pid> {
    rustix::process::Pid::from_raw(i32::try_from(raw).ok()?)
}

/// Whether a process group is there, ended members included.
#[cfg(unix)]
fn answers(group: u32) -> bool {
    pid(group).is_some_and(|id| rustix::process::test_kill_process_group(id).is_ok())
}

#[cfg(not(unix))]
const fn answers(_: u32) -> bool {
    false
}

/// Owns the child until it has ended.
async fn supervise(mut watched: Watched) {
    let began = Instant::now();
    let ChildLaunch {
        name,
        crashes,
        children,
        group,
        socket,
    } = watched.launch;
    children
        .record(&watched.mark, &name, watched.family.leader)
        .await;
    let status = tokio::select! {
        status = watched.child.wait() => status,
        () = watched.stop.cancelled() => end(&mut watched.child, &watched.family, &name).await,
    };
    // What a shell started, or a server that crashed: it does not outlive the child.
    drop(watched.family);
    drop(socket);
    if let Some(group) = group {
        group.end().await;
    }
    children.forget(&watched.mark).await;
    drop(watched.stdin);
    // What the child started itself may hold its output open for ever.
    let _ = timeout(LAST_LINES, watched.readers.wait()).await;
    let words = {
        let lines = watched.lines.lock();
        exit_words(status, &lines)
    };
    if watched.stop.is_cancelled() {
        tracing::debug!("{words}");
    } else {
        tracing::warn!("{words}");
        let mut crashes = crashes.lock();
        *crashes = crashes.after_failure(began, Instant::now());
    }
    watched.tell.send_replace(Some(words));
}

/// Asks, waits, and kills what is left; the rest of the group goes with its [`ProcessFamily`].
#[cfg(unix)]
async fn end(child: &mut Child, family: &ProcessFamily, name: &str) -> std::io::Result<ExitStatus> {
    let until = Instant::now() + TERM_GRACE;
    family.terminate();
    let status = tokio::time::timeout_at(until, child.wait()).await;
    // Who does not end in time is killed.
    let _ = tokio::time::timeout_at(until, family.gone()).await;
    if let Ok(status) = status {
        return status;
    }
    tracing::warn!(
        engine = name,
        "did not end within {} s of a SIGTERM and is killed",
        TERM_GRACE.as_secs()
    );
    child.start_kill()?;
    child.wait().await
}

#[cfg(not(unix))]
async fn end(child: &mut Child, family: &ProcessFamily, _: &str) -> std::io::Result<ExitStatus> {
    child.start_kill()?;
    family.gone().await;
    child.wait().await
}

fn exit_words(status: std::io::Result<ExitStatus>, lines: &VecDeque<String>) -> String {
    let how = match status {
        Ok(status) => format!("the server ended ({status})"),
        Err(error) => format!("the server cannot be watched ({error})"),
    };
    if lines.is_empty() {
        return how;
    }
    let lines: Vec<_> = lines.iter().map(String::as_str).collect();
    format!("{how}; its last lines: {}", lines.join(" | "))
}

async fn keep_lines(pipe: impl AsyncRead + Unpin, lines: Lines, id: Arc<str>) {
    let mut reader = BufReader::new(pipe);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut reader)
            .take(LINE_LIMIT)
            .read_until(b'\n', &mut line)
            .await
        {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        if text.is_empty() {
            continue;
        }
        tracing::debug!(model = &*id, "{text}");
        let mut lines = lines.lock();
        if lines.len() == KEPT_LINES {
            lines.pop_front();
        }
        lines.push_back(text);
    }
}

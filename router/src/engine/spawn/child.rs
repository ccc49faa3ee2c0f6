//! A child process and its supervisor: output, end, and how long to wait after a crash.

use std::{
    collections::VecDeque,
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader},
    process::{Child, ChildStdin, Command},
    sync::watch,
    time::{Instant, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::engine::EngineError;

/// From SIGTERM to SIGKILL.
const TERM_GRACE: Duration = Duration::from_secs(5);
/// For the last lines of a child that has ended.
const LAST_LINES: Duration = Duration::from_secs(1);
/// Lines of output that are kept.
const KEPT_LINES: usize = 20;
/// Longest line that is kept, in bytes; the rest is read and dropped.
const LINE_LIMIT: u64 = 4096;
/// A child that ran at least this long before it crashed starts the backoff anew.
pub(crate) const STABLE: Duration = Duration::from_mins(1);

/// A child that was started and is supervised until it has ended.
#[derive(Clone, Debug)]
pub(crate) struct Started {
    /// Ends it.
    pub(crate) stop: CancellationToken,
    /// `Some` once it has ended: with the words that say how.
    pub(crate) ended: watch::Receiver<Option<String>>,
}

/// Crashes in a row, and when the next start may be.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Crashes {
    pub(crate) in_a_row: u32,
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
    crashes: Arc<Mutex<Crashes>>,
    tell: watch::Sender<Option<String>>,
}

type Lines = Arc<Mutex<VecDeque<String>>>;

/// Starts a command in a process group of its own; `name` is for the log.
pub(crate) fn start(
    mut command: Command,
    name: Arc<str>,
    crashes: Arc<Mutex<Crashes>>,
) -> Result<Started, EngineError> {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command.kill_on_drop(true);
    #[cfg(unix)]
    command.process_group(0);
    let mut child = command.spawn().map_err(|e| EngineError::Refused {
        status: 500,
        message: format!(
            "cannot start '{}': {e}",
            command.as_std().get_program().to_string_lossy()
        ),
    })?;
    let lines = Lines::default();
    let readers = TaskTracker::new();
    if let Some(out) = child.stdout.take() {
        readers.spawn(keep_lines(out, Arc::clone(&lines), Arc::clone(&name)));
    }
    if let Some(err) = child.stderr.take() {
        readers.spawn(keep_lines(err, Arc::clone(&lines), name));
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
        crashes,
        tell,
    };
    TaskTracker::new().spawn(supervise(watched));
    Ok(Started { stop, ended })
}

// === impl Crashes ===

impl Crashes {
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

/// Owns the child until it has ended.
async fn supervise(mut watched: Watched) {
    let began = Instant::now();
    let status = tokio::select! {
        status = watched.child.wait() => status,
        () = watched.stop.cancelled() => end(&mut watched.child).await,
    };
    drop(watched.stdin);
    // What the child started itself may hold its output open for ever.
    let _ = timeout(LAST_LINES, watched.readers.wait()).await;
    let words = {
        let lines = watched.lines.lock().unwrap_or_else(PoisonError::into_inner);
        exit_words(status, &lines)
    };
    if watched.stop.is_cancelled() {
        tracing::debug!("{words}");
    } else {
        tracing::warn!("{words}");
        let mut crashes = watched
            .crashes
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *crashes = crashes.after_failure(began, Instant::now());
    }
    watched.tell.send_replace(Some(words));
}

async fn end(child: &mut Child) -> std::io::Result<ExitStatus> {
    terminate(child);
    if let Ok(status) = timeout(TERM_GRACE, child.wait()).await {
        return status;
    }
    child.start_kill()?;
    child.wait().await
}

/// Asks the child and what it started to end.
#[cfg(unix)]
fn terminate(child: &mut Child) {
    let pid = child.id().and_then(|id| i32::try_from(id).ok());
    if let Some(pid) = pid.and_then(rustix::process::Pid::from_raw) {
        // It may have ended by itself just now.
        let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::TERM);
    }
}

#[cfg(not(unix))]
fn terminate(child: &mut Child) {
    let _ = child.start_kill();
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
        let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == KEPT_LINES {
            lines.pop_front();
        }
        lines.push_back(text);
    }
}

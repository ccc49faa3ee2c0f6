//! llama.cpp's server as a child of Crucible: a load starts it, an unload stops it.
//!
//! The child gets `-m -c -np -t --host --port` after the configured command, a process group of
//! its own (so that Ctrl-C reaches Crucible first), and a stdin that stays open: a server that
//! watches it ends when Crucible dies by any cause. Otherwise it is ended by SIGTERM, after 5 s by
//! SIGKILL, and killed when the runtime drops it. Its last lines are kept for error messages.

use std::{
    collections::VecDeque,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::future::BoxFuture;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader},
    net::TcpListener,
    process::{Child, ChildStdin, Command},
    sync::watch,
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use url::Url;

use super::{
    Engine, EngineError, Listing, LoadOrder, backoff, http::Endpoint, llamacpp::read_server,
    tuple::instance_context,
};
use crate::catalog::{Capabilities, ModelInfo, ModelKind, ResidentInfo};
use crucible_config::checked::EngineKind;

/// From SIGTERM to SIGKILL.
const TERM_GRACE: Duration = Duration::from_secs(5);
/// For the last lines of a child that has ended.
const LAST_LINES: Duration = Duration::from_secs(1);
/// Lines of output that are kept.
const KEPT_LINES: usize = 20;
/// Longest line that is kept, in bytes; the rest is read and dropped.
const LINE_LIMIT: u64 = 4096;
/// A child that ran at least this long before it crashed starts the backoff anew.
const STABLE: Duration = Duration::from_mins(1);

/// A llama.cpp server that runs only while its model is loaded.
#[derive(Debug)]
pub(crate) struct Spawned {
    client: reqwest::Client,
    command: Vec<String>,
    model: PathBuf,
    id: Arc<str>,
    tasks: TaskTracker,
    running: Mutex<Option<Running>>,
    crashes: Arc<Mutex<Crashes>>,
    /// One load or unload at a time.
    turn: tokio::sync::Mutex<()>,
}

/// A child that was started and not yet ended.
#[derive(Clone, Debug)]
struct Running {
    endpoint: Endpoint,
    kind: ModelKind,
    stop: CancellationToken,
    /// `Some` once it has ended: with the words that say how.
    ended: watch::Receiver<Option<String>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Crashes {
    in_a_row: u32,
    not_before: Option<Instant>,
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

// === impl Spawned ===

impl Spawned {
    pub(crate) fn new(client: reqwest::Client, command: Vec<String>, model: PathBuf) -> Self {
        let stem = model.file_stem().unwrap_or_default().to_string_lossy();
        Self {
            client,
            command: if command.is_empty() {
                vec!["llama-server".to_owned()]
            } else {
                command
            },
            id: Arc::from(&*stem),
            model,
            tasks: TaskTracker::new(),
            running: Mutex::default(),
            crashes: Arc::default(),
            turn: tokio::sync::Mutex::default(),
        }
    }

    /// The child, while it has not ended.
    fn running(&self) -> Option<Running> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.clone().filter(|r| r.ended.borrow().is_none())
    }

    async fn poll(&self) -> Result<Listing, EngineError> {
        let size = match tokio::fs::metadata(&self.model).await {
            Ok(meta) => meta.len(),
            Err(error) => {
                return Err(EngineError::Unexpected(format!(
                    "model file {}: {error}",
                    self.model.display()
                )));
            }
        };
        let server = match self.running() {
            // While it starts it has nothing to say.
            Some(running) => read_server(&running.endpoint)
                .await
                .ok()
                .map(|l| (running, l)),
            None => None,
        };
        let mut listing = Listing {
            load_control: true,
            models: vec![ModelInfo {
                id: Arc::clone(&self.id),
                kind: ModelKind::Generation,
                capabilities: Capabilities::default(),
                max_context: None,
                size_bytes: Some(size),
                context_bytes: None,
                quantization: None,
                format: Some("gguf".to_owned()),
                cloud: false,
                created: None,
            }],
            ..Listing::default()
        };
        if let Some((running, told)) = server {
            listing.version = told.version;
            if let Some(model) = told.models.into_iter().next() {
                listing.models[0].capabilities = model.capabilities;
                listing.models[0].max_context = model.max_context;
            }
            let resident = told.residents.into_iter().next();
            listing.residents.extend(resident.map(|r| ResidentInfo {
                model: Arc::clone(&self.id),
                instance: Arc::clone(&self.id),
                kind: running.kind,
                bytes: r.bytes.or(Some(size)),
                ..r
            }));
        }
        Ok(listing)
    }

    async fn start(&self, order: LoadOrder) -> Result<ResidentInfo, EngineError> {
        let _turn = self.turn.lock().await;
        if order.model != self.id {
            return Err(EngineError::Unsupported("load of another model file"));
        }
        if self.running().is_none() {
            let not_before = self.crashes().not_before;
            if let Some(at) = not_before {
                sleep_until(at).await;
            }
            let running = self.spawn(&order).await?;
            *self.running.lock().unwrap_or_else(PoisonError::into_inner) = Some(running);
        }
        let mut attempt = 0;
        loop {
            let Some(running) = self.running() else {
                return Err(self.last_words());
            };
            match read_server(&running.endpoint).await {
                Ok(_) => {
                    let residents = self.poll().await?.residents;
                    if let Some(resident) = residents.into_iter().next() {
                        return Ok(resident);
                    }
                }
                Err(EngineError::Unexpected(text)) => return Err(EngineError::Unexpected(text)),
                Err(_) => {}
            }
            let mut ended = running.ended.clone();
            tokio::select! {
                () = sleep(backoff(attempt)) => attempt += 1,
                _ = ended.changed() => {}
            }
        }
    }

    /// How the last child ended.
    fn last_words(&self) -> EngineError {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let words = running.as_ref().and_then(|r| r.ended.borrow().clone());
        EngineError::Refused {
            status: 500,
            message: words.unwrap_or_else(|| "the server is not running".to_owned()),
        }
    }

    async fn spawn(&self, order: &LoadOrder) -> Result<Running, EngineError> {
        let port = free_port().await?;
        let mut words = self.command.iter();
        let program = words.next().map_or("llama-server", String::as_str);
        let mut command = Command::new(program);
        command.args(words).arg("-m").arg(&self.model);
        if let Some(context) = order.tuple.context {
            let whole = instance_context(EngineKind::Llamacpp, context, order.permits, None);
            command.arg("-c").arg(whole.to_string());
        }
        command.arg("-np").arg(order.permits.max(1).to_string());
        if let Some(threads) = order.tuple.threads {
            command.arg("-t").arg(threads.to_string());
        }
        command.args(["--host", "127.0.0.1", "--port", &port.to_string()]);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command.kill_on_drop(true);
        #[cfg(unix)]
        command.process_group(0);
        let mut child = command.spawn().map_err(|e| EngineError::Refused {
            status: 500,
            message: format!("cannot start '{program}': {e}"),
        })?;
        let base = Url::parse(&format!("http://127.0.0.1:{port}"))
            .map_err(|e| EngineError::Unexpected(e.to_string()))?;
        let lines = Lines::default();
        let readers = TaskTracker::new();
        if let Some(out) = child.stdout.take() {
            readers.spawn(keep_lines(out, Arc::clone(&lines), Arc::clone(&self.id)));
        }
        if let Some(err) = child.stderr.take() {
            readers.spawn(keep_lines(err, Arc::clone(&lines), Arc::clone(&self.id)));
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
            crashes: Arc::clone(&self.crashes),
            tell,
        };
        self.tasks.spawn(supervise(watched));
        Ok(Running {
            endpoint: Endpoint::new(self.client.clone(), base, None),
            kind: order.kind,
            stop,
            ended,
        })
    }

    async fn stop(&self) -> Result<(), EngineError> {
        let _turn = self.turn.lock().await;
        let Some(mut running) = self.running() else {
            return Ok(());
        };
        running.stop.cancel();
        // An error means that the supervisor is gone, and the child with it.
        let _ = running.ended.wait_for(Option::is_some).await;
        Ok(())
    }

    fn crashes(&self) -> Crashes {
        *self.crashes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Spawned {
    fn drop(&mut self) {
        if let Some(running) = self.running() {
            running.stop.cancel();
        }
    }
}

impl Engine for Spawned {
    fn list(&self) -> BoxFuture<'_, Result<Listing, EngineError>> {
        Box::pin(self.poll())
    }

    fn load(&self, order: LoadOrder) -> BoxFuture<'_, Result<ResidentInfo, EngineError>> {
        Box::pin(self.start(order))
    }

    fn unload<'a>(&'a self, _: &'a ResidentInfo) -> BoxFuture<'a, Result<(), EngineError>> {
        Box::pin(self.stop())
    }

    fn base_url(&self) -> Option<Url> {
        self.running().map(|r| r.endpoint.base().clone())
    }
}

// === impl Crashes ===

impl Crashes {
    /// 1 s doubling to 30 s before the next start.
    fn after_failure(self, began: Instant, now: Instant) -> Self {
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

/// A port that was free a moment ago: the child cannot tell which one it chose itself.
async fn free_port() -> Result<u16, EngineError> {
    let listener = TcpListener::bind("127.0.0.1:0").await;
    listener
        .and_then(|l| l.local_addr())
        .map(|a| a.port())
        .map_err(|e| EngineError::Unexpected(format!("no free port: {e}")))
}

#[cfg(test)]
mod tests;

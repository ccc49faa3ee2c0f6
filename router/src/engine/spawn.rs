//! llama.cpp's server as a child of Crucible: a load starts it, an unload stops it.
//!
//! The child gets `-m -c -np -t --host` after the configured command (and `--port` where it does not
//! listen on a Unix socket), a process group of its own (so that Ctrl-C reaches Crucible first), and
//! a stdin that stays open: a server that watches it ends when Crucible dies by any cause. Otherwise
//! its whole group is ended by SIGTERM, after 5 s by SIGKILL, and killed when the runtime drops it;
//! what outlives a crash all the same is ended by the next start. Its last lines are kept for error
//! messages.

mod child;
pub(crate) mod children;
mod kept_child;
mod listen;
pub(super) mod ollama;
mod orphans;
mod sockets;

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use crucible_config::checked::EngineKind;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::{
    process::Command,
    time::{sleep, sleep_until},
};

use self::{
    child::{ChildLaunch, CrashHistory, Started},
    children::Children,
    listen::ListenAddress,
    sockets::make_private,
};
use super::{
    Client, Engine, EngineError, Listing, LoadOrder, backoff,
    http::EngineEndpoint,
    llamacpp::read_server,
    slots::{self, SlotPrompt},
};
use crate::{
    catalog::{Capabilities, ModelInfo, ModelKind, ResidentInfo},
    options::instance_context,
    transport::EngineAddress,
};

/// A llama.cpp server that runs only while its model is loaded.
#[derive(Debug)]
pub(crate) struct Spawned {
    /// The name of the engine.
    name: Arc<str>,
    client: Client,
    command: Vec<String>,
    model: PathBuf,
    /// The child wants the token that it reads from the same environment.
    token: Option<String>,
    id: Arc<str>,
    running: Mutex<Option<RunningChild>>,
    crashes: Arc<Mutex<CrashHistory>>,
    children: Arc<Children>,
    /// One load or unload at a time.
    turn: tokio::sync::Mutex<()>,
}

/// A child that was started and not yet ended.
#[derive(Clone, Debug)]
struct RunningChild {
    endpoint: EngineEndpoint,
    kind: ModelKind,
    child: Started,
    /// The socket that it listens on; `None` where it listens on a port.
    socket: Option<PathBuf>,
    /// Whether the child has listed its models once.
    answered: Arc<AtomicBool>,
}

// === impl Spawned ===

impl Spawned {
    /// Makes the driver of a llama.cpp server that is not started yet. Without a `command` it is
    /// `llama-server`; `model` is the file of weights, whose name is that of the model.
    pub(crate) fn new(
        name: Arc<str>,
        client: Client,
        command: Vec<String>,
        model: PathBuf,
        token: Option<String>,
        children: Arc<Children>,
    ) -> Self {
        let stem = model.file_stem().unwrap_or_default().to_string_lossy();
        Self {
            name,
            client,
            command: if command.is_empty() {
                vec!["llama-server".to_owned()]
            } else {
                command
            },
            id: Arc::from(&*stem),
            model,
            token,
            running: Mutex::default(),
            crashes: Arc::default(),
            children,
            turn: tokio::sync::Mutex::default(),
        }
    }

    /// The child, while it has not ended.
    fn running(&self) -> Option<RunningChild> {
        let running = self.running.lock();
        running.clone().filter(|r| r.child.ended.borrow().is_none())
    }

    async fn poll(&self) -> Result<Listing, EngineError> {
        let size = match tokio::fs::metadata(&self.model).await {
            Ok(meta) => meta.len(),
            Err(error) => {
                return Err(EngineError::Absent(format!(
                    "model file {}: {error}",
                    self.model.display()
                )));
            }
        };
        let mut model = self.model_of(size);
        let mut listing = Listing {
            load_control: true,
            ..Listing::default()
        };
        if let Some((running, answer)) = self.read_running().await? {
            listing.version = answer.version;
            if let Some(served) = answer.models.into_iter().next() {
                model.capabilities = served.capabilities;
                model.max_context = served.max_context;
            }
            let resident = answer.residents.into_iter().next();
            listing.residents.extend(resident.map(|r| ResidentInfo {
                model: Arc::clone(&self.id),
                instance: Arc::clone(&self.id),
                kind: running.kind,
                bytes: r.bytes.or(Some(size)),
                ..r
            }));
        }
        listing.models.push(model);
        Ok(listing)
    }

    /// Reads what the child lists; `None` where there is none, or where it starts and does not answer yet.
    async fn read_running(&self) -> Result<Option<(RunningChild, Listing)>, EngineError> {
        let Some(running) = self.running() else {
            return Ok(None);
        };
        match read_server(&running.endpoint).await {
            Ok(listing) => {
                running.answered.store(true, Ordering::Relaxed);
                Ok(Some((running, listing)))
            }
            Err(error @ EngineError::Unexpected(_)) => Err(error),
            // It lives, and so does what it holds.
            Err(error) if running.answered.load(Ordering::Relaxed) => Err(error),
            Err(_) => Ok(None),
        }
    }

    /// The model of the file, which has this many bytes, as far as it is known without a child.
    fn model_of(&self, size: u64) -> ModelInfo {
        ModelInfo {
            id: Arc::clone(&self.id),
            runner: Arc::clone(&self.id),
            load: Arc::default(),
            via: Arc::default(),
            names: Arc::default(),
            kind: ModelKind::Generation,
            capabilities: Capabilities::default(),
            max_context: None,
            size_bytes: Some(size),
            context_bytes: None,
            quantization: None,
            format: Some("gguf".to_owned()),
            cloud: false,
            created: None,
            metadata: Arc::default(),
        }
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
            *self.running.lock() = Some(running);
        }
        let mut attempt = 0;
        loop {
            let Some(running) = self.running() else {
                return Err(self.last_words());
            };
            match self.poll().await {
                Ok(listing) => {
                    if let Some(resident) = listing.residents.into_iter().next() {
                        running.keep_private().await;
                        return Ok(resident);
                    }
                }
                Err(error @ EngineError::Unexpected(_)) => return Err(error),
                Err(_) => {}
            }
            let mut ended = running.child.ended.clone();
            tokio::select! {
                () = sleep(backoff(attempt)) => attempt += 1,
                _ = ended.changed() => {}
            }
        }
    }

    /// Returns the error that says how the last child ended.
    fn last_words(&self) -> EngineError {
        let running = self.running.lock();
        let words = running
            .as_ref()
            .and_then(|r| r.child.ended.borrow().clone());
        EngineError::Refused {
            status: 500,
            message: words.unwrap_or_else(|| "the server is not running".to_owned()),
        }
    }

    async fn spawn(&self, order: &LoadOrder) -> Result<RunningChild, EngineError> {
        self.children.sweep().await;
        let listen = ListenAddress::choose(&self.children, &self.name, &self.command).await?;
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
        listen.add_to(&mut command);
        let address = listen.address()?;
        let socket = listen.into_socket();
        let socket_path = socket.as_ref().map(|socket| socket.path().to_owned());
        let child = child::start(
            command,
            ChildLaunch {
                name: Arc::clone(&self.id),
                crashes: Arc::clone(&self.crashes),
                children: Arc::clone(&self.children),
                group: None,
                socket,
            },
        )?;
        Ok(RunningChild {
            endpoint: EngineEndpoint::new(self.client.clone(), address, self.token.as_deref()),
            kind: order.kind,
            child,
            socket: socket_path,
            answered: Arc::default(),
        })
    }

    async fn stop(&self) -> Result<(), EngineError> {
        let _turn = self.turn.lock().await;
        let Some(mut running) = self.running() else {
            return Ok(());
        };
        running.child.stop.cancel();
        // An error means that the supervisor is gone, and the child with it.
        let _ = running.child.ended.wait_for(Option::is_some).await;
        Ok(())
    }

    fn crashes(&self) -> CrashHistory {
        *self.crashes.lock()
    }
}

// === impl RunningChild ===

impl RunningChild {
    /// Lets only Crucible's user connect to its socket, once it is there.
    async fn keep_private(&self) {
        if let Some(socket) = &self.socket
            && let Err(error) = make_private(socket).await
        {
            // Its folder lets nobody else in.
            tracing::debug!(socket = %socket.display(), %error, "its mode stays");
        }
    }
}

impl Drop for Spawned {
    fn drop(&mut self) {
        if let Some(running) = self.running() {
            running.child.stop.cancel();
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

    fn processing<'a>(&'a self, model: &'a str) -> BoxFuture<'a, Option<u32>> {
        Box::pin(async move { slots::processing(&self.running()?.endpoint, model).await })
    }

    fn prompts<'a>(&'a self, model: &'a str) -> BoxFuture<'a, Option<Vec<SlotPrompt>>> {
        Box::pin(async move { slots::prompts(&self.running()?.endpoint, model).await })
    }

    fn address(&self) -> Option<EngineAddress> {
        self.running().map(|r| r.endpoint.address().clone())
    }

    fn process(&self) -> Option<u32> {
        Some(self.running()?.child.pid)
    }
}

#[cfg(test)]
mod tests;

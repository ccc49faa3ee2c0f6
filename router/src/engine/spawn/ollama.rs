//! Ollama as a child of Crucible: `ollama serve` with the environment of the settings.
//!
//! It runs from the first poll on; a poll that finds it ended starts it again, after a wait that
//! grows with each crash. Loads and unloads go through its API as for any other Ollama.

use std::{path::PathBuf, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::{
    process::Command,
    task::spawn_blocking,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::{
    child::{self, ChildLaunch, CrashHistory, Started},
    children::Children,
    listen::free_port,
};
use crate::{
    catalog::ResidentInfo,
    engine::{
        Client, Engine, EngineError, Listing, LoadOrder, SlotPrompt, SlotReading, backoff,
        http::EngineEndpoint, ollama::Ollama, ollama_recipe::OllamaRecipe,
    },
    machine::{MemoryLimit, NoMemoryLimit, cgroup::ControlGroup},
    transport::EngineAddress,
};

/// The command, address and environment with which Crucible starts an `ollama serve` of its own.
#[derive(Clone, Debug)]
pub(crate) struct OllamaSetup {
    /// The engine's name, for the log.
    pub(crate) name: Arc<str>,
    /// The program with its own arguments; empty: `ollama`. `serve` is added.
    pub(crate) command: Vec<String>,
    /// The address; without one, a free port of this machine.
    pub(crate) url: Option<Url>,
    /// The environment of the process.
    pub(crate) recipe: OllamaRecipe,
    /// The time for which Ollama keeps an idle model that Crucible loaded.
    pub(crate) keep_alive: Duration,
    /// The most bytes of memory that the system lets the process use
    /// (`tuning.ollama.memory_limit`); `None` where the system has no means to enforce that.
    pub(crate) memory_max: Option<u64>,
    /// The record of the children, in which the process is entered.
    pub(crate) children: Arc<Children>,
}

/// An Ollama that runs as long as Crucible does.
#[derive(Debug)]
pub(crate) struct SpawnedOllama {
    client: Client,
    setup: OllamaSetup,
    server: Mutex<Option<OllamaServer>>,
    crashes: Arc<Mutex<CrashHistory>>,
    /// The memory limit of the control group; `None` until the first start.
    limit: Mutex<Option<MemoryLimit>>,
    /// The lock that lets one start or stop run at a time.
    turn: tokio::sync::Mutex<()>,
    /// Cancelled once the process must not be started again.
    over: CancellationToken,
}

#[derive(Clone, Debug)]
struct OllamaServer {
    api: Arc<Ollama>,
    child: Started,
}

// === impl SpawnedOllama ===

impl SpawnedOllama {
    /// Makes the driver of an Ollama that is not started yet.
    pub(crate) fn new(client: Client, setup: OllamaSetup) -> Self {
        Self {
            client,
            setup,
            server: Mutex::default(),
            crashes: Arc::default(),
            limit: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
            over: CancellationToken::new(),
        }
    }

    fn last(&self) -> Option<OllamaServer> {
        let server = self.server.lock();
        server.clone()
    }

    /// The server, while its process has not ended.
    fn running(&self) -> Result<OllamaServer, EngineError> {
        let refused = |message: &str| EngineError::Refused {
            status: 500,
            message: message.to_owned(),
        };
        let server = self.last().ok_or_else(|| refused("it is not started"))?;
        let words = server.child.ended.borrow().clone();
        match words {
            None => Ok(server),
            Some(words) => Err(refused(&words)),
        }
    }

    /// The server; started where it is not running and may be.
    async fn started(&self) -> Result<OllamaServer, EngineError> {
        let _turn = self.turn.lock().await;
        let ended = match self.running() {
            Ok(server) => return Ok(server),
            Err(error) => error,
        };
        let not_before = {
            let crashes = self.crashes.lock();
            crashes.not_before
        };
        if self.over.is_cancelled() || not_before.is_some_and(|at| Instant::now() < at) {
            return Err(ended);
        }
        let server = self.start().await?;
        let mut slot = self.server.lock();
        *slot = Some(server.clone());
        Ok(server)
    }

    async fn start(&self) -> Result<OllamaServer, EngineError> {
        self.setup.children.sweep().await;
        let url = match &self.setup.url {
            Some(url) => url.clone(),
            None => Url::parse(&format!("http://127.0.0.1:{}", free_port().await?))
                .map_err(|e| EngineError::Unexpected(e.to_string()))?,
        };
        let address = EngineAddress::new(url.clone(), None)?;
        let name = Arc::clone(&self.setup.name);
        tracing::info!(engine = &*name, url = url.as_str(), "starting Ollama");
        let group = self.group().await;
        let launch = ChildLaunch {
            name,
            crashes: Arc::clone(&self.crashes),
            children: Arc::clone(&self.setup.children),
            group: group.clone(),
            socket: None,
        };
        let child = child::start(self.command(&url), launch).inspect_err(|_| {
            // A program that is not there is not looked for at every poll.
            let mut crashes = self.crashes.lock();
            *crashes = crashes.after_failure(Instant::now(), Instant::now());
        })?;
        if let (Some(group), Some(bytes)) = (group, self.setup.memory_max) {
            // What it took before this moment is its program's own.
            self.is_limited(group.add(child.pid).map(|()| bytes));
        }
        let endpoint = EngineEndpoint::new(self.client.clone(), address, None);
        Ok(OllamaServer {
            api: Arc::new(Ollama::new(endpoint, self.setup.keep_alive)),
            child,
        })
    }

    /// Makes a control group with the limit of `tuning.ollama.memory_limit`; `None` where the
    /// system does not allow that.
    async fn group(&self) -> Option<Arc<ControlGroup>> {
        let bytes = self.setup.memory_max?;
        let name = Arc::clone(&self.setup.name);
        let children = Arc::clone(&self.setup.children);
        let made = spawn_blocking(move || {
            ControlGroup::limited(children.root(), std::process::id(), &name, bytes)
        });
        // It ends early only if the runtime ends.
        match made.await.ok()? {
            Ok(group) => Some(Arc::new(group)),
            Err(unlimited) => {
                self.is_limited(Err(unlimited));
                None
            }
        }
    }

    /// Keeps what became of the limit, and says it once.
    fn is_limited(&self, limit: MemoryLimit) {
        let engine = &*self.setup.name;
        let mut known = self.limit.lock();
        if known.as_ref() == Some(&limit) {
            return;
        }
        match &limit {
            Ok(bytes) => tracing::info!(engine, bytes, "a control group limits its memory"),
            Err(NoMemoryLimit { why, fix }) => tracing::warn!(
                engine,
                "the system does not limit its memory, only Crucible's loads do: {why}; {fix}"
            ),
        }
        *known = Some(limit);
    }

    fn command(&self, url: &Url) -> Command {
        let recipe = &self.setup.recipe;
        let mut words = self.setup.command.iter().map(String::as_str);
        let program = words.next().unwrap_or("ollama");
        let mut command = match numactl().filter(|_| recipe.interleave) {
            Some(numactl) => {
                let mut command = Command::new(numactl);
                command.args(["--interleave=all", program]);
                command
            }
            None => Command::new(program),
        };
        command.args(words).arg("serve");
        for name in OllamaRecipe::fictional() {
            command.env_remove(name);
        }
        for variable in &recipe.variables {
            command.env(&variable.name, &variable.value);
        }
        let host = url.host_str().unwrap_or("127.0.0.1");
        let port = url.port_or_known_default().unwrap_or_default();
        command.env("OLLAMA_HOST", format!("{host}:{port}"));
        command
    }

    /// Waits for its answer as long as the process lives; the caller bounds the time.
    async fn poll(&self) -> Result<Listing, EngineError> {
        let server = self.started().await?;
        let mut attempt = 0;
        loop {
            match server.api.list().await {
                // It has not bound its port yet.
                Err(EngineError::NobodyListens(_) | EngineError::Unreachable(_)) => {}
                answer => return answer,
            }
            self.running()?;
            let mut ended = server.child.ended.clone();
            tokio::select! {
                () = sleep(backoff(attempt)) => attempt += 1,
                _ = ended.changed() => {}
            }
        }
    }

    async fn stop(&self) -> Result<(), EngineError> {
        self.over.cancel();
        let _turn = self.turn.lock().await;
        if let Ok(mut server) = self.running() {
            server.child.stop.cancel();
            // An error means that the supervisor is gone, and the child with it.
            let _ = server.child.ended.wait_for(Option::is_some).await;
        }
        Ok(())
    }
}

impl Drop for SpawnedOllama {
    fn drop(&mut self) {
        if let Some(server) = self.last() {
            server.child.stop.cancel();
        }
    }
}

impl Engine for SpawnedOllama {
    fn list(&self) -> BoxFuture<'_, Result<Listing, EngineError>> {
        Box::pin(self.poll())
    }

    fn load(&self, order: LoadOrder) -> BoxFuture<'_, Result<ResidentInfo, EngineError>> {
        Box::pin(async move { self.running()?.api.load(order).await })
    }

    /// No model at all is the server itself: Crucible ends.
    fn unload<'a>(&'a self, resident: &'a ResidentInfo) -> BoxFuture<'a, Result<(), EngineError>> {
        Box::pin(async move {
            if resident.model.is_empty() {
                return self.stop().await;
            }
            self.running()?.api.unload(resident).await
        })
    }

    fn processing<'a>(&'a self, model: &'a str) -> BoxFuture<'a, Option<u32>> {
        Box::pin(async move { self.running().ok()?.api.processing(model).await })
    }

    fn slot_readings(&self) -> BoxFuture<'_, Option<Vec<SlotReading>>> {
        Box::pin(async move { self.running().ok()?.api.slot_readings().await })
    }

    fn prompts<'a>(&'a self, model: &'a str) -> BoxFuture<'a, Option<Vec<SlotPrompt>>> {
        Box::pin(async move { self.running().ok()?.api.prompts(model).await })
    }

    fn address(&self) -> Option<EngineAddress> {
        self.running().ok()?.api.address()
    }

    fn process(&self) -> Option<u32> {
        Some(self.running().ok()?.child.pid)
    }

    fn limit(&self) -> Option<MemoryLimit> {
        let limit = self.limit.lock();
        limit.clone()
    }
}

/// `numactl`, where it is installed.
fn numactl() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join("numactl"))
        .find(|file| file.is_file())
}

#[cfg(test)]
mod tests;

//! A running simulated engine: the listener, its connections, and the way of a request through
//! log, early faults and the engine.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::UPGRADE;
use hyper::{Request, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::conversation::{Conversation, Conversations};
use crate::deleted::Deleted;
use crate::faults::{Armory, Fault};
use crate::http::{Call, Reply};
use crate::llamacpp::prompts::HeldPrompt;
use crate::log::{Log, LogView, RequestEntry};
use crate::model_spec::ModelSpec;
use crate::options::{EngineKind, Options};
use crate::{control, early, llamacpp, lmstudio, ollama};

/// A simulated engine on 127.0.0.1. Dropping it ends it; [`Sim::stop`] also waits.
#[derive(Debug)]
pub struct Sim {
    core: Arc<Core>,
    address: SocketAddr,
}

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) options: Options,
    pub(crate) log: Arc<Log>,
    pub(crate) faults: Armory,
    pub(crate) tracker: TaskTracker,
    pub(crate) stop: CancellationToken,
    pub(crate) engine: Engine,
    /// Models that a person deleted since the start.
    pub(crate) deleted: Deleted,
    pub(crate) conversations: Conversations,
}

#[derive(Debug)]
pub(crate) enum Engine {
    LmStudio(lmstudio::residents::Residents),
    Ollama(ollama::scheduler::Scheduler),
    Llama(llamacpp::Server),
}

// === impl Sim ===

impl Sim {
    /// Binds and serves. To restart on the same port: [`Sim::stop`], then start with
    /// [`Sim::port`] in the options.
    ///
    /// # Errors
    /// The port is taken.
    pub async fn start(mut options: Options) -> io::Result<Self> {
        let named = options.models.clone();
        for model in &mut options.models {
            model.settle(&named);
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port)).await?;
        let address = listener.local_addr()?;
        let engine = match options.kind {
            EngineKind::LmStudio => Engine::LmStudio(lmstudio::residents::Residents::default()),
            EngineKind::Ollama => Engine::Ollama(ollama::scheduler::Scheduler::default()),
            EngineKind::OpenAi => Engine::Llama(llamacpp::Server::new(&options)),
        };
        let core = Arc::new(Core {
            log: Arc::new(Log::new()),
            faults: Armory::new(options.script.clone()),
            tracker: TaskTracker::new(),
            stop: CancellationToken::new(),
            engine,
            deleted: Deleted::default(),
            conversations: Conversations::default(),
            options,
        });
        let accepting = Arc::clone(&core);
        core.tracker.spawn(async move {
            let stop = accepting.stop.clone();
            stop.run_until_cancelled(accept(&accepting, &listener))
                .await;
        });
        let reaping = Arc::clone(&core);
        core.tracker.spawn(async move {
            let stop = reaping.stop.clone();
            stop.run_until_cancelled(reap(&reaping)).await;
        });
        Ok(Self { core, address })
    }

    /// `http://127.0.0.1:PORT`, no slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// What it saw and did since the start or the last reset.
    pub fn log(&self) -> LogView {
        self.core.log.view()
    }

    /// Waits until the log shows something. Bound it with a timeout.
    pub async fn wait_for(&self, want: impl Fn(&LogView) -> bool) -> LogView {
        self.core.log.wait_for(want).await
    }

    /// Arms a fault.
    pub fn arm(&self, fault: Fault) {
        self.core.faults.arm(fault);
    }

    /// Drops all residents and the answers they give, as a crash does.
    pub fn crash(&self) {
        self.core.crash();
    }

    /// A person unloads an instance (LM Studio: eject; Ollama: `ollama stop`). False: it is not loaded.
    pub fn eject(&self, instance: &str) -> bool {
        self.core.eject(instance)
    }

    /// A person loads a model of an LM Studio under an identifier of their own (`lms load
    /// --identifier`). False: it is no LM Studio, has no such model, or refuses.
    pub async fn load_as(&self, model: &str, identifier: &str, context: u64) -> bool {
        let core = &self.core;
        let (Engine::LmStudio(residents), Some(model)) =
            (&core.engine, lmstudio::load::find(core, model))
        else {
            return false;
        };
        let config = lmstudio::residents::LoadConfig {
            context,
            eval_batch_size: 512,
            flash_attention: true,
            offload_kv_cache_to_gpu: true,
            jit_ttl: None,
            ttl: None,
            identifier: Some(identifier.to_owned()),
            fields: Vec::new(),
        };
        let loaded = residents.load(core, 0, model, config, "/sim/load").await;
        loaded.is_ok()
    }

    /// A person deletes a model (Ollama: `ollama rm`; the others: its file).
    pub fn delete(&self, model: &str) {
        self.core.deleted.add(model);
    }

    /// A person pulls or downloads a model that [`Sim::delete`] took away.
    pub fn pull(&self, model: &str) {
        self.core.deleted.remove(model);
    }

    /// Answers chat requests of these conversations as they say, instead of those before.
    pub fn converse(&self, conversations: Vec<Conversation>) {
        self.core.conversations.set(conversations);
    }

    /// Clears the log, the armed faults and the conversations; residents stay.
    pub fn reset(&self) {
        self.core.reset();
    }

    /// Shows a prompt of so many tokens in the slots of a `llama-server` while the result lives.
    pub(crate) fn holds(&self, task: u64, tokens: u64) -> Option<HeldPrompt> {
        match &self.core.engine {
            Engine::Llama(server) => Some(server.prompts().hold(task, tokens, &self.core.options)),
            _ => None,
        }
    }

    /// A connection in memory, for tests on a paused clock.
    pub fn connect(&self) -> DuplexStream {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        serve(&self.core, ours);
        theirs
    }

    /// Closes the listener and every connection, and waits for that.
    pub async fn stop(self) {
        self.core.stop.cancel();
        self.core.tracker.close();
        self.core.tracker.wait().await;
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        self.core.stop.cancel();
        self.core.tracker.close();
    }
}

async fn accept(core: &Arc<Core>, listener: &TcpListener) {
    loop {
        match listener.accept().await {
            Ok((socket, _)) => {
                // A token must not wait for the acknowledgement of the one before.
                let _ = socket.set_nodelay(true);
                serve(core, socket);
            }
            // Out of file descriptors: try again when some are free.
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
        }
    }
}

fn serve(core: &Arc<Core>, socket: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
    core.log.connection();
    let serving = Arc::clone(core);
    core.tracker.spawn(async move {
        let stop = serving.stop.clone();
        let service = service_fn(move |request| handle(Arc::clone(&serving), request));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .serve_connection(TokioIo::new(socket), service)
            .with_upgrades();
        // A broken connection is the client's affair; the tickets have logged it.
        let _ = stop.run_until_cancelled(connection).await;
    });
}

/// Expires idle residents.
async fn reap(core: &Arc<Core>) {
    match &core.engine {
        Engine::LmStudio(residents) => residents.reap(core).await,
        Engine::Ollama(scheduler) => scheduler.reap(core).await,
        Engine::Llama(_) => {}
    }
}

async fn handle(core: Arc<Core>, mut request: Request<Incoming>) -> Result<Reply, Infallible> {
    if let Some(reply) = upgraded(&core, &mut request) {
        return Ok(reply);
    }
    let (parts, body) = request.into_parts();
    let body = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => return Ok(crate::http::text(400, "the body could not be read")),
    };
    let mut call = Call {
        seq: 0,
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().map(str::to_owned),
        headers: parts.headers,
        json: serde_json::from_slice(&body).ok(),
        body,
    };
    if call.path.starts_with("/sim/") {
        return Ok(control::handle(&core, &call));
    }
    call.seq = core.log.request(logged(&call));
    if let Some(reply) = early::reply(&core, &call).await {
        return Ok(reply);
    }
    Ok(match &core.engine {
        Engine::LmStudio(_) => lmstudio::routes::handle(&core, &call).await,
        Engine::Ollama(_) => ollama::routes::handle(&core, &call).await,
        Engine::Llama(_) => llamacpp::handle(&core, &call).await,
    })
}

/// Takes over the connection of a request for LM Studio's WebSocket; `None` for any other request.
fn upgraded(core: &Arc<Core>, request: &mut Request<Incoming>) -> Option<Reply> {
    if !request.headers().contains_key(UPGRADE) || !matches!(core.engine, Engine::LmStudio(_)) {
        return None;
    }
    let accept = lmstudio::socket::accept(core, request)?;
    let seq = core.log.request(RequestEntry {
        order: 0,
        seq: 0,
        at_ms: 0,
        method: request.method().to_string(),
        path: request.uri().path().to_owned(),
        query: None,
        headers: Vec::new(),
        body: String::new(),
        json: None,
    });
    Some(lmstudio::socket::upgrade(core, request, accept, seq))
}

/// A request as the log keeps it, which gives it its numbers and its time.
fn logged(call: &Call) -> RequestEntry {
    let header = |(name, value): (&hyper::header::HeaderName, &hyper::header::HeaderValue)| {
        (
            name.to_string(),
            String::from_utf8_lossy(value.as_bytes()).into_owned(),
        )
    };
    RequestEntry {
        order: 0,
        seq: 0,
        at_ms: 0,
        method: call.method.clone(),
        path: call.path.clone(),
        query: call.query.clone(),
        headers: call.headers.iter().map(header).collect(),
        body: String::from_utf8_lossy(&call.body).into_owned(),
        json: call.json.clone(),
    }
}

// === impl Core ===

impl Core {
    /// Nothing is remembered of what a test said or saw.
    pub(crate) fn reset(&self) {
        self.log.reset();
        self.faults.clear();
        self.conversations.set(Vec::new());
    }

    /// All residents are gone, and their answers with them.
    pub(crate) fn crash(&self) {
        match &self.engine {
            Engine::LmStudio(residents) => residents.crash(self),
            Engine::Ollama(scheduler) => scheduler.crash(self),
            Engine::Llama(server) => {
                server.router().crash(self);
                server.crash();
            }
        }
    }

    /// The models that nobody deleted.
    pub(crate) fn available(&self) -> impl Iterator<Item = &ModelSpec> {
        let models = self.options.models.iter();
        models.filter(|model| !self.deleted.has(&model.name))
    }

    /// A person unloads an instance.
    pub(crate) fn eject(&self, instance: &str) -> bool {
        match &self.engine {
            Engine::LmStudio(residents) => residents.unload(self, instance),
            Engine::Ollama(scheduler) => {
                let held = scheduler.all().iter().any(|r| r.model.name == instance);
                if let Some(model) = self.options.models.iter().find(|m| m.name == instance) {
                    scheduler.expire(self, model);
                }
                held
            }
            Engine::Llama(server) => server.router().stop(self, instance, "request"),
        }
    }
}

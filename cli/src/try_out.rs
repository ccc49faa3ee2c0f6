//! The command `crucible try`, which leads from an empty machine to a streamed answer.

use std::{
    io::{self, BufRead as _, IsTerminal as _, Write as _},
    net::SocketAddr,
    path::PathBuf,
    thread,
};

use clap::Args;
use crucible_config::{
    LiveConfig,
    checked::{Config, LogSettings},
    home,
};
use crucible_documents::headers::{X_DEFAULTS, X_ENGINE, X_REASON};
use crucible_router::{
    catalog::ModelKind,
    view::{EngineView, View},
};
use eventsource_stream::Eventsource as _;
use futures_util::StreamExt as _;
use reqwest::header::HeaderName;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::{
    CommandFailure, CommonArgs,
    embedded::{self, CommandShell, EmbeddedEngine, ReadyEngine},
    engine_look::look,
    output::{write_stderr, write_stdout},
    runtime::runtime,
    signals::InstanceSignals,
    sources,
};

/// The question of the first request.
const QUESTION: &str = "In one sentence: what is a crucible?";

/// The arguments of `crucible try`, which finds or fetches an engine, prints a first answer and goes on
/// serving.
#[derive(Args, Debug)]
pub struct TryArgs {
    /// Fetch what is missing without asking
    #[arg(long)]
    yes: bool,
    /// Model file for the embedded engine
    #[arg(long, value_name = "FILE.gguf")]
    model: Option<PathBuf>,
}

/// The program's server, in a process that is prepared for it.
pub trait ServerLauncher {
    /// The type of a server that was started.
    type Server: StartedServer;

    /// Binds the addresses of the configuration and serves.
    ///
    /// # Errors
    /// An address cannot be bound.
    fn start(
        &self,
        config: LiveConfig,
    ) -> impl Future<Output = Result<Self::Server, CommandFailure>>;
}

/// A server that `try` has started: it answers at its address until the process is told to end.
pub trait StartedServer {
    /// Returns the addresses at which it serves clients.
    fn addrs(&self) -> &[SocketAddr];

    /// Serves until a signal ends it, then waits for running answers.
    fn run(self, signals: InstanceSignals) -> impl Future<Output = ()>;

    /// Ends at once, for a start that failed.
    fn end(self) -> impl Future<Output = ()>;
}

/// Runs `crucible try`: fetches a small engine and model where there is none, serves and answers one prompt. `prepare` receives the log's settings and the number of connections before any
/// thread is started.
///
/// # Errors
/// Exit code 1 where there was no answer, 2 where nothing may be fetched.
pub fn run<L: ServerLauncher>(
    common: &CommonArgs,
    args: &TryArgs,
    prepare: impl FnOnce(&LogSettings, usize) -> Result<L, CommandFailure>,
) -> Result<(), CommandFailure> {
    let config = sources::load(common)?;
    let current = config.current();
    let mut log = current.log.clone();
    // The answer is what a person wants to see here, and that no engine is there is told in words.
    if log.level == "info" {
        "warn,crucible_router::fleet=error".clone_into(&mut log.level);
    }
    let launcher = prepare(&log, current.limits.connections)?;
    runtime()?.block_on(serve(config, args, &launcher))
}

async fn serve(
    config: LiveConfig,
    args: &TryArgs,
    launcher: &impl ServerLauncher,
) -> Result<(), CommandFailure> {
    let mut signals =
        InstanceSignals::listen().map_err(|e| CommandFailure::wrong(format!("signals: {e}")))?;
    // Dropping the look or the fetch ends its child processes; what was fetched is kept.
    let (config, model) = tokio::select! {
        chosen = choose(config, args) => chosen?,
        _ = signals.next() => return Err(stopped()),
    };
    let server = launcher.start(config).await?;
    let addr = server
        .addrs()
        .first()
        .ok_or_else(|| CommandFailure::usage("listen: found no address, expected one"))?;
    let url = format!("http://{addr}");
    let asked = tokio::select! {
        answered = ask(&url, &model) => Some(answered),
        _ = signals.next() => None,
    };
    match asked {
        None => {
            server.end().await;
            return Err(stopped());
        }
        Some(Ok(engine)) => write_stdout(&embedded::announce(
            &ReadyEngine {
                url: &url,
                model: &model,
                engine: &engine,
            },
            CommandShell::here(),
        )),
        Some(Err(failure)) => {
            server.end().await;
            return Err(failure);
        }
    }
    server.run(signals).await;
    Ok(())
}

/// Returns the failure with exit code 1 for a first request without an answer.
fn stopped() -> CommandFailure {
    CommandFailure::wrong("stopped before the first answer; what was fetched is kept")
}

/// Returns the configuration to serve with and the model to ask.
async fn choose(
    config: LiveConfig,
    args: &TryArgs,
) -> Result<(LiveConfig, String), CommandFailure> {
    if let Some(model) = running_model(&config, args).await {
        return Ok((config, model));
    }
    let embedded = embed(args).await?;
    let model = embedded.model();
    Ok((with_engine(&config, &embedded), model))
}

/// Returns a local model of an engine that is running, as `engine/model`. The result is `None` with
/// `--model`, which asks for the embedded engine, and where no engine has a model.
async fn running_model(config: &LiveConfig, args: &TryArgs) -> Option<String> {
    if args.model.is_some() {
        return None;
    }
    write_stdout("Looking for LM Studio, Ollama and llama.cpp ...");
    let view = look(config, async |router| router.view()).await.ok()?;
    let choice = quickest_model(&view);
    match &choice {
        Some((engine, model)) => write_stdout(&format!("Found {} with {model}.", engine.name)),
        None => write_stdout("None answers, or none has a model."),
    }
    choice.map(|(engine, model)| format!("{}/{model}", engine.name))
}

/// Returns the model whose first answer comes soonest, with its engine: a loaded one if there is
/// any, else the smallest.
fn quickest_model(view: &View) -> Option<(&EngineView, &str)> {
    view.engines
        .iter()
        .filter(|engine| engine.is_up())
        .flat_map(|engine| engine.models.iter().map(move |model| (engine, model)))
        .filter(|(_, model)| model.kind == ModelKind::Generation && !model.cloud)
        .min_by_key(|(engine, model)| {
            let resident = engine.holds(&model.id).is_some();
            (!resident, model.size_bytes.unwrap_or(u64::MAX))
        })
        .map(|(engine, model)| (engine, &*model.id))
}

/// Describes what must be fetched, asks the user, and fetches it.
async fn embed(args: &TryArgs) -> Result<EmbeddedEngine, CommandFailure> {
    let model = args.model.as_deref().map(home::expand);
    let plan = embedded::plan(model.as_deref())
        .await
        .map_err(|e| CommandFailure::wrong(e.to_string()))?;
    write_stdout(&embedded::describe(&plan));
    if plan.fetches() && !args.yes {
        if !io::stdin().is_terminal() {
            return Err(CommandFailure::usage(
                "nothing was fetched: run it on a terminal to be asked, or with --yes",
            ));
        }
        if !agreed().await {
            return Err(CommandFailure::usage("nothing was fetched"));
        }
    }
    embedded::prepare(&plan, |step| write_stdout(&format!("  {step} ...")))
        .await
        .map_err(|e| CommandFailure::wrong(e.to_string()))
}

/// Asks the user on the terminal. The read has a thread of its own, which may be left behind: a
/// signal must end the question, and a blocked read cannot be ended.
async fn agreed() -> bool {
    let mut out = io::stdout().lock();
    let _ = write!(out, "Fetch it? [y/N] ");
    let _ = out.flush();
    drop(out);
    let (send, answer) = oneshot::channel();
    thread::spawn(move || {
        let mut line = String::new();
        // A terminal that closed said no.
        let _ = io::stdin().lock().read_line(&mut line);
        let _ = send.send(line);
    });
    let line = answer.await.unwrap_or_default();
    matches!(line.trim().to_lowercase().as_str(), "y" | "yes")
}

fn with_engine(config: &LiveConfig, embedded: &EmbeddedEngine) -> LiveConfig {
    LiveConfig::from_config(Config {
        engines: vec![embedded.engine()],
        ..Config::clone(&config.current())
    })
}

/// Streams the first answer through Crucible's own URL and returns the engine that answered.
async fn ask(url: &str, model: &str) -> Result<String, CommandFailure> {
    write_stdout(&format!("\nAsking {model}: {QUESTION}\n"));
    let wrong = |e: reqwest::Error| CommandFailure::wrong(format!("the first request failed: {e}"));
    let response = reqwest::Client::builder()
        .no_proxy()
        .build()
        .map_err(wrong)?
        .post(format!("{url}/v1/chat/completions"))
        .json(&json!({
            "model": model,
            "stream": true,
            "max_tokens": 120,
            "messages": [{ "role": "user", "content": QUESTION }],
        }))
        .send()
        .await
        .map_err(wrong)?;
    let header = |name: &HeaderName| {
        response
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_owned()
    };
    let (engine, reason, defaults) = (header(&X_ENGINE), header(&X_REASON), header(&X_DEFAULTS));
    if !response.status().is_success() {
        let text = response.text().await.unwrap_or_default();
        return Err(CommandFailure::wrong(format!(
            "the first answer failed: {text}"
        )));
    }
    let mut events = response.bytes_stream().eventsource();
    while let Some(event) = events.next().await {
        let event =
            event.map_err(|e| CommandFailure::wrong(format!("the first answer broke: {e}")))?;
        let Ok(chunk) = serde_json::from_str::<Value>(&event.data) else {
            continue;
        };
        if let Some(error) = chunk.get("error") {
            return Err(CommandFailure::wrong(format!(
                "the first answer failed: {error}"
            )));
        }
        if let Some(text) = chunk["choices"][0]["delta"]["content"].as_str() {
            let mut out = io::stdout().lock();
            let _ = write!(out, "{text}");
            let _ = out.flush();
        }
    }
    write_stdout(&format!(
        "\n\n(engine {engine}, reason {reason}, filled in {defaults})\n"
    ));
    if engine.is_empty() {
        write_stderr("the answer did not name its engine");
    }
    Ok(engine)
}

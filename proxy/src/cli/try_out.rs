//! `crucible try`: from nothing to a streamed answer.

use std::{
    io::{self, BufRead as _, IsTerminal as _, Write as _},
    thread,
};

use crucible_config::{Live, checked::Config, home};
use crucible_router::{
    catalog::ModelKind,
    view::{EngineView, View},
};
use eventsource_stream::Eventsource as _;
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::{
    cli::{
        Common, Failure, TryArgs,
        models::look,
        output::{complain, say},
        serve::{prepare, runtime, start},
        sources,
    },
    embedded::{self, Embedded, Ready, Shell},
    reply::{X_DEFAULTS, X_ENGINE, X_REASON},
    signals::Signals,
    telemetry::Dropped,
};

/// What the first answer is asked.
const QUESTION: &str = "In one sentence: what is a crucible?";

pub(super) fn run(common: &Common, args: &TryArgs) -> Result<(), Failure> {
    let config = sources::load(common)?;
    let current = config.current();
    let mut log = current.log.clone();
    // The answer is what a person wants to see here, and that no engine is there is told in words.
    if log.level == "info" {
        "warn,crucible_router::fleet=error".clone_into(&mut log.level);
    }
    let telemetry = prepare(&log, current.limits.connections)?;
    runtime()?.block_on(serve(config, args, telemetry.dropped()))
}

async fn serve(config: Live, args: &TryArgs, log: Dropped) -> Result<(), Failure> {
    let mut signals = Signals::listen().map_err(|e| Failure::wrong(format!("signals: {e}")))?;
    // Dropping the look or the fetch ends its child processes; what was fetched is kept.
    let (config, model) = tokio::select! {
        chosen = choose(config, args) => chosen?,
        _ = signals.next() => return Err(stopped()),
    };
    let instance = start(config, log).await?;
    let addr = instance
        .addrs()
        .first()
        .ok_or_else(|| Failure::usage("listen: found no address, expected one"))?;
    let url = format!("http://{addr}");
    let asked = tokio::select! {
        answered = ask(&url, &model) => Some(answered),
        _ = signals.next() => None,
    };
    match asked {
        None => {
            instance.end().await;
            return Err(stopped());
        }
        Some(Ok(engine)) => say(&embedded::announce(
            &Ready {
                url: &url,
                model: &model,
                engine: &engine,
            },
            Shell::here(),
        )),
        Some(Err(failure)) => {
            instance.end().await;
            return Err(failure);
        }
    }
    instance.run(signals).await;
    Ok(())
}

/// Exit code 1: there was no answer.
fn stopped() -> Failure {
    Failure::wrong("stopped before the first answer; what was fetched is kept")
}

/// The configuration to serve with and the model to ask.
async fn choose(config: Live, args: &TryArgs) -> Result<(Live, String), Failure> {
    if let Some(model) = found(&config, args).await {
        return Ok((config, model));
    }
    let embedded = embed(args).await?;
    let model = embedded.model();
    Ok((with_engine(&config, &embedded), model))
}

/// A model of an engine that is there, the smallest first; none with `--model`, which asks for
/// the embedded engine.
async fn found(config: &Live, args: &TryArgs) -> Option<String> {
    if args.model.is_some() {
        return None;
    }
    say("Looking for LM Studio, Ollama and llama.cpp ...");
    let view = look(config, async |router| router.view()).await.ok()?;
    let choice = smallest(&view);
    match &choice {
        Some((engine, model)) => say(&format!("Found {} with {model}.", engine.name)),
        None => say("None answers, or none has a model."),
    }
    choice.map(|(engine, model)| format!("{}/{model}", engine.name))
}

/// Loaded models first, then the smallest: the quickest first answer.
fn smallest(view: &View) -> Option<(&EngineView, &str)> {
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

/// Says what is needed, asks, fetches.
async fn embed(args: &TryArgs) -> Result<Embedded, Failure> {
    let model = args.model.as_deref().map(home::expand);
    let plan = embedded::plan(model.as_deref())
        .await
        .map_err(|e| Failure::wrong(e.to_string()))?;
    say(&embedded::describe(&plan));
    if plan.fetches() && !args.yes {
        if !io::stdin().is_terminal() {
            return Err(Failure::usage(
                "nothing was fetched: run it on a terminal to be asked, or with --yes",
            ));
        }
        if !agreed().await {
            return Err(Failure::usage("nothing was fetched"));
        }
    }
    embedded::prepare(&plan, |step| say(&format!("  {step} ...")))
        .await
        .map_err(|e| Failure::wrong(e.to_string()))
}

/// Asks on the terminal. The read has a thread of its own, which may be left behind: a signal
/// must end the question, and a blocked read cannot be ended.
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

fn with_engine(config: &Live, embedded: &Embedded) -> Live {
    Live::from_config(Config {
        engines: vec![embedded.engine()],
        ..Config::clone(&config.current())
    })
}

/// Streams the first answer through Crucible's own URL; gives the engine that answered.
async fn ask(url: &str, model: &str) -> Result<String, Failure> {
    say(&format!("\nAsking {model}: {QUESTION}\n"));
    let wrong = |e: reqwest::Error| Failure::wrong(format!("the first request failed: {e}"));
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
    let header = |name: &http::HeaderName| {
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
        return Err(Failure::wrong(format!("the first answer failed: {text}")));
    }
    let mut events = response.bytes_stream().eventsource();
    while let Some(event) = events.next().await {
        let event = event.map_err(|e| Failure::wrong(format!("the first answer broke: {e}")))?;
        let Ok(chunk) = serde_json::from_str::<Value>(&event.data) else {
            continue;
        };
        if let Some(error) = chunk.get("error") {
            return Err(Failure::wrong(format!("the first answer failed: {error}")));
        }
        if let Some(text) = chunk["choices"][0]["delta"]["content"].as_str() {
            let mut out = io::stdout().lock();
            let _ = write!(out, "{text}");
            let _ = out.flush();
        }
    }
    say(&format!(
        "\n\n(engine {engine}, reason {reason}, filled in {defaults})\n"
    ));
    if engine.is_empty() {
        complain("the answer did not name its engine");
    }
    Ok(engine)
}

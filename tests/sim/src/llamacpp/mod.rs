//! A plain OpenAI-compatible server: llama-server b10488 with one model; with `router` its router
//! mode, and without it several models that are all there. The context is divided by the slots.

mod embed;
mod native;
pub(crate) mod prompts;
pub(crate) mod router;
mod strict;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use self::prompts::Prompts;
use crate::generate::{self, answer};
use crate::http::{self, Call, Reply};
use crate::log::Phase;
use crate::model_spec::ModelSpec;
use crate::options::Options;
use crate::sim::{Core, Engine};
use crate::ticket::Ticket;
use crate::wire::encode::Encode;
use crate::wire::openai::{Flavor, OpenAi};
use crate::wire::play::{Kill, Play};
use crate::wire::read;

/// The form of a path that generates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AskedPath {
    Chat,
    Completion,
    /// `/completion` and `/infill`.
    Native,
}

/// The server's slots.
#[derive(Debug)]
pub(crate) struct Server {
    slots: Arc<Semaphore>,
    ready_at: Instant,
    kill: Mutex<Kill>,
    prompts: Prompts,
    router: router::Router,
}

// === impl Server ===

impl Server {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            slots: Arc::new(Semaphore::new(options.parallel.max(1))),
            // Router mode is there at once; its models take the time.
            ready_at: match options.router {
                Some(_) => Instant::now(),
                None => Instant::now() + options.load_time,
            },
            kill: Mutex::default(),
            prompts: Prompts::default(),
            router: router::Router::new(&options.models),
        }
    }

    fn kill(&self) -> Kill {
        self.kill.lock().clone()
    }

    pub(crate) fn prompts(&self) -> &Prompts {
        &self.prompts
    }

    pub(crate) fn router(&self) -> &router::Router {
        &self.router
    }

    pub(crate) fn crash(&self) {
        let mut kill = self.kill.lock();
        kill.strike("the server crashed");
        *kill = Kill::default();
    }
}

/// llama-server's error form.
pub(crate) fn error(code: u16, kind: &str, message: &str) -> Reply {
    http::json(
        code,
        &json!({"error": {"code": code, "message": message, "type": kind}}),
    )
}

fn slot_context(options: &Options) -> u64 {
    options.context / u64::try_from(options.parallel.max(1)).unwrap_or(1)
}

pub(crate) async fn handle(core: &Arc<Core>, call: &Call) -> Reply {
    let Engine::Llama(server) = &core.engine else {
        return error(500, "server_error", "not this engine");
    };
    let path = call.path.as_str();
    if Instant::now() < server.ready_at {
        return error(503, "unavailable_error", "Loading model");
    }
    let token = core.options.token.as_deref();
    if token.is_some() && call.token() != token && path != "/health" && path != "/v1/models" {
        return error(401, "authentication_error", "Invalid API Key");
    }
    if core.options.router.is_some()
        && let Some(reply) = router::handle(core, &server.router, call).await
    {
        return reply;
    }
    match (call.method.as_str(), path) {
        ("GET", "/health" | "/v1/health") => http::json(200, &json!({"status": "ok"})),
        ("GET", "/props") => props(core),
        ("GET", "/slots") => slots(core, server),
        ("GET", "/v1/models" | "/models") => models(core),
        ("POST", "/v1/chat/completions" | "/chat/completions") => {
            generation(core, server, call, AskedPath::Chat).await
        }
        (
            "POST",
            path @ ("/v1/chat/completions/input_tokens"
            | "/chat/completions/input_tokens"
            | "/v1/messages/count_tokens"),
        ) => count(core, call, path.ends_with("input_tokens")),
        ("POST", "/v1/completions") => generation(core, server, call, AskedPath::Completion).await,
        ("POST", "/v1/embeddings" | "/embeddings") => embed::embeddings(core, call),
        ("POST", "/v1/rerank" | "/rerank" | "/v1/reranking" | "/reranking") => {
            embed::rerank(core, call)
        }
        ("POST", path) => native::handle(core, server, call, path)
            .await
            .unwrap_or_else(|| error(404, "not_found_error", "File Not Found")),
        _ => error(404, "not_found_error", "File Not Found"),
    }
}

fn props(core: &Core) -> Reply {
    let model = core.options.models.first().map_or("", |model| &model.name);
    http::json(
        200,
        &json!({
            "default_generation_settings": {"n_ctx": slot_context(&core.options)},
            "total_slots": core.options.parallel,
            "model_alias": model,
            "model_path": format!("/models/{model}.gguf"),
            "build_info": core.options.version,
        }),
    )
}

/// As a real one with two slots answers (b11549), without the parameters of their requests.
fn slots(core: &Core, server: &Server) -> Reply {
    if !core.options.slots {
        let message = "This server does not support slots endpoint. Start it with `--slots`";
        return error(501, "not_supported_error", message);
    }
    let count = core.options.parallel.max(1);
    http::json(
        200,
        &server.prompts.slots(count, slot_context(&core.options)),
    )
}

fn models(core: &Core) -> Reply {
    let context = slot_context(&core.options);
    // llama-server b10488: both shapes at once.
    let native =
        |model: &ModelSpec| json!({"name": model.name, "model": model.name, "type": "model"});
    let open = |model: &ModelSpec| {
        json!({
            "id": model.name, "object": "model", "created": 1_750_000_000, "owned_by": "llamacpp",
            "meta": {"n_ctx": context, "n_ctx_train": model.max_context, "size": model.bytes},
        })
    };
    let models: Vec<Value> = core.available().map(native).collect();
    let data: Vec<Value> = core.available().map(open).collect();
    http::json(
        200,
        &json!({"models": models, "object": "list", "data": data}),
    )
}

/// A single-model server ignores the name; several models are router mode.
fn resolve<'a>(core: &'a Core, name: &str) -> Option<&'a ModelSpec> {
    match core.options.models.as_slice() {
        _ if core.options.router.is_some() => {
            let Engine::Llama(server) = &core.engine else {
                return None;
            };
            server.router.find(core, name)
        }
        [only] => Some(only),
        _ => core.available().find(|model| model.name == name),
    }
}

async fn generation(core: &Arc<Core>, server: &Server, call: &Call, path: AskedPath) -> Reply {
    let began = Instant::now();
    let chat = path == AskedPath::Chat;
    if let Some(read) = strict::half_a_character(&call.body) {
        return read;
    }
    let Some(body) = call.json.as_ref().filter(|body| body.is_object()) else {
        return error(
            400,
            "invalid_request_error",
            "the body is not a JSON object",
        );
    };
    let native = (path == AskedPath::Native).then(|| native::as_completion(body));
    let body = native.as_ref().unwrap_or(body);
    let needed = if chat { "messages" } else { "prompt" };
    if body.get(needed).is_none() {
        return error(
            400,
            "invalid_request_error",
            &format!("'{needed}' is required"),
        );
    }
    let name = read::string(body, "model").unwrap_or_default();
    let Some(model) = resolve(core, name) else {
        let message = format!("model '{name}' not found");
        return error(400, "invalid_request_error", &message);
    };
    if core.options.router.is_some()
        && let Err(refusal) = server.router.ready(core, call, model).await
    {
        return refusal;
    }
    let slots = core.options.parallel.max(1);
    if chat && let Some(refused) = strict::refusal(body, model, slots) {
        return refused;
    }
    let limit = strict::limit(body);
    let mut ask = read::ask(body, limit);
    ask.scripted = core.conversations.answer(body);
    let context = core.options.in_effect(slot_context(&core.options));
    if core.options.cuts {
        ask.prompt_tokens = ask.prompt_tokens.min(context);
    } else if ask.prompt_tokens >= context {
        let message = format!(
            "request ({} tokens) exceeds the available context size ({context} tokens), try increasing it",
            ask.prompt_tokens
        );
        let error = json!({
            "code": 400, "message": message, "type": "exceed_context_size_error",
            "n_prompt_tokens": ask.prompt_tokens, "n_ctx": context,
        });
        return http::json(400, &json!({"error": error}));
    }
    let mut ticket = Ticket::new(&core.log, call.seq, &model.name);
    // Requests beyond the slots are deferred without a bound.
    let Ok(slot) = Arc::clone(&server.slots).acquire_owned().await else {
        ticket.close();
        return error(500, "server_error", "no slot");
    };
    let kill = server.kill();
    ticket.phase = Phase::Prefill;
    let prompt = server
        .prompts
        .hold(call.seq, ask.prompt_tokens, &core.options);
    let prefill = core.options.prefill_time(ask.prompt_tokens);
    let streamed = call.wants_stream();
    let tells_progress = streamed && body.get("return_progress") == Some(&Value::Bool(true));
    if !tells_progress {
        prompt.all_read().await;
    }
    let encoder: Box<dyn Encode> = match path {
        AskedPath::Native => Box::new(native::NativeAnswer::new(&model.name, ask.prompt_tokens)),
        AskedPath::Chat | AskedPath::Completion => Box::new(OpenAi::new(
            Flavor::Llama,
            chat,
            &model.name,
            call.seq,
            body,
        )),
    };
    let play = Play {
        core: Arc::clone(core),
        ticket,
        encoder,
        answer: answer(model, &ask),
        instance: model.name.clone(),
        options: json!({"max_tokens": limit, "n_ctx": context, "temperature": body.get("temperature"), "top_p": body.get("top_p")}),
        kill,
        _hold: Box::new(slot),
        prompt: Some(prompt),
        tells_progress,
        began,
        load: Duration::ZERO,
        prefill,
        streamed,
        path: call.path.clone(),
    };
    play.reply().await
}

/// Counts the tokens of a prompt as the answer would (tried with b11549): it waits for no slot, and the
/// same bodies are refused.
fn count(core: &Core, call: &Call, openai: bool) -> Reply {
    let refused = |message: &str| error(400, "invalid_request_error", message);
    let Some(body) = call.json.as_ref().filter(|body| body.is_object()) else {
        return refused("'messages' is required");
    };
    match body.get("messages") {
        None => return refused("'messages' is required"),
        Some(Value::Array(_)) => {}
        Some(_) => return refused("Expected 'messages' to be an array"),
    }
    let name = read::string(body, "model").unwrap_or_default();
    let Some(model) = resolve(core, name) else {
        return refused(&format!("model '{name}' not found"));
    };
    let slots = core.options.parallel.max(1);
    if let Some(reply) = strict::refusal(body, model, slots) {
        return reply;
    }
    let tokens = read::ask(body, None).prompt_tokens;
    http::json(
        200,
        &if openai {
            json!({"input_tokens": tokens, "object": "response.input_tokens"})
        } else {
            json!({"input_tokens": tokens})
        },
    )
}

/// One entry of an OpenAI embeddings answer, 8 dimensions.
pub(crate) fn embedding_object((index, text): (usize, &String)) -> Value {
    json!({"object": "embedding", "index": index, "embedding": generate::embedding(text, 8)})
}

/// `input`: a string or a list of strings.
pub(crate) fn texts(input: Option<&Value>) -> Vec<String> {
    match input {
        Some(Value::String(text)) => vec![text.clone()],
        Some(Value::Array(list)) => list
            .iter()
            .filter_map(|item| item.as_str().map(str::to_owned))
            .collect(),
        _ => Vec::new(),
    }
}

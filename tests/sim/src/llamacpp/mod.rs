//! A plain OpenAI-compatible server: llama-server b10488 with one model; with `router` its router
//! mode, and without it several models that are all there. The context is divided by the slots.

mod embed;
mod generation;
mod native;
pub(crate) mod prompts;
pub(crate) mod router;
mod strict;

use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use self::generation::{AskedPath, generation};
use self::prompts::Prompts;
use crate::generate;
use crate::http::{self, Call, Reply};
use crate::model_spec::ModelSpec;
use crate::options::Options;
use crate::sim::{Core, Engine};
use crate::wire::play::Kill;
use crate::wire::read;

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

//! An answer of llama-server: what is refused, the wait for a slot, and what is played.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Server, error, native, resolve, slot_context, strict};
use crate::generate::{Ask, answer};
use crate::http::{self, Call, Reply};
use crate::log::Phase;
use crate::model_spec::ModelSpec;
use crate::sim::Core;
use crate::ticket::Ticket;
use crate::wire::encode::Encode;
use crate::wire::openai::{Flavor, OpenAi};
use crate::wire::play::Play;
use crate::wire::read;

/// The form of a path that generates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AskedPath {
    Chat,
    Completion,
    /// `/completion` and `/infill`.
    Native,
}

/// A request that is answered once a slot is free.
struct Accepted<'a> {
    body: Cow<'a, Value>,
    model: &'a ModelSpec,
    ask: Ask,
    /// The tokens of context in effect for one slot.
    context: u64,
}

pub(super) async fn generation(
    core: &Arc<Core>,
    server: &Server,
    call: &Call,
    path: AskedPath,
) -> Reply {
    let began = Instant::now();
    match accepted(core, server, call, path).await {
        Ok(accepted) => played(core, server, call, path, accepted, began).await,
        Err(refusal) => refusal,
    }
}

/// Refuses in the order in which the real one does.
async fn accepted<'a>(
    core: &'a Arc<Core>,
    server: &Server,
    call: &'a Call,
    path: AskedPath,
) -> Result<Accepted<'a>, Reply> {
    let body = body(call, path).map_err(|refusal| *refusal)?;
    let name = read::string(&body, "model").unwrap_or_default();
    let Some(model) = resolve(core, name) else {
        let message = format!("model '{name}' not found");
        return Err(error(400, "invalid_request_error", &message));
    };
    if core.options.router.is_some() {
        server.router.ready(core, call, model).await?;
    }
    let slots = core.options.parallel.max(1);
    if path == AskedPath::Chat
        && let Some(refused) = strict::refusal(&body, model, slots)
    {
        return Err(refused);
    }
    let mut ask = read::ask(&body, strict::limit(&body));
    ask.scripted = core.conversations.answer(&body);
    let context = core.options.in_effect(slot_context(&core.options));
    if core.options.cuts {
        ask.prompt_tokens = ask.prompt_tokens.min(context);
    } else if ask.prompt_tokens >= context {
        return Err(too_long(ask.prompt_tokens, context));
    }
    Ok(Accepted {
        body,
        model,
        ask,
        context,
    })
}

/// The body in the terms of OpenAI's paths, with the prompt that its path needs.
fn body(call: &Call, path: AskedPath) -> Result<Cow<'_, Value>, Box<Reply>> {
    let refused = |message: &str| Box::new(error(400, "invalid_request_error", message));
    if let Some(read) = strict::half_a_character(&call.body) {
        return Err(Box::new(read));
    }
    let Some(body) = call.json.as_ref().filter(|body| body.is_object()) else {
        return Err(refused("the body is not a JSON object"));
    };
    let (body, needed) = match path {
        AskedPath::Chat => (Cow::Borrowed(body), "messages"),
        AskedPath::Completion => (Cow::Borrowed(body), "prompt"),
        AskedPath::Native => (Cow::Owned(native::as_completion(body)), "prompt"),
    };
    if body.get(needed).is_none() {
        return Err(refused(&format!("'{needed}' is required")));
    }
    Ok(body)
}

fn too_long(tokens: u64, context: u64) -> Reply {
    let message = format!(
        "request ({tokens} tokens) exceeds the available context size ({context} tokens), try increasing it"
    );
    let error = json!({
        "code": 400, "message": message, "type": "exceed_context_size_error",
        "n_prompt_tokens": tokens, "n_ctx": context,
    });
    http::json(400, &json!({"error": error}))
}

/// Waits for a slot and for the prompt to be read, and plays the answer.
async fn played(
    core: &Arc<Core>,
    server: &Server,
    call: &Call,
    path: AskedPath,
    Accepted {
        body,
        model,
        ask,
        context,
    }: Accepted<'_>,
    began: Instant,
) -> Reply {
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
    let streamed = call.wants_stream();
    let tells_progress = streamed && body.get("return_progress") == Some(&Value::Bool(true));
    if !tells_progress {
        prompt.all_read().await;
    }
    let (name, seq, chat) = (&*model.name, call.seq, path == AskedPath::Chat);
    let encoder: Box<dyn Encode> = match path {
        AskedPath::Native => Box::new(native::NativeAnswer::new(name, ask.prompt_tokens)),
        AskedPath::Chat | AskedPath::Completion => {
            Box::new(OpenAi::new(Flavor::Llama, chat, name, seq, &body))
        }
    };
    let play = Play {
        core: Arc::clone(core),
        ticket,
        encoder,
        answer: answer(model, &ask),
        instance: model.name.clone(),
        options: json!({"max_tokens": ask.limit, "n_ctx": context, "temperature": body.get("temperature"), "top_p": body.get("top_p")}),
        kill,
        _hold: Box::new(slot),
        prompt: Some(prompt),
        tells_progress,
        began,
        load: Duration::ZERO,
        prefill: core.options.prefill_time(ask.prompt_tokens),
        streamed,
        path: call.path.clone(),
    };
    play.reply().await
}

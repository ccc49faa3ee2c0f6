//! Answers: which instance gives them, the load on request, the slot, the prompt.
//! LM Studio 0.4.25.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use crate::faults::Stage;
use crate::generate::{Ask, answer};
use crate::http::{self, Call, Reply};
use crate::lmstudio::load::find;
use crate::lmstudio::residents::{Busy, Instance, LoadConfig, Residents};
use crate::lmstudio::{overflow, strict};
use crate::log::Phase;
use crate::sim::Core;
use crate::ticket::Ticket;
use crate::wire::openai::{Flavor, OpenAi};
use crate::wire::play::Play;
use crate::wire::read;

/// Above the slots requests wait inside LM Studio; a load test saw them fail after this.
const QUEUE_PATIENCE: Duration = Duration::from_mins(2);

/// The error form of the OpenAI paths.
pub(crate) fn refuse(status: u16, message: &str, code: Option<&str>) -> Reply {
    http::json(
        status,
        &json!({"error": {
            "message": message, "type": "invalid_request_error", "param": "model", "code": code,
        }}),
    )
}

fn no_models() -> Reply {
    let text = "No models loaded. Please load a model in the developer page or use the 'lms load' command.";
    refuse(400, text, None)
}

/// Finds the instance, loading one where JIT does.
pub(crate) async fn instance(
    core: &Arc<Core>,
    call: &Call,
    embedding: bool,
) -> Result<Instance, Reply> {
    let Some(residents) = Residents::of(core) else {
        return Err(no_models());
    };
    let name = call
        .get("model")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let loaded = residents.all();
    // Instance ids match exactly, keys in any case.
    if let Some(instance) = loaded.iter().find(|instance| instance.id == name) {
        return Ok(instance.clone());
    }
    if let Some(model) = find(core, name).filter(|model| model.embedding == embedding) {
        if let Some(instance) = residents.of_key(&model.name) {
            return Ok(instance);
        }
        if core.options.jit {
            return jit(core, call, model).await;
        }
    }
    let mut able = loaded
        .iter()
        .filter(|instance| instance.model.embedding == embedding);
    match (able.next(), able.next()) {
        (None, _) => Err(no_models()),
        // bt#619, bt#366; still so on 0.4.25: one chat model answers to any name.
        (Some(only), None) => Ok(only.clone()),
        _ => {
            let text =
                format!("Invalid model identifier \"{name}\". There are multiple models loaded.");
            Err(refuse(400, &text, Some("model_not_found")))
        }
    }
}

/// Loads on request. Two requests for one unloaded model load it twice (bt#1751, bt#168).
async fn jit(
    core: &Arc<Core>,
    call: &Call,
    model: &crate::model_spec::ModelSpec,
) -> Result<Instance, Reply> {
    // "`ttl` (seconds) in a request works only on `/v1/chat/completions` and `/v1/embeddings` (and
    // v0 per docs) and only if that request triggers the load"; invalid values are silently accepted.
    let heeded = call.path.ends_with("/chat/completions") || call.path.ends_with("/embeddings");
    let ttl = call
        .get("ttl")
        .filter(|_| heeded)
        .and_then(Value::as_u64)
        .map(Duration::from_secs);
    let config = LoadConfig {
        context: core.options.context.min(model.max_context),
        eval_batch_size: 512,
        flash_attention: true,
        offload_kv_cache_to_gpu: true,
        jit_ttl: Some(ttl.unwrap_or(core.options.jit_ttl)),
        ttl: None,
        identifier: None,
        fields: Vec::new(),
    };
    let (owner, model, seq, path) = (Arc::clone(core), model.clone(), call.seq, call.path.clone());
    // It goes on when the client leaves.
    let task = core.tracker.spawn(async move {
        let stop = owner.stop.clone();
        let work = async {
            let residents = Residents::of(&owner)?;
            Some(residents.load(&owner, seq, &model, config, &path).await)
        };
        stop.run_until_cancelled(work).await.flatten()
    });
    match task.await {
        Ok(Some(Ok(instance))) => Ok(instance),
        Ok(Some(Err(refused))) => Err(refuse(400, refused.text(), Some("model_load_failed"))),
        _ => Err(no_models()),
    }
}

/// Waits for a slot, then for the prompt. A client that leaves meanwhile keeps the slot busy
/// until the prompt is read: "if busy processing the prompt, it will finish first" (bt#108).
pub(crate) async fn slot(
    core: &Arc<Core>,
    instance: &Instance,
    ticket: &mut Ticket,
    prefill: Duration,
) -> Result<(OwnedSemaphorePermit, Busy), Reply> {
    ticket.phase = Phase::Queue;
    let unloaded = || http::json(400, &json!({"error": "Model unloaded."}));
    let Some(busy) = Residents::of(core).and_then(|residents| residents.busy(core, &instance.id))
    else {
        return Err(unloaded());
    };
    let waiting = Arc::clone(&instance.slots).acquire_owned();
    let permit = tokio::select! {
        biased;
        words = instance.kill.struck() => return Err(http::json(400, &json!({"error": words}))),
        permit = tokio::time::timeout(QUEUE_PATIENCE, waiting) => permit,
    };
    let Ok(Ok(permit)) = permit else {
        return Err(http::json(
            400,
            &json!({"error": "Timed out waiting for a slot"}),
        ));
    };
    if prefill.is_zero() {
        return Ok((permit, busy));
    }
    ticket.phase = Phase::Prefill;
    let (back, read) = tokio::sync::oneshot::channel();
    let (stop, log, seq) = (core.stop.clone(), Arc::clone(&core.log), ticket.seq);
    let kill = instance.kill.clone();
    core.tracker.spawn(async move {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = kill.struck() => return,
            () = tokio::time::sleep(prefill) => {}
        }
        // Nobody waits any more: the slot is free from now.
        if let Err(held) = back.send((permit, busy)) {
            drop(held);
            log.slot_freed_late(seq);
        }
    });
    read.await.map_err(|_| unloaded())
}

pub(crate) async fn generation(core: &Arc<Core>, call: &Call, chat: bool) -> Reply {
    let began = Instant::now();
    let body = match asked(call, chat) {
        Ok(body) => body,
        Err(refusal) => return *refusal,
    };
    let name = read::string(body, "model").unwrap_or_default();
    let mut ticket = Ticket::new(&core.log, call.seq, name);
    ticket.phase = Phase::Load;
    match start(core, call, body, chat, &mut ticket).await {
        Ok((instance, held, prefill, load)) => {
            let renamed = core.faults.take(Stage::Name, &call.path, true);
            let name = renamed.and_then(|fault| fault.text);
            let name = name.unwrap_or_else(|| instance.id.clone());
            let flavor = Flavor::LmStudio {
                gpt_oss: instance.model.is_gpt_oss(),
            };
            let play = Play {
                core: Arc::clone(core),
                ticket,
                encoder: Box::new(OpenAi::new(flavor, chat, &name, call.seq, body)),
                answer: answer(&instance.model, &understood(core, body, &instance)),
                options: options(body, &instance),
                kill: instance.kill.clone(),
                instance: instance.id,
                _hold: Box::new(held),
                prompt: None,
                tells_progress: false,
                began,
                load,
                prefill,
                streamed: call.wants_stream(),
                path: call.path.clone(),
            };
            play.reply().await
        }
        Err(reply) => {
            ticket.close();
            reply
        }
    }
}

/// The body, or its refusal before a model is looked for.
fn asked(call: &Call, chat: bool) -> Result<&Value, Box<Reply>> {
    let refused = |error: &str| Box::new(http::json(400, &json!({ "error": error })));
    let Some(body) = call.json.as_ref().filter(|body| body.is_object()) else {
        return Err(refused("Unexpected token in JSON"));
    };
    let needed = if chat { "messages" } else { "prompt" };
    if body.get(needed).is_none() {
        return Err(refused(&format!("'{needed}' field is required")));
    }
    if chat && let Some(refusal) = strict::refusal(body) {
        return Err(Box::new(refusal));
    }
    if !chat && !body["prompt"].is_string() {
        // Its documentation knows one text.
        return Err(refused("'prompt' field must be a string"));
    }
    Ok(body)
}

/// What an instance makes of a body.
fn understood(core: &Core, body: &Value, instance: &Instance) -> Ask {
    let limit = body.get("max_tokens").and_then(Value::as_u64);
    let mut ask = read::ask(body, limit);
    ask.prompt_tokens = ask.prompt_tokens.min(in_effect(core, instance));
    ask.tools &= read::string(body, "tool_choice") != Some("none");
    ask.forced = strict::forced_tool(body);
    ask.scripted = core.conversations.answer(body);
    let penalty = body.get("frequency_penalty").and_then(Value::as_f64);
    ask.circles =
        core.options.penalty_alias && penalty.is_some_and(|penalty| penalty > 0.0 && penalty < 1.0);
    ask
}

type Started = (Instance, (OwnedSemaphorePermit, Busy), Duration, Duration);

async fn start(
    core: &Arc<Core>,
    call: &Call,
    body: &Value,
    chat: bool,
    ticket: &mut Ticket,
) -> Result<Started, Reply> {
    let began = Instant::now();
    let instance = instance(core, call, false).await?;
    let load = began.elapsed();
    let messages = body.get("messages").and_then(Value::as_array);
    if chat && messages.is_some_and(|messages| read::has_images(messages)) && !instance.model.sees()
    {
        return Err(http::json(
            400,
            &json!({"error": "Model does not support images."}),
        ));
    }
    let tokens = read::ask(body, None).prompt_tokens;
    let context = in_effect(core, &instance);
    if tokens >= context && !core.options.cuts {
        let form = core.options.overflow;
        return Err(overflow::refusal(form, call, tokens, context));
    }
    let prefill = core.options.prefill_time(tokens.min(context));
    let held = slot(core, &instance, ticket, prefill).await?;
    Ok((instance, held, prefill, load))
}

fn in_effect(core: &Core, instance: &Instance) -> u64 {
    core.options.in_effect(instance.config.context)
}

/// What is used of the request, with the documented defaults.
fn options(body: &Value, instance: &Instance) -> Value {
    let used = |key: &str, default: Value| body.get(key).cloned().unwrap_or(default);
    json!({
        "temperature": used("temperature", json!(0.8)),
        "top_p": used("top_p", json!(0.95)),
        "top_k": used("top_k", json!(40)),
        "repeat_penalty": used("repeat_penalty", json!(1.1)),
        "frequency_penalty": used("frequency_penalty", json!(0)),
        "presence_penalty": used("presence_penalty", json!(0)),
        "max_tokens": used("max_tokens", Value::Null),
        "context_length": instance.config.context,
    })
}

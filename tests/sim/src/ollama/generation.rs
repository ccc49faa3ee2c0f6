//! `/api/chat`, `/api/generate`, `/v1/chat/completions`, `/v1/completions`.
//! Ollama 0.33.0-rc2, server/routes.go and openai/openai.go.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::{Map, Value, json};
use tokio::time::Instant;

use crate::generate::{Ask, answer, tokens};
use crate::http::{self, Call, Reply};
use crate::log::Phase;
use crate::ollama::catalog::{find, is_name};
use crate::ollama::duration::{KeepAlive, keep_alive};
use crate::ollama::errors::Refusal;
use crate::ollama::native::{Native, timestamp};
use crate::ollama::scheduler::Scheduler;
use crate::ollama::tuple::{Tuple, check, whole};
use crate::ollama::typed;
use crate::options::ModelSpec;
use crate::sim::Core;
use crate::ticket::Ticket;
use crate::wire::encode::Encode;
use crate::wire::openai::{Flavor, OpenAi};
use crate::wire::play::Play;
use crate::wire::read;

/// Which of the four routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) chat: bool,
    pub(crate) v1: bool,
}

/// A request in native terms.
struct Order<'a> {
    model: &'a ModelSpec,
    options: Map<String, Value>,
    tuple: Tuple,
    keep_alive: Option<KeepAlive>,
    ask: Ask,
    truncate: bool,
    streamed: bool,
    empty: bool,
}

fn bad(message: impl Into<String>) -> Refusal {
    Refusal::new(400, message)
}

/// The model of a chat, or the refusal.
fn of_chat<'a>(core: &'a Core, body: &Value) -> Result<&'a ModelSpec, Refusal> {
    let name = read::string(body, "model").unwrap_or_default();
    if name.is_empty() {
        return Err(bad("model is required"));
    }
    model(core, body)
}

/// The model of another request, or the refusal: no name is no model.
pub(crate) fn model<'a>(core: &'a Core, body: &Value) -> Result<&'a ModelSpec, Refusal> {
    let name = read::string(body, "model").unwrap_or_default();
    if !name.is_empty() && !is_name(name) {
        return Err(bad("invalid model name"));
    }
    find(core, name).ok_or_else(|| Refusal::new(404, format!("model '{name}' not found")))
}

/// `options` of a native body, checked.
pub(crate) fn options(body: &Value) -> Result<Map<String, Value>, Refusal> {
    let options = match body.get("options") {
        None | Some(Value::Null) => Map::new(),
        Some(options) => options.as_object().cloned().unwrap_or_default(),
    };
    check(&options).map_err(|message| Refusal::new(500, message))?;
    Ok(options)
}

fn boolean(body: &Value, key: &str, default: bool) -> bool {
    body.get(key).and_then(Value::as_bool).unwrap_or(default)
}

/// What `/v1` keeps: sampling in native names; context, `keep_alive`, `max_completion_tokens` and
/// much else are dropped without a word. Absent temperature and `top_p` become 1.0.
fn v1_options(body: &Value) -> Map<String, Value> {
    let mut options = Map::new();
    for (from, to) in [
        ("max_tokens", "num_predict"),
        ("seed", "seed"),
        ("frequency_penalty", "frequency_penalty"),
        ("presence_penalty", "presence_penalty"),
    ] {
        if let Some(value) = body.get(from).filter(|value| value.is_number()) {
            options.insert(to.into(), value.clone());
        }
    }
    for key in ["temperature", "top_p"] {
        let value = body.get(key).filter(|value| value.is_number()).cloned();
        options.insert(key.into(), value.unwrap_or_else(|| json!(1.0)));
    }
    let stops = read::stops(body.get("stop"));
    if !stops.is_empty() {
        options.insert("stop".into(), json!(stops));
    }
    options
}

/// Whether thinking is asked for; native takes booleans and levels, `/v1` an effort.
fn think(body: &Value, route: Route, model: &ModelSpec) -> Result<bool, Refusal> {
    let effort = body
        .get("reasoning")
        .and_then(|r| r.get("effort"))
        .or(body.get("reasoning_effort"));
    let value = if route.v1 { effort } else { body.get("think") };
    let on = match value {
        None | Some(Value::Null) => return Ok(model.thinks()),
        Some(Value::Bool(on)) => *on,
        Some(Value::String(level)) => match level.as_str() {
            "low" | "medium" | "high" | "max" => true,
            "none" if route.v1 => false,
            "minimal" | "xhigh" | "ultra" if route.v1 => true,
            other => {
                let (what, levels) = if route.v1 {
                    (
                        "reasoning",
                        "\"minimal\", \"low\", \"medium\", \"high\", \"xhigh\", \"ultra\", \"max\", or \"none\"",
                    )
                } else {
                    (
                        "think",
                        "\"high\", \"medium\", \"low\", \"max\", true, or false",
                    )
                };
                return Err(bad(format!(
                    "invalid {what} value: \"{other}\" (must be {levels})"
                )));
            }
        },
        Some(_) => {
            return Err(bad(
                "think must be a boolean or string (\"high\", \"medium\", \"low\", \"max\", true, or false)",
            ));
        }
    };
    if on && !model.thinks() {
        return Err(bad(format!("\"{}\" does not support thinking", model.name)));
    }
    // Reported of versions before this one, which takes every level for on.
    if let Some(level) = value.and_then(Value::as_str)
        && on
        && !route.v1
        && !model.is_gpt_oss()
    {
        return Err(bad(format!(
            "think value \"{level}\" is not supported for this model"
        )));
    }
    Ok(on)
}

/// The form of the answer; null inside is any JSON.
fn format(body: &Value, route: Route) -> Result<Option<Value>, Refusal> {
    if route.v1 {
        return Ok(read::response_format(body));
    }
    match body.get("format") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::String(text)) if text == "json" => Ok(Some(Value::Null)),
        Some(Value::Object(schema)) => Ok(Some(Value::Object(schema.clone()))),
        Some(other) => Err(Refusal::new(
            500,
            format!(
                "invalid format: {:?}; expected \"json\" or a valid JSON Schema object",
                other.to_string()
            ),
        )),
    }
}

/// What of a raw prompt's request the model cannot do: `handleScheduleError` of `errCapabilityInsert`.
fn takes_prompt(body: &Value, model: &ModelSpec) -> Result<(), Refusal> {
    let suffix = body
        .get("suffix")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if !suffix.is_empty() && !model.inserts() {
        let name = crate::ollama::catalog::full_name(&model.name);
        return Err(bad(format!(
            "registry.ollama.ai/library/{name} does not support insert"
        )));
    }
    let templated = ["template", "system", "context"];
    if boolean(body, "raw", false) && templated.iter().any(|key| body.get(*key).is_some()) {
        return Err(bad(
            "raw mode does not support template, system, or context",
        ));
    }
    Ok(())
}

fn order<'a>(core: &'a Core, body: &Value, route: Route) -> Result<Order<'a>, Refusal> {
    let messages = body.get("messages").and_then(Value::as_array);
    let messages = messages.map_or(&[][..], Vec::as_slice);
    let logprobs = body.get("top_logprobs").and_then(Value::as_i64);
    if logprobs.is_some_and(|count| !(0..=20).contains(&count)) {
        return Err(bad("top_logprobs must be between 0 and 20"));
    }
    if route.v1 && route.chat && messages.is_empty() {
        return Err(bad("[] is too short - 'messages'"));
    }
    let model = if route.chat {
        of_chat(core, body)?
    } else {
        model(core, body)?
    };
    let options = if route.v1 {
        v1_options(body)
    } else {
        options(body)?
    };
    let shift = route.v1 || boolean(body, "shift", true);
    let keep_alive = if route.v1 {
        None
    } else {
        keep_alive(body.get("keep_alive")).map_err(bad)?
    };
    let prompt = read::content_text(body.get("prompt"));
    let empty = !route.v1
        && if route.chat {
            messages.is_empty()
        } else {
            prompt.is_empty()
        };
    if model.embedding && !empty {
        let verb = if route.chat { "chat" } else { "generate" };
        return Err(bad(format!("\"{}\" does not support {verb}", model.name)));
    }
    if !route.chat {
        takes_prompt(body, model)?;
    }
    let tools = body
        .get("tools")
        .and_then(Value::as_array)
        .is_some_and(|list| !list.is_empty());
    if tools && !model.takes_tools() {
        let name = crate::ollama::catalog::full_name(&model.name);
        return Err(bad(format!(
            "registry.ollama.ai/library/{name} does not support tools"
        )));
    }
    let own_images = body
        .get("images")
        .and_then(Value::as_array)
        .is_some_and(|list| !list.is_empty());
    if (own_images || read::has_images(messages)) && !model.sees() {
        // Its own words for a model without a projector; llama-server's come as JSON in a string.
        return Err(bad(json!({"error": {
            "code": 400,
            "message": "Multimodal data provided, but model does not support multimodal requests.",
            "type": "invalid_request_error",
        }})
        .to_string()));
    }
    let format = format(body, route)?;
    let last_user = if route.chat {
        read::last_user(messages)
    } else {
        prompt.clone()
    };
    let prompt_tokens = if route.chat {
        read::prompt_tokens(messages)
    } else {
        tokens(&prompt)
    };
    let ask = Ask {
        last_user,
        prompt_tokens,
        // Negative is no limit (`boundedNumPredict`), and so is 0: it is left out for llama-server
        // (`n_predict,omitempty`; seen on the real one).
        limit: options
            .get("num_predict")
            .and_then(whole)
            .and_then(|limit| u64::try_from(limit).ok())
            .filter(|limit| *limit > 0),
        stops: read::stops(options.get("stop")),
        tools,
        think: think(body, route, model)?,
        format,
        scripted: core.conversations.answer(body),
        ..Ask::default()
    };
    Ok(Order {
        tuple: Tuple::new(&options, shift, model, core.options.context),
        model,
        options,
        keep_alive,
        ask,
        truncate: route.v1 || boolean(body, "truncate", true),
        streamed: boolean(body, "stream", !route.v1),
        empty,
    })
}

/// What is left of a prompt. Old messages go first, system and last message stay; what is still
/// too long is cut to half of the context. Nothing in the answer says so.
fn truncated(order: &Order<'_>, body: &Value, context: u64, always: bool) -> Result<u64, Refusal> {
    let asked = order.ask.prompt_tokens;
    if asked < context {
        return Ok(asked);
    }
    if !order.truncate && !always {
        // Ollama sends the prompt as it is; what llama-server says comes as JSON in a string.
        let error = json!({"error": {
            "code": 400,
            "message": format!("request ({asked} tokens) exceeds the available context size ({context} tokens), try increasing it"),
            "type": "exceed_context_size_error",
            "n_prompt_tokens": asked,
            "n_ctx": context,
        }});
        return Err(bad(error.to_string()));
    }
    if !order.tuple.shift && !always {
        return Err(bad(
            "the prompt is longer than the context length currently available to the model; \
             shorten the prompt, adjust the context length in settings, or use a model with a \
             longer context length",
        ));
    }
    let messages = body.get("messages").and_then(Value::as_array);
    let mut left = asked;
    if let Some((_, earlier)) = messages.and_then(|messages| messages.split_last()) {
        for message in earlier {
            if left < context {
                break;
            }
            if read::string(message, "role") != Some("system") {
                left -= tokens(&read::content_text(message.get("content"))).min(left);
            }
        }
    }
    Ok(if left < context { left } else { context / 2 })
}

/// A load or an unload: an empty prompt. Both answer 200 with `done_reason`.
async fn residency(
    core: &Arc<Core>,
    call: &Call,
    order: &Order<'_>,
    route: Route,
    ticket: &mut Ticket,
) -> Result<Reply, Refusal> {
    let Some(scheduler) = Scheduler::of(core) else {
        return Err(Refusal::new(500, "not this engine"));
    };
    let reason = if order.keep_alive == Some(Some(Duration::ZERO)) {
        scheduler.expire(core, order.model);
        "unload"
    } else {
        let (model, tuple) = (order.model, &order.tuple);
        drop(
            scheduler
                .acquire(core, ticket, model, tuple, order.keep_alive, &call.path)
                .await?,
        );
        "load"
    };
    let mut item = json!({
        "model": call.get("model"),
        "created_at": timestamp(SystemTime::now()),
    });
    if let Some(item) = item.as_object_mut() {
        if route.chat {
            item.insert(
                "message".into(),
                json!({"role": "assistant", "content": ""}),
            );
        } else {
            item.insert("response".into(), json!(""));
        }
        item.insert("done".into(), json!(true));
        item.insert("done_reason".into(), json!(reason));
    }
    Ok(http::json(200, &item))
}

pub(crate) async fn handle(core: &Arc<Core>, call: &Call, route: Route) -> Reply {
    let name = call
        .get("model")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let mut ticket = Ticket::new(&core.log, call.seq, name);
    let prepared = prepare(core, call, route, &mut ticket).await;
    match prepared {
        Ok(Prepared::Reply(reply)) => {
            ticket.close();
            reply
        }
        Ok(Prepared::Play(parts)) => parts.play(core, call, route, ticket).reply().await,
        Err(refusal) => {
            ticket.close();
            refusal.reply(route.v1)
        }
    }
}

enum Prepared {
    Reply(Reply),
    Play(Box<Parts>),
}

struct Parts {
    answer: crate::generate::Answer,
    lease: crate::ollama::scheduler::Lease,
    slot: tokio::sync::OwnedSemaphorePermit,
    model: String,
    options: Value,
    began: Instant,
    prefill: Duration,
    streamed: bool,
}

async fn prepare(
    core: &Arc<Core>,
    call: &Call,
    route: Route,
    ticket: &mut Ticket,
) -> Result<Prepared, Refusal> {
    let began = Instant::now();
    let body = typed::body(call)?;
    let mut order = order(core, body, route)?;
    ticket.answers = !order.empty;
    if order.empty {
        return residency(core, call, &order, route, ticket)
            .await
            .map(Prepared::Reply);
    }
    let Some(scheduler) = Scheduler::of(core) else {
        return Err(Refusal::new(500, "not this engine"));
    };
    let lease = scheduler
        .acquire(
            core,
            ticket,
            order.model,
            &order.tuple,
            order.keep_alive,
            &call.path,
        )
        .await?;
    let context = core.options.in_effect(lease.tuple.num_ctx);
    order.ask.prompt_tokens = truncated(&order, body, context, core.options.cuts)?;
    ticket.phase = Phase::Queue;
    let slot = lease.slot().await?;
    ticket.phase = Phase::Prefill;
    let prefill = core.options.prefill_time(order.ask.prompt_tokens);
    // Headers wait for the first item.
    tokio::select! {
        biased;
        words = lease.kill.struck() => return Err(Refusal::new(500, words)),
        () = tokio::time::sleep(prefill), if !prefill.is_zero() => {}
        () = std::future::ready(()), if prefill.is_zero() => {}
    }
    let mut used = order.options.clone();
    used.insert("num_ctx".into(), json!(lease.tuple.num_ctx));
    Ok(Prepared::Play(Box::new(Parts {
        answer: answer(order.model, &order.ask),
        lease,
        slot,
        model: order.model.name.clone(),
        options: Value::Object(used),
        began,
        prefill,
        streamed: order.streamed,
    })))
}

// === impl Parts ===

impl Parts {
    fn play(self, core: &Arc<Core>, call: &Call, route: Route, ticket: Ticket) -> Play {
        let name = call
            .get("model")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let encoder: Box<dyn Encode> = if route.v1 {
            let body = call.json.clone().unwrap_or_default();
            Box::new(OpenAi::new(
                Flavor::Ollama,
                route.chat,
                name,
                call.seq,
                &body,
            ))
        } else {
            Box::new(Native {
                chat: route.chat,
                model: name.to_owned(),
                calls: 0,
            })
        };
        Play {
            core: Arc::clone(core),
            ticket,
            encoder,
            answer: self.answer,
            instance: self.model,
            options: self.options,
            kill: self.lease.kill.clone(),
            load: self.lease.load,
            _hold: Box::new((self.slot, self.lease)),
            prompt: None,
            tells_progress: false,
            began: self.began,
            prefill: self.prefill,
            streamed: self.streamed,
            path: call.path.clone(),
        }
    }
}

//! `/api/chat`, `/api/generate`, `/v1/chat/completions`, `/v1/completions`.
//! Ollama 0.33.0-rc2, server/routes.go and openai/openai.go.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::generate::{answer, tokens};
use crate::http::{self, Call, Reply};
use crate::log::Phase;
use crate::ollama::errors::Refusal;
use crate::ollama::native::{Native, timestamp};
use crate::ollama::order::{Order, Route, bad, order};
use crate::ollama::runner::ShownPrompt;
use crate::ollama::scheduler::Scheduler;
use crate::ollama::typed;
use crate::sim::Core;
use crate::ticket::Ticket;
use crate::wire::encode::Encode;
use crate::wire::openai::{Flavor, OpenAi};
use crate::wire::play::Play;
use crate::wire::read;

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
    shown: Option<ShownPrompt>,
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
    let process = lease.process.as_ref();
    let shown = process.map(|runner| runner.shows(order.ask.prompt_tokens));
    let tokens = order.ask.prompt_tokens;
    let stops = core.options.prefill_stops_at.is_some_and(|at| tokens > at);
    // Headers wait for the first item.
    tokio::select! {
        biased;
        words = lease.kill.struck() => return Err(Refusal::new(500, words)),
        () = tokio::time::sleep(prefill), if !prefill.is_zero() && !stops => {}
        () = std::future::ready(()), if prefill.is_zero() && !stops => {}
    }
    let mut used = order.options.clone();
    used.insert("num_ctx".into(), json!(lease.tuple.num_ctx));
    Ok(Prepared::Play(Box::new(Parts {
        answer: answer(order.model, &order.ask),
        lease,
        slot,
        shown,
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
            _hold: Box::new((self.shown, self.slot, self.lease)),
            prompt: None,
            tells_progress: false,
            began: self.began,
            prefill: self.prefill,
            streamed: self.streamed,
            path: call.path.clone(),
        }
    }
}

//! `/api/embed`, `/api/embeddings`, `/v1/embeddings`. Ollama 0.33.0-rc2: an over-long input is
//! cut without a word unless `truncate` is false; `/v1` knows neither `num_ctx` nor `keep_alive`.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use tokio::time::Instant;

use crate::generate::{embedding, tokens};
use crate::http::{self, Call, Reply};
use crate::llamacpp::{embedding_object, texts};
use crate::ollama::duration::keep_alive;
use crate::ollama::errors::Refusal;
use crate::ollama::order::{model, options};
use crate::ollama::scheduler::Scheduler;
use crate::ollama::tuple::Tuple;
use crate::ollama::typed;
use crate::sim::Core;
use crate::ticket::Ticket;

pub(crate) async fn handle(core: &Arc<Core>, call: &Call) -> Reply {
    let name = call
        .get("model")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let mut ticket = Ticket::new(&core.log, call.seq, name);
    let outcome = embed(core, call, &mut ticket).await;
    ticket.close();
    outcome.unwrap_or_else(|refusal| refusal.reply(call.path.starts_with("/v1/")))
}

/// `EmbedHandler` has words of its own.
fn unknown(refusal: Refusal) -> Refusal {
    let name = refusal.message.strip_prefix("model '");
    match name.and_then(|rest| rest.strip_suffix("' not found")) {
        Some(name) if !name.is_empty() => Refusal::new(
            404,
            format!("model \"{name}\" not found, try pulling it first"),
        ),
        _ => refusal,
    }
}

async fn embed(core: &Arc<Core>, call: &Call, ticket: &mut Ticket) -> Result<Reply, Refusal> {
    let began = Instant::now();
    let body = typed::body(call)?;
    let v1 = call.path.starts_with("/v1/");
    let legacy = call.path == "/api/embeddings";
    let input = body.get(if legacy { "prompt" } else { "input" });
    match input {
        None | Some(Value::Null) if v1 => return Err(Refusal::new(400, "invalid input")),
        Some(Value::Array(list)) if list.iter().any(|text| !text.is_string()) => {
            return Err(Refusal::new(400, "invalid input type"));
        }
        None | Some(Value::Null | Value::String(_) | Value::Array(_)) => {}
        Some(_) => return Err(Refusal::new(400, "invalid input type")),
    }
    let model = model(core, body).map_err(unknown)?;
    let (options, lasting) = if v1 {
        (Map::new(), None)
    } else {
        let lasting = keep_alive(body.get("keep_alive"));
        (
            options(body)?,
            lasting.map_err(|text| Refusal::new(400, text))?,
        )
    };
    let mut inputs = texts(input);
    if !v1 && input.and_then(Value::as_str) == Some("") {
        // Nothing to embed is a load.
        inputs.clear();
    }
    let tuple = Tuple::new(&options, true, model, core.options.context);
    let Some(scheduler) = Scheduler::of(core) else {
        return Err(Refusal::new(500, "not this engine"));
    };
    let lease = scheduler
        .acquire(core, ticket, model, &tuple, lasting, &call.path)
        .await?;
    if !inputs.is_empty() && !model.embedding {
        // The runner of a generation model is started without `--embeddings`.
        let words = "This server does not support embeddings. Start it with `--embeddings`";
        let status = if legacy { 500 } else { 501 };
        return Err(Refusal::new(status, words));
    }
    let slot = lease.slot().await?;
    let counts = inputs.iter().map(|text| tokens(text));
    let context = lease.tuple.num_ctx;
    if body.get("truncate").and_then(Value::as_bool) == Some(false)
        && counts.clone().any(|count| count > context)
    {
        return Err(Refusal::new(
            400,
            "the input length exceeds the context length",
        ));
    }
    let count: u64 = counts.map(|count| count.min(context)).sum();
    let load = u64::try_from(lease.load.as_nanos()).unwrap_or(u64::MAX);
    if !inputs.is_empty() {
        ticket.complete(&model.name, count, "stop", json!({"num_ctx": context}));
    }
    drop((slot, lease));
    let name = body.get("model");
    let total = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
    let reply = if v1 {
        let data: Vec<Value> = inputs.iter().enumerate().map(embedding_object).collect();
        let usage = json!({"prompt_tokens": count, "total_tokens": count});
        json!({"object": "list", "data": data, "model": name, "usage": usage})
    } else if legacy {
        json!({"embedding": inputs.first().map(|text| embedding(text, 8)).unwrap_or_default()})
    } else {
        // It cuts the vector to fewer numbers, and knows nothing of more.
        let asked = body
            .get("dimensions")
            .and_then(Value::as_u64)
            .filter(|n| (1..8).contains(n));
        let length = asked.and_then(|n| usize::try_from(n).ok()).unwrap_or(8);
        let vectors: Vec<Vec<f64>> = inputs.iter().map(|text| embedding(text, length)).collect();
        let mut reply = json!({
            "model": name, "embeddings": vectors, "total_duration": total, "load_duration": load,
        });
        if count > 0
            && let Some(reply) = reply.as_object_mut()
        {
            reply.insert("prompt_eval_count".into(), json!(count));
        }
        reply
    };
    Ok(http::json(200, &reply))
}

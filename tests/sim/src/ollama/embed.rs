//! `/api/embed`, `/api/embeddings`, `/v1/embeddings`. Ollama 0.33.0-rc2: an over-long input is
//! cut without a word unless `truncate` is false; `/v1` knows neither `num_ctx` nor `keep_alive`.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::time::Instant;

use crate::generate::{embedding, tokens};
use crate::http::{self, Call, Reply};
use crate::llamacpp::{embedding_object, texts};
use crate::ollama::duration::{KeepAlive, keep_alive};
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

/// The form of the path that was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// `/api/embed`.
    Own,
    /// `/api/embeddings`: one vector.
    Legacy,
    /// `/v1/embeddings`.
    OpenAi,
}

/// What came of the inputs.
struct Embedded {
    inputs: Vec<String>,
    /// The tokens that were read, after cuts.
    count: u64,
    load: Duration,
    total: Duration,
}

// === impl Form ===

impl Form {
    fn of(path: &str) -> Self {
        match path {
            "/api/embeddings" => Self::Legacy,
            path if path.starts_with("/v1/") => Self::OpenAi,
            _ => Self::Own,
        }
    }

    /// The input of a body, checked.
    fn input(self, body: &Value) -> Result<Option<&Value>, Refusal> {
        let name = if self == Self::Legacy {
            "prompt"
        } else {
            "input"
        };
        let input = body.get(name);
        match input {
            None | Some(Value::Null) if self == Self::OpenAi => {
                Err(Refusal::new(400, "invalid input"))
            }
            Some(Value::Array(list)) if list.iter().any(|text| !text.is_string()) => {
                Err(Refusal::new(400, "invalid input type"))
            }
            None | Some(Value::Null | Value::String(_) | Value::Array(_)) => Ok(input),
            Some(_) => Err(Refusal::new(400, "invalid input type")),
        }
    }

    /// The options of a body and how long the model stays; `/v1` has neither.
    fn settings(self, body: &Value) -> Result<(Map<String, Value>, Option<KeepAlive>), Refusal> {
        if self == Self::OpenAi {
            return Ok((Map::new(), None));
        }
        let lasting = keep_alive(body.get("keep_alive"));
        let options = options(body)?;
        Ok((options, lasting.map_err(|text| Refusal::new(400, text))?))
    }

    fn reply(self, body: &Value, embedded: &Embedded) -> Value {
        let Embedded { inputs, count, .. } = embedded;
        let name = body.get("model");
        match self {
            Self::OpenAi => {
                let data: Vec<Value> = inputs.iter().enumerate().map(embedding_object).collect();
                let usage = json!({"prompt_tokens": count, "total_tokens": count});
                json!({"object": "list", "data": data, "model": name, "usage": usage})
            }
            Self::Legacy => {
                let first = inputs.first().map(|text| embedding(text, 8));
                json!({"embedding": first.unwrap_or_default()})
            }
            Self::Own => own_reply(body, embedded),
        }
    }
}

async fn embed(core: &Arc<Core>, call: &Call, ticket: &mut Ticket) -> Result<Reply, Refusal> {
    let began = Instant::now();
    let body = typed::body(call)?;
    let form = Form::of(&call.path);
    let input = form.input(body)?;
    let model = model(core, body).map_err(unknown)?;
    let (options, lasting) = form.settings(body)?;
    let mut inputs = texts(input);
    if form != Form::OpenAi && input.and_then(Value::as_str) == Some("") {
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
        let status = if form == Form::Legacy { 500 } else { 501 };
        return Err(Refusal::new(status, words));
    }
    let slot = lease.slot().await?;
    let context = lease.tuple.num_ctx;
    let count = counted(body, &inputs, context)?;
    if !inputs.is_empty() {
        ticket.complete(&model.name, count, "stop", json!({"num_ctx": context}));
    }
    let load = lease.load;
    drop((slot, lease));
    let embedded = Embedded {
        inputs,
        count,
        load,
        total: began.elapsed(),
    };
    Ok(http::json(200, &form.reply(body, &embedded)))
}

/// The tokens of the inputs, each cut at the context; a longer one is refused where `truncate` is false.
fn counted(body: &Value, inputs: &[String], context: u64) -> Result<u64, Refusal> {
    let counts = inputs.iter().map(|text| tokens(text));
    if body.get("truncate").and_then(Value::as_bool) == Some(false)
        && counts.clone().any(|count| count > context)
    {
        return Err(Refusal::new(
            400,
            "the input length exceeds the context length",
        ));
    }
    Ok(counts.map(|count| count.min(context)).sum())
}

fn own_reply(body: &Value, embedded: &Embedded) -> Value {
    let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    // It cuts the vector to fewer numbers, and knows nothing of more.
    let asked = body
        .get("dimensions")
        .and_then(Value::as_u64)
        .filter(|n| (1..8).contains(n));
    let length = asked.and_then(|n| usize::try_from(n).ok()).unwrap_or(8);
    let inputs = embedded.inputs.iter();
    let vectors: Vec<Vec<f64>> = inputs.map(|text| embedding(text, length)).collect();
    let mut reply = json!({
        "model": body.get("model"), "embeddings": vectors,
        "total_duration": nanoseconds(embedded.total), "load_duration": nanoseconds(embedded.load),
    });
    if embedded.count > 0 {
        reply["prompt_eval_count"] = embedded.count.into();
    }
    reply
}

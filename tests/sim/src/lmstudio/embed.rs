//! `/v1/embeddings`. LM Studio 0.4.25: each text is cut to the loaded context without a word,
//! and `usage` says 0 tokens.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::http::{self, Call, Reply};
use crate::llamacpp::{embedding_object, texts};
use crate::lmstudio::chat::{instance, slot};
use crate::log::Phase;
use crate::sim::Core;
use crate::ticket::Ticket;

pub(crate) async fn embeddings(core: &Arc<Core>, call: &Call) -> Reply {
    let inputs = texts(call.get("input"));
    if inputs.is_empty() {
        return http::json(400, &json!({"error": "'input' field is required"}));
    }
    let name = call
        .get("model")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let mut ticket = Ticket::new(&core.log, call.seq, name);
    ticket.phase = Phase::Load;
    let instance = match instance(core, call, true).await {
        Ok(instance) => instance,
        Err(reply) => {
            ticket.close();
            return reply;
        }
    };
    let held = match slot(core, &instance, &mut ticket, Duration::ZERO).await {
        Ok(held) => held,
        Err(reply) => {
            ticket.close();
            return reply;
        }
    };
    let data: Vec<Value> = inputs.iter().enumerate().map(embedding_object).collect();
    ticket.complete(
        &instance.id,
        0,
        "stop",
        json!({"context_length": instance.config.context}),
    );
    drop(held);
    let usage = json!({"prompt_tokens": 0, "total_tokens": 0});
    http::json(
        200,
        &json!({"object": "list", "data": data, "model": instance.id, "usage": usage}),
    )
}

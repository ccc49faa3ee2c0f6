//! `/v1/embeddings`. LM Studio 0.4.25: each text is cut to the loaded context without a word,
//! `usage` says 0 tokens, lists of tokens are refused (seen by users of `LangChain`, which sends them), and
//! an instance that is asked for two at a time crashes (lmstudio-bug-tracker 7 and 463).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::generate::tokens;
use crate::http::{self, Call, Reply};
use crate::llamacpp::{embedding_object, texts};
use crate::lmstudio::chat::{instance, slot};
use crate::log::Phase;
use crate::sim::Core;
use crate::ticket::Ticket;

pub(crate) async fn embeddings(core: &Arc<Core>, call: &Call) -> Reply {
    if !is_text(call.get("input")) {
        let words = "'input' field must be a string or an array of strings";
        return http::json(400, &json!({"error": words}));
    }
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
    let alone = Alone::of(&instance.embedding);
    if alone.is_none() {
        let words = "The model has crashed without additional information. (Exit code: 6)";
        instance.kill.strike(words);
        ticket.close();
        return http::json(400, &json!({"error": words}));
    }
    let context = instance.config.context;
    let inputs: Vec<String> = inputs.iter().map(|text| cut(text, context)).collect();
    let reading = core
        .options
        .prefill_time(inputs.iter().map(|text| tokens(text)).sum());
    let held = match slot(core, &instance, &mut ticket, reading).await {
        Ok(held) => held,
        Err(reply) => {
            ticket.close();
            return reply;
        }
    };
    drop(alone);
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

/// The only embedding that an instance works on.
struct Alone<'a>(&'a AtomicBool);

// === impl Alone ===

impl<'a> Alone<'a> {
    fn of(embedding: &'a AtomicBool) -> Option<Self> {
        (!embedding.swap(true, Ordering::SeqCst)).then_some(Self(embedding))
    }
}

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

fn is_text(input: Option<&Value>) -> bool {
    match input {
        Some(Value::Array(list)) => list.iter().all(Value::is_string),
        Some(Value::String(_)) | None => true,
        Some(_) => false,
    }
}

/// The beginning of a text that has at most so many tokens.
fn cut(text: &str, context: u64) -> String {
    let mut kept = text;
    while tokens(kept) > context {
        let most = kept.len() - 1;
        let end = (0..=most).rev().find(|at| kept.is_char_boundary(*at));
        kept = &kept[..end.unwrap_or(0)];
    }
    kept.to_owned()
}

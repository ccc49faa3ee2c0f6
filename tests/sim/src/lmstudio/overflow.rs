//! What LM Studio says of a prompt that is longer than the loaded context. Several forms are
//! reported, none was seen; which one comes seems to depend on version and runtime.

use serde_json::{Value, json};

use crate::http::{self, Call, Reply};
use crate::options::Overflow;
use crate::wire::encode::Framing;

/// The refusal in the form of the options.
pub(crate) fn refusal(form: Overflow, call: &Call, tokens: u64, context: u64) -> Reply {
    match form {
        // "400 with "request (N tokens) exceeds the available context size (M tokens)"".
        Overflow::Bare => http::json(400, &json!({"error": exceeds(tokens, context)})),
        // "Trying to keep the first N tokens when context the overflows. ..."
        Overflow::KeepFirst => http::json(400, &json!({"error": keep_first(tokens, context)})),
        // "Cannot truncate prompt with n_keep >= n_ctx" (bt#2256).
        Overflow::NKeep => {
            let text =
                format!("Cannot truncate prompt with n_keep ({tokens}) >= n_ctx ({context})");
            http::json(400, &object(&text))
        }
        // "Streaming failures arrive inside a 200 stream as a chunk with `error`".
        Overflow::Event if call.wants_stream() => {
            let error = object(&keep_first(tokens, context)).to_string();
            http::full(200, Framing::Sse.content_type(), Framing::Sse.frame(&error))
        }
        // "A streamed request may be answered 200 `application/json` with an error object or string"
        // (bt#2322).
        Overflow::Json200 | Overflow::Event => {
            http::json(200, &object(&keep_first(tokens, context)))
        }
        // "on GGUF a 200 stream with zero deltas" (bt#2339).
        Overflow::Empty if call.wants_stream() => http::full(
            200,
            Framing::Sse.content_type(),
            Framing::Sse.frame("[DONE]"),
        ),
        Overflow::Empty => http::json(200, &json!({"object": "chat.completion", "choices": []})),
    }
}

/// llama.cpp's words.
fn exceeds(tokens: u64, context: u64) -> String {
    format!(
        "request ({tokens} tokens) exceeds the available context size ({context} tokens), try increasing it"
    )
}

/// LM Studio's own words, slips included.
fn keep_first(tokens: u64, context: u64) -> String {
    format!(
        "Trying to keep the first {tokens} tokens when context the overflows. However, the model is loaded with context length of only {context} tokens, which is not enough. Try to load the model with a larger context length, or provide a shorter input"
    )
}

fn object(text: &str) -> Value {
    json!({"error": {"message": text, "type": "internal_error"}, "message": text})
}

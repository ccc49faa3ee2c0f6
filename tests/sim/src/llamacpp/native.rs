//! Paths that only llama.cpp's server has (b11434, tools/server/server-context.cpp `post_completions`,
//! `post_infill`, `post_tokenize`, `post_detokenize`, `post_apply_template`).

use std::sync::Arc;

use serde_json::{Value, json};

use super::{AskedPath, Server, error, generation, texts};
use crate::generate::{self, Answer, Piece};
use crate::http::{self, Call, Reply};
use crate::sim::Core;
use crate::wire::encode::{Encode, Framing, Totals, joined};
use crate::wire::openai::llama_timings;

/// Writes an answer of `/completion` (`to_json_non_oaicompat` of `server-task.cpp`).
pub(super) struct NativeAnswer {
    model: String,
    prompt_tokens: u64,
    predicted: u64,
}

/// `None` for a path that is none of these.
pub(super) async fn handle(
    core: &Arc<Core>,
    server: &Server,
    call: &Call,
    path: &str,
) -> Option<Reply> {
    let text = |key: &str| call.get(key).and_then(Value::as_str).unwrap_or_default();
    Some(match path {
        "/infill" if call.get("input_prefix").is_none() || call.get("input_suffix").is_none() => {
            error(400, "invalid_request_error", "\"input_prefix\" is required")
        }
        "/infill" if !core.options.models.iter().any(super::ModelSpec::inserts) => {
            // Without the tokens for prefix, suffix and middle (`post_infill`).
            error(
                501,
                "not_supported_error",
                "Infill is not supported by this model: prefix token is missing.",
            )
        }
        "/completion" | "/infill" => generation(core, server, call, AskedPath::Native).await,
        "/tokenize" => {
            let tokens: Vec<u32> = text("content").bytes().map(u32::from).collect();
            http::json(200, &json!({"tokens": tokens}))
        }
        "/detokenize" => {
            let tokens = call.get("tokens").and_then(Value::as_array);
            let codes = tokens.into_iter().flatten().filter_map(Value::as_u64);
            let letters = codes.filter_map(|code| u8::try_from(code).ok().map(char::from));
            http::json(200, &json!({"content": letters.collect::<String>()}))
        }
        "/apply-template" => http::json(200, &json!({"prompt": "<|im_start|>user"})),
        "/embedding" => {
            let all = texts(call.get("content"));
            let each = all.iter().enumerate().map(|(index, text)| {
                json!({"index": index, "embedding": [generate::embedding(text, 8)]})
            });
            http::json(200, &Value::Array(each.collect()))
        }
        _ => return None,
    })
}

/// The body of a request as it would be for `/v1/completions`.
pub(super) fn as_completion(body: &Value) -> Value {
    let mut body = body.clone();
    let prompt = body
        .get("prompt")
        .or_else(|| body.get("input_prefix"))
        .cloned();
    let limit = body.get("n_predict").cloned();
    if let Some(members) = body.as_object_mut() {
        members.extend(prompt.map(|prompt| ("prompt".to_owned(), prompt)));
        members.extend(limit.map(|limit| ("max_tokens".to_owned(), limit)));
    }
    body
}

// === impl NativeAnswer ===

impl NativeAnswer {
    pub(super) fn new(model: &str, prompt_tokens: u64) -> Self {
        Self {
            model: model.to_owned(),
            prompt_tokens,
            predicted: 0,
        }
    }

    fn last(&self, content: &str, totals: &Totals) -> Value {
        json!({
            "index": 0, "content": content, "tokens": [], "id_slot": 0, "stop": true, "model": self.model,
            "tokens_predicted": totals.completion_tokens, "tokens_evaluated": totals.prompt_tokens,
            "generation_settings": {}, "prompt": "", "has_new_line": false, "truncated": false,
            "stop_type": if totals.finish == "length" { "limit" } else { "eos" }, "stopping_word": "",
            "tokens_cached": totals.prompt_tokens + totals.completion_tokens, "timings": llama_timings(totals),
        })
    }
}

impl Encode for NativeAnswer {
    fn framing(&self) -> Framing {
        Framing::Sse
    }

    fn open(&mut self) -> Vec<String> {
        Vec::new()
    }

    fn piece(&mut self, piece: &Piece) -> Vec<String> {
        self.predicted += 1;
        let text = match piece {
            Piece::Text(text) | Piece::Thinking(text) => text.clone(),
            Piece::Call(call) => call.arguments.to_string(),
        };
        let event = json!({
            "index": 0, "content": text, "tokens": [1], "stop": false, "id_slot": 0,
            "tokens_predicted": self.predicted, "tokens_evaluated": self.prompt_tokens,
        });
        vec![event.to_string()]
    }

    fn close(&mut self, totals: &Totals) -> Vec<String> {
        vec![self.last("", totals).to_string()]
    }

    fn error(&mut self, message: &str) -> Vec<String> {
        let error = json!({"code": 500, "message": message, "type": "server_error"});
        vec![json!({"error": error}).to_string()]
    }

    fn whole(&mut self, answer: &Answer, totals: &Totals) -> Value {
        let (_, text, _) = joined(answer);
        self.last(&text, totals)
    }

    fn failed(&self, message: &str) -> Reply {
        error(500, "server_error", message)
    }
}

//! Paths that only llama.cpp's server has (b11434, tools/server/server-context.cpp `post_completions`,
//! `post_infill`, `post_tokenize`, `post_detokenize`, `post_apply_template`).

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Server, error, texts};
use crate::generate;
use crate::http::{self, Call, Reply};
use crate::sim::Core;

/// `None` for a path that is none of these.
pub(super) async fn handle(
    core: &Arc<Core>,
    server: &Server,
    call: &Call,
    path: &str,
) -> Option<Reply> {
    let text = |key: &str| call.get(key).and_then(Value::as_str).unwrap_or_default();
    Some(match path {
        "/completion" => completion(core, server, call, text("prompt")).await,
        "/infill" if call.get("input_prefix").is_none() || call.get("input_suffix").is_none() => {
            error(400, "invalid_request_error", "\"input_prefix\" is required")
        }
        "/infill" => completion(core, server, call, text("input_prefix")).await,
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

async fn completion(core: &Arc<Core>, server: &Server, call: &Call, prompt: &str) -> Reply {
    let Ok(_slot) = Arc::clone(&server.slots).acquire_owned().await else {
        return error(500, "server_error", "no slot");
    };
    let model = call.get("model").cloned().unwrap_or_default();
    let whole = json!({"content": "all", "stop": true, "model": model, "prompt": prompt,
        "tokens_predicted": 1, "tokens_evaluated": 2});
    let time = core.options.prefill_time(2);
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
    if !call.wants_stream() {
        return http::json(200, &whole);
    }
    let piece = json!({"content": "all", "stop": false});
    let last = json!({"content": "", "stop": true, "model": model});
    http::full(
        200,
        "text/event-stream",
        format!("data: {piece}\n\ndata: {last}\n\n"),
    )
}

//! Faults that answer instead of the engine.

use std::time::Duration;

use serde_json::{Value, json};

use crate::faults::{Fault, FaultKind};
use crate::http::{self, Call, Reply};
use crate::options::EngineKind;
use crate::sim::Core;
use crate::ticket::Ticket;
use crate::wire::encode::Framing;

/// Ollama 0.33.0-rc2, server/sched.go `ErrMaxQueue` (two spaces).
pub(crate) const BUSY: &str = "server busy, please try again.  maximum pending requests exceeded";

/// Whether the request asks for an answer (not a listing, a load or an unload).
pub(crate) fn is_inference(call: &Call) -> bool {
    let filled = |key: &str| match call.get(key) {
        Some(Value::String(text)) => !text.is_empty(),
        Some(Value::Array(list)) => !list.is_empty(),
        _ => false,
    };
    match call.path.as_str() {
        "/api/chat" => filled("messages"),
        "/api/generate" => filled("prompt"),
        "/api/embed" => filled("input"),
        path => {
            call.method == "POST"
                && [
                    "/chat/completions",
                    "/completions",
                    "/completion",
                    "/infill",
                    "/embeddings",
                    "/rerank",
                    "/responses",
                    "/messages",
                ]
                .iter()
                .any(|end| path.ends_with(end))
        }
    }
}

/// The framing that the path streams in.
fn framing(call: &Call) -> Framing {
    if call.path.starts_with("/api/chat") || call.path.starts_with("/api/generate") {
        Framing::Ndjson
    } else {
        Framing::Sse
    }
}

/// An error object in the engine's own form.
fn own_error(core: &Core, call: &Call, status: u16, message: &str) -> Value {
    match core.options.kind {
        EngineKind::Ollama if call.path.starts_with("/api/") => json!({"error": message}),
        EngineKind::Ollama => {
            json!({"error": {"message": message, "type": "api_error", "param": null, "code": null}})
        }
        EngineKind::LmStudio => json!({"error": {"type": "internal_error", "message": message}}),
        EngineKind::OpenAi => {
            json!({"error": {"code": status, "message": message, "type": "server_error"}})
        }
    }
}

/// A fault's reply, if one is armed for this request.
pub(crate) async fn reply(core: &Core, call: &Call) -> Option<Reply> {
    let fault = core
        .faults
        .take_early(&call.path, is_inference(call), &call.body)?;
    core.log.fault(call.seq, &fault.kind.name());
    let model = call
        .get("model")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let mut ticket = Ticket::new(&core.log, call.seq, model);
    delayed(&fault).await;
    ticket.close();
    (fault.kind != FaultKind::SlowHeaders).then(|| failed(core, call, &fault, model))
}

/// Passes the time of a fault before its first byte.
async fn delayed(fault: &Fault) {
    let time = match fault.kind {
        FaultKind::NoHeaders => std::future::pending().await,
        // Its delay is what the client is told.
        FaultKind::Http429 => None,
        FaultKind::SlowHeaders => Some(fault.delay_ms.unwrap_or(1000)),
        _ => fault.delay_ms,
    };
    if let Some(time) = time {
        tokio::time::sleep(Duration::from_millis(time)).await;
    }
}

fn failed(core: &Core, call: &Call, fault: &Fault, model: &str) -> Reply {
    let words = fault.text.as_deref().unwrap_or("the engine failed");
    match fault.kind {
        FaultKind::Http500 => http::json(500, &own_error(core, call, 500, words)),
        FaultKind::Http503 => http::json(503, &own_error(core, call, 503, BUSY)),
        FaultKind::Http429 => {
            let seconds = fault.delay_ms.map_or(1, |ms| ms.div_ceil(1000));
            let reply = http::json(429, &own_error(core, call, 429, "too many requests"));
            http::with_header(reply, "retry-after", &seconds.to_string())
        }
        FaultKind::Redirect => {
            let reply = http::text(302, "");
            http::with_header(reply, "location", "http://127.0.0.1:9/elsewhere")
        }
        FaultKind::Html => http::full(
            200,
            "text/html",
            "<!doctype html><title>Welcome</title><h1>It works!</h1>",
        ),
        // LM Studio 0.4.x: its own failures come as 400 with a bare string.
        FaultKind::BareError => {
            let own = "Engine protocol predict stream returned an error: {code:500}";
            let text = fault.text.as_deref().unwrap_or(own);
            http::json(400, &json!({"error": text}))
        }
        FaultKind::Error200 if is_streamed(call) => {
            let error = own_error(core, call, 200, words).to_string();
            let body = framing(call).frame(&error);
            http::full(200, framing(call).content_type(), body)
        }
        FaultKind::Error200 | FaultKind::Json200 => {
            http::json(200, &own_error(core, call, 200, words))
        }
        FaultKind::Bare200 => http::json(200, &json!({"error": words})),
        // LM Studio (bt#2339): a 200 stream with zero deltas.
        _ if is_streamed(call) => {
            let body = match framing(call) {
                Framing::Ndjson => String::new(),
                Framing::Sse => Framing::Sse.frame("[DONE]"),
            };
            http::full(200, framing(call).content_type(), body)
        }
        _ => http::json(
            200,
            &json!({"object": "chat.completion", "model": model, "choices": []}),
        ),
    }
}

/// Whether the answer is a stream: Ollama's native routes stream unless they are told not to.
fn is_streamed(call: &Call) -> bool {
    let native = framing(call) == Framing::Ndjson;
    let asked = call.get("stream").and_then(Value::as_bool);
    asked.unwrap_or(native)
}

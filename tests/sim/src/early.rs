//! Faults that answer instead of the engine.

use std::time::Duration;

use serde_json::{Value, json};

use crate::faults::FaultKind;
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
    match fault.kind {
        FaultKind::NoHeaders => std::future::pending::<()>().await,
        FaultKind::Http429 => {}
        FaultKind::SlowHeaders => {
            tokio::time::sleep(Duration::from_millis(fault.delay_ms.unwrap_or(1000))).await;
        }
        _ => {
            if let Some(delay) = fault.delay_ms {
                tokio::time::sleep(Duration::from_millis(delay)).await;
            }
        }
    }
    ticket.close();
    // Ollama's native routes stream unless they are told not to.
    let native = framing(call) == Framing::Ndjson;
    let streamed = call
        .get("stream")
        .and_then(Value::as_bool)
        .unwrap_or(native);
    let failed = fault.text.as_deref().unwrap_or("the engine failed");
    Some(match fault.kind {
        FaultKind::SlowHeaders => return None,
        FaultKind::Http500 => http::json(500, &own_error(core, call, 500, failed)),
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
        FaultKind::Error200 => {
            let error = own_error(core, call, 200, failed);
            if streamed {
                let body = framing(call).frame(&error.to_string());
                http::full(200, framing(call).content_type(), body)
            } else {
                http::json(200, &error)
            }
        }
        FaultKind::Json200 => http::json(200, &own_error(core, call, 200, failed)),
        FaultKind::Bare200 => http::json(200, &json!({"error": failed})),
        // LM Studio (bt#2339): a 200 stream with zero deltas.
        _ if streamed => {
            let body = if native {
                String::new()
            } else {
                Framing::Sse.frame("[DONE]")
            };
            http::full(200, framing(call).content_type(), body)
        }
        _ => http::json(
            200,
            &json!({"object": "chat.completion", "model": model, "choices": []}),
        ),
    })
}

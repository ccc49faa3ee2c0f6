//! The fake model server: OpenAI's and Ollama's shapes, single-threaded, on loopback.

use std::{collections::BTreeMap, convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context;
use bytes::Bytes;
use futures_util::stream;
use http::{Method, Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    body::{Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    time::{Instant, sleep_until},
};
use tokio_util::task::TaskTracker;

use crate::shape::{MODELS, Shape, now_ns};

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Filler of each chunk, so that it has the size of a real one.
const FILLER: &str = "lorem ipsum";

/// Models that are loaded, with their context.
type Loaded = Arc<Mutex<BTreeMap<String, u64>>>;

/// The fields of a request that decide anything here.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Ask {
    model: String,
    stream: Option<bool>,
    keep_alive: Option<Value>,
    options: Options,
    stream_options: StreamOptions,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Options {
    num_ctx: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct StreamOptions {
    include_usage: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wire {
    OpenAi { usage: bool },
    Ollama,
}

/// Serves until killed; prints its address first.
pub(crate) async fn serve() -> anyhow::Result<()> {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let connections = TaskTracker::new();
    let loaded = Loaded::default();
    loop {
        let (socket, _) = listener.accept().await.context("accept")?;
        socket.set_nodelay(true)?;
        let loaded = Arc::clone(&loaded);
        connections.spawn(async move {
            let service = service_fn(move |request| answer(request, Arc::clone(&loaded)));
            // A client that leaves is no event here.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(socket), service)
                .await;
        });
    }
}

async fn answer(request: Request<Incoming>, loaded: Loaded) -> Result<Response<Body>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body
        .collect()
        .await
        .map(http_body_util::Collected::to_bytes)
        .unwrap_or_default();
    let ask: Ask = serde_json::from_slice(&body).unwrap_or_default();
    let path = head.uri.path();
    Ok(match (&head.method, path) {
        (&Method::POST, "/v1/chat/completions") => {
            let wire = Wire::OpenAi {
                usage: ask.stream_options.include_usage,
            };
            chat(&ask, wire, ask.stream.unwrap_or(false))
        }
        (&Method::POST, "/api/chat") => chat(&ask, Wire::Ollama, ask.stream.unwrap_or(true)),
        (&Method::POST, "/api/generate") => preload(&ask, &loaded),
        (&Method::POST, "/api/show") => whole(&json!({
            "details": {"format": "gguf", "family": "llama"},
            "model_info": {"general.architecture": "llama", "llama.context_length": 131_072},
            "capabilities": ["completion"],
        })),
        (&Method::GET, "/v1/models") => whole(&json!({
            "object": "list",
            "data": MODELS.map(|id| json!({"id": id, "object": "model", "created": 0, "owned_by": "bench"})),
        })),
        (&Method::GET, "/api/tags") => whole(&json!({"models": MODELS.map(tag)})),
        (&Method::GET, "/api/ps") => {
            let loaded = loaded.lock();
            let models: Vec<Value> = loaded
                .iter()
                .map(|(name, context)| {
                    let mut entry = tag(name);
                    entry["context_length"] = json!(context);
                    entry["size_vram"] = json!(0);
                    entry["expires_at"] = json!("2318-01-01T00:00:00Z");
                    entry
                })
                .collect();
            whole(&json!({ "models": models }))
        }
        (&Method::GET, "/api/version") => whole(&json!({"version": "0.33.0"})),
        (&Method::GET | &Method::HEAD, "/" | "/health") => whole(&json!({"status": "ok"})),
        _ => {
            let mut response =
                whole(&json!({"error": {"message": format!("no such path: {path}")}}));
            *response.status_mut() = StatusCode::NOT_FOUND;
            response
        }
    })
}

fn tag(name: &str) -> Value {
    json!({
        "name": name, "model": name, "size": 1_000_000_000_u64, "digest": "0".repeat(64),
        "modified_at": "2026-01-01T00:00:00Z",
        "details": {"format": "gguf", "family": "llama", "parameter_size": "1B", "quantization_level": "Q4_K_M"},
    })
}

/// An empty prompt loads; `keep_alive` 0 unloads.
fn preload(ask: &Ask, loaded: &Loaded) -> Response<Body> {
    let mut loaded = loaded.lock();
    let unload = matches!(&ask.keep_alive, Some(v) if *v == json!(0) || *v == json!("0"));
    if unload {
        loaded.remove(&ask.model);
    } else {
        loaded.insert(ask.model.clone(), ask.options.num_ctx.unwrap_or(4096));
    }
    whole(&json!({
        "model": ask.model, "created_at": "2026-01-01T00:00:00Z", "response": "", "done": true,
        "done_reason": if unload { "unload" } else { "load" },
    }))
}

fn chat(ask: &Ask, wire: Wire, stream: bool) -> Response<Body> {
    let Ok(shape) = ask.model.parse::<Shape>() else {
        let mut response = whole(&json!({"error": {"message": "no such model"}}));
        *response.status_mut() = StatusCode::NOT_FOUND;
        return response;
    };
    if stream {
        return streamed(ask.model.clone(), shape, wire);
    }
    let message = json!({"role": "assistant", "content": FILLER.repeat(20)});
    whole(&match wire {
        Wire::OpenAi { .. } => json!({
            "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": ask.model,
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 500, "completion_tokens": 40, "total_tokens": 540},
        }),
        Wire::Ollama => json!({
            "model": ask.model, "created_at": "2026-01-01T00:00:00Z", "message": message,
            "done": true, "done_reason": "stop", "total_duration": 1, "load_duration": 1,
            "prompt_eval_count": 500, "prompt_eval_duration": 1, "eval_count": 40, "eval_duration": 1,
        }),
    })
}

/// The chunks, each in a write of its own and stamped when it is made, then the end.
fn streamed(model: String, shape: Shape, wire: Wire) -> Response<Body> {
    let start = Instant::now();
    let frames = stream::unfold(0_usize, move |index| {
        let model = model.clone();
        async move {
            if index > shape.chunks {
                return None;
            }
            if index > 0 && index < shape.chunks && shape.interval > Duration::ZERO {
                sleep_until(start + shape.interval * u32::try_from(index).unwrap_or(u32::MAX))
                    .await;
            } else if index > 0 {
                // Without it the connection would join many chunks into one write.
                tokio::task::yield_now().await;
            }
            let text = if index < shape.chunks {
                wire.chunk(&model)
            } else {
                wire.end(&model, shape.chunks)
            };
            Some((
                Ok::<_, Infallible>(Frame::data(Bytes::from(text))),
                index + 1,
            ))
        }
    });
    respond(wire.content_type(), StreamBody::new(frames).boxed_unsync())
}

fn whole(value: &Value) -> Response<Body> {
    respond(
        "application/json",
        Full::new(Bytes::from(value.to_string())).boxed_unsync(),
    )
}

fn respond(content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    response
        .headers_mut()
        .insert(CONTENT_TYPE, http::HeaderValue::from_static(content_type));
    response
}

// === impl Wire ===

impl Wire {
    const fn content_type(self) -> &'static str {
        match self {
            Self::OpenAi { .. } => "text/event-stream",
            Self::Ollama => "application/x-ndjson",
        }
    }

    fn chunk(self, model: &str) -> String {
        let now = now_ns();
        match self {
            Self::OpenAi { .. } => format!(
                "data: {{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1,\
                 \"model\":\"{model}\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\
                 \"@{now}@ {FILLER}\"}},\"finish_reason\":null}}]}}\n\n"
            ),
            Self::Ollama => format!(
                "{{\"model\":\"{model}\",\"created_at\":\"2026-01-01T00:00:00.000000Z\",\
                 \"message\":{{\"role\":\"assistant\",\"content\":\"@{now}@ {FILLER}\"}},\
                 \"done\":false}}\n"
            ),
        }
    }

    fn end(self, model: &str, chunks: usize) -> String {
        match self {
            Self::OpenAi { usage } => {
                let head = format!(
                    "data: {{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\
                     \"created\":1,\"model\":\"{model}\",\"choices\":["
                );
                let usage = if usage {
                    format!(
                        "{head}],\"usage\":{{\"prompt_tokens\":500,\"completion_tokens\":{chunks},\
                         \"total_tokens\":{}}}}}\n\n",
                        500 + chunks
                    )
                } else {
                    String::new()
                };
                format!(
                    "{head}{{\"index\":0,\"delta\":{{}},\"finish_reason\":\"stop\"}}]}}\n\n\
                     {usage}data: [DONE]\n\n"
                )
            }
            Self::Ollama => format!(
                "{{\"model\":\"{model}\",\"created_at\":\"2026-01-01T00:00:00.000000Z\",\
                 \"message\":{{\"role\":\"assistant\",\"content\":\"\"}},\"done\":true,\
                 \"done_reason\":\"stop\",\"total_duration\":1,\"load_duration\":1,\
                 \"prompt_eval_count\":500,\"prompt_eval_duration\":1,\"eval_count\":{chunks},\
                 \"eval_duration\":1}}\n"
            ),
        }
    }
}

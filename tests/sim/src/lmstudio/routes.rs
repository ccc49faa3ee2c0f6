//! Paths. LM Studio 0.4.25: an unknown path or method is answered 200 with an error body.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::http::{self, Call, Reply};
use crate::lmstudio::{chat, embed, listing, load};
use crate::sim::Core;

/// The documented error object.
pub(crate) fn error(status: u16, kind: &str, message: &str, code: Option<&str>) -> Reply {
    let mut body = json!({"type": kind, "message": message});
    if let (Some(code), Some(body)) = (code, body.as_object_mut()) {
        body.insert("code".to_owned(), Value::from(code));
    }
    http::json(status, &json!({"error": body}))
}

/// bt#1323, bt#2085: "Returning 200 anyway".
fn unexpected(call: &Call) -> Reply {
    let text = format!(
        "Unexpected endpoint or method. ({} {})",
        call.method, call.path
    );
    http::json(200, &json!({"error": text}))
}

pub(crate) async fn handle(core: &Arc<Core>, call: &Call) -> Reply {
    let path = call.path.as_str();
    if core.options.token.is_some() && call.token() != core.options.token.as_deref() {
        let text = "Invalid API key or missing Authorization header";
        return error(401, "invalid_request", text, Some("invalid_api_key"));
    }
    if path.starts_with("/api/v1/") && !core.options.v1 {
        return unexpected(call);
    }
    match (call.method.as_str(), path) {
        ("GET", "/lmstudio-greeting") => http::json(200, &json!({"lmstudio": true})),
        ("GET", "/v1/models") => listing::openai(core),
        ("GET", "/api/v0/models") => listing::v0(core),
        ("GET", "/api/v1/models") => listing::v1(core),
        ("POST", "/api/v1/models/load") => load::load(core, call).await,
        ("POST", "/api/v1/models/unload") => load::unload(core, call),
        ("POST", "/v1/chat/completions" | "/api/v0/chat/completions") => {
            chat::generation(core, call, true).await
        }
        ("POST", "/v1/completions" | "/api/v0/completions") => {
            chat::generation(core, call, false).await
        }
        ("POST", "/v1/embeddings" | "/api/v0/embeddings") => embed::embeddings(core, call).await,
        ("GET", path) => path
            .strip_prefix("/api/v0/models/")
            .and_then(|id| listing::v0_one(core, id))
            .unwrap_or_else(|| unexpected(call)),
        _ => unexpected(call),
    }
}

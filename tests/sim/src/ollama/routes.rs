//! Paths. Ollama 0.33.0-rc2, server/routes.go `GenerateRoutes`: an unknown path is a plain-text
//! 404, a wrong method a plain 405.

use std::sync::Arc;

use serde_json::json;

use crate::http::{self, Call, Reply};
use crate::ollama::order::Route;
use crate::ollama::{admitted, catalog, embed, generation, manage};
use crate::sim::Core;

const POSTS: [&str; 12] = [
    "/api/copy",
    "/api/create",
    "/api/pull",
    "/api/delete",
    "/api/chat",
    "/api/generate",
    "/api/embed",
    "/api/embeddings",
    "/api/show",
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/embeddings",
];
const GETS: [&str; 5] = ["/", "/api/version", "/api/tags", "/api/ps", "/v1/models"];

pub(crate) async fn handle(core: &Arc<Core>, call: &Call) -> Reply {
    if let Some(refusal) = admitted::refusal(call) {
        return refusal;
    }
    if call.method == "POST"
        && let Some(route) = Route::of(&call.path)
    {
        return generation::handle(core, call, route).await;
    }
    match (call.method.as_str(), call.path.as_str()) {
        ("GET" | "HEAD", "/") => http::text(200, "Ollama is running"),
        ("GET" | "HEAD", "/api/version") => {
            http::json(200, &json!({"version": core.options.version}))
        }
        ("GET" | "HEAD", "/api/tags") => catalog::tags(core),
        ("GET", "/api/ps") => catalog::ps(core),
        ("GET", "/v1/models") => catalog::openai(core),
        ("POST", "/api/show") => catalog::show(core, call),
        ("POST", "/api/copy") => manage::copy(core, call),
        ("POST", "/api/create") => manage::create(core, call),
        ("POST", "/api/pull") => manage::pull(core, call),
        ("DELETE", "/api/delete") => manage::delete(core, call),
        ("POST", "/api/embed" | "/api/embeddings" | "/v1/embeddings") => {
            embed::handle(core, call).await
        }
        ("GET", path) if path.starts_with("/v1/models/") => catalog::model(core, path),
        (_, path) if POSTS.contains(&path) || GETS.contains(&path) => {
            http::text(405, "405 method not allowed")
        }
        _ => http::text(404, "404 page not found"),
    }
}

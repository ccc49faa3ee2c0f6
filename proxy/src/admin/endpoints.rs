//! The list of served paths, for the errors of requests that ask for another one.

use std::sync::Arc;

use axum::{extract::Request, response::Response};
use http::Method;

use super::refused;
use crate::{
    error::{Error, ErrorKind},
    reply::{printable, refuse},
    request::ActiveRequest,
};

/// A served path with its method.
struct Endpoint {
    method: &'static str,
    path: &'static str,
}

const fn get(path: &'static str) -> Endpoint {
    Endpoint {
        method: "GET",
        path,
    }
}

const fn post(path: &'static str) -> Endpoint {
    Endpoint {
        method: "POST",
        path,
    }
}

/// The paths of the main listener, in the order in which they are listed.
const ENDPOINTS: [Endpoint; 30] = [
    post("/v1/chat/completions"),
    post("/v1/completions"),
    post("/v1/responses"),
    post("/v1/messages"),
    post("/v1/messages/count_tokens"),
    post("/v1/embeddings"),
    post("/v1/rerank"),
    post("/api/chat"),
    post("/api/generate"),
    post("/api/embed"),
    post("/api/embeddings"),
    post("/api/v0/chat/completions"),
    post("/api/v0/completions"),
    get("/v1/models"),
    get("/api/tags"),
    post("/api/show"),
    get("/api/ps"),
    get("/api/version"),
    get("/api/v0/models"),
    get("/api/v1/models"),
    get("/healthz"),
    get("/readyz"),
    get("/metrics"),
    get("/crucible/state"),
    get("/crucible/events"),
    get("/crucible/tunings"),
    post("/crucible/explain"),
    post("/crucible/inspect"),
    get("/crucible/inspect"),
    get("/"),
];

/// The message for a path that is not served.
fn unknown(path: &str) -> String {
    let shown = printable(path);
    if ENDPOINTS.iter().any(|endpoint| endpoint.path == path) {
        return format!("{shown} is not served here, but at an address of `listen`");
    }
    let known = ENDPOINTS.iter().map(|endpoint| endpoint.path);
    let near = crucible_config::nearest(path, known).filter(|near| *near != "/");
    let near = near.map_or_else(|| ".".to_owned(), |near| format!("; did you mean {near}?"));
    format!("there is no {shown}{near} There are: {}", all())
}

/// The message for a method that a path does not take.
fn method_message(method: &Method, path: &str) -> String {
    let shown = printable(path);
    let lists = ["/v1/models", "/api/v0/models", "/api/v1/models"];
    let is_below = |list: &&str| {
        path.strip_prefix(*list)
            .is_some_and(|rest| rest.starts_with('/'))
    };
    let base = lists.into_iter().find(is_below).unwrap_or(path);
    let mut known = ENDPOINTS.iter().filter(|endpoint| endpoint.path == base);
    let method = printable(method.as_str());
    match known.next() {
        Some(endpoint) => format!("{shown} takes {}, not {method}", endpoint.method),
        None => format!("{method} is not a method of {shown}"),
    }
}

/// All served paths as one text: `POST /v1/chat/completions, GET /v1/models, ...`.
pub(crate) fn all() -> String {
    let each = ENDPOINTS.iter().map(|e| format!("{} {}", e.method, e.path));
    each.collect::<Vec<_>>().join(", ")
}

/// Notes the path for the line of the request in the log, which has none of those that are served.
fn note_path(request: &Request) {
    if let Some(active) = request.extensions().get::<Arc<ActiveRequest>>() {
        let path = printable(request.uri().path()).into();
        active.note(|record| record.unknown_path = Some(path));
    }
}

/// The handler of every path that is not served.
pub(crate) async fn unknown_path(request: Request) -> Response {
    let path = request.uri().path();
    note_path(&request);
    let message = match refused::words(path, request.headers()) {
        Some(words) => format!("{} is not served: {words}", printable(path)),
        None => unknown(path),
    };
    refuse(Error::new(ErrorKind::UnknownEndpoint, message))
}

/// The handler of every served path that is asked with another method.
pub(crate) async fn wrong_method(request: Request) -> Response {
    let path = request.uri().path();
    note_path(&request);
    if let Some(words) = refused::words(path, request.headers()) {
        let message = format!("{} is not served so: {words}", printable(path));
        return refuse(Error::new(ErrorKind::UnknownEndpoint, message));
    }
    let message = method_message(request.method(), path);
    refuse(Error::new(ErrorKind::MethodNotAllowed, message))
}

/// The handler of every path below `/v1/responses`, which OpenAI has for responses that it stores.
pub(crate) async fn stored_response(request: Request) -> Response {
    refuse(Error::new(
        ErrorKind::UnknownEndpoint,
        stored_message(request.uri().path()),
    ))
}

/// The message for a path below `/v1/responses`.
fn stored_message(path: &str) -> String {
    let shown = printable(path);
    match path.rsplit('/').next() {
        Some("compact") => format!(
            "{shown} is not served: ask for a summary of the conversation with POST /v1/responses, and \
             go on with it as input"
        ),
        Some("input_tokens") => format!(
            "{shown} is not served: POST /v1/responses with max_output_tokens 1 counts the tokens of \
             its input in `usage`"
        ),
        _ => format!(
            "{shown} is not there: Crucible stores no responses, so that there is none to read, cancel \
             or delete; keep what POST /v1/responses answers"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_for_what_is_not_there_is_told_what_is() {
        for (path, parts) in [
            (
                "/v1/chat/completion",
                &["there is no /v1/chat/completion; did you mean /v1/chat/completions?"][..],
            ),
            ("/healthy", &["did you mean /healthz?"]),
            ("/crucible/stats", &["did you mean /crucible/state?"]),
            (
                "/qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq",
                &["qqqq. There are: POST /v1/chat/completions, POST /v1/completions, "],
            ),
            (
                "/v1/messages/batches",
                &["there is no /v1/messages/batches", "POST /v1/messages, "],
            ),
            ("/api/v0/modles", &["did you mean /api/v0/models?"]),
            ("/api/chats", &["did you mean /api/chat?"]),
            (
                "/v1/models",
                &["not served here, but at an address of `listen`"],
            ),
        ] {
            for part in parts {
                assert!(unknown(path).contains(part), "{path}: {}", unknown(path));
            }
        }
    }

    #[test]
    fn what_is_stored_elsewhere_is_told_to_be_nowhere() {
        for (path, part) in [
            ("/v1/responses/resp_1", "stores no responses"),
            ("/v1/responses/resp_1/cancel", "stores no responses"),
            ("/v1/responses/compact", "summary"),
            ("/v1/responses/input_tokens", "max_output_tokens 1"),
        ] {
            let told = stored_message(path);
            assert!(told.starts_with(path) && told.contains(part), "{told}");
        }
    }

    #[test]
    fn a_wrong_method_is_told_with_the_right_one() {
        for (method, path, expected) in [
            (Method::GET, "/v1/chat/completions", "takes POST, not GET"),
            (Method::POST, "/v1/models", "takes GET, not POST"),
            (Method::PUT, "/v1/models/a/b", "takes GET, not PUT"),
            (Method::GET, "/crucible/explain", "takes POST, not GET"),
        ] {
            let told = method_message(&method, path);
            assert!(told.contains(expected), "{told}");
        }
    }
}

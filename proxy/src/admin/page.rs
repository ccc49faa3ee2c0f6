//! `GET /`: the live page for a browser, one line for curl; `GET /crucible/page/FILE`: the page's parts.
//!
//! The page is static and holds nothing of this instance, so it and its parts need no key: its script asks for
//! one where there are keys, and reads `/crucible/events`, `/crucible/tunings` and `/v1/models` with it. Nothing is
//! loaded from elsewhere, and the page may not be framed.

use axum::{
    extract::{Path, State},
    response::Response,
};
use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::{
    admin::endpoints,
    error::{Error, ErrorKind},
    reply::{self, printable},
    state::AppState,
};

/// The page; `PROMPTS` says whether it has the prompt box.
const PAGE: &str = include_str!("page/index.html");

/// The parts of the page: name, media type, text.
const PARTS: [(&str, &str, &str); 12] = [
    (
        "style.css",
        "text/css; charset=utf-8",
        include_str!("page/style.css"),
    ),
    ("main.js", SCRIPT, include_str!("page/main.js")),
    ("stream.js", SCRIPT, include_str!("page/stream.js")),
    ("state.js", SCRIPT, include_str!("page/state.js")),
    ("entries.js", SCRIPT, include_str!("page/entries.js")),
    ("rates.js", SCRIPT, include_str!("page/rates.js")),
    ("timeline.js", SCRIPT, include_str!("page/timeline.js")),
    ("settings.js", SCRIPT, include_str!("page/settings.js")),
    ("ask.js", SCRIPT, include_str!("page/ask.js")),
    ("inspector.js", SCRIPT, include_str!("page/inspector.js")),
    ("format.js", SCRIPT, include_str!("page/format.js")),
    ("dom.js", SCRIPT, include_str!("page/dom.js")),
];

const SCRIPT: &str = "text/javascript; charset=utf-8";

/// What a browser must know of the page: whence it may load, that nobody may frame it, that types are as they
/// are said, and that its address is nobody else's business.
const HEADERS: [(HeaderName, HeaderValue); 5] = [
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ),
    ),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    ),
    (
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    ),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
];

/// Answers `GET /` of the main listener.
pub(super) async fn page(State(app): State<AppState>, headers: HeaderMap) -> Response {
    answer(&app, &headers, "on")
}

/// Answers `GET /` of `metrics_listen`, where no prompt is answered.
pub(super) async fn page_without_prompts(
    State(app): State<AppState>,
    headers: HeaderMap,
) -> Response {
    answer(&app, &headers, "off")
}

fn answer(app: &AppState, headers: &HeaderMap, prompts: &str) -> Response {
    let wants_html = headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"));
    if wants_html {
        let page = PAGE.replacen("PROMPTS", prompts, 1);
        return guarded(reply::typed("text/html; charset=utf-8", page));
    }
    let view = app.router.view();
    let up = view.engines.iter().filter(|e| e.is_up()).count();
    reply::typed(
        "text/plain; charset=utf-8",
        format!(
            "Crucible {} is running; {up} of {} engines up; OpenAI API at /v1, metrics at /metrics; there are: {}\n",
            env!("CARGO_PKG_VERSION"),
            view.engines.len(),
            endpoints::all(),
        ),
    )
}

/// Answers `GET /crucible/page/FILE`.
pub(super) async fn part(Path(name): Path<String>) -> Response {
    match PARTS.iter().find(|(part, _, _)| *part == name) {
        Some((_, media_type, text)) => guarded(reply::typed(media_type, *text)),
        None => reply::refuse(Error::new(
            ErrorKind::UnknownEndpoint,
            format!("the page has no part {}", printable(&name)),
        )),
    }
}

fn guarded(mut response: Response) -> Response {
    response.headers_mut().extend(HEADERS);
    response
}

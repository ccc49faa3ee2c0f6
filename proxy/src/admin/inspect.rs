//! `/crucible/inspect`: the switch of the inspector, its list, and each kept request.
//!
//! Whoever reads it reads the prompts of others. So it is answered only to a program on this machine, by the address
//! at the other end of the connection, and never to a page of another origin; keys hold here as everywhere.

use axum::{
    Extension,
    extract::{Path, Request, State},
    response::Response,
};
use crucible_documents::inspector::InspectorSwitchDoc;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use serde::Serialize;
use std::time::Duration;

use crate::{
    body::decode,
    error::{Error, ErrorKind},
    reply::{self, or_refuse, printable},
    server::ClientPeer,
    state::AppState,
};

/// The most minutes for which the inspector may be on.
const MOST_MINUTES: f64 = 60.0;

/// The headers by which a proxy says that it asks for somebody else.
const FORWARDING: [&str; 9] = [
    "forwarded",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-forwarded-server",
    "x-real-ip",
    "cf-connecting-ip",
    "true-client-ip",
];

/// The header by which browsers say where the script that asks came from (Fetch Metadata).
static SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Reports whether the reader of this request may use the inspector: a program on this machine that asks for itself.
pub(super) fn is_here(peer: Option<&ClientPeer>, headers: &HeaderMap) -> bool {
    let is_forwarded = FORWARDING.iter().any(|name| headers.contains_key(*name));
    peer.is_some_and(ClientPeer::is_loopback) && !is_forwarded
}

/// Refuses who may not read prompts of others.
fn admit(peer: Option<&ClientPeer>, headers: &HeaderMap) -> Result<(), Error> {
    let closed = |message| Err(Error::new(ErrorKind::EndpointClosed, message));
    if !peer.is_some_and(ClientPeer::is_loopback) {
        return closed(
            "the inspector shows prompts, so it answers only programs on the machine of Crucible: ask it there, \
             at a loopback address such as http://127.0.0.1:8484 (`listen` needs one)",
        );
    }
    if !is_here(peer, headers) {
        return closed(
            "the inspector shows prompts, and this request comes through a proxy; ask Crucible directly, on its own \
             machine",
        );
    }
    if !is_same_origin(headers) {
        let message = "the inspector shows prompts, and no page of another origin may read them";
        return Err(Error::new(ErrorKind::OriginNotAllowed, message));
    }
    Ok(())
}

/// Whether no browser asks, or one for a page of Crucible itself.
fn is_same_origin(headers: &HeaderMap) -> bool {
    let text = |name| {
        headers
            .get(name)
            .and_then(|value: &HeaderValue| value.to_str().ok())
    };
    let site = text(&SEC_FETCH_SITE);
    if headers.contains_key(&SEC_FETCH_SITE) && !matches!(site, Some("same-origin" | "none")) {
        return false;
    }
    if !headers.contains_key(header::ORIGIN) {
        return true;
    }
    let origin = text(&header::ORIGIN).and_then(|origin| origin.split_once("://"));
    let host = text(&header::HOST);
    origin
        .zip(host)
        .is_some_and(|((_, origin), host)| origin.eq_ignore_ascii_case(host))
}

/// Answers `GET /crucible/inspect` with the state and the list.
pub(super) async fn list(
    State(app): State<AppState>,
    peer: Option<Extension<ClientPeer>>,
    headers: HeaderMap,
) -> Response {
    or_refuse(admit(peer.as_deref(), &headers).map(|()| document(&app.inspector.document())))
}

/// Answers `POST /crucible/inspect`: on for some minutes, or off.
pub(super) async fn switch(
    State(app): State<AppState>,
    peer: Option<Extension<ClientPeer>>,
    request: Request,
) -> Response {
    or_refuse(switched(&app, peer.as_deref(), request).await)
}

/// Answers `DELETE /crucible/inspect`: off.
pub(super) async fn off(
    State(app): State<AppState>,
    peer: Option<Extension<ClientPeer>>,
    headers: HeaderMap,
) -> Response {
    or_refuse(admit(peer.as_deref(), &headers).map(|()| switch_off(&app)))
}

/// Answers `GET /crucible/inspect/ID`.
pub(super) async fn one(
    State(app): State<AppState>,
    Path(id): Path<String>,
    peer: Option<Extension<ClientPeer>>,
    headers: HeaderMap,
) -> Response {
    if let Err(error) = admit(peer.as_deref(), &headers) {
        return reply::refuse(error);
    }
    // Its bodies may be large.
    let found = tokio::task::spawn_blocking(move || found(&app, &id)).await;
    let failed = |_| {
        Err(Error::new(
            ErrorKind::Internal,
            "the request could not be written",
        ))
    };
    or_refuse(found.unwrap_or_else(failed))
}

fn found(app: &AppState, id: &str) -> Result<Response, Error> {
    let list = app.inspector.document();
    let number = list.named(id).map(|row| row.number);
    let request = number.and_then(|number| app.inspector.request(number));
    if let Some(request) = request {
        return Ok(document(&request));
    }
    let message = if !list.on {
        "the inspector is off, and nothing is kept; `crucible inspect` switches it on".to_owned()
    } else if list.requests.is_empty() {
        "the inspector is on, and no request has come yet".to_owned()
    } else {
        format!(
            "no kept request, or more than one, is named '{}'; `crucible inspect list` names those that are kept",
            printable(id)
        )
    };
    Err(Error::new(ErrorKind::UnknownEndpoint, message))
}

async fn switched(
    app: &AppState,
    peer: Option<&ClientPeer>,
    request: Request,
) -> Result<Response, Error> {
    admit(peer, request.headers())?;
    let config = app.config.current();
    let (head, body) = request.into_parts();
    let body = decode::receive(&head.headers, body, &config).await?;
    let asked: InspectorSwitchDoc = serde_json::from_slice(&body).map_err(|error| {
        let message = format!("the body must be such as {{\"minutes\": 10}}: {error}");
        Error::new(ErrorKind::InvalidJson, message)
    })?;
    if !(0.0..=MOST_MINUTES).contains(&asked.minutes) {
        let message = format!(
            "minutes must be between 0 and {MOST_MINUTES}, not {}",
            asked.minutes
        );
        return Err(Error::new(ErrorKind::UnsupportedValue, message).param("minutes"));
    }
    if asked.minutes == 0.0 {
        return Ok(switch_off(app));
    }
    let period = Duration::from_secs_f64(asked.minutes * 60.0);
    app.inspector.switch_on(period);
    tracing::info!(
        seconds = period.as_secs(),
        "the inspector is on: the last requests are kept in memory, with their bodies"
    );
    Ok(document(&app.inspector.document()))
}

fn switch_off(app: &AppState) -> Response {
    app.inspector.switch_off();
    tracing::info!("the inspector is off, and everything that it kept is dropped");
    document(&app.inspector.document())
}

/// A document that no cache may keep.
fn document(document: &impl Serialize) -> Response {
    let mut response = reply::document(document);
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pages_of_crucible_itself_may_read() {
        let of = |pairs: &[(&'static str, &'static str)]| {
            let pairs = pairs.iter();
            let headers = pairs.map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            });
            is_same_origin(&headers.collect())
        };
        let host = ("host", "127.0.0.1:8484");
        assert!(of(&[host]));
        assert!(of(&[host, ("origin", "http://127.0.0.1:8484")]));
        assert!(of(&[host, ("sec-fetch-site", "same-origin")]));
        assert!(of(&[host, ("sec-fetch-site", "none")]));
        for other in [
            "http://127.0.0.1:3000",
            "http://localhost:8484",
            "null",
            "vscode-webview://x",
            "",
        ] {
            assert!(!of(&[host, ("origin", other)]), "{other}");
        }
        for site in ["cross-site", "same-site", ""] {
            assert!(!of(&[host, ("sec-fetch-site", site)]), "{site}");
        }
    }
}

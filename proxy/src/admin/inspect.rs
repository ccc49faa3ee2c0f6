//! `/crucible/inspect`: the switch of the inspector, its list, and each kept request.
//!
//! Whoever reads it reads the prompts of others. So it is answered only to a program on this machine, by the address
//! at the other end of the connection, that asks for this machine by a loopback name, and never to a page of another
//! origin, also not to one whose name was made to lead here (DNS rebinding); keys hold here as everywhere.

use axum::{
    Extension,
    extract::{Path, Request, State},
    response::Response,
};
use crucible_documents::inspector::InspectorSwitchDoc;
use http::{HeaderMap, HeaderName, HeaderValue, Uri, header, uri::Authority};
use serde::Serialize;
use std::{net::IpAddr, time::Duration};

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
const FORWARDING: [&str; 12] = [
    "cf-connecting-ip",
    "client-ip",
    "fastly-client-ip",
    "forwarded",
    "true-client-ip",
    "via",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-envoy-external-address",
    "x-forwarded",
    "x-original-host",
    "x-real-ip",
];

/// The beginnings of more such headers, of which proxies add many.
const FORWARDING_FAMILIES: [&str; 3] = ["tailscale-", "x-forwarded-", "x-original-forwarded-"];

/// The header by which browsers say where the script that asks came from (Fetch Metadata).
static SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Reports whether the reader of this request may use the inspector: a program on this machine that asks for itself,
/// at a loopback name.
pub(super) fn is_here(peer: Option<&ClientPeer>, uri: &Uri, headers: &HeaderMap) -> bool {
    peer.is_some_and(ClientPeer::is_loopback)
        && !is_forwarded(headers)
        && loopback_address(uri, headers).is_some()
}

fn is_forwarded(headers: &HeaderMap) -> bool {
    headers.keys().map(HeaderName::as_str).any(|name| {
        let is_of_family = |family: &&str| name.starts_with(*family);
        FORWARDING.contains(&name) || FORWARDING_FAMILIES.iter().any(is_of_family)
    })
}

/// Returns the address, with its port, at which the reader asks for this machine; `None` where the target or `Host`
/// names another host than a loopback one, or neither names any. A page that was made to lead here by its name's
/// address has that name as `Host`.
fn loopback_address(uri: &Uri, headers: &HeaderMap) -> Option<Authority> {
    let is_loopback = |authority: &Authority| {
        let host = authority.host().to_ascii_lowercase();
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        let name = host.strip_suffix('.').unwrap_or(&host);
        // A name of a user before the host is in no `Host`, and none may get into a command.
        if authority.as_str().contains('@') {
            return false;
        }
        name == "localhost"
            || name.ends_with(".localhost")
            || bare
                .unwrap_or(&host)
                .parse()
                .is_ok_and(|ip: IpAddr| ip.to_canonical().is_loopback())
    };
    let field = match headers.get(header::HOST) {
        Some(field) => Some(
            Authority::try_from(field.as_bytes())
                .ok()
                .filter(is_loopback)?,
        ),
        None => None,
    };
    let target = match uri.authority() {
        Some(target) => Some(Some(target.clone()).filter(is_loopback)?),
        None => None,
    };
    target.or(field)
}

/// Refuses who may not read prompts of others; returns the address at which Crucible was asked.
fn admit(peer: Option<&ClientPeer>, uri: &Uri, headers: &HeaderMap) -> Result<Authority, Error> {
    let closed = |message| Err(Error::new(ErrorKind::EndpointClosed, message));
    if !peer.is_some_and(ClientPeer::is_loopback) {
        return closed(
            "the inspector shows prompts, so it answers only programs on the machine of Crucible: ask it there, \
             at a loopback address such as http://127.0.0.1:8484 (`listen` needs one)",
        );
    }
    if is_forwarded(headers) {
        return closed(
            "the inspector shows prompts, and this request comes through a proxy; ask Crucible directly, on its own \
             machine",
        );
    }
    let Some(address) = loopback_address(uri, headers) else {
        return closed(
            "the inspector shows prompts, so it is asked only at a loopback name, which no page of another site can \
             have: ask http://127.0.0.1 or http://localhost, with the port of Crucible",
        );
    };
    if !is_same_origin(headers) {
        let message = "the inspector shows prompts, and no page of another origin may read them";
        return Err(Error::new(ErrorKind::OriginNotAllowed, message));
    }
    Ok(address)
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
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    or_refuse(admit(peer.as_deref(), &uri, &headers).map(|_| document(&app.inspector.document())))
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
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    or_refuse(admit(peer.as_deref(), &uri, &headers).map(|_| switch_off(&app)))
}

/// Answers `GET /crucible/inspect/ID`.
pub(super) async fn one(
    State(app): State<AppState>,
    Path(id): Path<String>,
    peer: Option<Extension<ClientPeer>>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let address = match admit(peer.as_deref(), &uri, &headers) {
        Ok(address) => address,
        Err(error) => return reply::refuse(error),
    };
    // Its bodies may be large.
    let found = tokio::task::spawn_blocking(move || found(&app, &id, &address)).await;
    let failed = |_| {
        Err(Error::new(
            ErrorKind::Internal,
            "the request could not be written",
        ))
    };
    or_refuse(found.unwrap_or_else(failed))
}

fn found(app: &AppState, id: &str, address: &Authority) -> Result<Response, Error> {
    let list = app.inspector.document();
    let number = list.named(id).map(|row| row.number);
    let request = number.and_then(|number| app.inspector.request(number, address.as_str()));
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
    admit(peer, request.uri(), request.headers())?;
    let config = app.config.current();
    let (head, body) = request.into_parts();
    let body = decode::receive(&head.headers, body, &config).await?;
    let wrong = |error: &dyn std::fmt::Display| {
        let message = format!("the body must be such as {{\"minutes\": 10}}: {error}");
        Error::new(ErrorKind::InvalidJson, message)
    };
    // A list would be read as the members of the object in their order.
    if body
        .trim_ascii_start()
        .first()
        .is_some_and(|first| *first != b'{')
    {
        return Err(wrong(&"it is no object"));
    }
    let asked: InspectorSwitchDoc = serde_json::from_slice(&body).map_err(|error| wrong(&error))?;
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
    fn only_loopback_names_are_answered() {
        let of = |target: &'static str, host: Option<&'static str>| {
            let host = host.map(|host| (header::HOST, HeaderValue::from_static(host)));
            let address = loopback_address(&Uri::from_static(target), &host.into_iter().collect());
            address.map(|address| address.to_string())
        };
        for host in [
            "127.0.0.1:8484",
            "127.1.2.3",
            "[::1]:8484",
            "localhost:9000",
            "LOCALHOST.",
            "crucible.localhost",
        ] {
            assert_eq!(of("/crucible/inspect", Some(host)).as_deref(), Some(host));
        }
        for host in [
            "x.local:18500",
            "x.internal",
            "evil.example.com",
            "192.168.1.2:8484",
            "localhost.evil.example.com",
            "notlocalhost",
            "127.0.0.1.evil.example.com",
            "evil.example.com@127.0.0.1",
            "",
        ] {
            assert_eq!(of("/crucible/inspect", Some(host)), None, "{host}");
        }
        assert_eq!(of("/crucible/inspect", None), None);
        let target = "http://127.0.0.1:8484/crucible/inspect";
        assert_eq!(of(target, Some("x.local")), None);
        assert_eq!(
            of("http://x.local/crucible/inspect", Some("127.0.0.1")),
            None
        );
        assert_eq!(of(target, None).as_deref(), Some("127.0.0.1:8484"));
    }

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

//! The judgement over a request's head: framing, Host, Origin and key, in one pure function.

use std::sync::Arc;

use crucible_config::{Config, checked::ClientKey};
use crucible_router::client::ClientId;
use http::{HeaderMap, Method, Uri, Version, header};

use super::{client, framing, host, keys, origin};
use crate::{
    error::{Error, ErrorKind},
    guard::OwnName,
};

/// The parts of a request's head that the judgement reads.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The method, for preflights and forms.
    pub method: &'a Method,
    /// The version of HTTP; 1.0 needs no `Host`.
    pub version: Version,
    /// The target as the client sent it.
    pub uri: &'a Uri,
    /// The headers as the client sent them.
    pub headers: &'a HeaderMap,
    /// The address at the other end of the connection, where it is known: that of a machine, in one form
    /// whichever of its forms the socket tells.
    pub peer: Option<&'a str>,
}

/// The client of a request that may pass.
#[derive(Clone, Debug, Default)]
pub struct AdmittedClient {
    /// The configured key that the request came with; `None` where no keys are configured, or the
    /// path needs none.
    pub key: Option<Arc<ClientKey>>,
    /// The identity by which queues and limits are shared.
    pub client: ClientId,
    /// The product of the User-Agent, for the event log; `None` where the client sends none.
    pub program: Option<Arc<str>>,
}

/// Judges the head of a request by `config`; `own` is the machine's own name.
///
/// A valid key lifts the Host rule, nothing lifts the Origin rule, and without a valid key a
/// foreign Host (403) is refused before the missing key (401).
pub fn judge(config: &Config, own: &OwnName, facts: Facts<'_>) -> Result<AdmittedClient, Error> {
    framing::judge(facts.headers)?;
    let requested = host::requested(facts.version, facts.uri, facts.headers)?;
    let key = if config.keys.is_empty() {
        None
    } else {
        keys::presented(facts.headers).and_then(|secret| keys::recognise(secret, &config.keys))
    };
    let foreign = |host: &&String| !host::allowed(host, own, &config.allowed_hosts);
    if key.is_none()
        && let Some(host) = requested.as_ref().filter(foreign)
    {
        return Err(Error::new(
            ErrorKind::HostNotAllowed,
            format!(
                "Host '{}' is not this machine; to allow it: allowed_hosts = [\"{}\"]",
                shorten(host),
                shorten(host)
            ),
        ));
    }
    judge_origin(config, facts)?;
    if key.is_none() && !config.keys.is_empty() && !is_open(facts) {
        let found = if keys::presented(facts.headers).is_some() {
            "the key is not one of the configured keys"
        } else {
            "no key was sent"
        };
        return Err(Error::new(
            ErrorKind::InvalidApiKey,
            format!(
                "{found}; send it as Authorization: Bearer, x-api-key or api-key (`crucible key new` \
                 makes one)"
            ),
        ));
    }
    let program = client::program(facts.headers);
    Ok(AdmittedClient {
        client: client::client(&program, facts.peer, key.as_deref()),
        program: (!program.is_empty()).then(|| Arc::from(&*program)),
        key,
    })
}

fn judge_origin(config: &Config, facts: Facts<'_>) -> Result<(), Error> {
    let Some(origin) = facts.headers.get(header::ORIGIN) else {
        return Ok(());
    };
    let origin = origin.to_str().unwrap_or_default();
    if !origin::origin_allowed(origin, &config.allowed_origins) {
        return Err(Error::new(
            ErrorKind::OriginNotAllowed,
            format!(
                "Origin '{}' may not use this server; to allow it: allowed_origins = [\"{}\"]",
                shorten(origin),
                shorten(origin)
            ),
        ));
    }
    // A form or text/plain POST needs no preflight, so a page could send it unasked.
    if *facts.method == Method::POST && !is_json(facts.headers) {
        return Err(Error::new(
            ErrorKind::OriginNotAllowed,
            "a request with an Origin must have Content-Type: application/json",
        ));
    }
    Ok(())
}

fn is_json(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| {
            let media = value.split(';').next().unwrap_or_default().trim();
            media.eq_ignore_ascii_case("application/json")
        })
}

/// Whether a browser asks for the live page, which is static and asks for a key itself.
fn asks_for_page(facts: Facts<'_>) -> bool {
    let accept = facts.headers.get(header::ACCEPT);
    let accept = accept.and_then(|accept| accept.to_str().ok());
    *facts.method == Method::GET && accept.is_some_and(|accept| accept.contains("text/html"))
}

/// Whether a request needs no key: health checks, the live page with its parts, and preflights, which cannot
/// carry one (Fetch, section 4.8).
fn is_open(facts: Facts<'_>) -> bool {
    if is_preflight(facts) {
        return true;
    }
    match facts.uri.path() {
        "/health" | "/healthz" | "/readyz" => true,
        "/" => *facts.method == Method::HEAD || asks_for_page(facts),
        path => path.starts_with("/crucible/page/"),
    }
}

fn is_preflight(facts: Facts<'_>) -> bool {
    *facts.method == Method::OPTIONS
        && facts.headers.contains_key(header::ORIGIN)
        && facts
            .headers
            .contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// A text of the client, bounded and without quotes and line ends, so that an error may echo it.
fn shorten(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control() && *c != '"' && *c != '\'')
        .take(80)
        .collect()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use sha2::{Digest as _, Sha256};

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(n, v)| {
                (
                    http::HeaderName::from_static(n),
                    HeaderValue::from_static(v),
                )
            })
            .collect()
    }

    fn with_key() -> Config {
        let mut config = Config::builtin();
        config.keys.push(Arc::new(ClientKey {
            name: "laptop".into(),
            sha256: Sha256::digest(b"secret").into(),
            rate: None,
            tokens_per_day: None,
            class: crucible_config::checked::Class::default(),
            defaults: crucible_config::checked::ModelDefaults::default(),
            context: None,
        }));
        config
    }

    fn try_judge(
        config: &Config,
        method: &Method,
        path: &'static str,
        pairs: &[(&'static str, &'static str)],
    ) -> Result<AdmittedClient, ErrorKind> {
        let uri = Uri::from_static(path);
        judge(
            config,
            &OwnName::default(),
            Facts {
                method,
                version: Version::HTTP_11,
                uri: &uri,
                headers: &headers(pairs),
                peer: None,
            },
        )
        .map_err(|e| e.kind)
    }

    #[test]
    fn without_keys_any_key_passes_and_is_dropped() {
        let config = Config::builtin();
        let verdict = try_judge(
            &config,
            &Method::POST,
            "/v1/chat/completions",
            &[("host", "localhost"), ("authorization", "Bearer sk-any")],
        );
        assert!(verdict.unwrap().key.is_none());
    }

    #[test]
    fn a_foreign_host_is_told_before_a_missing_key() {
        let config = with_key();
        let kind = try_judge(
            &config,
            &Method::GET,
            "/v1/models",
            &[("host", "evil.example")],
        );
        assert_eq!(kind.unwrap_err(), ErrorKind::HostNotAllowed);
        let kind = try_judge(
            &config,
            &Method::GET,
            "/v1/models",
            &[("host", "localhost")],
        );
        assert_eq!(kind.unwrap_err(), ErrorKind::InvalidApiKey);
    }

    #[test]
    fn a_valid_key_lifts_the_host_rule_but_not_the_origin_rule() {
        let config = with_key();
        let verdict = try_judge(
            &config,
            &Method::GET,
            "/v1/models",
            &[("host", "models.example"), ("x-api-key", "secret")],
        );
        assert_eq!(&*verdict.unwrap().key.unwrap().name, "laptop");
        let kind = try_judge(
            &config,
            &Method::GET,
            "/v1/models",
            &[
                ("host", "models.example"),
                ("x-api-key", "secret"),
                ("origin", "https://evil.example"),
            ],
        );
        assert_eq!(kind.unwrap_err(), ErrorKind::OriginNotAllowed);
    }

    #[test]
    fn a_simple_cross_origin_post_must_be_json() {
        let config = Config::builtin();
        let with_type = |content_type| {
            try_judge(
                &config,
                &Method::POST,
                "/v1/chat/completions",
                &[
                    ("host", "localhost"),
                    ("origin", "http://localhost:3000"),
                    ("content-type", content_type),
                ],
            )
        };
        assert!(with_type("application/json; charset=utf-8").is_ok());
        assert_eq!(
            with_type("text/plain").unwrap_err(),
            ErrorKind::OriginNotAllowed
        );
    }

    #[test]
    fn health_needs_no_key() {
        let config = with_key();
        for (method, path) in [
            (Method::GET, "/healthz"),
            (Method::GET, "/readyz"),
            (Method::HEAD, "/"),
        ] {
            assert!(try_judge(&config, &method, path, &[("host", "localhost")]).is_ok());
        }
        assert!(try_judge(&config, &Method::GET, "/", &[("host", "localhost")]).is_err());
    }

    #[test]
    fn a_preflight_needs_no_key_but_an_allowed_origin() {
        let config = with_key();
        let preflight = |origin| {
            try_judge(
                &config,
                &Method::OPTIONS,
                "/v1/chat/completions",
                &[
                    ("host", "localhost"),
                    ("origin", origin),
                    ("access-control-request-method", "POST"),
                ],
            )
        };
        assert!(preflight("http://localhost:5173").is_ok());
        assert_eq!(
            preflight("https://evil.example").unwrap_err(),
            ErrorKind::OriginNotAllowed
        );
    }

    #[test]
    fn two_framings_are_refused() {
        let kind = try_judge(
            &Config::builtin(),
            &Method::POST,
            "/v1/chat/completions",
            &[
                ("host", "localhost"),
                ("content-length", "3"),
                ("transfer-encoding", "chunked"),
            ],
        );
        assert_eq!(kind.unwrap_err(), ErrorKind::BadRequest);
    }
}

//! The Host rule: rebinding needs a name, so IP literals and local names pass.
//!
//! The same rule as Ollama's own (0.33, `server/routes.go` `allowedHostsMiddleware`), which a
//! proxy would otherwise switch off by speaking to it from loopback.

use std::net::IpAddr;

use http::{HeaderMap, Uri, header::HOST};

use crate::error::{Error, Kind};

/// The machine's own name, lower case.
#[derive(Clone, Debug, Default)]
pub struct OwnName(String);

// === impl OwnName ===

impl OwnName {
    /// Asks the system once.
    pub fn read() -> Self {
        let name = hostname::get().unwrap_or_default();
        Self(name.to_string_lossy().to_lowercase())
    }
}

/// The host that the request is for, without its port: the target's authority, else `Host`.
///
/// None or several `Host` fields are 400 (RFC 9112 section 3.2).
pub(super) fn requested(uri: &Uri, headers: &HeaderMap) -> Result<String, Error> {
    let mut fields = headers.get_all(HOST).iter();
    let (field, more) = (fields.next(), fields.next());
    if more.is_some() {
        return Err(Error::new(
            Kind::BadRequest,
            "the request has several Host headers; send one",
        ));
    }
    let Some(field) = field else {
        return Err(Error::new(
            Kind::BadRequest,
            "the request has no Host header; HTTP/1.1 requires one",
        ));
    };
    let authority = match uri.authority() {
        Some(authority) => authority.as_str(),
        None => field.to_str().unwrap_or_default(),
    };
    Ok(without_port(authority).to_ascii_lowercase())
}

/// Whether the rule lets `host` (lower case, no port) pass.
pub(super) fn allowed(host: &str, own: &OwnName, configured: &[String]) -> bool {
    let bare = host
        .strip_prefix('[')
        .and_then(|h| h.strip_suffix(']'))
        .unwrap_or(host);
    let name = bare.strip_suffix('.').unwrap_or(bare);
    bare.parse::<IpAddr>().is_ok()
        || name == "localhost"
        || (!own.0.is_empty() && name == own.0)
        || [".localhost", ".local", ".internal"]
            .iter()
            .any(|suffix| name.len() > suffix.len() && name.ends_with(suffix))
        || configured.iter().any(|c| c.eq_ignore_ascii_case(name))
}

fn without_port(authority: &str) -> &str {
    let host = authority.rsplit('@').next().unwrap_or(authority);
    if host.starts_with('[') {
        return host.find(']').map_or(host, |end| &host[..=end]);
    }
    host.rsplit_once(':').map_or(host, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass(host: &str) -> bool {
        allowed(
            &without_port(host).to_lowercase(),
            &OwnName("workshop".into()),
            &["gpu.example.org".into()],
        )
    }

    #[test]
    fn literals_and_local_names_pass() {
        for host in [
            "127.0.0.1",
            "127.0.0.1:8484",
            "192.168.1.7:8484",
            "[::1]:8484",
            "[fe80::1]",
            "localhost",
            "LOCALHOST:80",
            "localhost.",
            "api.localhost",
            "nas.local",
            "host.docker.internal:8484",
            "workshop",
            "Workshop:8484",
            "gpu.example.org",
        ] {
            assert!(pass(host), "{host}");
        }
    }

    #[test]
    fn names_that_can_be_rebound_do_not() {
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.nip.io",
            ".local",
            "local",
            "",
            "gpu.example.org.evil.example",
        ] {
            assert!(!pass(host), "{host}");
        }
    }

    #[test]
    fn an_absolute_target_takes_the_place_of_host() {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, http::HeaderValue::from_static("localhost"));
        let uri: Uri = "http://evil.example/v1/models".parse().unwrap();
        assert_eq!(requested(&uri, &headers).unwrap(), "evil.example");
    }

    #[test]
    fn no_host_or_two_are_bad_requests() {
        let uri = Uri::from_static("/v1/models");
        let mut headers = HeaderMap::new();
        assert_eq!(
            requested(&uri, &headers).unwrap_err().kind,
            Kind::BadRequest
        );
        headers.append(HOST, http::HeaderValue::from_static("a"));
        headers.append(HOST, http::HeaderValue::from_static("b"));
        assert_eq!(
            requested(&uri, &headers).unwrap_err().kind,
            Kind::BadRequest
        );
    }
}

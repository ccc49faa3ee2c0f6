//! The Host rule: DNS rebinding needs a name, so IP literals and local names pass and other names
//! are refused unless they are configured.
//!
//! It is the rule of Ollama itself (0.33, `server/routes.go` `allowedHostsMiddleware`), which a
//! proxy would otherwise switch off by speaking to Ollama from loopback.

use std::net::{IpAddr, Ipv6Addr};

use http::{HeaderMap, Uri, Version, header::HOST};

use crate::error::{Error, ErrorKind};

/// The machine's own name in lower case, under which it may be asked.
#[derive(Clone, Debug, Default)]
pub struct OwnName(String);

// === impl OwnName ===

impl OwnName {
    /// Asks the operating system for the name; empty where it has none.
    pub fn read() -> Self {
        let name = hostname::get().unwrap_or_default();
        Self(name.to_string_lossy().to_lowercase())
    }
}

/// The host that a request is for, without its port: the target's authority, else the `Host` field.
/// It is `None` where an HTTP/1.0 request names no host, as health checks of load balancers do; no
/// browser speaks HTTP/1.0, so no page can have sent such a request.
///
/// The error is 400 `bad_request`: several `Host` fields, none in HTTP/1.1, a field that names no
/// host (RFC 9112, section 3.2), or a target that is neither a path nor an `http:` address.
pub(super) fn requested(
    version: Version,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<Option<String>, Error> {
    let is_target = match uri.scheme_str() {
        Some(scheme) => matches!(scheme, "http" | "https"),
        None => uri.authority().is_none(),
    };
    if !is_target {
        return Err(Error::new(
            ErrorKind::BadRequest,
            "the request's target is no path; it begins with / or http://",
        ));
    }
    let mut fields = headers.get_all(HOST).iter();
    let (field, more) = (fields.next(), fields.next());
    if more.is_some() {
        return Err(Error::new(
            ErrorKind::BadRequest,
            "the request has several Host headers; send one",
        ));
    }
    let target = uri.authority().map(|authority| host_of(authority.as_str()));
    let field = match field {
        // Malformed is malformed, also where the target's authority takes its place.
        Some(field) => field.to_str().ok().and_then(host_of),
        None if version < Version::HTTP_11 && target.is_none() => return Ok(None),
        None if version < Version::HTTP_11 => Some(""),
        None => {
            return Err(Error::new(
                ErrorKind::BadRequest,
                "the request has no Host header; send one",
            ));
        }
    };
    let host = field.and_then(|field| target.unwrap_or(Some(field)));
    let Some(host) = host else {
        return Err(Error::new(
            ErrorKind::BadRequest,
            "the Host header is malformed; it holds a name or an address, and a port if there is one",
        ));
    };
    Ok(Some(host.to_ascii_lowercase()))
}

/// The host of an authority without its port; `None` where the authority is malformed.
fn host_of(authority: &str) -> Option<&str> {
    without_port(authority).filter(|host| well_formed(host))
}

/// Whether a text is an IP address or a name of labels. The empty text counts as a host, since RFC
/// 9110, section 7.2, allows an empty `Host`.
fn well_formed(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[') {
        let address = address.strip_suffix(']').unwrap_or_default();
        let address = address.split('%').next().unwrap_or_default();
        return address.parse::<Ipv6Addr>().is_ok();
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    let of_name = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    // The lengths of DNS (RFC 1035 section 2.3.4).
    let label =
        |label: &[u8]| (1..=63).contains(&label.len()) && label.iter().copied().all(of_name);
    // By bytes, which is quicker than by characters in so short a text.
    let mut labels = name.as_bytes().split(|b| *b == b'.');
    host.is_empty() || (name.len() <= 253 && labels.all(label))
}

/// Whether the rule lets `host` pass, which is in lower case and has no port. `configured` is
/// `allowed_hosts`.
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

/// The authority without its port; `None` where the text behind the host is no port.
fn without_port(authority: &str) -> Option<&str> {
    let place = |of: u8| authority.bytes().position(|byte| byte == of);
    let end = match place(b']') {
        Some(bracket) => bracket + 1,
        None => place(b':').unwrap_or(authority.len()),
    };
    let (host, port) = authority.split_at(end);
    let digits = port.strip_prefix(':');
    let is_number = |digits: &str| digits.bytes().all(|b| b.is_ascii_digit());
    let fits = |digits: &str| digits.is_empty() || digits.parse::<u16>().is_ok();
    let is_port = match digits {
        Some(digits) => is_number(digits) && fits(digits),
        None => port.is_empty(),
    };
    is_port.then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass(host: &str) -> bool {
        allowed(
            &without_port(host).unwrap().to_lowercase(),
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
        let told = |uri: &Uri, headers: &HeaderMap| requested(Version::HTTP_11, uri, headers);
        assert_eq!(told(&uri, &headers).unwrap().unwrap(), "evil.example");
        headers.insert(HOST, http::HeaderValue::from_static("user@localhost"));
        let malformed = told(&uri, &headers).map_err(|e| e.kind);
        assert_eq!(malformed, Err(ErrorKind::BadRequest));
        headers.insert(HOST, http::HeaderValue::from_static("localhost"));
        for target in ["ftp://localhost/healthz", "healthz", "localhost:80"] {
            let uri: Uri = target.parse().unwrap();
            let told = told(&uri, &headers).map_err(|e| e.kind);
            assert_eq!(told, Err(ErrorKind::BadRequest), "{target}");
        }
    }

    #[test]
    fn http_1_0_may_name_no_host_but_no_foreign_one() {
        let path = Uri::from_static("/healthz");
        let evil = Uri::from_static("http://evil.example/healthz");
        let none = HeaderMap::new();
        let told = |version, uri| requested(version, uri, &none).map_err(|e| e.kind);
        assert_eq!(told(Version::HTTP_10, &path), Ok(None));
        let named = Ok(Some("evil.example".to_owned()));
        assert_eq!(told(Version::HTTP_10, &evil), named);
        for uri in [&path, &evil] {
            assert_eq!(told(Version::HTTP_11, uri), Err(ErrorKind::BadRequest));
        }
    }

    #[test]
    fn a_name_is_as_long_as_a_name_may_be() {
        let label = "a".repeat(63);
        let longest = format!("{label}.{label}.{label}.{}", "b".repeat(61));
        for (host, good) in [
            (format!("{label}.local"), true),
            (format!("{label}a.local"), false),
            (longest.clone(), true),
            (format!("{longest}b"), false),
        ] {
            assert_eq!(well_formed(&host), good, "{host}");
        }
    }

    #[test]
    fn what_is_no_host_is_a_bad_request() {
        let uri = Uri::from_static("/v1/models");
        let told = |host: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, http::HeaderValue::from_static(host));
            let host = requested(Version::HTTP_11, &uri, &headers);
            host.map(Option::unwrap).map_err(|e| e.kind)
        };
        for host in [
            "127.0.0.1:x",
            "127.0.0.1:99999",
            "127.0.0.1:+80",
            "127.0.0.1:80:80",
            "user@127.0.0.1",
            "user:word@localhost",
            "[::1].evil",
            "[::1",
            "[127.0.0.1]",
            "[]",
            "::1",
            "127.0.0.1 evil",
            "127.0.0.1, evil",
            "127.0.0.1/evil",
            "a..local",
            ".local",
            "..",
            ".",
            "*.local",
            "local host",
            "loc%61lhost",
            "localhost\\",
        ] {
            assert_eq!(told(host), Err(ErrorKind::BadRequest), "{host}");
        }
        let mut headers = HeaderMap::new();
        headers.insert(HOST, http::HeaderValue::from_bytes(b"b\xfccher").unwrap());
        let told_bytes = requested(Version::HTTP_11, &uri, &headers).map_err(|e| e.kind);
        assert_eq!(told_bytes, Err(ErrorKind::BadRequest));
        for (host, name) in [
            ("localhost:", "localhost"),
            ("LocalHost.:80", "localhost."),
            ("my_machine.local", "my_machine.local"),
            ("[FE80::1%25eth0]:80", "[fe80::1%25eth0]"),
            ("[::ffff:127.0.0.1]", "[::ffff:127.0.0.1]"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("", ""),
        ] {
            assert_eq!(told(host).as_deref(), Ok(name), "{host}");
        }
    }

    #[test]
    fn no_host_or_two_are_bad_requests() {
        let uri = Uri::from_static("/v1/models");
        let mut headers = HeaderMap::new();
        assert_eq!(
            requested(Version::HTTP_11, &uri, &headers)
                .unwrap_err()
                .kind,
            ErrorKind::BadRequest
        );
        headers.append(HOST, http::HeaderValue::from_static("a"));
        headers.append(HOST, http::HeaderValue::from_static("b"));
        assert_eq!(
            requested(Version::HTTP_11, &uri, &headers)
                .unwrap_err()
                .kind,
            ErrorKind::BadRequest
        );
    }
}

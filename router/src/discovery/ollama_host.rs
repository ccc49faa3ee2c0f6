//! The address in `OLLAMA_HOST`, read as Ollama's own client reads it (0.33, `envconfig/config.go`
//! `Host` and `ConnectableHost`).

use std::net::IpAddr;

use url::Url;

/// The address that a client connects to; `None` where the variable is empty or names no address.
///
/// Without a scheme the port is 11434, with one it is the scheme's. A port that is none is the
/// default. An address to listen on (`0.0.0.0`, `[::]`) is this machine's loopback.
pub(super) fn connectable(value: &str) -> Option<Url> {
    let text = value.trim().trim_matches(['"', '\'']).trim();
    if text.is_empty() {
        return None;
    }
    let (scheme, rest, default) = match text.split_once("://") {
        None => ("http", text, 11434),
        Some(("https", rest)) => ("https", rest, 443),
        Some(("http", rest)) => ("http", rest, 80),
        // Ollama's client sends HTTP to no other.
        Some(_) => return None,
    };
    let (at, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (host, port) = match split_port(at) {
        Some((host, port)) => (host, port.parse::<u16>().unwrap_or(default)),
        None => (at.trim_matches(['[', ']']), default),
    };
    let host = match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) if ip.is_unspecified() => "127.0.0.1".to_owned(),
        Ok(IpAddr::V6(ip)) if ip.is_unspecified() => "[::1]".to_owned(),
        Ok(IpAddr::V6(ip)) => format!("[{ip}]"),
        // To listen on `:11434` is to listen everywhere.
        _ if host.is_empty() => "127.0.0.1".to_owned(),
        _ => host.to_owned(),
    };
    let path = path.trim_end_matches('/');
    let mut url = Url::parse(&format!("{scheme}://{host}:{port}/{path}")).ok()?;
    url.set_query(None);
    url.set_fragment(None);
    // What stands before an `@` would be taken for a name and a password.
    (url.username().is_empty() && url.password().is_none()).then_some(url)
}

/// Splits host and port where there is exactly one colon outside brackets (Go's
/// `net.SplitHostPort`).
fn split_port(at: &str) -> Option<(&str, &str)> {
    if let Some(rest) = at.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        return Some((host, rest.strip_prefix(':')?));
    }
    let (host, port) = at.rsplit_once(':')?;
    (!host.contains(':')).then_some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_leads_where_ollamas_client_goes() {
        for (value, url) in [
            ("", None),
            ("  ", None),
            ("\"\"", None),
            ("127.0.0.1", Some("http://127.0.0.1:11434/")),
            ("127.0.0.1:12000", Some("http://127.0.0.1:12000/")),
            (" 127.0.0.1:12000 ", Some("http://127.0.0.1:12000/")),
            ("\"127.0.0.1:12000\"", Some("http://127.0.0.1:12000/")),
            ("'127.0.0.1:12000'", Some("http://127.0.0.1:12000/")),
            (":12000", Some("http://127.0.0.1:12000/")),
            ("0.0.0.0", Some("http://127.0.0.1:11434/")),
            ("0.0.0.0:12000", Some("http://127.0.0.1:12000/")),
            ("[::]", Some("http://[::1]:11434/")),
            ("[::]:12000", Some("http://[::1]:12000/")),
            ("::", Some("http://[::1]:11434/")),
            ("[::1]:12000", Some("http://[::1]:12000/")),
            ("::1", Some("http://[::1]:11434/")),
            ("box.local", Some("http://box.local:11434/")),
            ("box.local:12000", Some("http://box.local:12000/")),
            ("http://box.local", Some("http://box.local/")),
            ("http://127.0.0.1:12000", Some("http://127.0.0.1:12000/")),
            ("http://127.0.0.1:12000/", Some("http://127.0.0.1:12000/")),
            ("http://0.0.0.0:12000/", Some("http://127.0.0.1:12000/")),
            ("https://box.example", Some("https://box.example/")),
            (
                "https://box.example:8443",
                Some("https://box.example:8443/"),
            ),
            ("http://box:1/ollama", Some("http://box:1/ollama")),
            ("http://box:1/ollama/", Some("http://box:1/ollama")),
            ("127.0.0.1:99999", Some("http://127.0.0.1:11434/")),
            ("127.0.0.1:-1", Some("http://127.0.0.1:11434/")),
            ("127.0.0.1:x", Some("http://127.0.0.1:11434/")),
            ("127.0.0.1:", Some("http://127.0.0.1:11434/")),
            ("http://127.0.0.1:x", Some("http://127.0.0.1/")),
            ("unix:///run/ollama.sock", None),
            ("me:secret@box:1", None),
            ("a b", None),
        ] {
            let found = connectable(value);
            assert_eq!(found.as_ref().map(Url::as_str), url, "{value:?}");
        }
    }
}

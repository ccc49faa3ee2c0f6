//! Whom Ollama answers at all. 0.33.0-rc2, `server/routes.go` `allowedHostsMiddleware` and
//! `envconfig.AllowedOrigins`, bound to loopback: others get 403 without a body.

use std::net::{IpAddr, SocketAddr};

use crate::http::{self, Call, Reply};

/// The answer to who is not let in, or to a preflight of who is.
pub(crate) fn refusal(call: &Call) -> Option<Reply> {
    let text = |name: &str| call.headers.get(name)?.to_str().ok();
    let host = text("host").unwrap_or_default();
    if let Some(origin) = text("origin")
        && !is_origin(origin, host)
    {
        return Some(http::full(403, "text/plain", ""));
    }
    if is_address(host) {
        return None;
    }
    if !is_own_name(host) {
        return Some(http::full(403, "text/plain", ""));
    }
    (call.method == "OPTIONS").then(|| http::full(204, "text/plain", ""))
}

fn is_address(host: &str) -> bool {
    let own = |address: IpAddr| match address {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_unspecified(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unspecified(),
    };
    let parsed = host.parse::<SocketAddr>().map(|address| address.ip());
    parsed.or_else(|_| host.parse()).is_ok_and(own)
}

fn is_own_name(host: &str) -> bool {
    let (name, _) = host.rsplit_once(':').unwrap_or((host, ""));
    let name = name.to_lowercase();
    let own = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    ["", "localhost"].contains(&&*name)
        || name == own.trim().to_lowercase()
        || [".localhost", ".local", ".internal"]
            .iter()
            .any(|end| name.ends_with(end))
}

/// Local pages, editors and extensions; a page of its own is none of another's.
fn is_origin(origin: &str, host: &str) -> bool {
    let Some((scheme, rest)) = origin.split_once("://") else {
        return false;
    };
    match scheme {
        "http" | "https" => {
            let (name, _) = rest.rsplit_once(':').unwrap_or((rest, ""));
            rest == host || ["localhost", "127.0.0.1", "0.0.0.0"].contains(&name)
        }
        "app" | "file" | "tauri" | "vscode-webview" | "vscode-file" => true,
        _ => scheme.ends_with("-extension"),
    }
}

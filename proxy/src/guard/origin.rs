//! The Origin rule: pages of this machine and editors pass, pages of the web do not.

use url::Url;

/// The schemes of editors and desktop programs: those of Ollama 0.33 (`envconfig.AllowedOrigins`)
/// and some more.
const EDITORS: [&str; 8] = [
    "app",
    "file",
    "tauri",
    "vscode-webview",
    "vscode-file",
    "jetbrains",
    "zed",
    "capacitor",
];

/// Whether a request with this `Origin` may be answered; `null` never may. `configured` is
/// `allowed_origins`.
pub fn origin_allowed(origin: &str, configured: &[String]) -> bool {
    if origin == "null" {
        return false;
    }
    if configured
        .iter()
        .any(|allowed| allowed.eq_ignore_ascii_case(origin))
    {
        return true;
    }
    let Ok(url) = Url::parse(origin) else {
        return false;
    };
    if EDITORS.contains(&url.scheme()) {
        return true;
    }
    matches!(url.scheme(), "http" | "https")
        && url.host().is_some_and(|host| match host {
            url::Host::Domain(name) => name == "localhost" || name.ends_with(".localhost"),
            url::Host::Ipv4(ip) => ip.is_loopback(),
            url::Host::Ipv6(ip) => ip.is_loopback(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_editors_and_listed_origins_pass() {
        let listed = ["https://chat.example.org".to_owned()];
        for origin in [
            "http://localhost:3000",
            "http://127.0.0.1:8080",
            "https://[::1]",
            "http://ui.localhost",
            "vscode-webview://1a2b",
            "tauri://localhost",
            "app://obsidian.md",
            "https://chat.example.org",
        ] {
            assert!(origin_allowed(origin, &listed), "{origin}");
        }
    }

    #[test]
    fn the_web_does_not() {
        for origin in [
            "null",
            "https://evil.example",
            "http://localhost.evil.example",
            "http://192.168.1.9",
            "chrome-extension://abc",
            "not an origin",
            "",
        ] {
            assert!(!origin_allowed(origin, &[]), "{origin}");
        }
    }
}

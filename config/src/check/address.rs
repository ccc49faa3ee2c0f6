//! Checks of an engine's address and of the name of the variable that holds its token.

use url::Url;

use crate::{
    checked::{EngineKind, Manage},
    keys::{engine, otlp},
    kind::{self, Value},
    settings::{ProblemReport, Settings},
};

/// The words for the origin of a value that no layer sets, so that the engine's kind decides.
pub(super) const KIND_DEFAULT: &str = "default of its kind";

/// Reads the address of engine number `i` (from 0). Without one the default of its kind is filled
/// in; `None` for a child that Crucible starts on a port of its own choice, and after an error.
pub(super) fn engine_url(
    settings: &mut Settings,
    i: usize,
    kind: EngineKind,
    manage: Manage,
    report: &mut ProblemReport,
) -> Option<Url> {
    let path = engine::URL.item(i);
    if settings.find(&path).is_none() {
        if manage == Manage::Spawn || report.has(&path) {
            return None;
        }
        let Some(default) = kind.profile().default_url else {
            let source = settings.source(&path);
            report.error(
                &path,
                &source,
                "no url",
                "the engine's address",
                "add url = \"http://...\"",
            );
            return None;
        };
        settings.fill(&path, Value::Text(default.into()), KIND_DEFAULT);
    }
    let source = settings.source(&path);
    let text = settings.find(&path).unwrap_or_default();
    let expected = "an address such as \"http://127.0.0.1:1234\"";
    let mut url = match Url::parse(&text) {
        Ok(url) if url.scheme() == "http" => url,
        Ok(url) if url.scheme() == "https" && manage != Manage::Spawn => url,
        Ok(url) if url.has_host() => {
            let found = format!("the scheme {:?}", url.scheme());
            let expected = if manage == Manage::Spawn {
                "http, since a child is started without TLS"
            } else {
                "http or https"
            };
            report.error(&path, &source, &found, expected, "");
            return None;
        }
        _ => {
            let found = if may_hold_a_secret(&text) {
                "a text that is no URL".into()
            } else {
                kind::quoted(&text)
            };
            let hint = if text.contains("://") {
                ""
            } else {
                "add http:// in front"
            };
            report.error(&path, &source, &found, expected, hint);
            return None;
        }
    };
    if !url.username().is_empty() || url.password().is_some() {
        let hint = "put the token into an environment variable and its name into api_key_env";
        report.error(
            &path,
            &source,
            "an address with credentials",
            expected,
            hint,
        );
        return None;
    }
    if matches!(url.path(), "/v1" | "/v1/") {
        let hint = "Crucible adds the paths itself";
        report.warn(
            &path,
            &source,
            "an address that ends in /v1",
            "an address without a path",
            hint,
        );
        url.set_path("/");
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        let hint = "Crucible adds the paths itself";
        // Shown without it: keys of gateways stand in paths and queries.
        let origin = url.origin().ascii_serialization();
        let found = format!("something behind {origin:?}");
        report.error(&path, &source, &found, "an address without a path", hint);
    }
    if url.port() == Some(0) || url.host_str().is_some_and(|host| host.contains('*')) {
        let hint = "an engine on this machine has \"127.0.0.1\" and the port that it tells";
        report.error(&path, &source, &kind::quoted(&text), expected, hint);
        return None;
    }
    Some(url)
}

/// Whether a wrong address may hold a password, a query or a header's value, so that messages must
/// not show it.
fn may_hold_a_secret(text: &str) -> bool {
    text.contains(['@', '%', '?', '#']) || text.contains(char::is_whitespace)
}

/// Reads the name of the environment variable with the token of engine number `i` (from 0). A text
/// that is no variable's name is an error and is not shown, as it may be the token itself.
pub(super) fn api_key_env(
    settings: &Settings,
    i: usize,
    report: &mut ProblemReport,
) -> Option<String> {
    let path = engine::API_KEY_ENV.item(i);
    let name = settings.find(&path)?;
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if !name.chars().all(plain) || name.starts_with(|c: char| c.is_ascii_digit()) {
        // It may be the token itself, so it is not shown.
        report.error(
            &path,
            &settings.source(&path),
            "something that is not a variable's name",
            "the name of an environment variable, such as \"LM_API_TOKEN\"",
            "the token itself does not belong in the file",
        );
        return None;
    }
    Some(name)
}
/// Reads the address of the collector of spans; `None` where there is none, and after an error.
pub(super) fn collector(settings: &Settings, report: &mut ProblemReport) -> Option<Url> {
    let path = otlp::ENDPOINT.path();
    let text = settings.find(&path)?;
    let url = Url::parse(&text).ok();
    let found = match &url {
        Some(url) if !matches!(url.scheme(), "http" | "https") && url.has_host() => {
            format!("the scheme {:?}", url.scheme())
        }
        // What it may hold is shown nowhere.
        Some(url) if !url.username().is_empty() || url.password().is_some() => {
            "a URL with a name or a password".to_owned()
        }
        Some(url) if url.has_host() => return Some(url.clone()),
        _ if may_hold_a_secret(&text) => "a text that is no URL".to_owned(),
        _ => kind::quoted(&text),
    };
    let expected = "the address of a collector such as \"http://127.0.0.1:4318\"";
    let hint = "headers for the collector, such as a token, go into OTEL_EXPORTER_OTLP_HEADERS";
    let source = settings.source(&path);
    report.error(&path, &source, &found, expected, hint);
    None
}

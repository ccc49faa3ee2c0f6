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

/// The words for an address that an engine may have.
const EXPECTED: &str = "an address such as \"http://127.0.0.1:1234\"";

/// The check of one engine's address: where it stands and what it says.
struct AddressCheck<'a> {
    path: &'a str,
    source: String,
    text: String,
    manage: Manage,
    report: &'a mut ProblemReport,
}

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
        fill_default(settings, &path, kind, report)?;
    }
    let mut check = AddressCheck {
        source: settings.source(&path),
        text: settings.find(&path).unwrap_or_default(),
        path: &path,
        manage,
        report,
    };
    let url = check.parsed()?;
    let url = check.origin_only(url)?;
    check.reachable(url)
}

/// Gives an engine without an address the default of its kind; `None`, after an error, where the kind has
/// none.
fn fill_default(
    settings: &mut Settings,
    path: &str,
    kind: EngineKind,
    report: &mut ProblemReport,
) -> Option<()> {
    let Some(default) = kind.profile().default_url else {
        report.error(
            path,
            &settings.source(path),
            "no url",
            "the engine's address",
            "add url = \"http://...\"",
        );
        return None;
    };
    settings.fill(path, Value::Text(default.into()), KIND_DEFAULT);
    Some(())
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

/// The address that `[otlp] endpoint` is expected to be.
const COLLECTOR: &str = "the address of a collector such as \"http://127.0.0.1:4318\"";

/// Reads the address of the collector of spans; `None` where there is none, and after an error. An empty text
/// switches spans off, with a warning.
pub(super) fn collector(settings: &Settings, report: &mut ProblemReport) -> Option<Url> {
    let path = otlp::ENDPOINT.path();
    let Some(text) = settings.find(&path) else {
        if settings.is_set(&path) {
            let source = settings.source(&path);
            let hint = "without it no spans are made; leave the key out where none are wanted";
            report.warn(&path, &source, "an empty text", COLLECTOR, hint);
        }
        return None;
    };
    let url = Url::parse(&text).ok();
    let found = match &url {
        Some(url) if !matches!(url.scheme(), "http" | "https") && url.has_host() => {
            format!("the scheme {:?}", url.scheme())
        }
        // What it may hold is shown nowhere.
        Some(url) if !url.username().is_empty() || url.password().is_some() => {
            "a URL with a name or a password".to_owned()
        }
        // Spans go to a path below it, so that nothing may stand behind its own.
        Some(url) if url.query().is_some() || url.fragment().is_some() => {
            "a URL with a query or a fragment".to_owned()
        }
        Some(url) if url.has_host() => return Some(url.clone()),
        _ if may_hold_a_secret(&text) => "a text that is no URL".to_owned(),
        _ => kind::quoted(&text),
    };
    let hint = "headers for the collector, such as a token, go into OTEL_EXPORTER_OTLP_HEADERS";
    let source = settings.source(&path);
    report.error(&path, &source, &found, COLLECTOR, hint);
    None
}

// === impl AddressCheck ===

impl AddressCheck<'_> {
    /// Parses the address and checks its scheme.
    fn parsed(&mut self) -> Option<Url> {
        match Url::parse(&self.text) {
            Ok(url) if url.scheme() == "http" => Some(url),
            Ok(url) if url.scheme() == "https" && self.manage != Manage::Spawn => Some(url),
            Ok(url) if url.has_host() => {
                let expected = if self.manage == Manage::Spawn {
                    "http, since a child is started without TLS"
                } else {
                    "http or https"
                };
                self.error(&format!("the scheme {:?}", url.scheme()), expected, "");
                None
            }
            _ => {
                let found = if may_hold_a_secret(&self.text) {
                    "a text that is no URL".into()
                } else {
                    kind::quoted(&self.text)
                };
                let hint = if self.text.contains("://") {
                    ""
                } else {
                    "add http:// in front"
                };
                self.error(&found, EXPECTED, hint);
                None
            }
        }
    }

    /// Refuses credentials, and whatever stands behind the port. A `/v1` there is taken away.
    fn origin_only(&mut self, mut url: Url) -> Option<Url> {
        if !url.username().is_empty() || url.password().is_some() {
            let hint = "put the token into an environment variable and its name into api_key_env";
            self.error("an address with credentials", EXPECTED, hint);
            return None;
        }
        let hint = "Crucible adds the paths itself";
        if matches!(url.path(), "/v1" | "/v1/") {
            self.report.warn(
                self.path,
                &self.source,
                "an address that ends in /v1",
                "an address without a path",
                hint,
            );
            url.set_path("/");
        }
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            // Shown without it: keys of gateways stand in paths and queries.
            let origin = url.origin().ascii_serialization();
            let found = format!("something behind {origin:?}");
            self.error(&found, "an address without a path", hint);
        }
        Some(url)
    }

    /// Refuses a port and a host to which nothing can be sent.
    fn reachable(&mut self, url: Url) -> Option<Url> {
        if url.port() == Some(0) || url.host_str().is_some_and(|host| host.contains('*')) {
            let hint = "an engine on this machine has \"127.0.0.1\" and the port that it tells";
            self.error(&kind::quoted(&self.text), EXPECTED, hint);
            return None;
        }
        Some(url)
    }

    fn error(&mut self, found: &str, expected: &str, hint: &str) {
        self.report
            .error(self.path, &self.source, found, expected, hint);
    }
}

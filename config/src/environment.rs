//! The layer of environment variables, whose names are `CRUCIBLE_` and the path of a key.
//!
//! Other programs put variables of that beginning there too, so one that Crucible does not know
//! never stops it. Kubernetes describes each Service of a namespace to every container by
//! variables that begin with the Service's name; where that is `crucible` or begins so, they are no
//! settings and are passed over.

use crate::{
    keys::{self, KeyShape, SettingKey, root},
    kind::{self, SettingKind},
    settings::{ConfigLayer, ProblemReport, Settings, ValueOrigin},
};

const PREFIX: &str = "CRUCIBLE_";

/// Variables that are read elsewhere: the place of the file, and the client key of the commands.
const READ_ELSEWHERE: [&str; 2] = ["CRUCIBLE_CONFIG", "CRUCIBLE_KEY"];

/// Variables of the tests begin with this.
const OF_TESTS: &str = "CRUCIBLE_LIVE_";

/// Endings of variables that people write when they mean `CRUCIBLE_LISTEN`.
const ADDRESSES: [&str; 5] = ["ADDR", "ADDRESS", "BIND", "HOST", "PORT"];

/// Sets the keys that variables name; whatever is wrong goes to the report.
pub(crate) fn read(
    environment: &[(String, String)],
    settings: &mut Settings,
    report: &mut ProblemReport,
) {
    let fixed: Vec<(String, String, SettingKey)> = keys::fixed()
        .into_iter()
        .map(|(path, key)| (keys::variable(&path), path, key))
        .collect();
    for (name, text) in environment {
        let Some(rest) = name.strip_prefix(PREFIX) else {
            continue;
        };
        if READ_ELSEWHERE.contains(&name.as_str()) || name.starts_with(OF_TESTS) {
            continue;
        }
        let known = fixed.iter().find(|(variable, ..)| variable == name);
        match known {
            Some((
                _,
                path,
                SettingKey {
                    shape: KeyShape::Value(kind),
                    ..
                },
            )) if kind.is_scalar() => {
                set(name, path, *kind, text, settings, report);
            }
            _ if is_of_a_service(rest, text) => {}
            _ => unknown(name, rest, &fixed, report),
        }
    }
}

fn set(
    name: &str,
    path: &str,
    kind: SettingKind,
    text: &str,
    settings: &mut Settings,
    report: &mut ProblemReport,
) {
    if text.is_empty() && path == &*root::METRICS_LISTEN.path() {
        settings.entries.shift_remove(path);
        return;
    }
    match kind.read_text(text) {
        Ok(value) => {
            let origin = ValueOrigin {
                layer: ConfigLayer::Environment,
                source: name.to_owned(),
            };
            settings.set(path, value, origin);
        }
        Err(wrong) => report.error(path, name, &wrong.found, &kind.expected(), &wrong.hint),
    }
}

/// Whether Kubernetes (or Docker's links, which look the same) describes a Service by it. `rest` is
/// the name behind `CRUCIBLE_`, so for a Service of the name `crucible` all of its ending.
///
/// Kubernetes 1.34, "Accessing the Service", environment variables: `{NAME}_SERVICE_HOST`,
/// `{NAME}_SERVICE_PORT`, `{NAME}_SERVICE_PORT_{PORT NAME}`, `{NAME}_PORT`,
/// `{NAME}_PORT_{NUMBER}_{PROTOCOL}` and that with `_PROTO`, `_PORT` and `_ADDR`.
fn is_of_a_service(rest: &str, value: &str) -> bool {
    // `rest` with a sign in front begins each ending at a boundary of words.
    let name = format!("_{rest}");
    let is_url = ["tcp://", "udp://", "sctp://"]
        .iter()
        .any(|scheme| value.starts_with(scheme));
    if name.ends_with("_SERVICE_HOST") || name.ends_with("_SERVICE_PORT") {
        return true;
    }
    if name.ends_with("_PORT") && is_url {
        return true;
    }
    if name.contains("_SERVICE_PORT_") {
        return true;
    }
    name.match_indices("_PORT_").any(|(at, sign)| {
        let mut words = name[at + sign.len()..].split('_');
        let number = words.next().is_some_and(|word| word.parse::<u16>().is_ok());
        let protocol = matches!(words.next(), Some("TCP" | "UDP" | "SCTP"));
        let end = words.next();
        number
            && protocol
            && matches!(end, None | Some("PROTO" | "PORT" | "ADDR"))
            && words.next().is_none()
    })
}

fn unknown(
    name: &str,
    rest: &str,
    fixed: &[(String, String, SettingKey)],
    report: &mut ProblemReport,
) {
    let found = format!("the unknown variable {name}");
    let list = fixed.iter().find(|(variable, ..)| variable == name);
    let hint = if let Some((_, path, _)) = list {
        format!("{path} is a list, which only the file can hold")
    } else if ADDRESSES.contains(&rest) {
        "the address is CRUCIBLE_LISTEN, for example 127.0.0.1:8484".to_owned()
    } else {
        // Without the beginning that all of them share, which makes everything alike.
        let bare =
            |variable: &'_ (String, String, SettingKey)| variable.0[PREFIX.len()..].to_owned();
        let known: Vec<String> = fixed.iter().map(bare).collect();
        kind::nearest(rest, known.iter().map(String::as_str)).map_or_else(
            || "nothing reads it; unset it if it was meant for Crucible".to_owned(),
            |near| format!("did you mean {PREFIX}{near}?"),
        )
    };
    let expected = "CRUCIBLE_ and the path of a key, joined by two underscores";
    report.no_effect("", name, &found, expected, &hint);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_kubernetes_says_of_a_service_is_told_from_a_setting() {
        for (name, value, expected) in [
            ("PORT", "tcp://10.0.0.1:8484", true),
            ("PORT", "udp://10.0.0.1:53", true),
            ("PORT", "8484", false),
            ("SERVICE_HOST", "10.0.0.1", true),
            ("SERVICE_PORT", "8484", true),
            ("SERVICE_PORT_HTTP", "8484", true),
            ("PORT_8484_TCP", "tcp://10.0.0.1:8484", true),
            ("PORT_8484_TCP_ADDR", "10.0.0.1", true),
            ("PORT_8484_TCP_PORT", "8484", true),
            ("PORT_8484_TCP_PROTO", "tcp", true),
            ("PORT_53_UDP_PROTO", "udp", true),
            ("GATEWAY_SERVICE_HOST", "10.0.0.1", true),
            ("GATEWAY_PORT", "tcp://10.0.0.1:80", true),
            ("GATEWAY_PORT_80_TCP_ADDR", "10.0.0.1", true),
            ("A_PORT_1_PORT_80_TCP", "tcp://10.0.0.1:80", true),
            ("PORT_8484_TCP_NAME", "x", false),
            ("PORT_HTTP_TCP", "x", false),
            ("PORT_8484", "x", false),
            ("SERVICE_HOSTNAME", "x", false),
            ("VERSION", "1", false),
            ("HOME", "/opt", false),
            ("TIMEOUTS__IDEL", "3s", false),
        ] {
            assert_eq!(is_of_a_service(name, value), expected, "{name}={value}");
        }
    }

    #[test]
    fn no_setting_of_ours_looks_like_a_service() {
        for (path, _) in keys::fixed() {
            let name = keys::variable(&path);
            assert!(!is_of_a_service(&name[PREFIX.len()..], "1"), "{name}");
        }
    }
}

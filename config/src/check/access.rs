//! Checks of the access to Crucible: addresses, hosts, origins, keys and opened paths.

use std::{net::SocketAddr, sync::Arc};

use super::models;
use crate::{
    checked::ClientKey,
    keys::{KeyPath, client, guard, root},
    kind,
    management::{covers, management_paths},
    settings::{ProblemReport, Settings},
};

/// The hashes of words that were used as keys in examples (`test`, `test2`, `secret`) and of the
/// empty text, which are refused.
const KNOWN_HASHES: [&str; 4] = [
    "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "sha256:60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752",
    "sha256:2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b",
    "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
];

/// Reads `listen`, the addresses for clients. An address that stands twice is an error, and so is
/// one beyond loopback without `keys`, unless `allow_unauthenticated` is set.
pub(super) fn listen(
    settings: &Settings,
    keys: &[Arc<ClientKey>],
    report: &mut ProblemReport,
) -> Vec<SocketAddr> {
    let path = root::LISTEN.path();
    let all = settings.get(&path, report);
    let source = settings.source(&path);
    for (i, address) in all.iter().enumerate() {
        if address.port() != 0 && all.get(..i).is_some_and(|before| before.contains(address)) {
            let found = format!("{address} twice");
            report.error(&path, &source, &found, "each address once", "");
        }
        check_open(settings, &path, *address, keys, report);
    }
    all
}

/// Reads `metrics_listen`, the address that serves the metrics alone; `None` where it is not set.
/// An address that `listen` has too is an error, and so is one beyond loopback without `keys`.
pub(super) fn metrics_listen(
    settings: &Settings,
    listen: &[SocketAddr],
    keys: &[Arc<ClientKey>],
    report: &mut ProblemReport,
) -> Option<SocketAddr> {
    let path = root::METRICS_LISTEN.path();
    let address = settings.find(&path)?;
    if address.port() != 0 && listen.contains(&address) {
        let found = format!("{address}, which is in listen");
        let source = settings.source(&path);
        report.error(
            &path,
            &source,
            &found,
            "an address of its own",
            "leave it out",
        );
    }
    check_open(settings, &path, address, keys, report);
    Some(address)
}

/// Reports an address beyond loopback as an error where there is no client key, unless
/// `allow_unauthenticated` is set.
fn check_open(
    settings: &Settings,
    path: &str,
    address: SocketAddr,
    keys: &[Arc<ClientKey>],
    report: &mut ProblemReport,
) {
    let guarded = !keys.is_empty() || settings.count(client::TABLE) > 0;
    if !address.ip().to_canonical().is_loopback()
        && !guarded
        && !settings.get(&root::ALLOW_UNAUTHENTICATED.path(), report)
    {
        report.error(
            path,
            &settings.source(path),
            &format!("{address} without a key"),
            "an address of this machine only, such as \"127.0.0.1:8484\", or a key",
            "make a key with `crucible key new`, or set allow_unauthenticated = true to let \
             everyone in",
        );
    }
}

/// Reads `allowed_hosts` in lower case. A name with a scheme, a port or a path is an error.
pub(super) fn allowed_hosts(settings: &Settings, report: &mut ProblemReport) -> Vec<String> {
    let path = root::ALLOWED_HOSTS.path();
    let mut hosts = settings.get(&path, report);
    for host in &mut hosts {
        if host.is_empty() || host.contains(['/', ' ', ':']) {
            let hint = "without scheme, port and path";
            let source = settings.source(&path);
            report.error(&path, &source, &kind::quoted(host), "a host name", hint);
        }
        *host = host.to_ascii_lowercase();
    }
    hosts
}

/// Reads `allowed_origins` in lower case, without slashes at the end. A text without a scheme, or
/// with a path, is an error.
pub(super) fn allowed_origins(settings: &Settings, report: &mut ProblemReport) -> Vec<String> {
    let path = root::ALLOWED_ORIGINS.path();
    let mut origins = settings.get(&path, report);
    for origin in &mut origins {
        let trimmed = origin.trim_end_matches('/').to_ascii_lowercase();
        let host = trimmed.split_once("://").map(|(_, host)| host);
        if host.is_none_or(|host| host.is_empty() || host.contains('/')) {
            let expected = "an origin such as \"https://chat.example.org\"";
            let source = settings.source(&path);
            report.error(
                &path,
                &source,
                &kind::quoted(origin),
                expected,
                "with scheme, without path",
            );
        }
        *origin = trimmed;
    }
    origins
}

/// Reads `guard.open`, the paths that manage an engine and are opened to clients. A path that is no
/// such path is reported and left out: as an error where it does not begin with a slash, else as
/// without effect.
pub(super) fn guard_open(settings: &Settings, report: &mut ProblemReport) -> Vec<String> {
    let path = guard::OPEN.path();
    let source = settings.source(&path);
    let mut all = settings.get(&path, report);
    all.retain_mut(|one| {
        let plain = one.trim_end_matches('/');
        if management_paths().any(|(_, managed)| covers(managed.path, plain)) {
            *one = plain.to_owned();
            return true;
        }
        let known: Vec<&str> = management_paths()
            .map(|(_, managed)| managed.path)
            .collect();
        let expected = format!("paths that manage an engine: {}", known.join(", "));
        let found = kind::quoted(one);
        if one.starts_with('/') {
            let hint = kind::nearest(plain, known.iter().copied()).map_or_else(
                || "no other path is closed".to_owned(),
                |near| format!("did you mean {near:?}?"),
            );
            report.no_effect(&path, &source, &found, &expected, &hint);
        } else {
            report.error(&path, &source, &found, &expected, "it starts with a slash");
        }
        false
    });
    all
}

/// Reads the client keys of all `[[key]]` tables. A table without a name or with a wrong hash is
/// reported and left out.
pub(super) fn keys(settings: &Settings, report: &mut ProblemReport) -> Vec<Arc<ClientKey>> {
    let mut keys: Vec<Arc<ClientKey>> = Vec::new();
    for i in 0..settings.count(client::TABLE) {
        let (name_path, hash_path) = (client::NAME.item(i), client::HASH.item(i));
        let source = settings.source(&format!("{}[{i}]", client::TABLE));
        let name = settings.find(&name_path);
        if name.is_none() && !report.has(&name_path) {
            report.error(
                &name_path,
                &source,
                "no name",
                "a name for logs",
                "add name = \"...\"",
            );
        }
        let sha256 = hash(settings, &hash_path, report);
        let (Some(name), Some(sha256)) = (name.as_deref(), sha256) else {
            continue;
        };
        if keys.iter().any(|key| &*key.name == name) {
            let found = format!("a second key {}", kind::quoted(name));
            let source = settings.source(&name_path);
            report.error(
                &name_path,
                &source,
                &found,
                "a name that no other key has",
                "",
            );
        }
        if let Some(twin) = keys.iter().find(|key| key.sha256 == sha256) {
            let found = format!("the hash of key {:?}", twin.name);
            let source = settings.source(&hash_path);
            let hint = "make another with `crucible key new`";
            report.error(
                &hash_path,
                &source,
                &found,
                "a hash that no other key has",
                hint,
            );
        }
        keys.push(Arc::new(ClientKey {
            name: name.into(),
            sha256,
            rate: settings.find(&client::RATE.item(i)),
            tokens_per_day: settings.find(&client::TOKENS_PER_DAY.item(i)),
            class: settings.get(&client::CLASS.item(i), report),
            defaults: models::defaults(settings, &client::DEFAULTS.item(i)),
            context: settings.find(&client::CONTEXT.item(i)),
        }));
    }
    keys
}

fn hash(
    settings: &Settings,
    path: &KeyPath<Option<String>>,
    report: &mut ProblemReport,
) -> Option<[u8; 32]> {
    let expected = "\"sha256:\" and 64 hexadecimal digits";
    let hint = "make one with `crucible key new`";
    let source = settings.source(path);
    let Some(text) = settings.find(path) else {
        if !report.has(path) {
            report.error(path, &source, "no hash", expected, hint);
        }
        return None;
    };
    let lower = text.to_ascii_lowercase();
    if KNOWN_HASHES.contains(&lower.as_str()) {
        let found = "a hash of an example, whose key everybody knows";
        report.error(path, &source, found, "the hash of a key of your own", hint);
        return None;
    }
    let read = text.strip_prefix("sha256:").and_then(read_hex);
    if read.is_none() {
        // It may be the key itself, so it is not shown.
        report.error(
            path,
            &source,
            "something that is not a hash",
            expected,
            hint,
        );
    }
    read
}

fn read_hex(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; 32];
    for (i, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * i..2 * i + 2)?, 16).ok()?;
    }
    Some(bytes)
}

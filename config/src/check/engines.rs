//! The reading of the `[[engine]]` tables.

use std::{net::SocketAddr, path::Path, sync::Arc};

use url::{Host, Url};

use super::{
    address::{KIND_DEFAULT, api_key_env, engine_url},
    agree::warn_if_different,
    authorities, paths,
};
use crate::{
    checked::{Device, EngineConfig, EngineKind, Manage},
    engine_profile::EngineProfile,
    keys::{KeyPath, engine},
    kind::{self, Value},
    own_address,
    settings::{ProblemReport, Settings},
    tuning::TuningId,
};

/// Reads all `[[engine]]` tables in their order. `folder` is that of the configuration file, for
/// relative paths. A second engine with the same name or address is reported as an error.
pub(super) fn engines(
    settings: &mut Settings,
    folder: Option<&Path>,
    report: &mut ProblemReport,
) -> Vec<EngineConfig> {
    let mut engines: Vec<EngineConfig> = Vec::new();
    for i in 0..settings.count(engine::TABLE) {
        let Some(engine) = engine(settings, i, folder, report) else {
            continue;
        };
        let name_path = engine::NAME.item(i);
        if engines
            .iter()
            .any(|other| other.name.eq_ignore_ascii_case(&engine.name))
        {
            report.error(
                &name_path,
                &settings.source(&name_path),
                &format!("a second engine {:?}", engine.name),
                "a name that no other engine has",
                "names are compared without case",
            );
        }
        let twin = engine.url.as_ref().and_then(|url| {
            let same = |other: &&EngineConfig| {
                other
                    .url
                    .as_ref()
                    .is_some_and(|u| address(u) == address(url))
            };
            engines.iter().find(same)
        });
        if let Some(twin) = twin {
            let path = engine::URL.item(i);
            report.error(
                &path,
                &settings.source(&path),
                &format!("the address of engine {:?}", twin.name),
                "an address that no other engine has",
                "one server is one engine",
            );
        }
        engines.push(engine);
    }
    engines
}

/// Reports engines whose address is one of Crucible's own `listeners`: Crucible would send requests
/// to itself.
pub(super) fn not_itself(
    settings: &Settings,
    engines: &[EngineConfig],
    listeners: &[SocketAddr],
    report: &mut ProblemReport,
) {
    for (i, engine) in engines.iter().enumerate() {
        let Some(url) = &engine.url else { continue };
        if let Some(own) = own_address::reached(listeners, url) {
            let path = engine::URL.item(i);
            let source = settings.source(&path);
            let found = format!("{own}, where Crucible itself listens");
            let expected = "the engine's own address";
            report.error(&path, &source, &found, expected, "change one of the ports");
        }
    }
}

fn address(url: &Url) -> (String, Option<u16>) {
    let host = match url.host() {
        Some(Host::Ipv4(ip)) if ip.is_loopback() || ip.is_unspecified() => "localhost".into(),
        Some(Host::Ipv6(ip)) if ip.is_loopback() || ip.is_unspecified() => "localhost".into(),
        _ => url.host_str().unwrap_or_default().to_ascii_lowercase(),
    };
    (host, url.port_or_known_default())
}

/// Reads the table of engine number `i` (from 0); `None`, after an error, where it has no name or no kind.
fn engine(
    settings: &mut Settings,
    i: usize,
    folder: Option<&Path>,
    report: &mut ProblemReport,
) -> Option<EngineConfig> {
    let name = name(settings, i, report);
    let kind = engine_kind(settings, i, report);
    let (name, kind) = (name?, kind?);
    let profile = kind.profile();
    let model_path = paths::path(settings, &engine::MODEL_PATH.item(i), report)
        .map(|path| folder.map_or_else(|| path.clone(), |folder| folder.join(&path)));
    let serves_a_file = profile.spawn.is_some_and(|spawn| spawn.needs_model_file);
    let manage = settings.find(&engine::MANAGE.item(i));
    let manage = manage.unwrap_or(if serves_a_file && model_path.is_some() {
        Manage::Spawn
    } else {
        profile.manage
    });
    check_manage(settings, i, kind, manage, model_path.is_some(), report);
    let url = engine_url(settings, i, kind, manage, report);
    if manage == Manage::Spawn {
        check_child_address(settings, i, profile, url.as_ref(), report);
    }
    let ca_file = authorities::ca_file(settings, i, folder, url.as_ref(), report);
    let device = settings.find(&engine::DEVICE.item(i));
    let device = device.unwrap_or(profile.device);
    let (permits, queue) = (engine::PERMITS.item(i), engine::QUEUE.item(i));
    let (allow_cloud, websocket) = (engine::ALLOW_CLOUD.item(i), engine::WEBSOCKET.item(i));
    fill_defaults(settings, i, profile, device, report);
    only_for(settings, report, &allow_cloud, kind, |p| p.cloud_models);
    only_for(settings, report, &websocket, kind, |p| p.websocket_driver);
    Some(EngineConfig {
        name: name.into(),
        kind,
        url,
        device,
        pool: settings.find(&engine::POOL.item(i)).map(Arc::from),
        ca_file,
        command: command(settings, i, profile, manage, report),
        api_key_env: api_key_env(settings, i, report),
        manage,
        permits: settings.find(&permits).unwrap_or(profile.permits),
        queue: settings.find(&queue).unwrap_or(profile.queue),
        defaults: settings.get(&engine::DEFAULTS.item(i), report),
        allow_cloud: settings.get(&allow_cloud, report),
        passthrough: passthrough(settings, i, report),
        websocket: settings.get(&websocket, report),
        model_path,
    })
}

/// Refuses the address of another machine for a child. One that serves a single model file takes a free
/// port of this machine.
fn check_child_address(
    settings: &Settings,
    i: usize,
    profile: &EngineProfile,
    url: Option<&Url>,
    report: &mut ProblemReport,
) {
    let Some((spawn, url)) = profile.spawn.zip(url) else {
        return;
    };
    if !spawn.needs_model_file && address(url).0 != "localhost" {
        let path = engine::URL.item(i);
        report.error(
            &path,
            &settings.source(&path),
            &kind::quoted(url.as_str()),
            "an address of this machine, or none",
            &format!("{} is started here, by Crucible", profile.product),
        );
    }
}

/// Fills in what the kind of an engine says where its table says nothing.
fn fill_defaults(
    settings: &mut Settings,
    i: usize,
    profile: &EngineProfile,
    device: Device,
    report: &mut ProblemReport,
) {
    let (permits, queue) = (engine::PERMITS.item(i), engine::QUEUE.item(i));
    if profile.permits_from_tuning {
        same_as_tuning(settings, report, &permits, TuningId::OllamaNumParallel);
        same_as_tuning(settings, report, &queue, TuningId::OllamaMaxQueue);
    }
    for (path, value) in [
        (&*engine::DEVICE.item(i), Value::Text(word(device).into())),
        (&*permits, Value::Integer(profile.permits.into())),
        (&*queue, Value::Integer(profile.queue.into())),
        (&*engine::DEFAULTS.item(i), Value::Boolean(true)),
        (&*engine::ALLOW_CLOUD.item(i), Value::Boolean(false)),
        (&*engine::WEBSOCKET.item(i), Value::Boolean(false)),
    ] {
        settings.fill(path, value, KIND_DEFAULT);
    }
}

/// Returns the command of a child, which its kind gives where the table does not.
fn command(
    settings: &Settings,
    i: usize,
    profile: &EngineProfile,
    manage: Manage,
    report: &mut ProblemReport,
) -> Vec<String> {
    let command = paths::command(settings, &engine::COMMAND.item(i), report);
    match profile.spawn {
        Some(spawn) if manage == Manage::Spawn && command.is_empty() => {
            vec![spawn.program.into()]
        }
        _ => command,
    }
}

const fn word(device: Device) -> &'static str {
    match device {
        Device::Gpu => "gpu",
        Device::Cpu => "cpu",
        Device::Auto => "auto",
    }
}

fn name(settings: &Settings, i: usize, report: &mut ProblemReport) -> Option<String> {
    let path = engine::NAME.item(i);
    let source = settings.source(&path);
    let Some(name) = settings.find(&path) else {
        if settings.is_set(&path) || !report.has(&path) {
            report.error(&path, &source, "no name", "a name", "add name = \"...\"");
        }
        return None;
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !name.chars().all(plain) {
        let hint = if name.contains('/') {
            "a slash separates engine and model"
        } else {
            ""
        };
        let expected = "letters, digits, '-', '_' and '.'";
        report.error(&path, &source, &kind::quoted(&name), expected, hint);
    }
    Some(name)
}

fn engine_kind(settings: &Settings, i: usize, report: &mut ProblemReport) -> Option<EngineKind> {
    let words = EngineKind::ALL.map(|kind| kind.profile().word);
    let path = engine::KIND.item(i);
    let text = settings.find(&path);
    let text = text.as_deref();
    if let Some(kind) = text.and_then(EngineKind::of_word) {
        return Some(kind);
    }
    // A word of the file was checked when it was read; one of a flag was not.
    if !report.has(&path) {
        let found = text.map_or_else(|| "no kind".into(), kind::quoted);
        let hint = text
            .and_then(|text| kind::nearest(text, words))
            .map(|near| format!("did you mean {near:?}?"))
            .unwrap_or_default();
        let expected = format!("one of {}", words.map(kind::quoted).join(", "));
        report.error(&path, &settings.source(&path), &found, &expected, &hint);
    }
    None
}

fn check_manage(
    settings: &Settings,
    i: usize,
    kind: EngineKind,
    manage: Manage,
    has_model: bool,
    report: &mut ProblemReport,
) {
    let path = engine::MANAGE.item(i);
    let source = settings.source(&path);
    let profile = kind.profile();
    match (manage, profile.spawn) {
        (Manage::Spawn, None) => report.error(
            &path,
            &source,
            "\"spawn\"",
            "\"observe\" or \"models\" for this kind",
            "only llamacpp and ollama engines are started as children",
        ),
        (Manage::Spawn, Some(spawn)) if spawn.needs_model_file && !has_model => report.error(
            &engine::MODEL_PATH.item(i),
            &source,
            "no model_path",
            "the model file that the spawned engine serves",
            "add model_path = \"model.gguf\"",
        ),
        (Manage::Models, _) if !profile.loads() => report.warn(
            &path,
            &source,
            "\"models\"",
            "\"observe\" for this kind",
            "it has no way to load or unload a model",
        ),
        (Manage::Spawn | Manage::Models | Manage::Observe, _) => {}
    }
}

fn passthrough(settings: &Settings, i: usize, report: &mut ProblemReport) -> Vec<String> {
    let path = engine::PASSTHROUGH.item(i);
    let all = settings.get(&path, report);
    for word in &all {
        if !["responses", "messages"].contains(&word.as_str()) {
            let hint = kind::nearest(word, ["responses", "messages"])
                .map(|near| format!("did you mean {near:?}?"))
                .unwrap_or_default();
            let source = settings.source(&path);
            report.error(
                &path,
                &source,
                &kind::quoted(word),
                "\"responses\" or \"messages\"",
                &hint,
            );
        }
    }
    all
}

/// Warns about a switch that is on and means something for engines of other kinds only.
fn only_for(
    settings: &Settings,
    report: &mut ProblemReport,
    path: &KeyPath<bool>,
    kind: EngineKind,
    means_something: impl Fn(&EngineProfile) -> bool,
) {
    if settings.get(path, report) && !means_something(kind.profile()) {
        let source = settings.source(path);
        let others = EngineKind::ALL.map(EngineKind::profile).into_iter();
        let others = others.filter(|profile| means_something(profile));
        let others: Vec<&str> = others.map(|profile| profile.word).collect();
        let expected = format!(
            "false for this kind, it means something for {} only",
            others.join(", ")
        );
        report.warn(path, &source, "true", &expected, "remove it");
    }
}

/// Gives an engine's own key the value of the engine setting that means the same, where that is set
/// in a higher layer or the key is not set at all.
fn same_as_tuning(settings: &mut Settings, report: &mut ProblemReport, own: &str, id: TuningId) {
    let tuning = id.path();
    warn_if_different(settings, report, own, tuning);
    if (settings.layer(own).is_none() || settings.layer(tuning) > settings.layer(own))
        && let Some(entry) = settings.entries.get(tuning).cloned()
    {
        settings.entries.insert(own.to_owned(), entry);
    }
}

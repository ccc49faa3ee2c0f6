//! `[[engine]]`.

use std::{net::SocketAddr, path::Path, sync::Arc};

use url::{Host, Url};

use super::{
    address::{api_key_env, engine_url},
    agree::warn_if_different,
    paths,
};
use crate::{
    checked::{Device, Engine, EngineKind, Manage},
    kind::{self, Value},
    own_address,
    settings::{Report, Settings},
    tuning::TuningId,
};

pub(super) const KIND_DEFAULT: &str = "default of its kind";

/// Default device of a kind.
pub(crate) const fn device_of(kind: EngineKind) -> Device {
    match kind {
        EngineKind::Lmstudio | EngineKind::Openai => Device::Gpu,
        EngineKind::Ollama => Device::Auto,
        EngineKind::Llamacpp => Device::Cpu,
    }
}

/// Default permits of a kind.
pub(crate) const fn permits_of(kind: EngineKind) -> u32 {
    match kind {
        EngineKind::Lmstudio | EngineKind::Ollama | EngineKind::Llamacpp => 2,
        EngineKind::Openai => 32,
    }
}

/// Default queue of a kind.
pub(crate) const fn queue_of(kind: EngineKind) -> u32 {
    match kind {
        EngineKind::Ollama => 10,
        EngineKind::Lmstudio | EngineKind::Llamacpp => 64,
        EngineKind::Openai => 256,
    }
}

pub(super) fn engines(
    settings: &mut Settings,
    folder: Option<&Path>,
    report: &mut Report,
) -> Vec<Engine> {
    let mut engines: Vec<Engine> = Vec::new();
    for i in 0..settings.count("engine") {
        let table = format!("engine[{i}]");
        let Some(engine) = engine(settings, &table, folder, report) else {
            continue;
        };
        let name_path = format!("{table}.name");
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
            let same = |other: &&Engine| {
                other
                    .url
                    .as_ref()
                    .is_some_and(|u| address(u) == address(url))
            };
            engines.iter().find(same)
        });
        if let Some(twin) = twin {
            let path = format!("{table}.url");
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

/// An engine at an address of Crucible's own would be asked by itself.
pub(super) fn not_itself(
    settings: &Settings,
    engines: &[Engine],
    listeners: &[SocketAddr],
    report: &mut Report,
) {
    for (i, engine) in engines.iter().enumerate() {
        let Some(url) = &engine.url else { continue };
        if let Some(own) = own_address::reached(listeners, url) {
            let path = format!("engine[{i}].url");
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

fn engine(
    settings: &mut Settings,
    table: &str,
    folder: Option<&Path>,
    report: &mut Report,
) -> Option<Engine> {
    let at = |key: &str| format!("{table}.{key}");
    let name = name(settings, table, report);
    let kind = engine_kind(settings, table, report);
    let (name, kind) = (name?, kind?);
    let model_path = paths::path(settings, &at("model_path"), report)
        .map(|path| folder.map_or_else(|| path.clone(), |folder| folder.join(&path)));
    let manage = match settings.text(&at("manage")) {
        Some("observe") => Manage::Observe,
        Some("models") => Manage::Models,
        Some("spawn") => Manage::Spawn,
        _ => match kind {
            EngineKind::Llamacpp if model_path.is_some() => Manage::Spawn,
            // Of a llama.cpp only router mode has models to load.
            EngineKind::Lmstudio | EngineKind::Ollama | EngineKind::Llamacpp => Manage::Models,
            EngineKind::Openai => Manage::Observe,
        },
    };
    check_manage(settings, table, kind, manage, model_path.is_some(), report);
    let url = engine_url(settings, table, kind, manage, report);
    if let (Manage::Spawn, EngineKind::Ollama, Some(url)) = (manage, kind, &url)
        && address(url).0 != "localhost"
    {
        report.error(
            &at("url"),
            &settings.source(&at("url")),
            &kind::quoted(url.as_str()),
            "an address of this machine, or none",
            "Ollama is started here, by Crucible",
        );
    }
    let device = match settings.text(&at("device")) {
        Some("gpu") => Device::Gpu,
        Some("cpu") => Device::Cpu,
        Some("auto") => Device::Auto,
        _ => device_of(kind),
    };
    if kind == EngineKind::Ollama {
        same_as_tuning(
            settings,
            report,
            &at("permits"),
            TuningId::OllamaNumParallel.path(),
        );
        same_as_tuning(
            settings,
            report,
            &at("queue"),
            TuningId::OllamaMaxQueue.path(),
        );
    }
    for (key, value) in [
        ("device", Value::Text(word(device).into())),
        ("permits", Value::Integer(permits_of(kind).into())),
        ("queue", Value::Integer(queue_of(kind).into())),
        ("defaults", Value::Boolean(true)),
        ("allow_cloud", Value::Boolean(false)),
        ("websocket", Value::Boolean(false)),
    ] {
        settings.fill(&at(key), value, KIND_DEFAULT);
    }
    only_for(
        settings,
        report,
        &at("allow_cloud"),
        kind,
        EngineKind::Ollama,
    );
    only_for(
        settings,
        report,
        &at("websocket"),
        kind,
        EngineKind::Lmstudio,
    );
    let mut command = paths::command(settings, &at("command"), report);
    if manage == Manage::Spawn && command.is_empty() {
        let program = if kind == EngineKind::Ollama {
            "ollama"
        } else {
            "llama-server"
        };
        command = vec![program.into()];
    }
    Some(Engine {
        name: name.into(),
        kind,
        url,
        device,
        pool: settings.text(&at("pool")).map(Arc::from),
        api_key_env: api_key_env(settings, table, report),
        manage,
        permits: settings.integer(&at("permits")).unwrap_or(permits_of(kind)),
        queue: settings.integer(&at("queue")).unwrap_or(queue_of(kind)),
        defaults: settings.boolean(&at("defaults")).unwrap_or(true),
        allow_cloud: settings.flag(&at("allow_cloud")),
        passthrough: passthrough(settings, table, report),
        websocket: settings.flag(&at("websocket")),
        command,
        model_path,
    })
}

const fn word(device: Device) -> &'static str {
    match device {
        Device::Gpu => "gpu",
        Device::Cpu => "cpu",
        Device::Auto => "auto",
    }
}

fn name(settings: &Settings, table: &str, report: &mut Report) -> Option<String> {
    let path = format!("{table}.name");
    let source = settings.source(&path);
    let Some(name) = settings.text(&path) else {
        if settings.value(&path).is_some() || !report.has(&path) {
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
        report.error(&path, &source, &kind::quoted(name), expected, hint);
    }
    Some(name.to_owned())
}

fn engine_kind(settings: &Settings, table: &str, report: &mut Report) -> Option<EngineKind> {
    const KINDS: [(&str, EngineKind); 4] = [
        ("lmstudio", EngineKind::Lmstudio),
        ("ollama", EngineKind::Ollama),
        ("llamacpp", EngineKind::Llamacpp),
        ("openai", EngineKind::Openai),
    ];
    let path = format!("{table}.kind");
    let text = settings.text(&path);
    if let Some((_, kind)) = KINDS.into_iter().find(|(word, _)| Some(*word) == text) {
        return Some(kind);
    }
    // A word of the file was checked when it was read; one of a flag was not.
    if !report.has(&path) {
        let found = text.map_or_else(|| "no kind".into(), kind::quoted);
        let hint = text
            .and_then(|text| kind::nearest(text, KINDS.map(|(word, _)| word)))
            .map(|near| format!("did you mean {near:?}?"))
            .unwrap_or_default();
        let expected = "one of \"lmstudio\", \"ollama\", \"llamacpp\", \"openai\"";
        report.error(&path, &settings.source(&path), &found, expected, &hint);
    }
    None
}

fn check_manage(
    settings: &Settings,
    table: &str,
    kind: EngineKind,
    manage: Manage,
    has_model: bool,
    report: &mut Report,
) {
    let path = format!("{table}.manage");
    let source = settings.source(&path);
    match (manage, kind) {
        (Manage::Spawn, EngineKind::Llamacpp) if !has_model => report.error(
            &format!("{table}.model_path"),
            &source,
            "no model_path",
            "the model file that the spawned engine serves",
            "add model_path = \"model.gguf\"",
        ),
        (Manage::Spawn, EngineKind::Lmstudio | EngineKind::Openai) => report.error(
            &path,
            &source,
            "\"spawn\"",
            "\"observe\" or \"models\" for this kind",
            "only llamacpp and ollama engines are started as children",
        ),
        (Manage::Models, EngineKind::Openai) => report.warn(
            &path,
            &source,
            "\"models\"",
            "\"observe\" for this kind",
            "it has no way to load or unload a model",
        ),
        _ => {}
    }
}

fn passthrough(settings: &Settings, table: &str, report: &mut Report) -> Vec<String> {
    let path = format!("{table}.passthrough");
    let all = settings.texts(&path);
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

fn only_for(
    settings: &Settings,
    report: &mut Report,
    path: &str,
    kind: EngineKind,
    only: EngineKind,
) {
    if settings.flag(path) && kind != only {
        let source = settings.source(path);
        let expected = format!("false for this kind, it means something for {only:?} only");
        report.warn(path, &source, "true", &expected.to_lowercase(), "remove it");
    }
}

/// An engine's own key against the tuning row that says the same.
fn same_as_tuning(settings: &mut Settings, report: &mut Report, own: &str, tuning: &str) {
    warn_if_different(settings, report, own, tuning);
    if (settings.layer(own).is_none() || settings.layer(tuning) > settings.layer(own))
        && let Some(entry) = settings.entries.get(tuning).cloned()
    {
        settings.entries.insert(own.to_owned(), entry);
    }
}

//! From layered settings to a [`Config`] that cannot be wrong.
//!
//! Each part reads its own paths, reports what is wrong and goes on with a harmless value, so
//! that one run finds everything. The result is used only when no error was reported.

mod access;
mod address;
mod agree;
mod engines;
mod models;
mod names;
mod paths;
mod pools;
mod quantization;
mod rules;
mod tunings;

use std::path::{Path, PathBuf};

use crate::{
    checked::{
        Config, ContextPolicy, Fit, Limits, Log, LogFormat, OnExit, ProfileName, Routing, Sampling,
        Scheduler, Timeouts, Tuning,
    },
    glob::Globs,
    settings::{Layer, Report, Settings},
    tuning::TuningId,
};

pub(crate) use engines::{device_of, permits_of, queue_of};
pub(crate) use names::BUILTIN_VIRTUAL;

/// `folder` is the configuration file's, for relative paths.
pub(crate) fn check(
    settings: &mut Settings,
    profile: ProfileName,
    folder: Option<&Path>,
    report: &mut Report,
) -> Config {
    agree::agree(settings, report);
    let engines = engines::engines(settings, folder, report);
    let pools = pools::pools(settings, &engines, report);
    let models = models::models(settings, &engines, report);
    let virtual_models = rules::virtual_models(settings, &engines, report);
    let rules = rules::rules(settings, report);
    let keys = access::keys(settings, report);
    let listen = access::listen(settings, &keys, report);
    let metrics_listen = access::metrics_listen(settings, &listen, &keys, report);
    let listeners: Vec<_> = listen.iter().copied().chain(metrics_listen).collect();
    engines::not_itself(settings, &engines, &listeners, report);
    let tuning = Tuning::read(settings, report);
    tunings::combinations(settings, &tuning, &engines, &pools, report);
    let mut config = Config {
        listen,
        profile,
        default_model: settings.text("default_model").map(str::to_owned),
        on_exit: match settings.text("on_exit") {
            Some("leave") => OnExit::Leave,
            _ => OnExit::Unload,
        },
        allow_unauthenticated: settings.flag("allow_unauthenticated"),
        metrics_listen,
        builtin_rules: settings.flag("builtin_rules"),
        allowed_hosts: access::allowed_hosts(settings, report),
        allowed_origins: access::allowed_origins(settings, report),
        state_dir: paths::path(settings, "state_dir", report).unwrap_or_else(default_state_dir),
        engines,
        models,
        pools,
        timeouts: timeouts(settings),
        limits: limits(settings),
        context: context(settings, &tuning, report),
        routing: Routing {
            first_token: settings.duration("routing.first_token"),
        },
        scheduler: scheduler(settings),
        warm: settings.texts("startup.warm"),
        log: log(settings, report),
        guard_open: access::guard_open(settings, report),
        rules,
        virtual_models,
        keys,
        tuning,
        globs: Globs::default(),
    };
    config.globs = Globs::of(&config);
    names::names(settings, &config, report);
    config
}

fn default_state_dir() -> PathBuf {
    directories::ProjectDirs::from("", "", "crucible").map_or_else(
        || std::env::temp_dir().join("crucible"),
        |dirs| {
            dirs.state_dir()
                .unwrap_or_else(|| dirs.data_local_dir())
                .to_path_buf()
        },
    )
}

fn timeouts(settings: &Settings) -> Timeouts {
    let time = |key: &str| settings.duration(&format!("timeouts.{key}"));
    Timeouts {
        queue: time("queue"),
        commit: time("commit"),
        load: time("load"),
        first_token: time("first_token"),
        idle: time("idle"),
        tool_call: time("tool_call"),
        response: time("response"),
        drain: time("drain"),
        connect: time("connect"),
        header: time("header"),
        body: time("body"),
        client_stall: time("client_stall"),
    }
}

fn limits(settings: &Settings) -> Limits {
    Limits {
        body: settings.integer("limits.body").unwrap_or_default(),
        connections: settings.integer("limits.connections").unwrap_or_default(),
        header: settings.integer("limits.header").unwrap_or_default(),
        body_rate: settings.integer("limits.body_rate").unwrap_or_default(),
        json_depth: settings.integer("limits.json_depth").unwrap_or_default(),
        event: settings.integer("limits.event").unwrap_or_default(),
    }
}

fn fit(settings: &Settings, path: &str) -> Option<Fit> {
    settings.text(path).map(|word| {
        if word == "reject" {
            Fit::Reject
        } else {
            Fit::Grow
        }
    })
}

fn context(settings: &Settings, tuning: &Tuning, report: &mut Report) -> ContextPolicy {
    let max = settings.integer("context.max").unwrap_or_default();
    for (id, given) in [
        (
            TuningId::LmstudioContextLength,
            tuning.lmstudio.context_length,
        ),
        (TuningId::OllamaContextSize, tuning.ollama.context_size),
    ] {
        if given > max {
            let path = id.path();
            let source = settings.source("context.max");
            let expected = format!("at least {path}, which is {given}");
            report.error(
                "context.max",
                &source,
                &max.to_string(),
                &expected,
                "raise one",
            );
        }
    }
    ContextPolicy {
        fit: fit(settings, "context.fit").unwrap_or_default(),
        grow_foreign: settings.flag("context.grow_foreign"),
        max,
        ollama_configured: settings.layer(TuningId::OllamaContextSize.path())
            > Some(Layer::Profile),
    }
}

fn scheduler(settings: &Settings) -> Scheduler {
    Scheduler {
        evict_foreign: settings.flag("scheduler.evict_foreign"),
        overtake_count: settings
            .integer("scheduler.overtake_count")
            .unwrap_or_default(),
        overtake_age: settings.duration("scheduler.overtake_age"),
        linger: settings.duration("scheduler.linger"),
        overflow_after: settings.duration("scheduler.overflow_after"),
        small_model: settings.text("scheduler.small_model").map(str::to_owned),
        supersede: settings.flag("scheduler.supersede"),
    }
}

fn log(settings: &Settings, report: &mut Report) -> Log {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let level = settings.text("log.level").unwrap_or("info").to_owned();
    for directive in level.split(',') {
        let word = directive
            .rsplit('=')
            .next()
            .unwrap_or_default()
            .trim()
            .to_lowercase();
        if !LEVELS.contains(&word.as_str()) {
            let hint = crate::kind::nearest(&word, LEVELS)
                .map(|near| format!("did you mean {near:?}?"))
                .unwrap_or_default();
            let expected = "off, error, warn, info, debug or trace, or TARGET=LEVEL, with commas";
            let source = settings.source("log.level");
            report.error(
                "log.level",
                &source,
                &crate::kind::quoted(directive),
                expected,
                &hint,
            );
        }
    }
    let format = match settings.text("log.format") {
        Some("json") => LogFormat::Json,
        _ => LogFormat::Text,
    };
    Log {
        format,
        level,
        events: settings.flag("log.events"),
        events_size: settings.integer("log.events_size").unwrap_or_default(),
    }
}

/// Sampling defaults below a table.
fn sampling(settings: &Settings, table: &str) -> Sampling {
    Sampling {
        temperature: settings.number(&format!("{table}.temperature")),
        top_p: settings.number(&format!("{table}.top_p")),
        frequency_penalty: settings.number(&format!("{table}.frequency_penalty")),
        presence_penalty: settings.number(&format!("{table}.presence_penalty")),
    }
}

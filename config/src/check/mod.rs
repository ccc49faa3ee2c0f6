//! The making of a [`Config`] that cannot be wrong from layered settings.
//!
//! Each part reads its own paths, reports what is wrong and goes on with a harmless value, so
//! that one run finds everything. The result is used only when no error was reported.

mod access;
mod address;
mod agree;
mod authorities;
mod engines;
mod models;
mod names;
mod paths;
mod pools;
mod quantization;
mod rules;
mod tunings;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    checked::{
        Config, ContextPolicy, Limits, LogSettings, PrefixSettings, ProfileName, Routing, Sampling,
        SchedulerSettings, Timeouts, Tuning,
    },
    glob::Globs,
    keys::{
        FixedKey, context, limits, log, prefix, root, routing, sampling, scheduler, startup,
        timeouts,
    },
    kind::SettingType,
    settings::{ConfigLayer, ProblemReport, Settings},
    tuning::{TuningId, TuningSource},
};

pub(crate) use names::BUILTIN_VIRTUAL;

/// Makes the configuration from the layered settings. `folder` is that of the configuration file,
/// for relative paths. Each problem goes into `report`; the result must not be used where that has
/// an error.
pub(crate) fn check(
    settings: &mut Settings,
    profile: ProfileName,
    folder: Option<&Path>,
    report: &mut ProblemReport,
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
    let tuning = Tuning::read(&mut TuningReader { settings, report });
    tunings::combinations(settings, &tuning, &engines, &pools, report);
    let mut config = Config {
        listen,
        profile,
        default_model: settings.find(&root::DEFAULT_MODEL.path()),
        on_exit: settings.get(&root::ON_EXIT.path(), report),
        allow_unauthenticated: settings.get(&root::ALLOW_UNAUTHENTICATED.path(), report),
        metrics_listen,
        builtin_rules: settings.get(&root::BUILTIN_RULES.path(), report),
        allowed_hosts: access::allowed_hosts(settings, report),
        allowed_origins: access::allowed_origins(settings, report),
        state_dir: paths::path(settings, &root::STATE_DIR.path(), report)
            .unwrap_or_else(default_state_dir),
        engines,
        models,
        pools,
        timeouts: timeouts(settings, report),
        limits: limits(settings, report),
        context: context(settings, &tuning, report),
        prefix: prefix(settings, report),
        routing: Routing {
            first_token: settings.get(&routing::FIRST_TOKEN.path(), report),
        },
        scheduler: scheduler(settings, report),
        warm: settings.get(&startup::WARM.path(), report),
        log: log(settings, report),
        otlp_endpoint: address::collector(settings, report),
        guard_open: access::guard_open(settings, report),
        rules,
        virtual_models,
        keys,
        tuning,
        globs: Globs::default(),
    };
    config.globs = globs(&config);
    names::names(settings, &config, report);
    config
}

/// Prepares the patterns among the names of models and the lists of virtual ones.
fn globs(config: &Config) -> Globs {
    let names = config
        .models
        .iter()
        .flat_map(|block| std::iter::once(&block.name).chain(&block.aliases));
    Globs::of(names.chain(config.virtual_models.values().flatten()))
}

fn prefix(settings: &Settings, report: &mut ProblemReport) -> PrefixSettings {
    PrefixSettings {
        billing_block: settings.get(&prefix::BILLING_BLOCK.path(), report),
        cache_control: settings.get(&prefix::CACHE_CONTROL.path(), report),
        later_system: settings.get(&prefix::LATER_SYSTEM.path(), report),
    }
}

/// Reads the 39 engine settings from the values that the layers set.
struct TuningReader<'a> {
    settings: &'a Settings,
    report: &'a mut ProblemReport,
}

// === impl TuningReader ===

impl TuningSource for TuningReader<'_> {
    fn value<T: SettingType + Default>(&mut self, id: TuningId) -> T {
        self.settings.tuning(id, self.report)
    }
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

fn timeouts(settings: &Settings, report: &mut ProblemReport) -> Timeouts {
    let mut time = |key: FixedKey<Duration>| settings.get(&key.path(), report);
    Timeouts {
        queue: time(timeouts::QUEUE),
        commit: time(timeouts::COMMIT),
        load: time(timeouts::LOAD),
        first_token: time(timeouts::FIRST_TOKEN),
        idle: time(timeouts::IDLE),
        tool_call: time(timeouts::TOOL_CALL),
        response: time(timeouts::RESPONSE),
        drain: time(timeouts::DRAIN),
        connect: time(timeouts::CONNECT),
        header: time(timeouts::HEADER),
        body: time(timeouts::BODY),
        client_stall: time(timeouts::CLIENT_STALL),
    }
}

fn limits(settings: &Settings, report: &mut ProblemReport) -> Limits {
    Limits {
        body: settings.get(&limits::BODY.path(), report),
        connections: settings.get(&limits::CONNECTIONS.path(), report),
        header: settings.get(&limits::HEADER.path(), report),
        body_rate: settings.get(&limits::BODY_RATE.path(), report),
        json_depth: settings.get(&limits::JSON_DEPTH.path(), report),
        event: settings.get(&limits::EVENT.path(), report),
    }
}

fn context(settings: &Settings, tuning: &Tuning, report: &mut ProblemReport) -> ContextPolicy {
    let path = context::MAX.path();
    let max = settings.get(&path, report);
    for (id, given) in [
        (
            TuningId::LmstudioContextLength,
            tuning.lmstudio.context_length,
        ),
        (TuningId::OllamaContextSize, tuning.ollama.context_size),
    ] {
        if given > max {
            let source = settings.source(&path);
            let expected = format!("at least {}, which is {given}", id.path());
            report.error(&path, &source, &max.to_string(), &expected, "raise one");
        }
    }
    let ollama = settings.layer(TuningId::OllamaContextSize.path());
    ContextPolicy {
        fit: settings.get(&context::FIT.path(), report),
        grow_foreign: settings.get(&context::GROW_FOREIGN.path(), report),
        max,
        ollama_configured: ollama > Some(ConfigLayer::Profile),
    }
}

fn scheduler(settings: &Settings, report: &mut ProblemReport) -> SchedulerSettings {
    SchedulerSettings {
        evict_foreign: settings.get(&scheduler::EVICT_FOREIGN.path(), report),
        overtake_count: settings.get(&scheduler::OVERTAKE_COUNT.path(), report),
        overtake_age: settings.get(&scheduler::OVERTAKE_AGE.path(), report),
        linger: settings.get(&scheduler::LINGER.path(), report),
        overflow_after: settings.get(&scheduler::OVERFLOW_AFTER.path(), report),
        small_model: settings.find(&scheduler::SMALL_MODEL.path()),
        supersede: settings.get(&scheduler::SUPERSEDE.path(), report),
    }
}

fn log(settings: &Settings, report: &mut ProblemReport) -> LogSettings {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let path = log::LEVEL.path();
    let level = settings
        .find(&path)
        .unwrap_or_else(|| path.key.default.to_owned());
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
            let source = settings.source(&path);
            report.error(
                &path,
                &source,
                &crate::kind::quoted(directive),
                expected,
                &hint,
            );
        }
    }
    LogSettings {
        format: settings.get(&log::FORMAT.path(), report),
        level,
        events: settings.get(&log::EVENTS.path(), report),
        events_size: settings.get(&log::EVENTS_SIZE.path(), report),
    }
}

/// Reads the sampling values in the table at this path; each that is not set is `None`.
fn sampling(settings: &Settings, table: &str) -> Sampling {
    Sampling {
        temperature: settings.find(&sampling::TEMPERATURE.at(table)),
        top_p: settings.find(&sampling::TOP_P.at(table)),
        frequency_penalty: settings.find(&sampling::FREQUENCY_PENALTY.at(table)),
        presence_penalty: settings.find(&sampling::PRESENCE_PENALTY.at(table)),
    }
}

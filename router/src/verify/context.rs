//! Checks of `tuning.lmstudio.context_length` and `tuning.ollama.context_size`: the context of
//! residents is compared with the configured one and with the outcome of probes.

use super::{
    Evidence, Finding,
    probe::{self, context::ContextVerdict},
};
use crate::{
    options::instance_context,
    shared_weights,
    view::{EngineView, ResidentView},
};

/// The context that the configuration asks for a loaded model.
pub(super) struct ConfiguredContext {
    /// The context in tokens per request.
    each: u64,
    /// The context in tokens that the engine is given at load time, for all slots.
    pub(super) whole: u64,
    /// The configured context, in words.
    asked: String,
}

/// Returns the context that the configuration asks for the model of `resident`; `None` for a
/// discovered engine whose address cannot be read.
pub(super) fn wanted_context(
    evidence: &Evidence,
    engine: &EngineView,
    resident: &ResidentView,
) -> Option<ConfiguredContext> {
    let config = &evidence.config;
    let described = config.engine(&engine.name).cloned().or_else(|| {
        let url = engine.url.parse().ok()?;
        Some(config.discovered(engine.kind, &engine.name, url))
    })?;
    let name = resident.info.name(engine.kind);
    let base = shared_weights::context(config, &described, &engine.models, name, None).value;
    let mut models = engine.models.iter();
    let most = models.find(|m| m.id == *name).and_then(|m| m.max_context);
    let each = most.map_or(base, |most| base.min(most.max(1)));
    let whole = instance_context(engine.kind, each, engine.permits, most);
    let mut asked = format!("{each} per request");
    if each != base {
        asked = format!("{asked} ({base}, capped at the model's {each})");
    }
    if whole != each {
        asked = format!("{asked}, {whole} for {} requests", engine.permits);
    }
    Some(ConfiguredContext { each, whole, asked })
}

/// Compares the context of one resident with the one that is configured for its model. `at` names
/// the source of the resident's context; `None` means the same as for [`wanted_context`].
pub(super) fn context(
    evidence: &Evidence,
    engine: &EngineView,
    resident: &ResidentView,
    at: &str,
) -> Option<Finding> {
    let name = &*resident.info.instance;
    let ConfiguredContext { each, whole, asked } = wanted_context(evidence, engine, resident)?;
    let Some(held) = resident.info.context else {
        return Some(Finding::unknown(
            asked,
            format!("{name} does not tell it"),
            at,
        ));
    };
    if held < each {
        let fix = reload_on(engine, name);
        return Some(Finding::wrong(asked, format!("{held} on {name}"), at, fix));
    }
    let note = match held.cmp(&whole) {
        std::cmp::Ordering::Less => " (enough for one request at a time)",
        std::cmp::Ordering::Equal => "",
        std::cmp::Ordering::Greater => " (grown, or loaded by hand with more)",
    };
    let found = format!("{held} on {name}{note}");
    let Some(probe) = probe::context::last_probe(&evidence.contexts, engine, resident) else {
        return Some(Finding::right(asked, found, at));
    };
    let at = format!("{at}, crucible doctor --probe");
    Some(if probe.verdict == ContextVerdict::Smaller {
        let found = format!("{held} on {name}, but {}", probe.words);
        let fix = format!("{}; then crucible doctor --probe", reload_on(engine, name));
        Finding::wrong(asked, found, &at, fix)
    } else {
        Finding::right(asked, format!("{found}, {}", probe.words), &at)
    })
}

/// Returns the advice how a model is loaded anew with the configured context.
fn reload_on(engine: &EngineView, name: &str) -> String {
    let advice = engine.kind.profile().advice.reload;
    advice.replace("{instance}", name)
}

//! The searches for faults of LM Studio beyond the 39 settings, such as a model that is loaded twice.

use std::time::Duration;

use crucible_config::checked::Manage;

use super::FoundFault;
use crate::{
    catalog::ModelKind,
    engine::IdleTtl,
    verify::{Evidence, context, lmstudio},
    view::{EngineView, ResidentView},
};

const LIST: &str = "GET /api/v1/models";

/// Finds an LM Studio without the REST API v1, which loads models by itself and with its own
/// options.
pub(super) fn no_load_control(evidence: &Evidence, engine: &EngineView) -> Vec<FoundFault> {
    let block = evidence.config.engine(&engine.name);
    // What is only observed has no load control by choice.
    if engine.load_control || block.is_some_and(|e| e.manage == Manage::Observe) {
        return Vec::new();
    }
    vec![FoundFault {
        asked: "REST v1 (LM Studio 0.4.0 or newer), to load models with their options".to_owned(),
        found: "it has none, so that it loads models by itself, with its own options".to_owned(),
        read_from: LIST.to_owned(),
        fix: "update LM Studio".to_owned(),
    }]
}

/// Finds models that LM Studio's auto-evict may unload: those that Crucible did not load and that
/// have an idle time, so that LM Studio loaded them on request. Needs the WebSocket API; without it
/// nothing is found.
pub(super) fn auto_evict(evidence: &Evidence, engine: &EngineView) -> Vec<FoundFault> {
    let Some(Ok(told)) = evidence.reported.get(&engine.name) else {
        return Vec::new();
    };
    if !evidence.config.tuning.lmstudio.auto_evict {
        return Vec::new();
    }
    let foreign = lmstudio::foreign(evidence, engine);
    let clocked = foreign.filter_map(|name| match told.get(name)?.ttl {
        IdleTtl::After(ttl) => Some((name, ttl)),
        IdleTtl::Untold | IdleTtl::Never => None,
    });
    clocked.map(|(name, ttl)| may_end(name, ttl)).collect()
}

fn may_end(name: &str, ttl: Duration) -> FoundFault {
    FoundFault {
        asked: "models that Crucible loads, which auto-evict leaves alone".to_owned(),
        found: format!(
            "LM Studio loaded {name} by itself (its idle clock is {} s): auto-evict ends it, even in \
             the middle of an answer, when another model is loaded so",
            ttl.as_secs()
        ),
        read_from: "listLoaded of its WebSocket API".to_owned(),
        fix: format!("lms unload {name}; Crucible loads it on the next request"),
    }
}

/// Returns the models that LM Studio or a person loaded with another context than the configured
/// one.
pub(super) fn other_context(evidence: &Evidence, engine: &EngineView) -> Vec<FoundFault> {
    let foreign = engine.residents.iter().filter(|r| !r.owned);
    let wrong = |resident: &ResidentView| {
        let finding = context::context(evidence, engine, resident, LIST)?;
        finding.fix.as_ref()?;
        let name = &resident.info.instance;
        let found = format!(
            "{}, loaded by just-in-time loading or by hand",
            finding.found
        );
        let fix = format!("lms unload {name}; Crucible loads it on the next request");
        Some(FoundFault::of(finding, found, fix))
    };
    foreign
        .filter(|r| r.info.kind == ModelKind::Generation)
        .filter_map(wrong)
        .collect()
}

/// Finds models that are loaded twice: a load in LM Studio makes `key:2` where `key` is loaded
/// already.
pub(super) fn second_instance(_: &Evidence, engine: &EngineView) -> Vec<FoundFault> {
    let second = |(i, resident): (usize, &ResidentView)| {
        let mut before = engine.residents[..i].iter();
        let name = &resident.info.instance;
        before
            .any(|r| r.info.model == resident.info.model)
            .then(|| FoundFault {
                asked: format!("one instance of {}", resident.info.model),
                found: format!("{} is loaded more than once: {name}", resident.info.model),
                read_from: LIST.to_owned(),
                fix: format!("lms unload {name}"),
            })
    };
    let residents = engine.residents.iter().enumerate();
    residents.filter_map(second).collect()
}

/// Finds engines from whose memory models vanished without Crucible's order, as when clients bypass
/// it.
pub(super) fn bypassed(evidence: &Evidence, engine: &EngineView) -> Vec<FoundFault> {
    let counters = evidence.counters.as_ref();
    let times = counters.and_then(|c| c.vanished.get(&*engine.name));
    let told = times.filter(|n| **n > 0).map(|times| FoundFault {
        asked: "models that stay until Crucible unloads them".to_owned(),
        found: format!(
            "models left its memory {times} times without Crucible's order: a client that bypasses \
             Crucible, or a crash"
        ),
        read_from: "crucible_model_evictions_total{reason=\"external\"} in GET /metrics".to_owned(),
        fix: format!(
            "point the clients of {} at Crucible's address instead",
            engine.url
        ),
    });
    told.into_iter().collect()
}

//! Checks of the settings that Crucible itself enforces, with its counters as evidence.

use std::{sync::Arc, time::Duration};

use crucible_config::checked::EngineKind;

use super::{Counters, Evidence, Finding, NOBODY, each, worst};
use crate::{
    catalog::{ModelInfo, ModelKind},
    demand::Demand,
    plan::{self, same, stem},
    view::EngineView,
};

const COUNTERS: &str = "Crucible's counters (GET /metrics)";
const RESIDENTS: &str = "the residents in GET /crucible/state";
/// The time beyond its time to live after which an idle model must be unloaded.
const UNLOAD_GRACE: Duration = Duration::from_secs(30);
/// The largest frame of an engine's stream in bytes, which is never split.
const FRAME: u64 = 16 * 1024;

/// Runs a check with the counters of the running instance; without one the setting counts as not verifiable.
fn enforced(evidence: &Evidence, asked: &str, check: impl Fn(&Counters) -> Finding) -> Finding {
    match &evidence.counters {
        Some(counters) => check(counters),
        None => Finding::unknown(asked, NOBODY, "nowhere").with_fix("crucible serve"),
    }
}

/// Compares the scheduler's idle time of each engine with the configured one, and looks for an unpinned model
/// that Crucible loaded and left idle over 30 s longer. Either makes it not in effect.
pub(super) fn model_ttl(evidence: &Evidence) -> Finding {
    let ttl = evidence.config.tuning.lmstudio.model_ttl;
    let asked = seconds(ttl);
    enforced(evidence, &asked, |counters| {
        let mut engines = evidence.view.engines.iter();
        if let Some((name, other)) =
            engines.find_map(|e| Some((&e.name, e.ttl.filter(|t| *t != ttl)?)))
        {
            let found = format!("{} on {name}", seconds(other));
            let at = "the scheduler's clocks";
            return Finding::wrong(&*asked, found, at, "restart Crucible and report it");
        }
        let mut held = evidence.view.engines.iter().flat_map(|e| &e.residents);
        let late = held.find(|r| {
            r.owned && !r.pinned && r.active == 0 && r.idle > ttl.saturating_add(UNLOAD_GRACE)
        });
        if let Some(late) = late {
            let found = format!("{} idle for {}", late.info.instance, seconds(late.idle));
            let fix = format!("unload {} by hand and report it", late.info.instance);
            return Finding::wrong(&*asked, found, RESIDENTS, fix);
        }
        let held = evidence.view.engines.iter().flat_map(|e| &e.residents);
        let longest = held.filter(|r| r.owned && !r.pinned).map(|r| r.idle).max();
        let longest = match longest {
            Some(idle) => format!(
                "no model of Crucible's idle for longer than {}",
                seconds(idle)
            ),
            None => "Crucible holds no model that could be idle".to_owned(),
        };
        let found = format!("{} unloaded by its clock, {longest}", counters.expired);
        Finding::right(&*asked, found, &format!("{COUNTERS}, {RESIDENTS}"))
    })
}

/// Finds whether a write of a streamed answer has on average, by Crucible's counters, at most the configured
/// bytes and an engine's frame of 16 KiB. Before the first stream it is in effect.
pub(super) fn stream_buffer(evidence: &Evidence) -> Finding {
    let cap = evidence.config.tuning.lmstudio.stream_buffer_size;
    let asked = format!("at most {cap} bytes coalesced");
    enforced(evidence, &asked, |counters| {
        let Some(mean) = counters.stream_bytes.checked_div(counters.stream_flushes) else {
            return Finding::right(&*asked, "the limit in force; no stream yet", COUNTERS);
        };
        let found = format!(
            "{mean} bytes on average in {} writes",
            counters.stream_flushes
        );
        let most = u64::try_from(cap).unwrap_or(u64::MAX).saturating_add(FRAME);
        if mean <= most {
            Finding::right(&*asked, found, COUNTERS)
        } else {
            Finding::wrong(&*asked, found, COUNTERS, "restart Crucible and report it")
        }
    })
}

/// Compares the longest silence that Crucible lets a stream have, which `[timeouts] idle` may set, with this
/// setting: another one is not in effect. The number of streams that ended by it is only told.
pub(super) fn stream_timeout(evidence: &Evidence) -> Finding {
    let wanted = evidence.config.tuning.lmstudio.stream_timeout;
    let asked = seconds(wanted);
    enforced(evidence, &asked, |counters| {
        let held = evidence.config.timeouts.idle;
        let found = format!(
            "{} in force; {} streams ended by it",
            seconds(held),
            counters.idle_timeouts
        );
        if held == wanted {
            Finding::right(&*asked, found, COUNTERS)
        } else {
            let fix = "remove `[timeouts] idle` or tuning.lmstudio.stream_timeout";
            Finding::wrong(&*asked, found, "the configuration in force", fix)
        }
    })
}

/// Finds whether Crucible fills in a missing temperature for any engine: not in effect where all have
/// `defaults = false`, not applicable where the profile sets none. How often is told by a counter.
pub(super) fn temperature(evidence: &Evidence) -> Finding {
    injected(
        evidence,
        "temperature",
        evidence.config.tuning.lmstudio.temperature,
    )
}

/// Finds whether Crucible fills in a missing `top_p`: not in effect where no engine takes defaults.
pub(super) fn top_p(evidence: &Evidence) -> Finding {
    injected(evidence, "top_p", evidence.config.tuning.lmstudio.top_p)
}

/// Finds whether a missing penalty is filled in, as for the temperature. For an LM Studio, the last
/// `crucible doctor --probe` decides: more repetition is not in effect, no outcome is not verifiable.
pub(super) fn frequency_penalty(evidence: &Evidence) -> Finding {
    const AT: &str = "two short seeded generations of `crucible doctor --probe`";
    let wanted = evidence.config.tuning.lmstudio.frequency_penalty;
    let finding = injected(evidence, "frequency_penalty", wanted);
    let Some(wanted) = wanted else {
        return finding;
    };
    let mut lmstudio = evidence
        .view
        .engines
        .iter()
        .filter(|e| e.kind == EngineKind::Lmstudio && takes_defaults(evidence, e));
    let Some(engine) = lmstudio.next() else {
        return finding;
    };
    match evidence.probes.get(&engine.name) {
        None => {
            let why = "LM Studio is suspected to treat it as an alias of its repeat penalty, with \
                       which 0.1 rewards repetition; nobody has probed it";
            Finding::unknown(wanted.to_string(), why, AT).with_fix("crucible doctor --probe")
        }
        Some(probe) if probe.rewards_repetition => {
            let found = format!(
                "{}; it is no longer filled in on {}",
                probe.words, engine.name
            );
            let fix =
                "set tuning.lmstudio.frequency_penalty = 0.0, which is neutral for every engine";
            Finding::wrong(wanted.to_string(), found, AT, fix)
        }
        Some(probe) if evidence.counters.is_some() => {
            Finding::right(wanted.to_string(), &probe.words, AT)
        }
        Some(_) => finding,
    }
}

/// Finds whether Crucible fills in a missing presence penalty: not in effect where no engine takes defaults.
pub(super) fn presence_penalty(evidence: &Evidence) -> Finding {
    injected(
        evidence,
        "presence_penalty",
        evidence.config.tuning.lmstudio.presence_penalty,
    )
}

fn injected(evidence: &Evidence, name: &str, wanted: Option<f64>) -> Finding {
    let Some(wanted) = wanted else {
        let why = format!("profile {:?} sets none", evidence.config.profile).to_lowercase();
        return Finding::not_applicable(why, "the configuration in force");
    };
    let asked = format!("{wanted} where a request has none");
    enforced(evidence, &asked, |counters| {
        let engines = &evidence.view.engines;
        let taking = engines
            .iter()
            .filter(|e| takes_defaults(evidence, e))
            .count();
        if taking == 0 && !engines.is_empty() {
            let fix = "remove `defaults = false` from an engine";
            let found = "nothing is filled in: every engine has `defaults = false`";
            return Finding::wrong(&*asked, found, "the configuration in force", fix);
        }
        let count = counters.injected.get(name).copied().unwrap_or_default();
        let left_out = engines.len() - taking;
        let mut found = format!("filled in {count} times");
        if left_out > 0 {
            found = format!("{found}; {left_out} engines have `defaults = false`");
        }
        Finding::right(&*asked, found, COUNTERS)
    })
}

fn takes_defaults(evidence: &Evidence, engine: &EngineView) -> bool {
    evidence
        .config
        .engine(&engine.name)
        .is_none_or(|e| e.defaults)
}

/// Finds whether each engine that is up had at least half of the polls that `keep_alive_interval` makes due since
/// the start. It is the interval at which residents are read; nothing is renewed by it.
pub(super) fn keep_alive_interval(evidence: &Evidence) -> Finding {
    let interval = evidence.config.tuning.lmstudio.keep_alive_interval;
    heartbeat(
        evidence,
        &format!("residents read at least every {}", seconds(interval)),
    )
}

/// Finds whether each engine that is up was polled, by Crucible's counters, half as often as is due since the
/// start, or more. Not applicable when switched off, not verifiable with no engine up.
pub(super) fn keep_alive_enabled(evidence: &Evidence) -> Finding {
    if !evidence.config.tuning.lmstudio.keep_alive_enabled {
        let why = "the heartbeat is switched off; health checks read the residents all the same";
        return Finding::not_applicable(why, "the configuration in force");
    }
    heartbeat(evidence, "residents read at intervals")
}

fn heartbeat(evidence: &Evidence, asked: &str) -> Finding {
    let interval = evidence.config.tuning.lmstudio.keep_alive_interval;
    enforced(evidence, asked, |counters| {
        let up: Vec<_> = evidence.view.engines.iter().filter(|e| e.is_up()).collect();
        if up.is_empty() {
            return Finding::unknown(asked, "no engine is up that could be read", COUNTERS);
        }
        // Half of what is asked, for polls that waited for an answer.
        let due = counters.uptime.as_millis() / interval.as_millis().max(1) / 2;
        let polls = |e: &&EngineView| counters.polls.get(&*e.name).copied().unwrap_or_default();
        let told: Vec<String> = up
            .iter()
            .map(|e| {
                format!(
                    "{} read {} times in {}",
                    e.name,
                    polls(e),
                    seconds(counters.uptime)
                )
            })
            .collect();
        let found = told.join(", ");
        match up.iter().find(|e| u128::from(polls(e)) < due) {
            None => Finding::right(asked, found, COUNTERS),
            Some(slow) => {
                let fix = format!("see why {} answers slowly: crucible models", slow.name);
                Finding::wrong(asked, found, COUNTERS, fix)
            }
        }
    })
}

/// Looks for each pinned or `[startup] warm` model among the loaded ones. A missing one is not in effect,
/// unless a load is under way (not verifiable) or, unpinned, it may be unloaded as idle.
pub(super) fn warm_up(evidence: &Evidence) -> Finding {
    if !evidence.config.tuning.lmstudio.model_warmup {
        return Finding::not_applicable("it is switched off", "the configuration in force");
    }
    let names = evidence.config.models_to_load();
    if names.is_empty() {
        let why = "no model is pinned or listed in `[startup] warm`";
        return Finding::not_applicable(why, "the configuration in force");
    }
    let asked = names.join(", ");
    enforced(evidence, &asked, |counters| {
        let missing: Vec<&String> = names
            .iter()
            .filter(|name| !is_held(evidence, name))
            .collect();
        if missing.is_empty() {
            return Finding::right(&*asked, "all of them are loaded", RESIDENTS);
        }
        let missing: Vec<&str> = missing.into_iter().map(String::as_str).collect();
        let loads = evidence.view.engines.iter().any(|e| e.loading.is_some());
        if loads {
            let why = format!("{} not loaded yet, a load is under way", missing.join(", "));
            return Finding::unknown(&*asked, why, RESIDENTS);
        }
        let ttl = evidence.config.tuning.lmstudio.model_ttl;
        let pinned = |name: &str| {
            let bare = name.rsplit('/').next().unwrap_or(name);
            let mut models = evidence.config.models.iter();
            models.any(|m| m.pin && (m.name == name || m.name == bare))
        };
        if counters.uptime > ttl && !missing.iter().any(|name| pinned(name)) {
            let found = format!("{} was idle since and is unloaded", missing.join(", "));
            return Finding::right(&*asked, found, RESIDENTS);
        }
        let found = format!("{} is not loaded", missing.join(", "));
        let fix = format!("see why in the log: crucible explain {}", missing[0]);
        Finding::wrong(&*asked, found, RESIDENTS, fix)
    })
}

/// Plans a request that leaves open which of an Ollama model's quantizations is meant. Not in effect if the
/// preferred one is there, by `GET /api/tags`, but another is chosen or loaded.
pub(super) fn quantization(evidence: &Evidence) -> Finding {
    const AT: &str = "Crucible's own choice among the models of GET /api/tags";
    let wanted = &*evidence.config.tuning.ollama.quantization;
    each(evidence, EngineKind::Ollama, |engine| {
        enforced(evidence, wanted, |_| {
            let chosen = preferred(engine, wanted)
                .filter(|better| !engine.models.iter().any(|m| same(&m.id, stem(&better.id))));
            let chosen = chosen.filter_map(|better| choice(evidence, engine, wanted, better, AT));
            let by_name = by_full_name(engine, wanted);
            worst(chosen.chain(by_name)).unwrap_or_else(|| {
                let found = format!("no model has a {wanted} variant beside others");
                let fix = format!("ollama pull a {wanted} variant, if there is one");
                Finding::right(wanted, found, AT).with_fix(fix)
            })
        })
    })
}

fn has(model: &ModelInfo, wanted: &str) -> bool {
    let told = model.quantization.as_deref();
    told.is_some_and(|q| q.eq_ignore_ascii_case(wanted))
}

/// Returns the models of the preferred quantization that the engine has in another one as well.
fn preferred<'a>(engine: &'a EngineView, wanted: &'a str) -> impl Iterator<Item = &'a ModelInfo> {
    let others = |better: &ModelInfo| {
        let mut all = engine.models.iter();
        all.any(|m| !has(m, wanted) && same(stem(&m.id), stem(&better.id)))
    };
    let all = engine.models.iter();
    all.filter(move |m| has(m, wanted) && others(m))
}

/// Checks where a name that leaves the quantization open leads.
fn choice(
    evidence: &Evidence,
    engine: &EngineView,
    wanted: &str,
    better: &ModelInfo,
    at: &str,
) -> Option<Finding> {
    let name = stem(&better.id);
    let demand = Demand {
        model: format!("{}/{name}", engine.name),
        kind: ModelKind::Generation,
        ..Demand::default()
    };
    let plan = plan::plan(&evidence.view, &demand, &evidence.config, None).ok()?;
    let chosen = &plan.candidates.first()?.model;
    let found = format!("'{name}' goes to {chosen}");
    let model = engine.models.iter().find(|m| m.id == *chosen)?;
    if has(model, wanted) {
        return Some(Finding::right(wanted, found, at));
    }
    let found = format!("{found}, and {} is there", better.id);
    let fix = format!("remove the alias '{name}', or point it at {}", better.id);
    Some(Finding::wrong(wanted, found, at, fix))
}

/// Finds a loaded model of another quantization although the engine has the preferred one too: a
/// client asked for it by its full name.
fn by_full_name(engine: &EngineView, wanted: &str) -> Option<Finding> {
    const AT: &str = "details.quantization_level in GET /api/tags of Ollama";
    let loaded = |model: &ModelInfo| engine.holds(&model.id).is_some();
    let mut all = engine
        .models
        .iter()
        .filter(|m| loaded(m) && !has(m, wanted));
    let (other, better) = all.find_map(|model| {
        let mut better = preferred(engine, wanted);
        Some((model, better.find(|b| same(stem(&b.id), stem(&model.id)))?))
    })?;
    let found = other.quantization.as_deref().unwrap_or("another one");
    let found = format!("{found} on {}", other.id);
    let fix = format!("ask for {} instead", better.id);
    Some(Finding::wrong(wanted, found, AT, fix))
}

fn is_held(evidence: &Evidence, name: &str) -> bool {
    let holds = |engine: &EngineView, model: &str| {
        let same =
            |name: &Arc<str>| &**name == model || name.strip_suffix(":latest") == Some(model);
        let mut held = engine.residents.iter();
        held.any(|r| engine.names(&r.info).iter().any(same))
    };
    evidence.view.engines.iter().any(|engine| {
        let own = name
            .strip_prefix(&*engine.name)
            .and_then(|n| n.strip_prefix('/'));
        holds(engine, name) || own.is_some_and(|model| holds(engine, model))
    })
}

fn seconds(duration: Duration) -> String {
    format!("{} s", duration.as_secs_f64().round())
}

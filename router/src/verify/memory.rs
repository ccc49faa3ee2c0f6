//! Checks of `gpu_memory_fraction` and `memory_limit`: the memory that the models of a pool may
//! take together, as the scheduler counts it.

use crucible_config::{
    checked::{Device, EngineKind},
    tuning::TuningState,
};

use super::{
    Evidence, Finding, NOBODY, each,
    lmstudio::{bytes, models, share, unload},
    ollama::process,
};
use crate::view::{Conflict, EngineView, ResidentView};

const ACCOUNT: &str = "the scheduler's account of its pool (GET /crucible/state)";
const PS: &str = "GET /api/ps of Ollama";
/// The share of the machine's memory that models may take at most, whatever the limit says.
const MEMORY_SHARE: f64 = 0.8;
/// The difference in bytes that comes from rounding and counts as none.
const ROUNDING: u64 = 1_000_000;

/// The memory of one pool, with that of all its engines.
struct Account<'a> {
    pool: &'a str,
    /// The budget in force in bytes; `None` where only the number of models is limited.
    budget: Option<u64>,
    used: u64,
    /// The bytes that other programs hold of the pool, where they are known.
    others: Option<u64>,
    peak: u64,
    held: Vec<&'a ResidentView>,
    /// The pinned models that the pool can never hold together, where there are any.
    conflict: Option<&'a Conflict>,
}

// === impl Account ===

impl<'a> Account<'a> {
    fn of(evidence: &'a Evidence, engine: &'a EngineView) -> Self {
        let engines = &evidence.view.engines;
        let members = || engines.iter().filter(|e| e.pool == engine.pool);
        let used = members().map(|e| e.used).fold(0, u64::saturating_add);
        Self {
            pool: &engine.pool,
            budget: members().filter_map(|e| e.budget).min(),
            used,
            others: members().find_map(|e| e.others),
            peak: members().map(|e| e.peak).fold(used, u64::max),
            held: members().flat_map(|e| &e.residents).collect(),
            conflict: members().flat_map(|e| &e.conflicts).find(|c| c.of_memory),
        }
    }

    /// Checks that the budget in force is at most `limit` bytes, and that the loaded models stay
    /// within it; `asked` is the limit in words.
    fn judge(&self, evidence: &Evidence, asked: &str, limit: u64) -> Finding {
        let Some(budget) = self.budget else {
            let why = "the scheduler has no budget for it yet";
            return Finding::unknown(asked, why, ACCOUNT);
        };
        let others = self.others.map_or_else(String::new, |others| {
            format!(", other programs hold {}", bytes(others))
        });
        let found = format!(
            "pool {}: budget {}, used {} in {}, largest seen {}{others}",
            self.pool,
            bytes(budget),
            bytes(self.used),
            models(self.held.len()),
            bytes(self.peak)
        );
        if budget > limit.saturating_add(ROUNDING) {
            return Finding::wrong(asked, found, ACCOUNT, "restart Crucible and report it");
        }
        if let Some(conflict) = self.conflict {
            let found = format!("{found}; {}", conflict.found);
            return Finding::wrong(asked, found, ACCOUNT, &conflict.fix);
        }
        if self.used > budget && self.held.len() > 1 {
            let fix = unload(self.held.iter().copied().filter(|r| !r.owned));
            return Finding::wrong(asked, found, ACCOUNT, fix);
        }
        if evidence.counters.is_none() {
            let why = format!("{found}; {NOBODY}");
            return Finding::unknown(asked, why, ACCOUNT).with_fix("crucible serve");
        }
        if self.used > budget {
            let found = format!("{found}: it exceeds the budget by itself and is loaded alone");
            return Finding::right(asked, found, ACCOUNT);
        }
        Finding::right(asked, found, ACCOUNT)
    }
}

/// Finds whether the scheduler's budget of the GPU pool is at most this share of the card's memory (or the
/// pool's own `budget`) and the loaded models fit. Not applicable to engines without a GPU.
pub(super) fn gpu_fraction(evidence: &Evidence) -> Finding {
    each(evidence, EngineKind::Lmstudio, |engine| {
        let fraction = evidence.config.tuning.lmstudio.gpu_memory_fraction;
        if engine.device != Device::Gpu {
            let why = format!("{} is not on a GPU", engine.name);
            return Finding::not_applicable(why, "the configuration in force");
        }
        let account = Account::of(evidence, engine);
        let pool = evidence.config.pools.get(&*engine.pool);
        let card = evidence.machine.gpu.filter(|_| is_local(engine));
        let total = pool.and_then(|p| p.memory).or(card.map(|c| c.memory));
        let configured = pool.and_then(|p| p.budget);
        let limit = configured.or_else(|| Some(share(total?, fraction)));
        // On unified memory only the scheduler knows the total.
        let Some(limit) = limit.or(account.budget) else {
            let why = "the memory of the GPU cannot be read here, so only the count limits";
            let at = "/sys/class/drm and NVIDIA's driver";
            let memory = format!(
                "set `[pool.{}] memory = \"12GB\"` to the GPU's memory",
                engine.pool
            );
            return Finding::unknown(fraction.to_string(), why, at).with_fix(memory);
        };
        let asked = match (configured, total) {
            (None, Some(total)) => {
                format!("at most {} ({fraction} of {})", bytes(limit), bytes(total))
            }
            _ => format!("at most {}", bytes(limit)),
        };
        let mut finding = account.judge(evidence, &asked, limit);
        if let Some(card) = card.filter(|card| Some(card.memory) == total) {
            finding.read_at = format!("{}, {}", finding.read_at, card.told_by);
        }
        finding
    })
}

/// Finds whether the scheduler's CPU pool (budget and use), or the main memory of an Ollama on the GPU by
/// `GET /api/ps`, keeps within the limit. A `memory.max` that Crucible set must be in force too.
pub(super) fn memory_limit(evidence: &Evidence) -> Finding {
    each(evidence, EngineKind::Ollama, |engine| {
        let limit = evidence.config.tuning.ollama.memory_limit;
        let pool = evidence.config.pools.get(&*engine.pool);
        let pool = pool.filter(|_| engine.device == Device::Cpu);
        let memory = evidence.machine.memory.filter(|_| is_local(engine));
        let total = pool.and_then(|p| p.memory).or(memory);
        let part = total.map(|total| share(total, MEMORY_SHARE));
        let most = pool
            .and_then(|p| p.budget)
            .unwrap_or_else(|| part.map_or(limit, |part| part.min(limit)));
        let mut asked = format!("at most {}", bytes(most));
        if most < limit {
            asked = format!(
                "{asked} (the smaller of {} and the machine's share)",
                bytes(limit)
            );
        }
        let finding = if engine.device == Device::Cpu {
            Account::of(evidence, engine).judge(evidence, &asked, most)
        } else {
            beside_the_gpu(engine, &asked, most)
        };
        by_the_system(evidence, engine, &finding)
    })
}

/// Checks the main memory that models on the GPU take beside it, which belongs to no pool.
fn beside_the_gpu(engine: &EngineView, asked: &str, most: u64) -> Finding {
    let held = &engine.residents;
    let used: u64 = held
        .iter()
        .filter_map(|r| Some(r.info.bytes?.saturating_sub(r.info.vram_bytes.unwrap_or(0))))
        .sum();
    let found = format!("{} of main memory in {}", bytes(used), models(held.len()));
    if used <= most {
        return Finding::right(asked, found, PS);
    }
    let name = held.last().map_or("MODEL", |r| &*r.info.instance);
    Finding::wrong(asked, found, PS, format!("ollama stop {name}"))
}

/// Adds to a finding the limit that the system sets for the engine's process. Crucible sets one
/// only for an Ollama that it started.
fn by_the_system(evidence: &Evidence, engine: &EngineView, finding: &Finding) -> Finding {
    let process = process(evidence, engine);
    let told = process.map_err(str::to_owned).and_then(|process| {
        let at = format!("memory.max of process {}", process.pid);
        process.memory_max.clone().map(|max| (max, at))
    });
    let limit = |max: Option<u64>| max.map_or("no limit".to_owned(), bytes);
    let with = |words: String, at: &str, state: TuningState, fix: Option<&str>| Finding {
        state,
        asked: finding.asked.clone(),
        found: format!("{}; {words}", finding.found),
        read_at: format!("{}, {at}", finding.read_at),
        fix: fix.map(str::to_owned).or_else(|| finding.fix.clone()),
    };
    let good = finding.state == TuningState::InEffect;
    match (&engine.limit, told) {
        (None, Err(_)) => finding.clone(),
        (None, Ok((max, at))) => with(
            format!("its cgroup has {}", limit(max)),
            &at,
            finding.state,
            None,
        ),
        _ if !good => finding.clone(),
        (Some(Err(unlimited)), _) => with(
            format!("the system does not limit its process: {}", unlimited.why),
            "Crucible's own control group",
            TuningState::NotInEffect,
            Some(unlimited.fix),
        ),
        (Some(Ok(asked)), Ok((max, at))) => {
            let words = format!("its cgroup has {}", limit(max));
            if max.is_some_and(|max| max <= *asked) {
                with(words, &at, finding.state, None)
            } else {
                let fix = "restart Crucible: another program changed the group";
                with(words, &at, TuningState::NotInEffect, Some(fix))
            }
        }
        (Some(Ok(asked)), Err(why)) => with(
            format!(
                "started in a cgroup with {}, which cannot be read back: {why}",
                bytes(*asked)
            ),
            "Ollama's process",
            TuningState::Unverifiable,
            None,
        ),
    }
}

fn is_local(engine: &EngineView) -> bool {
    !engine.pool.contains('@')
}

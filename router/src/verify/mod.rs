//! Whether the 39 settings are in effect, told from what the engines and the system show.
//!
//! Pure: [`verify`] is a function of one row and of the [`Evidence`] that [`gather`] collected.
//! A configuration file is never evidence.

mod context;
mod environment;
pub mod evidence;
pub mod findings;
pub mod gather;
mod lmstudio;
mod lmstudio_load;
mod memory;
mod ollama;
mod policy;
pub mod probe;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use crucible_config::{
    checked::EngineKind,
    tuning::{Report, Row, TUNINGS, report},
};

pub use crucible_config::tuning::State;

pub use self::{
    evidence::{Counters, Evidence},
    findings::{Remark, down::FAULTS as UNUSABLE, remarks},
};
use crate::{
    catalog::ModelKind,
    view::{EngineView, ResidentView},
};

/// Why what Crucible itself does cannot be shown.
const NOBODY: &str =
    "Crucible itself does this, and no instance is running at the configured address";

/// What is known of one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The one state.
    pub state: State,
    /// What was asked for, after clamping.
    pub asked: String,
    /// What was found, or why nothing could be.
    pub found: String,
    /// Where it was read.
    pub read_at: String,
    /// One command or click that mends it.
    pub fix: Option<String>,
}

/// The 39 rows with states, as `GET /crucible/tunings` and `doctor` show them.
pub fn verified(evidence: &Evidence) -> Report {
    let mut report = report(&evidence.config);
    for (shown, row) in report.tunings.iter_mut().zip(&TUNINGS) {
        let finding = verify(row, evidence);
        shown.state = Some(finding.state);
        shown.evidence = Some(finding.evidence());
        if finding.fix.is_some() {
            shown.advice = finding.fix;
        }
    }
    report
}

/// The state of a row.
pub fn verify(row: &Row, evidence: &Evidence) -> Finding {
    match check(row.number) {
        Some(check) => check(evidence),
        None => Finding::unknown("", "this row has no check", "nowhere"),
    }
}

type Check = fn(&Evidence) -> Finding;

/// The check of a row by its number.
fn check(number: u8) -> Option<Check> {
    let check: Check = match number {
        1 => memory::gpu_fraction,
        2 => lmstudio_load::layers,
        3 => lmstudio::loaded_models,
        4 => lmstudio::jit_loading,
        5 => lmstudio_load::model_ttl,
        6 => lmstudio::auto_evict,
        7 => lmstudio::batch_size,
        8 => lmstudio::flash_attention,
        9 => lmstudio_load::key_cache,
        10 => lmstudio_load::value_cache,
        11 => policy::stream_buffer,
        12 => policy::stream_timeout,
        13 => lmstudio::context_length,
        14 => policy::temperature,
        15 => policy::top_p,
        16 => policy::frequency_penalty,
        17 => policy::presence_penalty,
        18 => policy::keep_alive_interval,
        19 => policy::keep_alive_enabled,
        20 => policy::warm_up,
        21 => ollama::loaded_models,
        22 => ollama::queue,
        23 => ollama::parallel,
        24 => memory::memory_limit,
        25 => ollama::threads,
        26 => ollama::numa,
        27 => ollama::context_size,
        28 => policy::quantization,
        29 => ollama::batch_size,
        30 => ollama::mmap,
        31 => ollama::mlock,
        32 => environment::num_gpu,
        33 => environment::cpu_target,
        34 => environment::visible_devices,
        35 => environment::loaded_models,
        36 => environment::queue,
        37 => environment::parallel,
        38 => environment::threads,
        39 => environment::numa,
        _ => return None,
    };
    Some(check)
}

// === impl Finding ===

impl Finding {
    fn new(state: State, asked: impl Into<String>, found: impl Into<String>, at: &str) -> Self {
        Self {
            state,
            asked: asked.into(),
            found: found.into(),
            read_at: at.to_owned(),
            fix: None,
        }
    }

    fn right(asked: impl Into<String>, found: impl Into<String>, at: &str) -> Self {
        Self::new(State::InEffect, asked, found, at)
    }

    fn wrong(
        asked: impl Into<String>,
        found: impl Into<String>,
        at: &str,
        fix: impl Into<String>,
    ) -> Self {
        Self {
            fix: Some(fix.into()),
            ..Self::new(State::NotInEffect, asked, found, at)
        }
    }

    fn unknown(asked: impl Into<String>, why: impl Into<String>, at: &str) -> Self {
        Self::new(State::Unverifiable, asked, why, at)
    }

    fn not_applicable(why: impl Into<String>, at: &str) -> Self {
        Self::new(State::NotApplicable, "", why, at)
    }

    fn with_fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }

    /// As a row whose named knob does not exist: what is in effect is so by another knob.
    fn superseded_by(mut self, knob: &str) -> Self {
        if self.state == State::InEffect {
            self.state = State::Superseded;
            self.found = format!("superseded by {knob}: {}", self.found);
        }
        self
    }

    /// `asked 8; found 16; read from /proc/7/cmdline`.
    pub fn evidence(&self) -> String {
        let asked = match &*self.asked {
            "" => String::new(),
            asked => format!("asked {asked}; "),
        };
        let found = match self.state {
            State::Unverifiable | State::NotApplicable => self.found.clone(),
            _ => format!("found {}", self.found),
        };
        format!("{asked}{found}; read from {}", self.read_at)
    }
}

/// The findings of all engines of a kind in one: the worst state, everything that was found.
fn each(evidence: &Evidence, kind: EngineKind, check: impl Fn(&EngineView) -> Finding) -> Finding {
    let product = crate::discovery::product(kind);
    let engines: Vec<_> = evidence
        .view
        .engines
        .iter()
        .filter(|e| e.kind == kind)
        .collect();
    let several = engines.len() > 1;
    let findings = engines.iter().map(|engine| {
        let mut finding = if engine.is_up() {
            check(engine)
        } else {
            let error = engine.error.as_deref().unwrap_or("has not answered yet");
            Finding::unknown("", format!("{} is down: {error}", engine.name), &engine.url)
                .with_fix(findings::down::start(evidence, engine))
        };
        if several {
            finding.found = format!("{}: {}", engine.name, finding.found);
        }
        finding
    });
    worst(findings).unwrap_or_else(|| {
        Finding::not_applicable(format!("there is no {product} engine"), "the engines found")
    })
}

/// One check per resident that `wanted` names; why there is nothing to look at otherwise.
fn residents(
    engine: &EngineView,
    at: &str,
    check: impl Fn(&ResidentView) -> Option<Finding>,
) -> Finding {
    let generation = engine
        .residents
        .iter()
        .filter(|r| r.info.kind == ModelKind::Generation);
    worst(generation.filter_map(check)).unwrap_or_else(|| {
        Finding::unknown("", "no generation model is loaded that could show it", at)
            .with_fix("send a request, then look again")
    })
}

/// The worst first, the texts of those that share its state joined.
fn worst(findings: impl Iterator<Item = Finding>) -> Option<Finding> {
    const ORDER: [State; 5] = [
        State::NotInEffect,
        State::Unverifiable,
        State::InEffect,
        State::Superseded,
        State::NotApplicable,
    ];
    let mut all: Vec<Finding> = findings.collect();
    let state = ORDER
        .into_iter()
        .find(|state| all.iter().any(|f| f.state == *state))?;
    all.retain(|f| f.state == state);
    let mut all = all.into_iter();
    let mut first = all.next()?;
    for next in all {
        if !first.found.contains(&next.found) {
            first.found = format!("{}, {}", first.found, next.found);
        }
        if !first.asked.contains(&next.asked) {
            first.asked = format!("{}, {}", first.asked, next.asked);
        }
        if !first.read_at.contains(&next.read_at) {
            first.read_at = format!("{}, {}", first.read_at, next.read_at);
        }
    }
    Some(first)
}

/// Whether the engine has an embedding model, which counts against memory only.
fn has_embedding(engine: &EngineView) -> bool {
    engine.models.iter().any(|m| m.kind == ModelKind::Embedding)
}

//! The result of checking one setting, and how results of several engines and residents are joined.

use crucible_config::{checked::EngineKind, tuning::TuningState};

use super::{evidence::Evidence, start_advice::start};
use crate::{
    catalog::ModelKind,
    view::{EngineView, ResidentView},
};

/// The reason why the effect of what Crucible itself does cannot be shown.
pub(super) const NOBODY: &str =
    "Crucible itself does this, and no instance is running at the configured address";

/// The result of checking one setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The state of the setting.
    pub state: TuningState,
    /// The value that was asked for, after clamping.
    pub asked: String,
    /// The value that was found, or the reason why none could be.
    pub found: String,
    /// The source that it was read from.
    pub read_at: String,
    /// One command or click that mends it, where something is wrong.
    pub fix: Option<String>,
}

// === impl Finding ===

impl Finding {
    fn new(
        state: TuningState,
        asked: impl Into<String>,
        found: impl Into<String>,
        at: &str,
    ) -> Self {
        Self {
            state,
            asked: asked.into(),
            found: found.into(),
            read_at: at.to_owned(),
            fix: None,
        }
    }

    /// Makes the finding that a setting is in effect: `found` is what was read at `at`.
    pub(super) fn right(asked: impl Into<String>, found: impl Into<String>, at: &str) -> Self {
        Self::new(TuningState::InEffect, asked, found, at)
    }

    /// Makes the finding that a setting is not in effect, with the command or click that mends it.
    pub(super) fn wrong(
        asked: impl Into<String>,
        found: impl Into<String>,
        at: &str,
        fix: impl Into<String>,
    ) -> Self {
        Self {
            fix: Some(fix.into()),
            ..Self::new(TuningState::NotInEffect, asked, found, at)
        }
    }

    /// Makes the finding that the effect of a setting cannot be read; `why` says the reason.
    pub(super) fn unknown(asked: impl Into<String>, why: impl Into<String>, at: &str) -> Self {
        Self::new(TuningState::Unverifiable, asked, why, at)
    }

    /// Makes the finding that a setting means nothing for the engines that are there; `why` says
    /// the reason.
    pub(super) fn not_applicable(why: impl Into<String>, at: &str) -> Self {
        Self::new(TuningState::NotApplicable, "", why, at)
    }

    /// Adds the command or click that mends it.
    pub(super) fn with_fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }

    /// Marks the finding of a row whose named knob does not exist: another knob has the effect.
    pub(super) fn superseded_by(mut self, knob: &str) -> Self {
        if self.state == TuningState::InEffect {
            self.state = TuningState::Superseded;
            self.found = format!("superseded by {knob}: {}", self.found);
        }
        self
    }

    /// One line of evidence, such as `asked 8; found 16; read from /proc/7/cmdline`.
    pub fn evidence(&self) -> String {
        let asked = match &*self.asked {
            "" => String::new(),
            asked => format!("asked {asked}; "),
        };
        let found = match self.state {
            TuningState::Unverifiable | TuningState::NotApplicable => self.found.clone(),
            _ => format!("found {}", self.found),
        };
        format!("{asked}{found}; read from {}", self.read_at)
    }
}

/// Checks every engine of a kind and joins the findings: the worst state counts, and everything that was
/// found with it is told.
pub(super) fn each(
    evidence: &Evidence,
    kind: EngineKind,
    check: impl Fn(&EngineView) -> Finding,
) -> Finding {
    let product = kind.profile().product;
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
                .with_fix(start(evidence, engine))
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

/// Checks every generation model that is loaded and joins the findings.
pub(super) fn residents(
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

/// Joins findings: the worst state, and the texts of all that share it.
pub(super) fn worst(findings: impl Iterator<Item = Finding>) -> Option<Finding> {
    const ORDER: [TuningState; 5] = [
        TuningState::NotInEffect,
        TuningState::Unverifiable,
        TuningState::InEffect,
        TuningState::Superseded,
        TuningState::NotApplicable,
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

/// Reports whether the engine has an embedding model, which counts against memory only.
pub(super) fn has_embedding(engine: &EngineView) -> bool {
    engine.models.iter().any(|m| m.kind == ModelKind::Embedding)
}
